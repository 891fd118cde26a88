"""Arithmetic that rules share: squares of real and complex arrays, products at full precision."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def abs_sq(g: jax.Array) -> jax.Array:
    """|g|², real."""
    return g.real * g.real + g.imag * g.imag if jnp.iscomplexobj(g) else g * g


def times_plus(c: Any, x: jax.Array, y: Any) -> jax.Array:
    """c·x + y, where a constant c keeps its double precision: in float32, c alone is off by up to 6e-8.

    For slots and parameters: an x that is costly to compute would be stored in between, as it is used twice.
    """
    if isinstance(c, jax.Array) or jnp.finfo(x.dtype).bits > 32:
        return c * x + y
    # Two float32 numbers of one sign, so that an infinite x gives no inf - inf.
    high = float(np.float32(c))
    if abs(high) > abs(c):
        high = float(np.nextafter(np.float32(high), np.float32(0)))
    low = float(np.float32(c - high))
    return high * x + (low * x + y) if low else high * x + y
