"""What schedules share: they are records, and count steps exactly."""

import math
from typing import Annotated, Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core import Interval, Record

Number: TypeAlias = Annotated[Any, Interval(hyper=False)]
"""A finite number."""
Positive: TypeAlias = Annotated[Any, Interval(float(np.finfo(np.float32).tiny), hyper=False)]
"""A finite number > 0."""
Steps: TypeAlias = Annotated[Any, Interval(0, hyper=False)]
"""A number of steps ≥ 0."""


class Schedule(Record):
    """A function step → value that prints as code and compares by value; `step` counts from 0 and may be an array.

    Steps are subtracted as integers, so that a schedule is right beyond 2²⁴ steps, where float32 skips numbers.
    """

    def __call__(self, step: Any) -> jax.Array:
        raise NotImplementedError


def since(step: Any, begin: Any) -> jax.Array:
    """Steps since `begin`, at least 0; integer where both are."""
    whole = all(jnp.issubdtype(jnp.result_type(x), jnp.integer) for x in (step, begin))
    dtype = jnp.result_type(int if whole else float)  # a uint8 would wrap around
    passed = jnp.asarray(step, dtype) - jnp.asarray(begin, dtype)
    return jnp.maximum(passed, jnp.zeros_like(passed))


def progress(step: Any, begin: Any, length: Any) -> tuple[jax.Array, jax.Array]:
    """How much of the `length` steps from `begin` is done and how much is left, each to full relative accuracy."""
    done, length = since(step, begin), jnp.asarray(length)
    if not jnp.issubdtype(length.dtype, jnp.integer):
        done = as_float(done)
    length = jnp.asarray(length, done.dtype)
    done = jnp.minimum(done, length)
    whole, left = as_float(jnp.maximum(length, jnp.ones_like(length))), as_float(length - done)
    # XLA turns the division by a constant into a product, whose x / x may fall short of 1.
    return jnp.where(left > 0, as_float(done) / whole, 1.0), left / whole


def laps(steps: jax.Array, length: Any) -> tuple[jax.Array, jax.Array, jax.Array]:
    """How often `length` goes into `steps`, the steps beyond, and the length, all of them whole where both are."""
    length = jnp.asarray(length)
    if not jnp.issubdtype(length.dtype, jnp.integer):
        steps = as_float(steps)
    length = jnp.asarray(length, steps.dtype)
    number = steps // length
    return number, steps - number * length, length


def power(base: Any, steps: jax.Array, scale: Any = 1) -> jax.Array:
    """base^(steps / scale), where a constant base > 0 keeps 1e-6 relative accuracy up to step 2³¹."""
    if isinstance(base, jax.Array) or isinstance(scale, jax.Array):
        return jnp.exp(as_float(steps) * jnp.log(as_float(base)) / as_float(scale))
    rate = math.log2(base) / scale
    # steps·rate in float32 would be off by |steps·rate|·1e-7, and so would the power. Products of 12-bit factors are
    # exact, their whole parts become the exponent of the result, and only what is left is rounded.
    mantissa, exponent = math.frexp(rate)
    high = math.ldexp(round(mantissa * 4096), exponent - 12)
    digit = jnp.asarray(4096, steps.dtype)
    low, middle, top = steps % digit, steps // digit % digit, steps // digit // digit
    parts = [as_float(n) * (4096**i * high) for i, n in enumerate((low, middle, top))]
    parts.append(as_float(steps) * (rate - high))
    whole = [jnp.round(x) for x in parts]
    fraction = sum(x - n for x, n in zip(parts, whole, strict=True))
    return jnp.ldexp(jnp.exp2(fraction), jnp.asarray(jnp.clip(sum(whole), -300, 300), jnp.int32))


def raised(x: jax.Array, exponent: Any) -> jax.Array:
    """x^exponent for x ≥ 0 and exponent > 0, which keeps the digits that a constant exponent loses in float32."""
    if isinstance(exponent, float | int) and exponent == 1:
        return x
    near = as_float(exponent)
    base = jnp.where(x > 0, x, 1.0)
    value = base**near
    if isinstance(exponent, float | int) and near.dtype == jnp.float32:
        value = value * jnp.exp(jnp.log(base) * (exponent - float(np.float32(exponent))))
    return jnp.where(x > 0, value, 0.0)


def as_float(x: Any) -> jax.Array:
    return jnp.asarray(x, jnp.result_type(float))
