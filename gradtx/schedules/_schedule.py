"""The base of all schedules, the ranges of their arguments, and exact arithmetic on steps."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Annotated, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from gradtx._tools import Number, code_of, is_real_scalar, same
from gradtx.core import Interval, Record

_LEAST = float(np.finfo(np.float32).tiny)


@dataclasses.dataclass(frozen=True)
class AboveZero(Interval):
    """The kind of a field that holds a number > 0, which float32 does not round to 0.

    Attributes:
        advice: What to write instead of 0.
    """

    low: float = 0.0
    above: bool = True
    hyper: bool = False
    advice: str = ""

    def check(self, where: str, value: object) -> Number:
        if is_real_scalar(value) and not isinstance(value, jax.Array):
            if value == 0 and self.advice:
                raise ValueError(f"{where} must be in {self}, got {code_of(value)}; {self.advice}")
            if 0 < value < _LEAST:
                raise ValueError(f"{where} must be in {self}, got {code_of(value)}, which float32 rounds to 0")
        return super().check(where, value)


Finite: TypeAlias = Annotated[Number, Interval(hyper=False)]
"""A finite number."""
Positive: TypeAlias = Annotated[Number, AboveZero()]
"""A finite number > 0."""
Length: TypeAlias = Annotated[
    Number, AboveZero(advice="write constant(...) for one value, or piecewise_constant(...) for a jump")
]
"""A number of steps > 0."""
Steps: TypeAlias = Annotated[Number, Interval(0, hyper=False)]
"""A number of steps ≥ 0."""


class Schedule(Record):
    """The base of schedules: a schedule is a function from the step to a value.

    A schedule prints as the code that makes it, and two schedules are equal if their arguments are equal. The step
    counts from 0. It may be a Python number or an array of any shape, and the values have the shape of the steps.

    Steps are subtracted as integers. Schedules are therefore exact beyond 2²⁴ steps, where float32 skips numbers.

    Subclasses have lower-case names, unlike other classes, because users call them like the functions of optax that
    they replace: `linear(1.0, 0.0, 100)` is the call that makes the schedule, and the text that the schedule prints.
    """

    def __call__(self, step: ArrayLike) -> jax.Array:
        """The value at a step, in float32, or in float64 if JAX has it enabled."""
        raise NotImplementedError


def refuse_without_effect(schedule: Record, names: Sequence[str], reason: str) -> None:
    """Raises an error if one of the named arguments is not at its default.

    Args:
        schedule: The schedule, whose class has the defaults.
        names: Arguments without effect.
        reason: Why they have no effect, such as "without boundaries".
    """
    for name in names:
        value = getattr(schedule, name)
        if not same(value, getattr(type(schedule), name)):
            raise ValueError(f"{schedule.label}: {name}={code_of(value)} has no effect {reason}; leave out {name}")


def is_number(value: object, number: float) -> bool:
    """Whether `value` is a Python number equal to `number`. An array may change, so it never is."""
    return isinstance(value, int | float) and value == number


def since(step: ArrayLike, begin: ArrayLike) -> jax.Array:
    """The steps since `begin`, at least 0: an integer if both are integers."""
    whole = all(jnp.issubdtype(jnp.result_type(x), jnp.integer) for x in (step, begin))
    dtype = jnp.result_type(int if whole else float)  # a uint8 would wrap around
    passed = jnp.asarray(step, dtype) - jnp.asarray(begin, dtype)
    return jnp.maximum(passed, jnp.zeros_like(passed))


def progress(step: ArrayLike, begin: ArrayLike, length: ArrayLike) -> tuple[jax.Array, jax.Array]:
    """The fractions of the `length` steps from `begin` that are done and left, each to full relative accuracy."""
    done, length = since(step, begin), jnp.asarray(length)
    if not jnp.issubdtype(length.dtype, jnp.integer):
        done = as_float(done)
    length = jnp.asarray(length, done.dtype)
    done = jnp.minimum(done, length)
    divisor, left = as_float(jnp.where(length > 0, length, jnp.ones_like(length))), as_float(length - done)
    # XLA turns a division by a constant into a product, and then x / x may be less than 1.
    return jnp.where(left > 0, as_float(done) / divisor, 1.0), left / divisor


def laps(steps: jax.Array, length: ArrayLike) -> tuple[jax.Array, jax.Array, jax.Array]:
    """How often `length` fits into `steps`, the remaining steps, and `length`: integers if both are integers."""
    length = jnp.asarray(length)
    if not jnp.issubdtype(length.dtype, jnp.integer):
        steps = as_float(steps)
    length = jnp.asarray(length, steps.dtype)
    number = steps // length
    return number, steps - number * length, length


def power(base: Number, steps: jax.Array, scale: Number = 1) -> jax.Array:
    """base^(steps / scale), for a constant base > 0 with a relative accuracy of 1e-6 up to step 2³¹."""
    if isinstance(base, jax.Array) or isinstance(scale, jax.Array):
        return jnp.exp(as_float(steps) * jnp.log(as_float(base)) / as_float(scale))
    rate = math.log2(base) / scale
    # In float32 steps·rate would have an error of |steps·rate|·1e-7, and the power would have it too. Products of
    # 12-bit factors are exact. Their whole parts become the exponent of the result, and only the sum of their
    # fractions is rounded.
    mantissa, exponent = math.frexp(rate)
    high = math.ldexp(round(mantissa * 4096), exponent - 12)
    digit = jnp.asarray(4096, steps.dtype)
    low, middle, top = steps % digit, steps // digit % digit, steps // digit // digit
    parts = [as_float(n) * (4096**i * high) for i, n in enumerate((low, middle, top))]
    parts.append(as_float(steps) * (rate - high))
    whole = [jnp.round(x) for x in parts]
    fraction = sum(x - n for x, n in zip(parts, whole, strict=True))
    return jnp.ldexp(jnp.exp2(fraction), jnp.asarray(jnp.clip(sum(whole), -300, 300), jnp.int32))


def raised(x: jax.Array, exponent: Number) -> jax.Array:
    """x^exponent for x ≥ 0 and exponent > 0, with the digits that a constant exponent loses in float32."""
    if is_number(exponent, 1):
        return x
    near = as_float(exponent)
    base = jnp.where(x > 0, x, 1.0)
    value = base**near
    if isinstance(exponent, float | int) and near.dtype == jnp.float32:
        value = value * jnp.exp(jnp.log(base) * (exponent - float(np.float32(exponent))))
    return jnp.where(x > 0, value, 0.0)


def as_float(x: ArrayLike) -> jax.Array:
    return jnp.asarray(x, jnp.result_type(float))
