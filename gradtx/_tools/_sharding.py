"""Where arrays lie, for meshes of every kind."""

import jax
from jax import lax
from jax.sharding import AxisType, NamedSharding


def spread(x: jax.Array, sharding: NamedSharding) -> jax.Array:
    """`x` split as `sharding` says, which on an explicit mesh is part of its type."""
    if AxisType.Explicit in sharding.mesh.axis_types:
        return jax.sharding.reshard(x, sharding)
    return lax.with_sharding_constraint(x, sharding)
