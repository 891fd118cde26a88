"""Learning rates that rise and fall again and again."""

from dataclasses import KW_ONLY
from typing import Annotated, Literal

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gradtx._tools import Number
from gradtx.core import Interval
from gradtx.schedules._cycle import Cycle, Momentum
from gradtx.schedules._schedule import (
    Finite,
    Length,
    is_number,
    laps,
    power,
    progress,
    refuse_without_effect,
    since,
)


class cyclic(Cycle):
    """The value rises to `peak_value` and falls to `init_value` on lines, again and again.

    η(t) = η₀ + (η₁ - η₀)·h·s. Cycle c = ⌊t / (U + D)⌋ began p = t - c·(U + D) steps ago. The height h is p / U for
    p < U, and then (U + D - p) / D. The scale s is 1 ("triangular"), 2⁻ᶜ ("triangular2") or rᵗ ("exp_range").

    The attribute `momentum` is the schedule β(t) = β₁ - (β₁ - β₀)·h·s, which is low while the rate is high. The
    attribute `learning_rate` is this schedule.

    Args:
        init_value: η₀, a finite number.
        peak_value: η₁, a finite number.
        up_steps: U, a number of steps > 0.
        down_steps: D, a number of steps > 0, or None for U.
        kind: "triangular"; "triangular2", which halves the height after every cycle; or "exp_range".
        decay_rate: r in (0, 1], the factor of the height per step, for the kind "exp_range" only.
        base_momentum: β₀ in [0, 1), the lowest momentum.
        max_momentum: β₁ in [0, 1), the highest momentum.

    Raises:
        ValueError: a decay rate for another kind, or the kind "exp_range" without a decay rate.

    Source: Smith 2017, arXiv:1506.01186. The same as PyTorch's `CyclicLR`, in whose order the positional arguments are.
    optax and Keras have none.

    >>> import gradtx as gx
    >>> cycle = gx.schedules.cyclic(0.1, 0.5, 2)
    >>> cycle(jnp.arange(6)), cycle.momentum(2)
    (Array([0.1, 0.3, 0.5, 0.3, 0.1, 0.3], dtype=float32), Array(0.8, dtype=float32))
    >>> gx.sgd(cycle.learning_rate, momentum=cycle.momentum)
    chain(trace(cyclic(0.1, 0.5, 2).momentum), scale_by_learning_rate(cyclic(0.1, 0.5, 2)))
    """

    init_value: Finite
    peak_value: Finite
    up_steps: Length
    down_steps: Length | None = None
    kind: Literal["triangular", "triangular2", "exp_range"] = "triangular"
    decay_rate: Annotated[Number, Interval(0.0, 1.0, closed=True, above=True, hyper=False)] = 1.0
    _: KW_ONLY
    base_momentum: Momentum = 0.8
    max_momentum: Momentum = 0.9

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kind != "exp_range":
            refuse_without_effect(self, ["decay_rate"], f"with kind={self.kind!r}; set kind='exp_range'")
        elif is_number(self.decay_rate, 1):
            refuse_without_effect(self, ["kind"], "with decay_rate=1.0; set decay_rate")

    def __call__(self, step: ArrayLike) -> jax.Array:
        return self._between(step, self.init_value, self.peak_value)

    def momentum_at(self, step: ArrayLike) -> jax.Array:
        return self._between(step, self.max_momentum, self.base_momentum)

    def _between(self, step: ArrayLike, low: Number, high: Number) -> jax.Array:
        """The value of the cycle that starts at `low` and has its peak at `high`."""
        up, down = self.up_steps, self.up_steps if self.down_steps is None else self.down_steps
        number, passed, _ = laps(since(step, 0), up + down)
        risen, to_rise = progress(passed, 0, up)
        fallen, to_fall = progress(passed, up, down)
        depth, height = jnp.where(to_rise > 0, to_rise, fallen), jnp.where(to_rise > 0, risen, to_fall)
        if self.kind != "triangular":
            factor = power(0.5, number) if self.kind == "triangular2" else power(self.decay_rate, since(step, 0))
            depth, height = depth + height * (1 - factor), height * factor
        return low * depth + high * height
