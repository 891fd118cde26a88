"""Fields that hold numbers, schedules or several of them, and their values at a step."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeAlias

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gradtx._tools import Each, Interval, Number, is_real_scalar, summary
from gradtx.schedules._schedule import as_float, since

StepFunction: TypeAlias = Callable[[Any], ArrayLike]
"""A function from the step to a value: one of gradtx's schedules, one of optax's, or the user's."""


class NumberOrFunction:
    """The kind of a field that holds a number or a function of the step."""

    def check(self, where: str, value: Number | StepFunction) -> Number | StepFunction:
        """The function, or the number in its canonical form."""
        if callable(value):
            return value
        if not is_real_scalar(value):
            raise TypeError(f"{where} must be a number or a schedule, got {summary(value)}")
        return Interval(hyper=False).check(where, value)


class OnlyFunction:
    """The kind of a field that holds a function of the step, because a number would not change with the step."""

    def check(self, where: str, value: Number | StepFunction) -> StepFunction:
        if not callable(value):
            raise TypeError(f"{where} must be a schedule, which depends on the step, got {summary(value)}")
        return value


NumberOrSchedule: TypeAlias = Annotated[Number | StepFunction, NumberOrFunction()]
"""A finite number or a schedule."""
OnlySchedule: TypeAlias = Annotated[StepFunction, OnlyFunction()]
"""A schedule."""
NumbersOrSchedules: TypeAlias = Annotated[Sequence[Number | StepFunction], Each(Interval(hyper=False), callables=True)]
"""Finite numbers and schedules."""
Numbers: TypeAlias = Annotated[Sequence[Number], Each(Interval(hyper=False))]
"""Finite numbers."""
Boundaries: TypeAlias = Annotated[Sequence[Number], Each(Interval(0, hyper=False), ascending=True)]
"""Steps ≥ 0 in ascending order."""


def reached(step: ArrayLike, boundary: ArrayLike) -> jax.Array:
    """Whether `step` ≥ `boundary`, exactly if both are integers."""
    return (since(step, boundary) > 0) | (since(boundary, step) == 0)


def value_at(value: Number | StepFunction, step: ArrayLike) -> jax.Array:
    """The value of a schedule at a step, or a number in the shape of the step."""
    return as_float(value(step)) if callable(value) else jnp.broadcast_to(as_float(value), jnp.shape(step))
