"""The verbs of the techniques: averages of gradients and of their squares, and the correction of their bias."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def ema(m: jax.Array, g: jax.Array, b: Any) -> jax.Array:
    """Exponential moving average b·m + (1-b)·g."""
    return trace(m, (1 - b) * g, b)


def trace(m: jax.Array, g: jax.Array, b: Any) -> jax.Array:
    """Decaying sum b·m + g, with a constant b at double precision.

    In float32, 0.999 is off by 1.3e-8, so that b and 1-b no longer add up to 1 and the average of a constant is off
    by 1.3e-5. Hence b is split into two float32 numbers. The first is rounded down: both are ≥ 0, and an infinite m
    stays infinite instead of turning into inf - inf.
    """
    if isinstance(b, jax.Array) or jnp.finfo(m.dtype).bits > 32:
        return b * m + g
    high = np.float32(b)
    high = float(high if high <= b else np.nextafter(high, np.float32(0)))
    low = float(np.float32(b - high))
    return high * m + (low * m + g) if low else high * m + g


def abs_sq(g: jax.Array) -> jax.Array:
    """|g|², real."""
    return g.real * g.real + g.imag * g.imag if jnp.iscomplexobj(g) else g * g


def debias(m: jax.Array, b: Any, count: jax.Array) -> jax.Array:
    """The average m of `count` values without the weight on its zero start: m / (1 - bᵗ)  [arXiv:1412.6980, §3]."""
    return m / one_minus_power(b, count, jnp.finfo(m.dtype).dtype)


def one_minus_power(b: Any, count: jax.Array, dtype: Any) -> jax.Array:
    """1 - bᵗ to about one unit in the last place, where 1 - b**t in float32 cancels."""
    t = jnp.asarray(count, dtype)
    if isinstance(b, jax.Array):
        high, low = jnp.log1p(b - 1), 0.0
    elif b == 0:
        return jnp.ones_like(t)
    else:
        log = math.log(b)
        high = float(np.asarray(log, dtype))
        low = log - high
    return -_expm1(t * high, t * low)


def _expm1(x: jax.Array, dx: Any) -> jax.Array:
    """exp(x + dx) - 1 for x ≤ 0 and a tiny dx. XLA's own `expm1` is off by up to 5 float32 units near 0."""
    if x.dtype == jnp.float64:
        return jnp.expm1(x + dx)
    series = 0.0
    for k in range(10, 1, -1):
        series = series * x + 1 / math.factorial(k)
    near = x + (x * x * series + dx)
    return jnp.where(x > -0.5, near, jnp.exp(x) - 1)
