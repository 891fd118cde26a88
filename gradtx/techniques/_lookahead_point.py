"""The point to which momentum would lead without a gradient."""

from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import optax

from gradtx._tools import is_trainable
from gradtx.states import apply_gradients

T = TypeVar("T")


def lookahead_point(tx: optax.GradientTransformation, state: Any, params: T) -> T:
    """Returns the parameters after a step with gradients of zero: θₜ - η·β·bₜ for `sgd`.

    The gradient at this point, given to a chain with plain momentum, is Nesterov's method as he published it.
    `nesterov=True` keeps this point as the parameters instead; see `trace`.

    Args:
        tx: A transformation. Its update for zero gradients comes only from its momentum, as in `sgd` without decay.
        state: The result of `tx.init`, or the state that the last step returned.
        params: The parameters θₜ.

    Source: Nesterov 1983; Sutskever et al. 2013, (3-4).

    >>> import gradtx as gx, jax, jax.numpy as jnp
    >>> tx, params, loss = gx.sgd(0.1, momentum=0.9), jnp.array([1.0]), lambda x: jnp.sum(x**2)
    >>> state = tx.init(params)
    >>> for _ in range(2):
    ...     grads = jax.grad(loss)(gx.lookahead_point(tx, state, params))
    ...     params, state = gx.apply_gradients(tx, grads, state, params)
    >>> params
    Array([0.496], dtype=float32)
    """
    still = jax.tree.map(lambda p: jnp.zeros_like(p) if is_trainable(p) else None, params)
    return apply_gradients(tx, still, state, params)[0]
