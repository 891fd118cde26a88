"""Schedules that are made of other schedules."""

from dataclasses import KW_ONLY

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gradtx._tools import one_more
from gradtx.schedules._schedule import Finite, Length, Schedule, Steps, as_float, laps, since
from gradtx.schedules._values import (
    Boundaries,
    NumberOrSchedule,
    NumbersOrSchedules,
    OnlySchedule,
    reached,
    value_at,
)


class product(Schedule):
    """The value is the product of two schedules: η(t) = a(t)·b(t).

    Args:
        first: a, a schedule or a finite number.
        second: b, a schedule or a finite number.

    >>> from gradtx.schedules import inverse_time_decay, linear, product
    >>> product(linear(0.0, 1.0, 10), inverse_time_decay(0.5, 1, 1.0))(4)
    Array(0.04, dtype=float32)
    """

    first: NumberOrSchedule
    second: NumberOrSchedule

    def __call__(self, step: ArrayLike) -> jax.Array:
        return value_at(self.first, step) * value_at(self.second, step)


class scaled(Schedule):
    """The value is a schedule times a constant: η(t) = c·a(t).

    Args:
        schedule: a, a schedule or a finite number.
        factor: c, a finite number.

    >>> from gradtx.schedules import inverse_time_decay, scaled
    >>> scaled(inverse_time_decay(0.5, 1, 1.0), 0.1)(4)
    Array(0.01, dtype=float32)
    """

    schedule: NumberOrSchedule
    factor: Finite

    def __call__(self, step: ArrayLike) -> jax.Array:
        return value_at(self.schedule, step) * as_float(self.factor)


class join(Schedule):
    """The schedules follow one another, each from its step 0.

    η(t) = aₖ(t - bₖ) for bₖ ≤ t < bₖ₊₁, where b₀ = 0.

    Args:
        schedules: a₀, a₁, …: a list of schedules and finite numbers, one more than the boundaries.
        boundaries: b₁ ≤ b₂ ≤ …: a list of steps ≥ 0. Between two equal boundaries there is no step, and the schedule
            between them is skipped.

    Raises:
        ValueError: the boundaries are not in ascending order, or the schedules are not one more than the boundaries.

    The same as `optax.join_schedules` and PyTorch's `SequentialLR`.

    >>> from gradtx.schedules import join, linear
    >>> join([linear(0.0, 1.0, 4), 0.5], [4])(jnp.arange(6))
    Array([0.  , 0.25, 0.5 , 0.75, 0.5 , 0.5 ], dtype=float32)
    """

    schedules: NumbersOrSchedules
    boundaries: Boundaries

    def __post_init__(self) -> None:
        super().__post_init__()
        one_more(self.label, "schedules", self.schedules, self.boundaries)

    def __call__(self, step: ArrayLike) -> jax.Array:
        value = value_at(self.schedules[0], step)
        for schedule, start in zip(self.schedules[1:], self.boundaries, strict=True):
            value = jnp.where(reached(step, start), value_at(schedule, since(step, start)), value)
        return value


class floor(Schedule):
    """The value follows a schedule, but does not fall below a minimum: η(t) = max(a(t), m).

    Args:
        schedule: a, a schedule or a finite number.
        min_value: m, a finite number.

    >>> from gradtx.schedules import floor, linear
    >>> floor(linear(1.0, 0.0, 4), 0.4)(jnp.arange(4))
    Array([1.  , 0.75, 0.5 , 0.4 ], dtype=float32)
    """

    schedule: NumberOrSchedule
    min_value: Finite

    def __call__(self, step: ArrayLike) -> jax.Array:
        return jnp.maximum(value_at(self.schedule, step), as_float(self.min_value))


class offset(Schedule):
    """The schedule starts at a later step, for a run that continues another run: η(t) = a(t + n).

    Args:
        schedule: a, a schedule.
        steps: n ≥ 0, the number of steps that are already done.

    >>> from gradtx.schedules import linear, offset
    >>> offset(linear(1.0, 0.0, 4), 2)(1)
    Array(0.25, dtype=float32)
    """

    schedule: OnlySchedule
    steps: Steps

    def __call__(self, step: ArrayLike) -> jax.Array:
        passed = since(step, 0)
        whole = jnp.issubdtype(passed.dtype, jnp.integer) and jnp.issubdtype(jnp.result_type(self.steps), jnp.integer)
        if not whole:
            return value_at(self.schedule, as_float(passed) + as_float(self.steps))
        ahead = jnp.asarray(self.steps, passed.dtype)
        return value_at(self.schedule, passed + ahead)


class delayed(Schedule):
    """The schedule starts at a later step of the chain, and has its first value before: η(t) = a(max(t - n, 0)).

    Fine-tuning from a checkpoint after n steps begins a schedule at its step 0 in this way, while the one counter of
    the chain, and with it Adam's bias correction, goes on from n. `offset` is the reverse.

    Args:
        schedule: a, a schedule.
        steps: n ≥ 0, the step of the chain at which the schedule starts.

    >>> from gradtx.schedules import delayed, linear
    >>> delayed(linear(1.0, 0.0, 4), 100)(jnp.asarray([100, 101]))
    Array([1.  , 0.75], dtype=float32)
    """

    schedule: OnlySchedule
    steps: Steps

    def __call__(self, step: ArrayLike) -> jax.Array:
        return value_at(self.schedule, since(step, self.steps))


class of_run(Schedule):
    """The schedule counts in parts of a run instead of steps: η(t) = a(t / T).

    All lengths of a are then parts of the run, such as 0.1 for a tenth.

    Args:
        schedule: a, a schedule that accepts a float.
        total_steps: T > 0, the number of steps of the run.

    Levanter and nanochat specify schedules like this.

    >>> from gradtx.schedules import of_run, warmup_cosine
    >>> of_run(warmup_cosine(0.0, 1.0, 0.1, 1.0), 1000)(jnp.asarray([50, 100, 1000]))
    Array([0.5, 1. , 0. ], dtype=float32)
    """

    schedule: OnlySchedule
    total_steps: Length

    def __call__(self, step: ArrayLike) -> jax.Array:
        return value_at(self.schedule, as_float(since(step, 0)) / as_float(self.total_steps))


class per_epoch(Schedule):
    """The schedule counts epochs instead of steps: η(t) = a(⌊t / n⌋), or a(t / n) without `staircase`.

    Args:
        schedule: a, a schedule whose step is the epoch.
        steps_per_epoch: n > 0.
        staircase: Count whole epochs only. If False, a is called with a float, which it must accept. After E epochs
            this float has an error of up to E·6e-8.

    The same as a scheduler of PyTorch whose `step` is called after every epoch.

    >>> from gradtx.schedules import exponential_decay, per_epoch
    >>> per_epoch(exponential_decay(1.0, 1, 0.5), 100)(jnp.asarray([99, 100, 250]))
    Array([1.  , 0.5 , 0.25], dtype=float32)
    """

    schedule: OnlySchedule
    steps_per_epoch: Length
    _: KW_ONLY
    staircase: bool = True

    def __call__(self, step: ArrayLike) -> jax.Array:
        passed = since(step, 0)
        if not self.staircase:
            return value_at(self.schedule, as_float(passed) / as_float(self.steps_per_epoch))
        return value_at(self.schedule, laps(passed, self.steps_per_epoch)[0])
