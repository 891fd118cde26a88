"""Arithmetic that rules share: magnitudes, roots and ratios with finite derivatives, products at full precision."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def abs_sq(g: jax.Array) -> jax.Array:
    """|g|², real."""
    return g.real * g.real + g.imag * g.imag if jnp.iscomplexobj(g) else g * g


@jax.custom_jvp
def magnitude(x: jax.Array) -> jax.Array:
    """|x|, with derivative 0 at 0; real."""
    return jnp.abs(x)


@magnitude.defjvp
def _magnitude_jvp(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    (x,), (dx,), size = primals, tangents, magnitude(*primals)
    if not jnp.iscomplexobj(x):
        return size, jnp.sign(x) * dx
    return size, _ratio(x.real * dx.real + x.imag * dx.imag, size)


@jax.custom_jvp
def root(x: jax.Array) -> jax.Array:
    """√x, with derivative 0 at 0, so that a gradient of zero passes no NaN back through √g²."""
    return jnp.sqrt(x)


@root.defjvp
def _root_jvp(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    y = root(*primals)
    return y, _ratio(0.5 * tangents[0], y)


@jax.custom_jvp
def ratio(a: jax.Array, b: jax.Array) -> jax.Array:
    """The ratio a / b, and 0 with derivative 0 where b is 0; where b is NaN, so is the ratio."""
    b = jnp.asarray(b, a.dtype)
    return jnp.where(b == 0, jnp.zeros_like(a), a / b)


@ratio.defjvp
def _ratio_jvp(primals: tuple[jax.Array, ...], tangents: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array]:
    (a, b), (da, db) = primals, tangents
    y = ratio(a, b)
    return y, _ratio(da - y * jnp.asarray(db, a.dtype), b)


def _ratio(a: jax.Array, b: jax.Array) -> jax.Array:
    """The same in a form that is linear in a when it is transposed: hence the divisor of 1."""
    b = jnp.asarray(b, a.dtype)
    nothing = b == 0
    return jnp.where(nothing, jnp.zeros_like(a), a / jnp.where(nothing, jnp.ones_like(b), b))


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
