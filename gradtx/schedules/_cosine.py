"""Cosines: half a wave down, or waves without end."""

from dataclasses import KW_ONLY

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gradtx._tools import Number, code_of
from gradtx.schedules._schedule import (
    Finite,
    Length,
    Positive,
    Schedule,
    Steps,
    as_float,
    is_number,
    laps,
    progress,
    raised,
    since,
)


class cosine_decay(Schedule):
    """The value falls from `init_value` to its minimum along half a cosine, and stays there.

    η(t) = η₁ + (η₀ - η₁)·((1 + cos(π·min(t, T) / T)) / 2)ᵖ, where η₁ is α·η₀, or `end_value` if it is given.

    With `periodic`, t replaces min(t, T): η rises again from step T to step 2·T, and so on.

    Args:
        init_value: η₀, a finite number.
        decay_steps: T, a number of steps > 0.
        alpha: α, the minimum as a fraction of η₀.
        exponent: p > 0.
        end_value: η₁, a finite number that replaces α·η₀, or None.
        periodic: Rise again after T steps.

    Raises:
        ValueError: T is 0; or both `alpha` and `end_value` are given.

    Source: Loshchilov & Hutter 2017, arXiv:1608.03983. The same as `optax.cosine_decay_schedule` and as Keras's
    `CosineDecay`; with `end_value` and `periodic` the same as PyTorch's `CosineAnnealingLR`.

    >>> import gradtx as gx
    >>> gx.schedules.cosine_decay(1.0, 100)(50)
    Array(0.5, dtype=float32)
    """

    init_value: Finite
    decay_steps: Length
    alpha: Finite = 0.0
    exponent: Positive = 1.0
    _: KW_ONLY
    end_value: Finite | None = None
    periodic: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_one_minimum(self, self.alpha, self.end_value)

    def __call__(self, step: ArrayLike) -> jax.Array:
        if self.periodic:
            wave, remainder = wave_of(*_there_and_back(step, self.decay_steps), self.exponent)
        else:
            wave, remainder = half_cosine(step, 0, self.decay_steps, self.exponent)
        if self.end_value is None:
            return self.init_value * ((1 - self.alpha) * wave + self.alpha)
        return self.init_value * wave + self.end_value * remainder


class warmup_cosine(Schedule):
    """The value rises from `init_value` to `peak_value` on a line, and then falls to `end_value` along half a cosine.

    η(t) = η₀ + (η₁ - η₀)·t / W for t < W, and then η₂ + (η₁ - η₂)·((1 + cos(π·min(t - W, T - W) / (T - W))) / 2)ᵖ.

    Args:
        init_value: η₀, a finite number. With W = 0 no step has this value.
        peak_value: η₁, a finite number.
        warmup_steps: W ≥ 0, the number of steps to the peak. 0 for no warm-up.
        decay_steps: T > W, the length of the whole schedule with the warm-up. Keras's `decay_steps` is T - W.
        end_value: η₂, a finite number.
        exponent: p > 0.

    Raises:
        ValueError: the warm-up is as long as the schedule, or longer.

    The same as `optax.warmup_cosine_decay_schedule`.

    >>> import gradtx as gx
    >>> s = gx.schedules.warmup_cosine(0.0, 1.0, 10, 110)
    >>> s(5), s(10), s(60)
    (Array(0.5, dtype=float32), Array(1., dtype=float32), Array(0.5, dtype=float32))
    """

    init_value: Finite
    peak_value: Finite
    warmup_steps: Steps
    decay_steps: Steps
    end_value: Finite = 0.0
    exponent: Positive = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        warmup, total = self.warmup_steps, self.decay_steps
        if not (isinstance(warmup, jax.Array) or isinstance(total, jax.Array)) and warmup >= total:
            raise ValueError(
                f"{self.label}: decay_steps must be greater than warmup_steps={warmup}, got {total}; "
                "decay_steps is the length of the whole schedule"
            )

    def __call__(self, step: ArrayLike) -> jax.Array:
        done, left = progress(step, 0, self.warmup_steps)
        warm = self.init_value * left + self.peak_value * done
        length = self.decay_steps - self.warmup_steps
        wave, remainder = half_cosine(step, self.warmup_steps, length, self.exponent)
        return jnp.where(left > 0, warm, self.peak_value * wave + self.end_value * remainder)


def half_cosine(step: ArrayLike, begin: ArrayLike, length: ArrayLike, exponent: Number) -> tuple[jax.Array, jax.Array]:
    """(w, 1 - w), where w = ((1 + cos(π·done)) / 2)ᵖ and `done` is the fraction of the steps that are done."""
    return wave_of(*progress(step, begin, length), exponent)


def wave_of(done: jax.Array, left: jax.Array, exponent: Number) -> tuple[jax.Array, jax.Array]:
    """(w, 1 - w) from the fractions that are done and left: squared sines, which do not cancel at either end."""
    wave, remainder = (jnp.square(jnp.sin(jnp.pi / 2 * part)) for part in (left, done))
    if is_number(exponent, 1):
        return wave, remainder
    wave = raised(wave, exponent)
    return wave, 1 - wave


def _there_and_back(step: ArrayLike, length: ArrayLike) -> tuple[jax.Array, jax.Array]:
    """`progress` that turns around at every multiple of `length`."""
    turns, over, length = laps(since(step, 0), length)
    there, back = as_float(over) / as_float(length), as_float(length - over) / as_float(length)
    odd = turns % 2 == 1
    return jnp.where(odd, back, there), jnp.where(odd, there, back)


def check_one_minimum(schedule: Schedule, alpha: Number, end_value: Number | None) -> None:
    if end_value is not None and not is_number(alpha, 0):
        raise ValueError(
            f"{schedule.label}: alpha={code_of(alpha)} has no effect with end_value={code_of(end_value)}; "
            "leave out one of the two"
        )
