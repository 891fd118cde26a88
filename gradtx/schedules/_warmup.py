"""Warm-up, before any schedule and before a plateau."""

from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax.core import Tracer

from gradtx.schedules._cosine import half_cosine
from gradtx.schedules._schedule import Number, Schedule, Steps, as_float, progress, since
from gradtx.schedules._several import Part, value_at


class warmup(Schedule):
    """From η₀ to a(0) over W steps, and then the schedule a from its step 0: η(t) = a(t - W) for t ≥ W, and before

    η₀ + (a(0) - η₀)·t / W ("linear") or η₀·(a(0) / η₀)^(t / W) ("exponential").

    Args:
        schedule: a, a schedule or a number.
        steps: W ≥ 0.
        init_value: η₀; of an exponential warm-up > 0, as a(0) has to be.
        kind: "linear" or "exponential".

    Raises:
        ValueError: an exponential warm-up from or to a number that is not positive.

    Before `cosine_decay` and linear the same as `warmup_cosine` and as Keras's `CosineDecay` with `warmup_steps`;
    before `exponential_decay` as `optax.warmup_exponential_decay_schedule`.

    >>> from gradtx.schedules import linear, warmup
    >>> warmup(linear(1.0, 0.0, 100), 10)(jnp.asarray([0, 5, 10, 60]))
    Array([0. , 0.5, 1. , 0.5], dtype=float32)
    """

    schedule: Part
    steps: Steps
    init_value: Number = 0.0
    kind: Literal["linear", "exponential"] = "linear"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kind == "exponential":
            for name in ("schedule", "init_value"):
                value = getattr(self, name)
                if not (callable(value) or isinstance(value, Tracer)) and value <= 0:
                    raise ValueError(f"{self.label}: {name} must be in (0, inf) for kind='exponential', got {value}")

    def __call__(self, step: Any) -> jax.Array:
        done, left = progress(step, 0, self.steps)
        start, peak = as_float(self.init_value), value_at(self.schedule, jnp.asarray(0))
        if self.kind == "linear":
            warm = start * left + peak * done
        else:  # from the nearer end, where the exponent is small
            warm = jnp.where(done < left, start * (peak / start) ** done, peak * (start / peak) ** left)
        return jnp.where(left > 0, warm, value_at(self.schedule, since(step, self.steps)))


class warmup_stable_decay(Schedule):
    """Linear from η₀ to η₁ over W steps, η₁ for S steps, then down to η₂ at step T.

    For t ≥ W + S and x = min((t - W - S) / (T - W - S), 1): η(t) = η₂ + (η₁ - η₂)·f(x), where f(x) is 1 - x ("linear"),
    (1 + cos(π·x)) / 2 ("cosine") or 1 - √x ("sqrt").

    Args:
        init_value: η₀.
        peak_value: η₁.
        warmup_steps: W ≥ 0.
        stable_steps: S ≥ 0.
        decay_steps: T ≥ W + S, the length of the whole schedule, as in `warmup_cosine`.
        end_value: η₂.
        kind: The form of the decay.

    Raises:
        ValueError: warm-up and plateau are longer than the schedule.

    Source: Hu et al. 2024, MiniCPM, arXiv:2404.06395; the kind "sqrt", Hägele et al. 2024, arXiv:2405.18392. None of
    optax, PyTorch and Keras has it.

    >>> import gradtx as gx
    >>> s = gx.schedules.warmup_stable_decay(0.0, 1.0, 10, 70, 100)
    >>> s(jnp.asarray([5, 50, 90, 100]))
    Array([0.5, 1. , 0.5, 0. ], dtype=float32)
    """

    init_value: Number
    peak_value: Number
    warmup_steps: Steps
    stable_steps: Steps
    decay_steps: Steps
    end_value: Number = 0.0
    kind: Literal["linear", "cosine", "sqrt"] = "linear"

    def __post_init__(self) -> None:
        super().__post_init__()
        steps = self.warmup_steps, self.stable_steps, self.decay_steps
        if not any(isinstance(n, jax.Array) for n in steps) and steps[0] + steps[1] > steps[2]:
            raise ValueError(
                f"{self.label}: decay_steps must be at least warmup_steps + stable_steps, "
                f"got {steps[2]} and {steps[0]} + {steps[1]}"
            )

    def __call__(self, step: Any) -> jax.Array:
        done, left = progress(step, 0, self.warmup_steps)
        warm = self.init_value * left + self.peak_value * done
        begin = self.warmup_steps + self.stable_steps
        length = self.decay_steps - begin
        if self.kind == "cosine":
            high, low = half_cosine(step, begin, length, 1)
        else:
            low, high = progress(step, begin, length)
            if self.kind == "sqrt":
                root = jnp.sqrt(low)
                high, low = high / (1 + root), root
        # A decay without a length would be over before it begins.
        _, stable = progress(step, 0, begin)
        decayed = jnp.where(stable > 0, self.peak_value, self.peak_value * high + self.end_value * low)
        return jnp.where(left > 0, warm, decayed)
