"""Rows of arrays, wherever they lie."""

import math
from typing import Any

import jax
import numpy as np
from jax import lax
from jax.core import Tracer
from jax.sharding import AxisType, NamedSharding, PartitionSpec


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


def rows(data: jax.Array, index: jax.Array, sharding: NamedSharding | None) -> jax.Array:
    """data[index] for numbers in bounds, split as `sharding` says."""
    if sharding is None:
        return lax.platform_dependent(data, index, cpu=_rows_on_cpu, default=_rows)
    if AxisType.Explicit in sharding.mesh.axis_types:
        return data.at[index].get(mode="promise_in_bounds", out_sharding=sharding)
    return lax.with_sharding_constraint(_rows(data, index), sharding)


def split_like(x: jax.Array, sharding: NamedSharding | None) -> jax.Array:
    """A vector, split as the leading axis is."""
    if sharding is None:
        return x
    alike = NamedSharding(sharding.mesh, PartitionSpec(sharding.spec[0]))
    explicit = AxisType.Explicit in sharding.mesh.axis_types
    return jax.sharding.reshard(x, alike) if explicit else lax.with_sharding_constraint(x, alike)


def _rows(data: jax.Array, index: jax.Array) -> jax.Array:
    return data.at[index].get(mode="promise_in_bounds")


def _rows_on_cpu(data: jax.Array, index: jax.Array) -> jax.Array:
    """XLA copies a row number by number, unless its last axis is short: then as vectors, three times as fast.

    The barrier keeps it from copying in the shape of the result after all.
    """
    width = math.prod(data.shape[1:])
    if width % 4 or not width:
        return _rows(data, index)
    short = _rows(data.reshape(len(data), width // 4, 4), index)
    return lax.optimization_barrier(short).reshape(*index.shape, *data.shape[1:])
