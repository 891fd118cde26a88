"""A mini-batch, and how its rows are gathered from arrays, wherever the arrays lie."""

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import Tracer
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from gradtx._tools import Tree, spread, wide

T = TypeVar("T")
Shardings: TypeAlias = Sequence[NamedSharding | None]
"""How each leaf of the data is split over a mesh; None for a leaf that is whole."""


class Batch(NamedTuple):
    """Holds the examples of a mini-batch, and marks the padding among them.

    Attributes:
        data: A tree like the data, with `batch_size` examples on axis 0 of each leaf.
        mask: bool, shape (batch_size,). False marks examples that only pad the last mini-batch of an epoch.
    """

    data: Any
    mask: jax.Array

    def mean(self, values: T) -> T:
        """Averages each leaf of `values` over the real examples, in float32 or wider.

        Padding changes neither the mean nor its gradient.

        Args:
            values: A tree of arrays of shape (batch_size, …), such as the loss of each example.
        """

        def mean(x: jax.Array) -> jax.Array:
            mask = jnp.expand_dims(self.mask, tuple(range(1, x.ndim)))
            dtype = wide(x.dtype)
            return jnp.where(mask, x, jnp.zeros_like(x)).astype(dtype).sum(axis=0) / self.mask.astype(dtype).sum()

        return jax.tree.map(mean, values)


def leading(leaf: object) -> NamedSharding | None:
    """How `leaf` is split over a mesh. None if it is whole, or if only the compiler knows."""
    if not isinstance(leaf, jax.Array):
        return None
    sharding = jax.typeof(leaf).sharding if isinstance(leaf, Tracer) else leaf.sharding
    split = isinstance(sharding, NamedSharding) and any(part is not None for part in sharding.spec)
    return sharding if split else None  # type: ignore[return-value]


def parts(sharding: NamedSharding | None) -> int:
    """The number of parts into which the leading axis is split."""
    if sharding is None or sharding.spec[0] is None:
        return 1
    return math.prod(sharding.mesh.shape[str(name)] for name in np.atleast_1d(sharding.spec[0]))


def batch_of(data: Tree, shardings: Shardings, index: jax.Array, real: jax.Array) -> Batch:
    """The rows `index` of the leaves of `data`, split as the leaves are split."""
    leaves, tree = jax.tree.flatten(data)
    taken = [rows(jnp.asarray(x), index, s) for x, s in zip(leaves, shardings, strict=True)]
    split = next((s for s in shardings if s is not None), None)
    return Batch(jax.tree.unflatten(tree, taken), split_like(real, split))


@functools.partial(jax.jit, static_argnums=1)
def nth_batch(data: Tree, shardings: Shardings, plan: tuple[jax.Array, jax.Array], i: jax.Array) -> Batch:
    """Mini-batch number i of a plan."""
    index, real = plan
    return batch_of(data, shardings, index[i], real[i])


@jax.jit
def on_device(batch: Batch) -> Batch:
    """The same as `jax.device_put`, in a third of its time."""
    return batch


def rows(data: jax.Array, index: jax.Array, sharding: NamedSharding | None) -> jax.Array:
    """data[index] for indices within bounds, split as `sharding` specifies."""
    if sharding is None:
        return lax.platform_dependent(data, index, cpu=_rows_on_cpu, default=_rows)
    if AxisType.Explicit in sharding.mesh.axis_types:
        return data.at[index].get(mode="promise_in_bounds", out_sharding=sharding)
    return spread(_rows(data, index), sharding)


def split_like(x: jax.Array, sharding: NamedSharding | None) -> jax.Array:
    """A vector, split as `sharding` splits the leading axis."""
    return x if sharding is None else spread(x, NamedSharding(sharding.mesh, PartitionSpec(sharding.spec[0])))


def _rows(data: jax.Array, index: jax.Array) -> jax.Array:
    return data.at[index].get(mode="promise_in_bounds")


def _rows_on_cpu(data: jax.Array, index: jax.Array) -> jax.Array:
    """Copies rows of 4·k numbers as vectors of 4.

    XLA copies a row element by element unless its last axis is short. Then XLA copies vectors, three times as fast.
    """
    width = math.prod(data.shape[1:])
    if width % 4 or not width:
        return _rows(data, index)
    short = data.reshape(len(data), width // 4, 4)
    never = jnp.zeros((len(index), *short.shape[1:]), data.dtype)
    # The condition is always true. XLA must not know this: it would fold the branch and copy element by element again.
    taken = lax.cond(index[0] < len(data), _rows, lambda *_: never, short, index)
    return taken.reshape(len(index), *data.shape[1:])
