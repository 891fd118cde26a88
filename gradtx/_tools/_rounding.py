"""Rounding from the dtype of the arithmetic to the dtype of the parameter."""

from typing import Literal, get_args

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from gradtx._tools._trees import is_complex

Rounding = Literal["nearest", "stochastic"]
ROUNDINGS: tuple[str, ...] = get_args(Rounding)


def round_to(x: jax.Array, dtype: DTypeLike, key: jax.Array | None = None) -> jax.Array:
    """Rounds `x` to `dtype`: without a key to the nearest value, with a key stochastically.

    Stochastic rounding gives one of the two values around x, and its expectation is x: it takes the neighbour z of the
    nearest value y, on x's side, with probability |x - y| / |z - y|. Values beyond the range of `dtype` and non-finite
    ones round to nearest.

    Source: Gupta et al. 2015, arXiv:1502.02551.
    """
    nearest = jnp.asarray(x, dtype)
    if key is None or jnp.finfo(dtype).bits >= jnp.finfo(x.dtype).bits:
        return nearest
    if is_complex(dtype):
        parts = (
            round_to(part(x), part(nearest).dtype, part_key)
            for part, part_key in zip((jnp.real, jnp.imag), jax.random.split(key), strict=True)
        )
        return jax.lax.complex(*parts)
    error = x - jnp.asarray(nearest, x.dtype)
    bits = jnp.finfo(dtype).bits
    integer = {8: jnp.uint8, 16: jnp.uint16, 32: jnp.uint32}[bits]
    pattern = jax.lax.bitcast_convert_type(nearest, integer)
    # The bits are a sign and a magnitude, so the pattern grows away from zero. The neighbour of zero has the error's
    # sign.
    away = (error > 0) != jnp.signbit(x)
    from_zero = jnp.where(error < 0, integer(1 << (bits - 1)), integer(0)) + integer(1)
    neighbour = jnp.where(nearest == 0, from_zero, jnp.where(away, pattern + integer(1), pattern - integer(1)))
    neighbour = jax.lax.bitcast_convert_type(neighbour, nearest.dtype)
    gap = jnp.abs(jnp.asarray(neighbour, x.dtype) - jnp.asarray(nearest, x.dtype))
    draw = jax.random.uniform(key, x.shape, x.dtype)
    take = (draw * gap < jnp.abs(error)) & jnp.isfinite(nearest) & jnp.isfinite(neighbour)
    return jnp.where(take, neighbour, nearest)


def check_rounding_key(where: str, rounding: Rounding, key: jax.Array | None) -> None:
    """Checks that there is a key exactly for stochastic rounding. `where` is the name of the public function."""
    if rounding == "stochastic" and key is None:
        raise ValueError(f"{where}: rounding='stochastic' needs a PRNG key; give key=jax.random.key(...)")
    if rounding == "nearest" and key is not None:
        raise ValueError(f"{where}: key has no effect with rounding='nearest'; set rounding, or leave out key")
