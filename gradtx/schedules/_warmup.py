"""Warm-up, before any schedule and before a plateau."""

from dataclasses import KW_ONLY
from typing import Literal

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jax.typing import ArrayLike

from gradtx.schedules._cosine import half_cosine
from gradtx.schedules._schedule import Finite, Schedule, Steps, as_float, progress, since
from gradtx.schedules._values import NumberOrSchedule, value_at


class warmup(Schedule):
    """The value rises from `init_value` to the first value of a schedule, and then follows the schedule.

    η(t) = η₀ + (a(0) - η₀)·t / W ("linear") or η₀·(a(0) / η₀)^(t / W) ("exponential") for t < W, and then
    η(t) = a(t - W). With `skip_init_value`, t + 1 stands for t in the rise.

    Args:
        schedule: a, a schedule or a finite number.
        steps: W ≥ 0, the number of steps to the first value of the schedule. 0 for no warm-up.
        init_value: η₀, a finite number. An exponential warm-up requires η₀ > 0 and a(0) > 0.
        kind: "linear" or "exponential".
        skip_init_value: Whether the first step is already a part of the way, so that no step has the value η₀. A first
            step of the usual 0 changes no parameter, but it counts for the averages of Adam.

    Raises:
        ValueError: an exponential warm-up from or to a number that is not positive; or W is 0, and `init_value`,
            `kind` or `skip_init_value` is given.

    A linear warm-up before `cosine_decay` is the same as `warmup_cosine` and as Keras's `CosineDecay` with
    `warmup_steps`. Before `exponential_decay` it is the same as `optax.warmup_exponential_decay_schedule`.

    >>> from gradtx.schedules import linear, warmup
    >>> warmup(linear(1.0, 0.0, 100), 10)(jnp.asarray([0, 5, 10, 60]))
    Array([0. , 0.5, 1. , 0.5], dtype=float32)
    """

    idle = {"init_value": "steps", "kind": "steps", "skip_init_value": "steps"}

    schedule: NumberOrSchedule
    steps: Steps
    _: KW_ONLY
    init_value: Finite = 0.0
    kind: Literal["linear", "exponential"] = "linear"
    skip_init_value: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kind == "exponential":
            for name in ("schedule", "init_value"):
                value = getattr(self, name)
                if not (callable(value) or isinstance(value, Tracer)) and value <= 0:
                    raise ValueError(f"{self.label}: {name} must be in (0, inf) for kind='exponential', got {value}")

    def __call__(self, step: ArrayLike) -> jax.Array:
        done, left = progress(step, -1 if self.skip_init_value else 0, self.steps)
        start, peak = as_float(self.init_value), value_at(self.schedule, jnp.asarray(0))
        if self.kind == "linear":
            warm = start * left + peak * done
        else:  # from the nearer end, because a small exponent has a small rounding error
            warm = jnp.where(done < left, start * (peak / start) ** done, peak * (start / peak) ** left)
        return jnp.where(left > 0, warm, value_at(self.schedule, since(step, self.steps)))


class warmup_stable_decay(Schedule):
    """The value rises from `init_value` to `peak_value` on a line, stays there, and then falls to `end_value`.

    The rise takes W steps, the plateau S steps, and the decay ends at step T. For t ≥ W + S,
    η(t) = η₂ + (η₁ - η₂)·f(x), where x = min((t - W - S) / (T - W - S), 1) and f(x) is 1 - x ("linear"),
    (1 + cos(π·x)) / 2 ("cosine") or 1 - √x ("sqrt").

    Args:
        init_value: η₀, a finite number. With W = 0 no step has this value.
        peak_value: η₁, a finite number.
        warmup_steps: W ≥ 0.
        stable_steps: S ≥ 0.
        decay_steps: T > W + S, the length of the whole schedule, as in `warmup_cosine`.
        end_value: η₂, a finite number.
        kind: The form of the decay: "linear", "cosine" or "sqrt".

    Raises:
        ValueError: the warm-up and the plateau together are as long as the schedule, or longer.

    Source: Hu et al. 2024, MiniCPM, arXiv:2404.06395; the kind "sqrt" is from Hägele et al. 2024, arXiv:2405.18392.
    None of optax, PyTorch and Keras has it.

    >>> import gradtx as gx
    >>> s = gx.schedules.warmup_stable_decay(0.0, 1.0, 10, 70, 100)
    >>> s(jnp.asarray([5, 50, 90, 100]))
    Array([0.5, 1. , 0.5, 0. ], dtype=float32)
    """

    init_value: Finite
    peak_value: Finite
    warmup_steps: Steps
    stable_steps: Steps
    decay_steps: Steps
    _: KW_ONLY
    end_value: Finite = 0.0
    kind: Literal["linear", "cosine", "sqrt"] = "linear"

    def __post_init__(self) -> None:
        super().__post_init__()
        warmup, stable, total = self.warmup_steps, self.stable_steps, self.decay_steps
        concrete = not any(isinstance(n, jax.Array) for n in (warmup, stable, total))
        if concrete and warmup + stable >= total:
            raise ValueError(
                f"{self.label}: decay_steps must be greater than warmup_steps + stable_steps = {warmup} + {stable}, "
                f"got {total}; decay_steps is the length of the whole schedule"
            )

    def __call__(self, step: ArrayLike) -> jax.Array:
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
        return jnp.where(left > 0, warm, self.peak_value * high + self.end_value * low)
