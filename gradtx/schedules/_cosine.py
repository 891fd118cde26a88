"""Cosines: half a wave down, and waves without end."""

from typing import Any

import jax
import jax.numpy as jnp

from gradtx.schedules._schedule import Number, Positive, Schedule, Steps, as_float, laps, progress, raised, since


class cosine_decay(Schedule):
    """η(t) = η₁ + (η₀ - η₁)·((1 + cos(π·min(t, T) / T)) / 2)ᵖ, where η₁ is α·η₀ or given.

    With `periodic` t itself stands in place of min(t, T): η rises again from T to 2·T, and so on.

    Args:
        init_value: η₀.
        decay_steps: T > 0.
        alpha: α, the final value as a fraction of η₀.
        exponent: p > 0.
        end_value: η₁, instead of α.
        periodic: Rise again after T steps.

    Raises:
        ValueError: both `alpha` and `end_value` are given.

    Source: Loshchilov & Hutter 2017, arXiv:1608.03983. The same as `optax.cosine_decay_schedule` and Keras's
    `CosineDecay`; with `end_value` and `periodic` as PyTorch's `CosineAnnealingLR`.

    >>> import gradtx as gx
    >>> gx.schedules.cosine_decay(1.0, 100)(50)
    Array(0.5, dtype=float32)
    """

    init_value: Number
    decay_steps: Positive
    alpha: Number = 0.0
    exponent: Positive = 1.0
    end_value: Number | None = None
    periodic: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        one_minimum(self)

    def __call__(self, step: Any) -> jax.Array:
        if self.periodic:
            wave = wave_of(*_there_and_back(step, self.decay_steps), self.exponent)
        else:
            wave = half_cosine(step, 0, self.decay_steps, self.exponent)
        if self.end_value is None:
            return self.init_value * ((1 - self.alpha) * wave[0] + self.alpha)
        return self.init_value * wave[0] + self.end_value * wave[1]


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
        wave, rest = half_cosine(step, self.warmup_steps, length, self.exponent)
        return jnp.where(left > 0, warm, self.peak_value * wave + self.end_value * rest)


def half_cosine(step: Any, begin: Any, length: Any, exponent: Any) -> tuple[jax.Array, jax.Array]:
    """(w, 1 - w), w = ((1 + cos(π·done)) / 2)ᵖ, from squared sines, which do not cancel at either end."""
    return wave_of(*progress(step, begin, length), exponent)


def wave_of(done: jax.Array, left: jax.Array, exponent: Any) -> tuple[jax.Array, jax.Array]:
    wave, rest = (jnp.square(jnp.sin(jnp.pi / 2 * part)) for part in (left, done))
    if isinstance(exponent, float | int) and exponent == 1:
        return wave, rest
    wave = raised(wave, exponent)
    return wave, 1 - wave


def _there_and_back(step: Any, length: Any) -> tuple[jax.Array, jax.Array]:
    """`progress` that turns around at every multiple of `length`."""
    turns, over, length = laps(since(step, 0), length)
    there, back = as_float(over) / as_float(length), as_float(length - over) / as_float(length)
    odd = turns % 2 == 1
    return jnp.where(odd, back, there), jnp.where(odd, there, back)


def one_minimum(schedule: Any) -> None:
    alpha = schedule.alpha
    if schedule.end_value is not None and (isinstance(alpha, jax.Array) or alpha != 0):
        raise ValueError(f"{schedule.label}: alpha must be 0 where end_value is given, got {alpha}")
