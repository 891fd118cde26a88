"""Learning rates that rise and fall again and again."""

from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp

from gradtx.core import Interval
from gradtx.schedules._momentum import Cycle, Momentum
from gradtx.schedules._schedule import Number, Positive, laps, power, progress, since


class cyclic(Cycle):
    """η(t) = η₀ + (η₁ - η₀)·h·s: up over U steps, down over D, again and again.

    In cycle c = ⌊t / (U + D)⌋, p = t - c·(U + D) steps from its start, the height h is p / U for p < U, and then
    (U + D - p) / D. It is scaled by s = 1 ("triangular"), 2⁻ᶜ ("triangular2") or rᵗ ("exp_range").

    `momentum` is the schedule β(t) = β₁ - (β₁ - β₀)·h·s, low where the rate is high; `learning_rate` is this one.

    Args:
        init_value: η₀.
        peak_value: η₁.
        up_steps: U > 0.
        down_steps: D > 0; None for U.
        kind: "triangular", "triangular2", which halves the height after every cycle, or "exp_range".
        decay_rate: r in (0, 1], the factor per step of the height, for the kind "exp_range" alone.
        base_momentum: β₀ in [0, 1).
        max_momentum: β₁ in [0, 1).

    Raises:
        ValueError: a decay rate for another kind.

    Source: Smith 2017, arXiv:1506.01186. The same as PyTorch's `CyclicLR`; optax and Keras have none.

    >>> import gradtx as gx
    >>> cycle = gx.schedules.cyclic(0.1, 0.5, 2)
    >>> cycle(jnp.arange(6)), cycle.momentum(2)
    (Array([0.1, 0.3, 0.5, 0.3, 0.1, 0.3], dtype=float32), Array(0.8, dtype=float32))
    >>> gx.sgd(cycle.learning_rate, momentum=cycle.momentum)
    chain(trace(cyclic(0.1, 0.5, 2).momentum), scale_by_learning_rate(cyclic(0.1, 0.5, 2)))
    """

    init_value: Number
    peak_value: Number
    up_steps: Positive
    down_steps: Positive | None = None
    kind: Literal["triangular", "triangular2", "exp_range"] = "triangular"
    decay_rate: Annotated[Any, Interval(0.0, 1.0, closed=True, above=True, hyper=False)] = 1.0
    base_momentum: Momentum = 0.8
    max_momentum: Momentum = 0.9

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kind != "exp_range" and (isinstance(self.decay_rate, jax.Array) or self.decay_rate != 1):
            raise ValueError(f"{self.label}: decay_rate must be 1 for kind={self.kind!r}, got {self.decay_rate}")

    def __call__(self, step: Any) -> jax.Array:
        return self._between(step, self.init_value, self.peak_value)

    def momentum_at(self, step: Any) -> jax.Array:
        return self._between(step, self.max_momentum, self.base_momentum)

    def _between(self, step: Any, first: Any, second: Any) -> jax.Array:
        up, down = self.up_steps, self.up_steps if self.down_steps is None else self.down_steps
        number, passed, _ = laps(since(step, 0), up + down)
        risen, rest = progress(passed, 0, up)
        fallen, left = progress(passed, up, down)
        low, high = jnp.where(rest > 0, rest, fallen), jnp.where(rest > 0, risen, left)
        if self.kind != "triangular":
            factor = power(0.5, number) if self.kind == "triangular2" else power(self.decay_rate, since(step, 0))
            low, high = low + high * (1 - factor), high * factor
        return first * low + second * high
