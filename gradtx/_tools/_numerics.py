"""Arithmetic that rules share: magnitudes, roots and ratios with finite derivatives, and exact products."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from gradtx._tools._types import Number


def abs_sq(g: jax.Array) -> jax.Array:
    """The squared magnitude |g|² of each element, real."""
    return g.real * g.real + g.imag * g.imag if jnp.iscomplexobj(g) else g * g


@jax.custom_jvp
def magnitude(x: jax.Array) -> jax.Array:
    """The magnitude |x| of each element, real. Its derivative at 0 is 0."""
    return jnp.abs(x)


@magnitude.defjvp
def _magnitude_jvp(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    (x,), (dx,), size = primals, tangents, magnitude(*primals)
    if not jnp.iscomplexobj(x):
        return size, jnp.sign(x) * dx
    return size, _ratio(x.real * dx.real + x.imag * dx.imag, size)


@jax.custom_jvp
def root(x: jax.Array) -> jax.Array:
    """The square root √x. Its derivative at 0 is 0, so that no NaN passes back through √g² from a gradient of zero."""
    return jnp.sqrt(x)


@root.defjvp
def _root_jvp(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    y = root(*primals)
    return y, _ratio(0.5 * tangents[0], y)


@jax.custom_jvp
def ratio(a: jax.Array, b: jax.Array) -> jax.Array:
    """The ratio a / b. If b is 0, the ratio and its derivative are 0. If b is NaN, the ratio is NaN."""
    b = jnp.asarray(b, a.dtype)
    return jnp.where(b == 0, jnp.zeros_like(a), a / b)


@ratio.defjvp
def _ratio_jvp(primals: tuple[jax.Array, ...], tangents: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array]:
    (a, b), (da, db) = primals, tangents
    y = ratio(a, b)
    return y, _ratio(da - y * jnp.asarray(db, a.dtype), b)


def _ratio(a: jax.Array, b: jax.Array) -> jax.Array:
    """The ratio a / b, 0 if b is 0. The divisor of 1 makes it linear in a when JAX transposes it."""
    b = jnp.asarray(b, a.dtype)
    nothing = b == 0
    return jnp.where(nothing, jnp.zeros_like(a), a / jnp.where(nothing, jnp.ones_like(b), b))


def times_plus(c: Number, x: jax.Array, y: Number) -> jax.Array:
    """The sum c·x + y, in which a Python number c keeps its double precision. In float32, c is off by up to 6e-8.

    For slots and parameters. An x that is costly to compute would be stored in between, because it is used twice.
    """
    if isinstance(c, jax.Array) or jnp.finfo(x.dtype).bits > 32:
        return c * x + y
    # Two float32 numbers of one sign, so that an infinite x gives no inf - inf.
    high = float(np.float32(c))
    if abs(high) > abs(c):
        high = float(np.nextafter(np.float32(high), np.float32(0)))
    low = float(np.float32(c - high))
    return high * x + (low * x + y) if low else high * x + y


def times(g: jax.Array, *factors: jax.Array) -> jax.Array:
    """The product of g and real factors.

    A complex g is multiplied part by part, because a product with 1+0j makes NaN of inf and 0 of -0.
    """
    if jnp.iscomplexobj(g):
        return jax.lax.complex(times(g.real, *factors), times(g.imag, *factors))
    return functools.reduce(lambda x, factor: x * factor, factors, g)
