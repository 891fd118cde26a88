"""The verbs of the techniques: averages of gradients and of their squares, and the correction of their bias."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core import times_plus


def ema(m: jax.Array, g: jax.Array, b: Any) -> jax.Array:
    """Exponential moving average b·m + (1-b)·g.

    With 0.999 rounded to float32, b and 1-b would not add up to 1, and the average drift away by up to 1.3e-5.
    """
    return times_plus(b, m, (1 - b) * g)


def debias(b: Any, count: jax.Array) -> jax.Array:
    """1 / (1 - bᵗ): times it, an average of t values loses the weight of its start at zero [arXiv:1412.6980, §3].

    A b that varies counts as if it had always been what it is now, as in PyTorch.

    Meant for `Rule.prepare`: a scalar of the step, by which to multiply, is all that each parameter need see of it.
    """
    return 1 / one_minus_power(b, count)


def unbiased(m: jax.Array, value: jax.Array, debias: jax.Array, count: jax.Array) -> jax.Array:
    """An average times its `debias`; of the first value that value, without the roundings of (1-b)·g / (1-b)."""
    return jnp.where(count == 1, value, m * debias)


def quotient(a: jax.Array, b: jax.Array, eps: Any) -> jax.Array:
    """The quotient a / b, and 0 where b ≥ ε is 0; where b is NaN, so is the quotient."""
    if isinstance(eps, float) and eps > jnp.finfo(b.dtype).tiny:
        return a / b
    return jnp.where(b == 0, jnp.zeros_like(a), a / b)


def one_minus_power(b: Any, count: jax.Array) -> jax.Array:
    """1 - bᵗ to about one unit in the last place.

    1 - b**t in float32 cancels, and is off by 1.3e-5 for b = 0.999 and t = 1.
    """
    dtype = b.dtype if isinstance(b, jax.Array) else jnp.result_type(float)
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
    return jnp.where(x > -0.5, x + (x * x * series + dx), jnp.exp(x) - 1)
