"""Schedules made of others."""

from typing import Any

import jax
import jax.numpy as jnp

from gradtx._tools import one_more
from gradtx.schedules._schedule import Number, Positive, Schedule, Steps, as_float, laps, since
from gradtx.schedules._several import Boundaries, Part, Parts, reached, value_at


class product(Schedule):
    """η(t) = a(t)·b(t).

    Args:
        first: a, a schedule or a number.
        second: b, a schedule or a number.

    >>> from gradtx.schedules import inverse_time_decay, linear, product
    >>> product(linear(0.0, 1.0, 10), inverse_time_decay(0.5, 1, 1.0))(4)
    Array(0.04, dtype=float32)
    """

    first: Part
    second: Part

    def __call__(self, step: Any) -> jax.Array:
        return value_at(self.first, step) * value_at(self.second, step)


class scale(Schedule):
    """η(t) = c·a(t).

    Args:
        schedule: a, a schedule or a number.
        factor: c.

    >>> from gradtx.schedules import inverse_time_decay, scale
    >>> scale(inverse_time_decay(0.5, 1, 1.0), 0.1)(4)
    Array(0.01, dtype=float32)
    """

    schedule: Part
    factor: Number

    def __call__(self, step: Any) -> jax.Array:
        return value_at(self.schedule, step) * as_float(self.factor)


class join(Schedule):
    """η(t) = aₖ(t - bₖ) for bₖ ≤ t < bₖ₊₁, b₀ = 0: one schedule after another, each from its own step 0.

    Args:
        schedules: a₀, a₁, …, schedules or numbers, one more than the boundaries.
        boundaries: b₁ ≤ b₂ ≤ …, steps ≥ 0; of two equal ones the first is skipped.

    Raises:
        ValueError: the boundaries are out of order, or the schedules are not one more.

    The same as `optax.join_schedules` and PyTorch's `SequentialLR`.

    >>> from gradtx.schedules import join, linear
    >>> join([linear(0.0, 1.0, 4), 0.5], [4])(jnp.arange(6))
    Array([0.  , 0.25, 0.5 , 0.75, 0.5 , 0.5 ], dtype=float32)
    """

    schedules: Parts
    boundaries: Boundaries

    def __post_init__(self) -> None:
        super().__post_init__()
        one_more(self.label, "schedules", self.schedules, self.boundaries)

    def __call__(self, step: Any) -> jax.Array:
        value = value_at(self.schedules[0], step)
        for schedule, start in zip(self.schedules[1:], self.boundaries, strict=True):
            value = jnp.where(reached(step, start), value_at(schedule, since(step, start)), value)
        return value


class floor(Schedule):
    """η(t) = max(a(t), m).

    Args:
        schedule: a, a schedule or a number.
        min_value: m.

    >>> from gradtx.schedules import floor, linear
    >>> floor(linear(1.0, 0.0, 4), 0.4)(jnp.arange(4))
    Array([1.  , 0.75, 0.5 , 0.4 ], dtype=float32)
    """

    schedule: Part
    min_value: Number

    def __call__(self, step: Any) -> jax.Array:
        return jnp.maximum(value_at(self.schedule, step), as_float(self.min_value))


class offset(Schedule):
    """η(t) = a(t + n), as for a run that goes on where another stopped after n steps.

    Args:
        schedule: a, a schedule or a number.
        steps: n ≥ 0.

    >>> from gradtx.schedules import linear, offset
    >>> offset(linear(1.0, 0.0, 4), 2)(1)
    Array(0.25, dtype=float32)
    """

    schedule: Part
    steps: Steps

    def __call__(self, step: Any) -> jax.Array:
        passed = since(step, 0)
        whole = jnp.issubdtype(passed.dtype, jnp.integer) and jnp.issubdtype(jnp.result_type(self.steps), jnp.integer)
        if not whole:
            return value_at(self.schedule, as_float(passed) + as_float(self.steps))
        ahead = jnp.asarray(self.steps, passed.dtype)
        return value_at(self.schedule, passed + ahead)


class per_epoch(Schedule):
    """η(t) = a(⌊t / n⌋): the schedule a counts epochs of n steps; without `staircase` η(t) = a(t / n).

    Args:
        schedule: a, a schedule or a number.
        steps_per_epoch: n > 0.
        staircase: Count whole epochs only. Otherwise a gets a float, which has to be a step that it takes, and which
            near the end of E epochs is right to E·6e-8.

    The same as calling the `step` of one of PyTorch's schedulers after every epoch.

    >>> from gradtx.schedules import exponential_decay, per_epoch
    >>> per_epoch(exponential_decay(1.0, 1, 0.5), 100)(jnp.asarray([99, 100, 250]))
    Array([1.  , 0.5 , 0.25], dtype=float32)
    """

    schedule: Part
    steps_per_epoch: Positive
    staircase: bool = True

    def __call__(self, step: Any) -> jax.Array:
        passed = since(step, 0)
        if not self.staircase:
            return value_at(self.schedule, as_float(passed) / as_float(self.steps_per_epoch))
        return value_at(self.schedule, laps(passed, self.steps_per_epoch)[0])
