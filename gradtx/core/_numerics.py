"""Products with hyperparameters at full precision."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def times(c: Any, x: jax.Array) -> jax.Array:
    """c·x, where a constant c keeps its double precision: in float32, c alone is off by up to 6e-8."""
    high, low = _split(c, x)
    return high * x if low is None else high * x + low * x


def times_plus(c: Any, x: jax.Array, y: Any) -> jax.Array:
    """c·x + y, likewise."""
    high, low = _split(c, x)
    return high * x + y if low is None else high * x + (low * x + y)


def _split(c: Any, x: jax.Array) -> tuple[Any, float | None]:
    """A constant as the sum of two float32 numbers of one sign, so that an infinite x gives no inf - inf."""
    if isinstance(c, jax.Array) or jnp.finfo(x.dtype).bits > 32:
        return c, None
    high = float(np.float32(c))
    if abs(high) > abs(c):
        high = float(np.nextafter(np.float32(high), np.float32(0)))
    return high, float(np.float32(c - high)) or None
