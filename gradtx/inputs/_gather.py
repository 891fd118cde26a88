"""Rows of arrays, wherever they lie."""

import functools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import Tracer
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from gradtx._tools import spread
from gradtx.inputs._batch import Batch


def leading(leaf: Any) -> NamedSharding | None:
    """How `leaf` is split over a mesh; None where it is whole, or where only the compiler knows."""
    if not isinstance(leaf, jax.Array):
        return None
    sharding = jax.typeof(leaf).sharding if isinstance(leaf, Tracer) else leaf.sharding
    split = isinstance(sharding, NamedSharding) and any(part is not None for part in sharding.spec)
    return sharding if split else None  # type: ignore[return-value]


def parts(sharding: NamedSharding | None) -> int:
    """Into how many parts the leading axis is split."""
    if sharding is None or sharding.spec[0] is None:
        return 1
    return math.prod(sharding.mesh.shape[str(name)] for name in np.atleast_1d(sharding.spec[0]))


def batch_of(data: Any, shardings: Sequence[NamedSharding | None], index: jax.Array, real: jax.Array) -> Batch:
    """The rows `index` of the leaves of `data`, which are split as `shardings` say."""
    leaves, tree = jax.tree.flatten(data)
    taken = [rows(jnp.asarray(x), index, s) for x, s in zip(leaves, shardings, strict=True)]
    split = next((s for s in shardings if s is not None), None)
    return Batch(jax.tree.unflatten(tree, taken), split_like(real, split))


@functools.partial(jax.jit, static_argnums=1)
def nth_batch(data: Any, shardings: Sequence[NamedSharding | None], plan: tuple[jax.Array, jax.Array], i: Any) -> Batch:
    """The mini-batch i of a plan."""
    return batch_of(data, shardings, *(x[i] for x in plan))


@jax.jit
def on_device(batch: Batch) -> Batch:
    """What `jax.device_put` gives, in a third of its time."""
    return batch


def rows(data: jax.Array, index: jax.Array, sharding: NamedSharding | None) -> jax.Array:
    """data[index] for numbers in bounds, split as `sharding` says."""
    if sharding is None:
        return lax.platform_dependent(data, index, cpu=_rows_on_cpu, default=_rows)
    if AxisType.Explicit in sharding.mesh.axis_types:
        return data.at[index].get(mode="promise_in_bounds", out_sharding=sharding)
    return spread(_rows(data, index), sharding)


def split_like(x: jax.Array, sharding: NamedSharding | None) -> jax.Array:
    """A vector, split as the leading axis is."""
    return x if sharding is None else spread(x, NamedSharding(sharding.mesh, PartitionSpec(sharding.spec[0])))


def _rows(data: jax.Array, index: jax.Array) -> jax.Array:
    return data.at[index].get(mode="promise_in_bounds")


def _rows_on_cpu(data: jax.Array, index: jax.Array) -> jax.Array:
    """XLA copies a row number by number, unless its last axis is short: then as vectors, three times as fast.

    But not where it copies in the shape of what reads the rows. It would, did it know that the condition holds.
    """
    width = math.prod(data.shape[1:])
    if width % 4 or not width:
        return _rows(data, index)
    short = data.reshape(len(data), width // 4, 4)
    never = jnp.zeros((len(index), *short.shape[1:]), data.dtype)
    taken = lax.cond(index[0] < len(data), _rows, lambda *_: never, short, index)
    return taken.reshape(len(index), *data.shape[1:])
