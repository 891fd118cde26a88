"""New parameters: from updates, or directly from gradients with a single rounding."""

from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

from gradtx._tools import (
    Rounding,
    Tree,
    check_leaves,
    check_rounding_key,
    check_structure,
    checked,
    dtype_of,
    flatten,
    is_trainable,
    round_to,
    wide,
)
from gradtx.core import Transformation

T = TypeVar("T")
S = TypeVar("S")


@checked
def apply_updates(params: T, updates: Tree, *, rounding: Rounding = "nearest", key: jax.Array | None = None) -> T:
    """Adds updates to parameters: θₜ₊₁ = θₜ + u, in float32 or wider, rounded once to each parameter's dtype.

    Parameters whose update is None or float0 are unchanged.

    Args:
        params: The parameters θₜ.
        updates: The updates u, a tree like the parameters.
        rounding: "nearest" or "stochastic".
        key: A PRNG key for stochastic rounding, a new one for each step.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> gx.apply_updates({"w": jnp.ones(2)}, {"w": jnp.array([0.5, -1.0])})
    {'w': Array([1.5, 0. ], dtype=float32)}
    """
    check_rounding_key("apply_updates", rounding, key)
    old, new = flatten(params), flatten(updates)
    check_structure("apply_updates", new, old, "parameters", "updates")
    check_leaves("apply_updates", new, old, "parameters", what="update")

    def add(i: int, p: ArrayLike, u: ArrayLike) -> ArrayLike:
        if not is_trainable(u):
            return p
        dtype = wide(dtype_of(p))
        leaf_key = None if key is None else jax.random.fold_in(key, i)
        return round_to(jnp.asarray(p, dtype) + jnp.asarray(u, dtype), dtype_of(p), leaf_key)

    return old.unflatten([add(i, p, u) for i, (p, u) in enumerate(zip(old.leaves, new.leaves, strict=True))])


@checked
def apply_gradients(
    tx: optax.GradientTransformation,
    grads: Tree,
    state: S,
    params: T,
    *,
    rounding: Rounding = "nearest",
    key: jax.Array | None = None,
    **extra_args: object,
) -> tuple[T, S]:
    """Takes one step of training. Returns (new parameters, new state), with a single rounding per parameter.

    The result is that of `update` followed by `apply_updates`, except that the update is not rounded to the gradients'
    dtype. All arithmetic is in float32 or wider until the new parameter is rounded to its own dtype: to the nearest
    value, or stochastically. Stochastic rounding is unbiased, so that bfloat16 parameters do not lose small updates.

    A jitted step that donates its buffers should return them in the order in which it takes them, such as
    `step(params, state, batch) -> params, state`. JAX pairs donated buffers with results of the same shape in order,
    and copies all of them if parameters are paired with slots.

    Args:
        tx: Any transformation.
        grads: The gradients, a tree like the parameters.
        state: The result of `tx.init`, or the state that the last step returned.
        params: The parameters.
        rounding: "nearest" or "stochastic".
        key: A PRNG key for stochastic rounding, a new one for each step.
        **extra_args: Further arguments for the stages of `tx`: value, grad, value_fn, …

    >>> import gradtx as gx, jax.numpy as jnp
    >>> tx, params = gx.sgd(0.5), jnp.ones(2)
    >>> params, state = gx.apply_gradients(tx, jnp.array([1.0, 2.0]), tx.init(params), params)
    >>> params
    Array([0.5, 0. ], dtype=float32)
    """
    check_rounding_key("apply_gradients", rounding, key)
    if params is None:
        raise ValueError("apply_gradients needs the parameters: call apply_gradients(tx, grads, state, params)")
    if not isinstance(tx, Transformation):
        update: Any = optax.with_extra_args_support(tx).update
        updates, after = update(grads, state, params, **extra_args)
        return apply_updates(params, updates, rounding=rounding, key=key), after
    lift: Any = tx._lift
    new, after = lift.run(grads, state, params, extra_args, rounding, key)
    # A leaf without a gradient keeps its parameter.
    old, new = flatten(params), flatten(new)
    leaves = [u if is_trainable(u) else p for p, u in zip(old.leaves, new.leaves, strict=True)]
    return old.unflatten(leaves), after
