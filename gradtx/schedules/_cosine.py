"""Cosines: half a wave down, waves without end, and restarts."""

from typing import Any

import jax
import jax.numpy as jnp

from gradtx.schedules._schedule import Number, Positive, Schedule, Steps, progress, raised


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
        wave, _ = half_cosine(step, 0, self.decay_steps, self.exponent)
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
        wave, rest = half_cosine(step, self.warmup_steps, length, self.exponent)
        return jnp.where(left > 0, warm, self.peak_value * wave + self.end_value * rest)


def half_cosine(step: Any, begin: Any, length: Any, exponent: Any) -> tuple[jax.Array, jax.Array]:
    """(w, 1 - w), w = ((1 + cos(π·done)) / 2)ᵖ, from squared sines, which do not cancel at either end."""
    wave, rest = (jnp.square(jnp.sin(jnp.pi / 2 * part)) for part in reversed(progress(step, begin, length)))
    if isinstance(exponent, float | int) and exponent == 1:
        return wave, rest
    wave = raised(wave, exponent)
    return wave, 1 - wave
