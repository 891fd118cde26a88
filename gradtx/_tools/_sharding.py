"""Arrays on meshes of devices."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import Tracer
from jax.sharding import AxisType, NamedSharding
from jax.typing import ArrayLike

from gradtx._tools._trees import dtype_of, wide


def spread(x: jax.Array, sharding: NamedSharding) -> jax.Array:
    """The array `x` with a sharding, which is a part of its type on a mesh with explicit axes."""
    if AxisType.Explicit in sharding.mesh.axis_types:
        return jax.sharding.reshard(x, sharding)
    return lax.with_sharding_constraint(x, sharding)


def full_like(param: ArrayLike, fill: ArrayLike, dtype: np.dtype) -> jax.Array:
    """An array of `fill` with the shape and the sharding of `param`."""
    filled = jnp.full_like(jnp.asarray(param), fill, dtype)
    if not isinstance(param, Tracer):
        return filled
    # A constant inside `jit` depends on nothing, so the compiler would put all of it on one device. This one depends on
    # the parameter, element by element, through a condition that never holds.
    never = jnp.abs(jnp.asarray(param, wide(dtype_of(param)))) > jnp.inf
    return jnp.where(never, jnp.zeros_like(filled), filled)
