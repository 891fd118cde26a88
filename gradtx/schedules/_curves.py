"""Curves: a value as a closed formula of the step."""

from typing import Annotated, Any

import jax
import jax.numpy as jnp

from gradtx.core import Interval
from gradtx.schedules._schedule import Number, Positive, Schedule, Steps, as_float, laps, power, progress, since


class constant(Schedule):
    """η(t) = η₀.

    >>> import gradtx as gx
    >>> gx.schedules.constant(0.1)(7)
    Array(0.1, dtype=float32)
    """

    value: Number

    def __call__(self, step: Any) -> jax.Array:
        return jnp.broadcast_to(as_float(self.value), jnp.shape(step))


class linear(Schedule):
    """η(t) = η₀ + (η₁ - η₀)·min(max(t - t₀, 0) / T, 1).

    Args:
        init_value: η₀.
        end_value: η₁.
        transition_steps: T ≥ 0; 0 is at the end at once.
        transition_begin: t₀ ≥ 0.

    The same as `optax.linear_schedule`.

    >>> import gradtx as gx
    >>> gx.schedules.linear(1.0, 0.0, 4)(1)
    Array(0.75, dtype=float32)
    """

    init_value: Number
    end_value: Number
    transition_steps: Steps
    transition_begin: Steps = 0

    def __call__(self, step: Any) -> jax.Array:
        done, left = progress(step, self.transition_begin, self.transition_steps)
        return self.init_value * left + self.end_value * done


class exponential_decay(Schedule):
    """η(t) = η₀·r^((t - t₀) / T) from t₀ on; with `staircase` the exponent is rounded down.

    Args:
        init_value: η₀.
        transition_steps: T > 0.
        decay_rate: r > 0, the factor per T steps.
        transition_begin: t₀ ≥ 0.
        staircase: Decay at every T-th step only.
        end_value: A bound that η does not cross: from below where r < 1, from above where r > 1.

    The same as `optax.exponential_decay` and Keras's `ExponentialDecay`; with T = 1 PyTorch's `ExponentialLR`, with
    `staircase` its `StepLR` (step decay). η₀·e^(-k·t) is `exponential_decay(η₀, 1 / k, 1 / math.e)`.

    >>> import gradtx as gx
    >>> gx.schedules.exponential_decay(1.0, 10, 0.5)(20)
    Array(0.25, dtype=float32)
    """

    init_value: Number
    transition_steps: Positive
    decay_rate: Positive
    transition_begin: Steps = 0
    staircase: bool = False
    end_value: Number | None = None

    def __call__(self, step: Any) -> jax.Array:
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
    """η(t) = η₀ / (1 + k·(t - t₀) / T) from t₀ on; with `staircase` (t - t₀) / T is rounded down.

    Args:
        init_value: η₀.
        transition_steps: T > 0.
        decay_rate: k ≥ 0.
        transition_begin: t₀ ≥ 0.
        staircase: Decay at every T-th step only.

    The same as Keras's `InverseTimeDecay`; with T = 1 the `lr_decay` of PyTorch's `Adagrad`. optax has none.
    Some texts print η₀ / (1 - k·t), which grows, and past its pole at t = 1 / k is negative: a slip for this plus.

    >>> import gradtx as gx
    >>> gx.schedules.inverse_time_decay(1.0, 10, 3.0)(10)
    Array(0.25, dtype=float32)
    """

    init_value: Number
    transition_steps: Positive
    decay_rate: Annotated[Any, Interval(0.0, hyper=False)]
    transition_begin: Steps = 0
    staircase: bool = False

    def __call__(self, step: Any) -> jax.Array:
        steps = since(step, self.transition_begin)
        if self.staircase:
            periods = as_float(laps(steps, self.transition_steps)[0])
            return self.init_value / (1 + self.decay_rate * periods)
        return self.init_value / (1 + self.decay_rate / self.transition_steps * as_float(steps))
