"""Curves: a value as a closed formula of the step."""

from typing import Annotated, Any

import jax
import jax.numpy as jnp

from gradtx.core import Interval
from gradtx.schedules._schedule import Number, Positive, Schedule, Steps, as_float, power, progress, since


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

    The same as `optax.exponential_decay` and Keras's `ExponentialDecay`; with `staircase` as PyTorch's `StepLR`.

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
            value = self.init_value * power(self.decay_rate, steps // jnp.asarray(self.transition_steps, steps.dtype))
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
            periods = as_float(steps // jnp.asarray(self.transition_steps, steps.dtype))
            return self.init_value / (1 + self.decay_rate * periods)
        return self.init_value / (1 + self.decay_rate / self.transition_steps * as_float(steps))


class cosine_decay(Schedule):
    """η(t) = η₀·((1 - α)·((1 + cos(π·min(t, T) / T)) / 2)ᵖ + α).

    Args:
        init_value: η₀.
        decay_steps: T > 0.
        alpha: α, the final value as a fraction of η₀.
        exponent: p > 0.

    Source: Loshchilov & Hutter 2017, arXiv:1608.03983. The same as `optax.cosine_decay_schedule` and Keras's
    `CosineDecay`. PyTorch's `CosineAnnealingLR` rises again after T, and its minimum is absolute.

    >>> import gradtx as gx
    >>> gx.schedules.cosine_decay(1.0, 100)(50)
    Array(0.5, dtype=float32)
    """

    init_value: Number
    decay_steps: Positive
    alpha: Number = 0.0
    exponent: Positive = 1.0

    def __call__(self, step: Any) -> jax.Array:
        wave, _ = _half_cosine(step, 0, self.decay_steps, self.exponent)
        return self.init_value * ((1 - self.alpha) * wave + self.alpha)


class warmup_cosine(Schedule):
    """Linear from η₀ to η₁ over W steps, then cosine decay from η₁ to η₂ until step T.

    η(t) = η₀ + (η₁ - η₀)·t / W for t < W, else η₂ + (η₁ - η₂)·((1 + cos(π·min(t - W, T - W) / (T - W))) / 2)ᵖ.

    Args:
        init_value: η₀.
        peak_value: η₁.
        warmup_steps: W ≥ 0.
        decay_steps: T ≥ W, the length of the whole schedule, warm-up included. Keras's `decay_steps` excludes it.
        end_value: η₂.
        exponent: p > 0.

    Raises:
        ValueError: the warm-up is longer than the schedule.

    The same as `optax.warmup_cosine_decay_schedule`.

    >>> import gradtx as gx
    >>> s = gx.schedules.warmup_cosine(0.0, 1.0, 10, 110)
    >>> s(5), s(10), s(60)
    (Array(0.5, dtype=float32), Array(1., dtype=float32), Array(0.5, dtype=float32))
    """

    init_value: Number
    peak_value: Number
    warmup_steps: Steps
    decay_steps: Steps
    end_value: Number = 0.0
    exponent: Positive = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        steps = self.warmup_steps, self.decay_steps
        if not any(isinstance(n, jax.Array) for n in steps) and steps[0] > steps[1]:
            raise ValueError(f"{self.label}: warmup_steps must be at most decay_steps, got {steps[0]} and {steps[1]}")

    def __call__(self, step: Any) -> jax.Array:
        done, left = progress(step, 0, self.warmup_steps)
        warm = self.init_value * left + self.peak_value * done
        length = self.decay_steps - self.warmup_steps
        wave, rest = _half_cosine(step, self.warmup_steps, length, self.exponent)
        return jnp.where(left > 0, warm, self.peak_value * wave + self.end_value * rest)


def _half_cosine(step: Any, begin: Any, length: Any, exponent: Any) -> tuple[jax.Array, jax.Array]:
    """(w, 1 - w), w = ((1 + cos(π·done)) / 2)ᵖ, from squared sines, which do not cancel at either end."""
    wave, rest = (jnp.square(jnp.sin(jnp.pi / 2 * part)) for part in reversed(progress(step, begin, length)))
    if isinstance(exponent, float | int) and exponent == 1:
        return wave, rest
    wave = wave ** as_float(exponent)
    return wave, 1 - wave
