"""Where arrays lie, for meshes of every kind."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import Tracer
from jax.sharding import AxisType, NamedSharding

from gradtx._tools._trees import dtype_of, wide


def spread(x: jax.Array, sharding: NamedSharding) -> jax.Array:
    """`x` split as `sharding` says, which on an explicit mesh is part of its type."""
    if AxisType.Explicit in sharding.mesh.axis_types:
        return jax.sharding.reshard(x, sharding)
    return lax.with_sharding_constraint(x, sharding)


def full_like(param: Any, fill: Any, dtype: np.dtype) -> jax.Array:
    """`fill` in the shape and with the sharding of `param`."""
    filled = jnp.full_like(jnp.asarray(param), fill, dtype)
    if not isinstance(param, Tracer):
        return filled
    # A constant inside `jit` depends on nothing, so the compiler would put all of it on one device. This one depends on
    # the parameter, element by element, by a condition that never holds.
    never = jnp.abs(jnp.asarray(param, wide(dtype_of(param)))) > jnp.inf
    return jnp.where(never, jnp.zeros_like(filled), filled)
