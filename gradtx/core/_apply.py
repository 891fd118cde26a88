"""From updates, or straight from gradients, to new parameters."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from gradtx._tools import (
    ROUNDINGS,
    Rounding,
    check_leaves,
    check_structure,
    dtype_of,
    flatten,
    is_trainable,
    round_to,
    wide,
)
from gradtx.core._transformation import Transformation


def apply_updates(params: Any, updates: Any, *, rounding: Rounding = "nearest", key: Any = None) -> Any:
    """θₜ₊₁ = θₜ + u, added in float32 or wider and rounded once to each parameter's dtype.

    Parameters whose update is None or float0 stay as they are.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> gx.apply_updates({"w": jnp.ones(2)}, {"w": jnp.array([0.5, -1.0])})
    {'w': Array([1.5, 0. ], dtype=float32)}
    """
    _check_rounding("apply_updates", rounding, key)
    old, new = flatten(params), flatten(updates)
    check_structure("apply_updates", new, old, "parameters", "updates")
    check_leaves("apply_updates", new, old, "parameters", what="update")

    def add(i: int, p: Any, u: Any) -> Any:
        if not is_trainable(u):
            return p
        dtype = wide(dtype_of(p))
        leaf_key = None if key is None else jax.random.fold_in(key, i)
        return round_to(jnp.asarray(p, dtype) + jnp.asarray(u, dtype), dtype_of(p), rounding, leaf_key)

    return old.unflatten([add(i, p, u) for i, (p, u) in enumerate(zip(old.leaves, new.leaves, strict=True))])


def apply_gradients(
    tx: optax.GradientTransformation,
    grads: Any,
    state: Any,
    params: Any,
    *,
    rounding: Rounding = "nearest",
    key: Any = None,
    **extra_args: Any,
) -> tuple[Any, Any]:
    """One step of training, (new parameters, new state), with a single rounding per parameter.

    The same as `update` followed by `apply_updates`, except that the update is never rounded to the gradients' dtype:
    all arithmetic is in float32 or wider until the new parameter is rounded to its own dtype, to the nearest value or
    stochastically (then unbiased, so that bfloat16 parameters do not lose small updates).

    Where a jitted step donates its buffers, let it give them back in the order in which it takes them, such as
    `step(params, state, batch) -> params, state`: JAX pairs donated buffers with results of their shape in order, and
    copies them all where parameters meet slots.

    Args:
        tx: Any transformation.
        grads: Gradients, a tree like the parameters.
        state: What `tx.init` or the last step returned.
        params: The parameters.
        rounding: "nearest" or "stochastic".
        key: A PRNG key for stochastic rounding, a new one for each step.
        **extra_args: What the stages of `tx` need besides: value, grad, value_fn, …

    >>> import gradtx as gx, jax.numpy as jnp
    >>> tx, params = gx.sgd(0.5), jnp.ones(2)
    >>> params, state = gx.apply_gradients(tx, jnp.array([1.0, 2.0]), tx.init(params), params)
    >>> params
    Array([0.5, 0. ], dtype=float32)
    """
    _check_rounding("apply_gradients", rounding, key)
    if params is None:
        raise ValueError("apply_gradients needs the parameters")
    if isinstance(tx, Transformation):
        new, state = tx._lift.run(grads, state, params, extra_args, rounding, key)
        # What has no gradient keeps its parameter.
        old, new = flatten(params), flatten(new)
        kept = [u if is_trainable(u) else p for p, u in zip(old.leaves, new.leaves, strict=True)]
        return old.unflatten(kept), state
    updates, state = optax.with_extra_args_support(tx).update(grads, state, params, **extra_args)
    return apply_updates(params, updates, rounding=rounding, key=key), state


def _check_rounding(where: str, rounding: str, key: Any) -> None:
    if rounding not in ROUNDINGS:
        raise ValueError(f"{where}: rounding must be one of {', '.join(ROUNDINGS)}, got {rounding!r}")
    if (rounding == "stochastic") != (key is not None):
        raise ValueError(f"{where}: stochastic rounding, and no other, takes a key")
