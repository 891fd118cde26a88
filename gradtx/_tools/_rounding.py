"""From the dtype of the arithmetic to the dtype of the parameter."""

from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp

from gradtx._tools._trees import is_complex

Rounding = Literal["nearest", "stochastic"]
ROUNDINGS: tuple[str, ...] = get_args(Rounding)


def round_to(x: jax.Array, dtype: Any, rounding: Rounding, key: Any = None) -> jax.Array:
    """`x` in `dtype`: the nearest value, or one of the two around x, with the exact x as the expectation.

    Stochastic rounding (Gupta et al. 2015, arXiv:1502.02551) takes the neighbour z of the nearest value y, on x's
    side, with probability |x - y| / |z - y|. Values beyond the range of `dtype` and non-finite ones round to nearest.
    """
    nearest = jnp.asarray(x, dtype)
    if rounding == "nearest" or jnp.finfo(dtype).bits >= jnp.finfo(x.dtype).bits:
        return nearest
    if is_complex(dtype):
        parts = (
            round_to(part(x), part(nearest).dtype, rounding, k)
            for part, k in zip((jnp.real, jnp.imag), jax.random.split(key), strict=True)
        )
        return jax.lax.complex(*parts)
    error = x - jnp.asarray(nearest, x.dtype)
    bits = jnp.finfo(dtype).bits
    integer = {8: jnp.uint8, 16: jnp.uint16, 32: jnp.uint32}[bits]
    pattern = jax.lax.bitcast_convert_type(nearest, integer)
    # Sign and magnitude: the pattern grows away from zero. From zero itself, the neighbour is on the error's side.
    away = (error > 0) != jnp.signbit(x)
    from_zero = jnp.where(error < 0, integer(1 << (bits - 1)), integer(0)) + integer(1)
    neighbour = jnp.where(nearest == 0, from_zero, jnp.where(away, pattern + integer(1), pattern - integer(1)))
    neighbour = jax.lax.bitcast_convert_type(neighbour, nearest.dtype)
    gap = jnp.abs(jnp.asarray(neighbour, x.dtype) - jnp.asarray(nearest, x.dtype))
    draw = jax.random.uniform(key, x.shape, x.dtype)
    take = (draw * gap < jnp.abs(error)) & jnp.isfinite(nearest) & jnp.isfinite(neighbour)
    return jnp.where(take, neighbour, nearest)
