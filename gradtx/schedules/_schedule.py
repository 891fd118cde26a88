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
    step, begin = jnp.asarray(step), jnp.asarray(begin)
    if not (jnp.issubdtype(step.dtype, jnp.integer) and jnp.issubdtype(begin.dtype, jnp.integer)):
        step, begin = as_float(step), as_float(begin)
    passed = step - jnp.asarray(begin, step.dtype)
    return jnp.maximum(passed, jnp.zeros_like(passed))


def progress(step: Any, begin: Any, length: Any) -> tuple[jax.Array, jax.Array]:
    """How much of the `length` steps from `begin` is done and how much is left, each to full relative accuracy."""
    done, length = since(step, begin), jnp.asarray(length)
    if not jnp.issubdtype(length.dtype, jnp.integer):
        done = as_float(done)
    length = jnp.asarray(length, done.dtype)
    done = jnp.minimum(done, length)
    whole = as_float(jnp.where(length > 0, length, jnp.ones_like(length)))
    return jnp.where(length > 0, as_float(done) / whole, 1.0), as_float(length - done) / whole


def power(base: Any, steps: jax.Array, scale: Any = 1) -> jax.Array:
    """base^(steps / scale), where a constant base > 0 keeps 1e-6 relative accuracy over millions of steps."""
    if isinstance(base, jax.Array) or isinstance(scale, jax.Array):
        return jnp.exp(as_float(steps) * (jnp.log(jnp.asarray(base)) / scale))
    rate = math.log(base) / scale
    # steps·rate in float32 would be off by |steps·rate|·1e-7. With 12-bit factors the products are exact.
    step_block = jnp.asarray(4096, steps.dtype)
    blocks = steps // step_block
    rest = steps - blocks * step_block
    mantissa, exponent = math.frexp(rate)
    high = math.ldexp(round(mantissa * 4096), exponent - 12)
    exponents = (as_float(blocks) * (4096 * high), as_float(rest) * high, as_float(steps) * (rate - high))
    return math.prod(jnp.exp(x) for x in exponents)  # type: ignore[return-value]


def as_float(x: Any) -> jax.Array:
    return jnp.asarray(x, jnp.result_type(float))
