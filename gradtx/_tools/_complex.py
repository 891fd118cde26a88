"""Complex arrays as real arrays, and scalars in the real dtype that goes with a dtype."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike, DTypeLike

from gradtx._tools._trees import wide


def as_real(scalars: Mapping[str, ArrayLike], dtype: DTypeLike) -> dict[str, Any]:
    """The scalars with floating ones in the real dtype that goes with `dtype`, so that nothing is promoted."""
    real = wide(dtype, as_complex=False)
    return {
        name: jnp.asarray(x, real) if jnp.issubdtype(jnp.result_type(x), jnp.inexact) else x
        for name, x in scalars.items()
    }


def parts(z: jax.Array) -> jax.Array:
    """The real and imaginary parts of a complex array, on a new last axis of length two."""
    return jnp.stack([z.real, z.imag], -1)


def joined(x: jax.Array) -> jax.Array:
    """The complex array whose parts are on the last axis: the inverse of `parts`."""
    return jax.lax.complex(x[..., 0], x[..., 1])
