"""Operations that techniques share: averages of gradients and of their squares, and the correction of their bias."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from gradtx._tools import Number
from gradtx.core import ratio, times_plus


def ema(m: jax.Array, g: jax.Array, b: Number) -> jax.Array:
    """Updates an exponential moving average of gradients: b·m + (1-b)·g.

    The float32 values of 0.999 and 0.001 do not add up to 1, so the average would drift by up to 1.3e-5. In the form
    m + ((1-b)·g - (1-b)·m) the weights add up to 1. For a small b this form would lose digits of g by cancellation.
    """
    if isinstance(b, jax.Array) or b < 0.5:
        return ema_of_squares(m, g, b)
    w = weight(b)
    return m + (w * g - w * m)


def ema_of_squares(m: jax.Array, square: jax.Array, b: Number) -> jax.Array:
    """Updates an exponential moving average of squares. An infinite square makes it infinite for good, not NaN."""
    w = weight(b)
    return times_plus(1 - w, m, w * square)


def weight(b: Number) -> Number:
    """The weight w = 1 - b of a new value, rounded to the dtype of the arithmetic. The old average has 1 - w, exactly.

    The weights of all values so far then add up to 1 - (1-w)ᵗ, and `debias` loses nothing to the rounding of w.
    """
    return 1 - b if isinstance(b, jax.Array) else float(np.asarray(1 - b, jnp.result_type(float)))


def weights(b: Number, count: jax.Array) -> jax.Array:
    """The sum 1 - bᵗ of the weights of all t values in an average."""
    w = weight(b)
    return jnp.where(count == 1, w, one_minus_power(1 - w, count))


def debias(b: Number, count: jax.Array) -> jax.Array:
    """The factor 1 / (1 - bᵗ), by which an average of t values loses the bias of its start at zero.

    A b that varies counts as if it had always had its present value, as in PyTorch. `Rule.prepare` computes the factor
    once per step, and each parameter is multiplied by it.

    Source: Kingma & Ba 2015, arXiv:1412.6980, §3.
    """
    return 1 / weights(b, count)


def unbiased(m: jax.Array, value: jax.Array, debias: jax.Array, count: jax.Array) -> jax.Array:
    """An average times its `debias`. At the first step it is `value`, without the roundings of (1-b)·g / (1-b)."""
    return jnp.where(count == 1, value, m * debias)


def quotient(a: jax.Array, b: jax.Array, eps: Number) -> jax.Array:
    """The quotient a / b, or 0 if b is 0, for a divisor b of at least a ten-millionth of ε. It is NaN if b is NaN.

    A constant ε that is large enough keeps b from being 0, so the plain quotient is exact.
    """
    limits = jnp.finfo(b.dtype)
    return a / b if isinstance(eps, float) and eps > limits.tiny / limits.eps else ratio(a, b)


def one_minus_power(b: Number, count: jax.Array) -> jax.Array:
    """Computes 1 - bᵗ to about one unit in the last place.

    In float32, `1 - b**t` cancels, and is off by 1.3e-5 for b = 0.999 and t = 1.
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
def _one_minus_varying_power_jvp(
    primals: tuple[jax.Array, jax.Array], tangents: tuple[jax.Array, jax.Array]
) -> tuple[jax.Array, jax.Array]:
    """The derivative d(1 - bᵗ)/db = -t·bᵗ⁻¹, also at b = 0."""
    (b, t), (db, _) = primals, tangents
    return _one_minus_varying_power(b, t), -t * jnp.power(b, t - 1) * db


def _expm1(x: jax.Array, dx: Number) -> jax.Array:
    """Computes exp(x + dx) - 1 for x ≤ 0 and a tiny dx. XLA's `expm1` is off by up to 5 units in the last place near 0.

    That is for float32; in float64, `expm1` is used.
    """
    if x.dtype == jnp.float64:
        return jnp.expm1(x + dx)
    series = 0.0
    for k in range(10, 1, -1):
        series = series * x + 1 / math.factorial(k)
    return jnp.where(x > -0.5, x + (x * x * series + dx), jnp.exp(x) - 1)
