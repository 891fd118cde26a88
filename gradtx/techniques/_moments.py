"""The verbs of the techniques: averages of gradients and of their squares, and the correction of their bias."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core import ratio, times_plus


def ema(m: jax.Array, g: jax.Array, b: Any) -> jax.Array:
    """Exponential moving average b·m + (1-b)·g, of gradients.

    With 0.999 and 0.001 rounded to float32, the two would not add up to 1, and the average drift away by up to 1.3e-5:
    in m + ((1-b)·g - (1-b)·m) they do. A small b leaves little of m, which would take the digits of g along.
    """
    if isinstance(b, jax.Array) or b < 0.5:
        return ema_of_squares(m, g, b)
    w = weight(b)
    return m + (w * g - w * m)


def ema_of_squares(m: jax.Array, square: jax.Array, b: Any) -> jax.Array:
    """The same of squares: one that overflows makes the average infinite for good, and no NaN of it."""
    w = weight(b)
    return times_plus(1 - w, m, w * square)


def weight(b: Any) -> Any:
    """1 - b, the weight of a new value, as it is in arithmetic: what is left of b is 1 less it, exactly.

    With the weights of all values so far adding up to 1 - (1-w)ᵗ, `debias` loses nothing to the rounding of w.
    """
    return 1 - b if isinstance(b, jax.Array) else float(np.asarray(1 - b, jnp.result_type(float)))


def weights(b: Any, count: jax.Array) -> jax.Array:
    """1 - bᵗ: the weights of all t values that an average has seen."""
    w = weight(b)
    return jnp.where(count == 1, w, one_minus_power(1 - w, count))


def debias(b: Any, count: jax.Array) -> jax.Array:
    """1 / (1 - bᵗ): times it, an average of t values loses the weight of its start at zero [arXiv:1412.6980, §3].

    A b that varies counts as if it had always been what it is now, as in PyTorch.

    Meant for `Rule.prepare`: a scalar of the step, by which to multiply, is all that each parameter need see of it.
    """
    return 1 / weights(b, count)


def unbiased(m: jax.Array, value: jax.Array, debias: jax.Array, count: jax.Array) -> jax.Array:
    """An average times its `debias`; of the first value that value, without the roundings of (1-b)·g / (1-b)."""
    return jnp.where(count == 1, value, m * debias)


def quotient(a: jax.Array, b: jax.Array, eps: Any) -> jax.Array:
    """The quotient a / b, and 0 where b, at least a ten-millionth of ε, is 0; where b is NaN, so is the quotient."""
    limits = jnp.finfo(b.dtype)
    return a / b if isinstance(eps, float) and eps > limits.tiny / limits.eps else ratio(a, b)


def one_minus_power(b: Any, count: jax.Array) -> jax.Array:
    """1 - bᵗ to about one unit in the last place.

    1 - b**t in float32 cancels, and is off by 1.3e-5 for b = 0.999 and t = 1.
    """
    dtype = b.dtype if isinstance(b, jax.Array) else jnp.result_type(float)
    t = jnp.asarray(count, dtype)
    if isinstance(b, jax.Array):
        return _one_minus_varying_power(b, t)
    if b == 0:
        return jnp.ones_like(t)
    log = math.log(b)
    high = float(np.asarray(log, dtype))
    return -_expm1(t * high, t * (log - high))


@jax.custom_jvp
def _one_minus_varying_power(b: jax.Array, t: jax.Array) -> jax.Array:
    return -_expm1(t * jnp.log1p(b - 1), 0.0)


@_one_minus_varying_power.defjvp
def _one_minus_varying_power_jvp(primals: Any, tangents: Any) -> tuple[jax.Array, jax.Array]:
    """d(1 - bᵗ)/db = -t·bᵗ⁻¹, at b = 0 too."""
    (b, t), (db, _) = primals, tangents
    return _one_minus_varying_power(b, t), -t * jnp.power(b, t - 1) * db


def _expm1(x: jax.Array, dx: Any) -> jax.Array:
    """exp(x + dx) - 1 for x ≤ 0 and a tiny dx. XLA's own `expm1` is off by up to 5 float32 units near 0."""
    if x.dtype == jnp.float64:
        return jnp.expm1(x + dx)
    series = 0.0
    for k in range(10, 1, -1):
        series = series * x + 1 / math.factorial(k)
    return jnp.where(x > -0.5, x + (x * x * series + dx), jnp.exp(x) - 1)
