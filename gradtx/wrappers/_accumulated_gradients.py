"""Gradients of a large batch, micro-batch by micro-batch, inside one step."""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from gradtx._tools import Count, Tree, checked, summary, times, widen
from gradtx.wrappers._accumulate import Reduce, divided

G = TypeVar("G")


@checked
def accumulated_gradients(
    value_and_grad: Callable[..., tuple[Any, G]],
    batch: Tree,
    every: Count,
    *,
    reduce: Reduce = "mean",
    weight: Callable[[Any], Any] | None = None,
    key: jax.Array | None = None,
) -> tuple[Any, G]:
    """Computes the value and the gradients of a batch by a scan over micro-batches.

    Only the activations of one micro-batch exist at a time. Besides these, the scan keeps one array in float32 or wider
    like each gradient. Unlike `accumulate`, nothing is kept between steps, and the whole batch is given at once.

    Args:
        value_and_grad: A function of a micro-batch, and of a key if `key` is given, such as
            `lambda batch: jax.value_and_grad(loss)(params, batch)`. It returns (value, gradients), or
            ((value, auxiliary outputs), gradients) as with `has_aux=True`.
        batch: A tree of arrays whose first axis has the examples.
        every: The number of micro-batches; it divides the number of examples. Micro-batch i has the examples i,
            i + every, i + 2·every, …, so that a batch that is sharded over its examples stays so.
        reduce: "mean" for the mean of the values and gradients over the micro-batches; "sum" for their sum.
        weight: A function from a micro-batch to its weight, such as the number of its tokens. Micro-batches of unequal
            weights then equal the whole batch: Σᵢ wᵢ·gᵢ / Σᵢ wᵢ.
        key: A PRNG key. Each micro-batch gets a key of its own.

    Returns:
        What `value_and_grad` returns. The gradients and the value are in float32 or wider. Auxiliary outputs have the
        micro-batches on a new first axis.

    Raises:
        ValueError: The arrays of the batch differ in the number of examples, or `every` does not divide it.

    >>> import gradtx as gx, jax, jax.numpy as jnp
    >>> def loss(w, x):
    ...     return jnp.mean((w * x) ** 2)
    >>> x = jnp.arange(4.0)
    >>> gx.accumulated_gradients(lambda x: jax.value_and_grad(loss)(1.0, x), x, 2)
    (Array(3.5, dtype=float32), Array(7., dtype=float32))
    """
    arrays = [jnp.asarray(x) for x in jax.tree.leaves(batch)]
    sizes = sorted({x.shape[0] if x.ndim else 0 for x in arrays})
    if len(sizes) != 1 or not sizes[0]:
        raise ValueError(
            "accumulated_gradients: batch must be a tree of arrays with one number of examples on the first axis, got "
            f"{', '.join(sorted({summary(x) for x in arrays})) or 'no array'}"
        )
    if sizes[0] % every:
        raise ValueError(f"accumulated_gradients: every={every} must divide the number of examples, {sizes[0]}")
    micro = jax.tree.map(lambda x: jnp.swapaxes(jnp.reshape(x, (-1, every, *np.shape(x)[1:])), 0, 1), batch)
    keys = None if key is None else jax.random.split(key, every)

    def one(part: Tree, key: jax.Array | None) -> tuple[jax.Array, Any, Any]:
        w = jnp.ones(()) if weight is None else jnp.asarray(weight(part), jnp.float32)
        value, grads = value_and_grad(part) if key is None else value_and_grad(part, key)
        value, aux = value if isinstance(value, tuple) else (value, None)
        return w, jax.tree.map(lambda x: _weighted(x, w), (value, grads)), aux

    def step(carry: Any, inputs: Any) -> tuple[Any, Any]:
        w, sums, aux = one(*inputs)
        total, before = carry
        return (total + w, jax.tree.map(jnp.add, before, sums)), aux

    shapes = jax.eval_shape(lambda: one(*jax.tree.map(lambda x: x[0], (micro, keys)))[1])
    start = jnp.zeros(()), jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    (total, (value, grads)), aux = jax.lax.scan(step, start, (micro, keys))
    if reduce == "mean":
        value, grads = jax.tree.map(lambda x: divided(x, total), (value, grads))
    return (value if aux is None else (value, aux)), grads


def _weighted(x: Any, weight: jax.Array) -> jax.Array:
    wide = widen(x)
    return times(wide, weight.astype(wide.real.dtype))
