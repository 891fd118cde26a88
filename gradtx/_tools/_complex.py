"""Complex arrays as real ones, and the real scalars that go with them."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx._tools._trees import wide


def as_real(scalars: Mapping[str, Any], dtype: np.dtype) -> dict[str, Any]:
    """Floating scalars in the real dtype that belongs to `dtype`, so that nothing is promoted."""
    real = wide(dtype, as_complex=False)
    return {
        name: jnp.asarray(x, real) if jnp.issubdtype(jnp.result_type(x), jnp.inexact) else x
        for name, x in scalars.items()
    }


def parts(z: jax.Array) -> jax.Array:
    """The real and imaginary parts on a last axis."""
    return jnp.stack([z.real, z.imag], -1)


def joined(x: jax.Array) -> jax.Array:
    """The complex array of these parts."""
    return jax.lax.complex(x[..., 0], x[..., 1])
