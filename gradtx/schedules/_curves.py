"""Curves: the value is a closed formula of the step."""

from dataclasses import KW_ONLY
from typing import Annotated

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gradtx._tools import Number
from gradtx.core import Interval
from gradtx.schedules._schedule import (
    Finite,
    Length,
    Positive,
    Schedule,
    Steps,
    as_float,
    is_number,
    laps,
    power,
    progress,
    refuse_without_effect,
    since,
)


class constant(Schedule):
    """The value is the same at every step: η(t) = η₀.

    A number does the same wherever a hyperparameter goes. The schedule is for code that calls one.

    Args:
        value: η₀, a finite number.

    The same as `optax.constant_schedule`.

    >>> import gradtx as gx
    >>> gx.schedules.constant(0.1)(7)
    Array(0.1, dtype=float32)
    """

    value: Finite

    def __call__(self, step: ArrayLike) -> jax.Array:
        return jnp.broadcast_to(as_float(self.value), jnp.shape(step))


class linear(Schedule):
    """The value goes from `init_value` to `end_value` on a line, and stays there.

    η(t) = η₀ + (η₁ - η₀)·min(max(t - t₀, 0) / T, 1).

    Args:
        init_value: η₀, a finite number.
        end_value: η₁, a finite number.
        transition_steps: T, a number of steps > 0.
        transition_begin: t₀, a step ≥ 0. Before it the value is η₀.

    Raises:
        ValueError: T is 0. `optax.linear_schedule` then stays at η₀ forever, although η₁ is the limit for T → 0. Write
            `constant(η₀)` for the first, and `piecewise_constant([η₀, η₁], [t₀])` for the second.

    Otherwise the same as `optax.linear_schedule`.

    >>> import gradtx as gx
    >>> gx.schedules.linear(1.0, 0.0, 4)(1)
    Array(0.75, dtype=float32)
    """

    init_value: Finite
    end_value: Finite
    transition_steps: Length
    transition_begin: Steps = 0

    def __call__(self, step: ArrayLike) -> jax.Array:
        done, left = progress(step, self.transition_begin, self.transition_steps)
        return self.init_value * left + self.end_value * done


class exponential_decay(Schedule):
    """The value is multiplied by `decay_rate` in the course of every `transition_steps` steps.

    η(t) = η₀·r^((t - t₀) / T) for t ≥ t₀, and η₀ before. With `staircase` the exponent is rounded down.

    Args:
        init_value: η₀, a finite number.
        transition_steps: T, a number of steps > 0.
        decay_rate: r > 0, the factor per T steps.
        transition_begin: t₀, a step ≥ 0.
        staircase: Decay at every T-th step only.
        end_value: A bound that η does not cross: a lower bound if r < 1, an upper bound if r ≥ 1. None for no bound.

    Raises:
        ValueError: T is 0, for which `optax.exponential_decay` stays at η₀; or r is 1, so that η never changes, and
            `transition_begin` or `staircase` is given.

    Otherwise the same as `optax.exponential_decay` and as Keras's `ExponentialDecay`. With T = 1 the same as PyTorch's
    `ExponentialLR`, and with `staircase` as its `StepLR` (step decay). η₀·e^(-k·t) is
    `exponential_decay(η₀, 1 / k, 1 / math.e)`.

    >>> import gradtx as gx
    >>> gx.schedules.exponential_decay(1.0, 10, 0.5)(20)
    Array(0.25, dtype=float32)
    """

    init_value: Finite
    transition_steps: Length
    decay_rate: Positive
    transition_begin: Steps = 0
    staircase: bool = False
    end_value: Finite | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if is_number(self.decay_rate, 1):
            refuse_without_effect(self, ["transition_begin", "staircase"], "with decay_rate=1, which changes nothing")

    def __call__(self, step: ArrayLike) -> jax.Array:
        steps = since(step, self.transition_begin)
        if self.staircase:
            value = self.init_value * power(self.decay_rate, laps(steps, self.transition_steps)[0])
        else:
            value = self.init_value * power(self.decay_rate, steps, self.transition_steps)
        if self.end_value is None:
            return value
        end = as_float(self.end_value)
        return jnp.where(as_float(self.decay_rate) < 1, jnp.maximum(value, end), jnp.minimum(value, end))


class inverse_time_decay(Schedule):
    """The value falls with the inverse of the step.

    η(t) = η₀ / (1 + k·(t - t₀) / T) for t ≥ t₀, and η₀ before. With `staircase`, (t - t₀) / T is rounded down.

    Args:
        init_value: η₀, a finite number.
        transition_steps: T, a number of steps > 0.
        decay_rate: k ≥ 0.
        transition_begin: t₀, a step ≥ 0.
        staircase: Decay at every T-th step only.

    Raises:
        ValueError: T is 0; or k is 0, so that η never changes, and `transition_begin` or `staircase` is given.

    The same as Keras's `InverseTimeDecay`, and with T = 1 as the `lr_decay` of PyTorch's `Adagrad`. optax has none.
    Some texts print η₀ / (1 - k·t). That value grows, has a pole at t = 1 / k and is negative after it: the minus is a
    misprint for the plus.

    >>> import gradtx as gx
    >>> gx.schedules.inverse_time_decay(1.0, 10, 3.0)(10)
    Array(0.25, dtype=float32)
    """

    idle = {"transition_begin": "decay_rate", "staircase": "decay_rate"}

    init_value: Finite
    transition_steps: Length
    decay_rate: Annotated[Number, Interval(0.0, hyper=False)]
    _: KW_ONLY
    transition_begin: Steps = 0
    staircase: bool = False

    def __call__(self, step: ArrayLike) -> jax.Array:
        steps = since(step, self.transition_begin)
        if self.staircase:
            periods = as_float(laps(steps, self.transition_steps)[0])
            return self.init_value / (1 + self.decay_rate * periods)
        return self.init_value / (1 + self.decay_rate / self.transition_steps * as_float(steps))
