"""One cycle of the learning rate, and of the momentum in the opposite direction, over a whole training run."""

from collections.abc import Sequence
from dataclasses import KW_ONLY
from typing import Annotated, Literal, TypeAlias

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gradtx._tools import Number
from gradtx.core import Interval
from gradtx.schedules._cosine import wave_of
from gradtx.schedules._cycle import Cycle, Momentum
from gradtx.schedules._schedule import Finite, Positive, as_float, refuse_without_effect, since

Fraction: TypeAlias = Annotated[Number, Interval(0.0, 1.0, closed=True, hyper=False)]
"""A number in [0, 1]."""


class one_cycle(Cycle):
    """The value rises from η₁ / a to η₁, falls to η₁ / (a·b), and stays there.

    With two phases, the second phase goes all the way down. With three phases, the second phase ends at η₁ / a, and the
    third phase is short. The last phase is the final annihilation: it ends far below the first value. The phases are
    lines or half cosines.

    The phases end at knots. With `knots="pytorch"` the knots are p·T - 1 and T - 1, or p·T - 1, 2·p·T - 2 and T - 1.
    With `knots="optax"` they are ⌊p·T⌋ and T, or ⌊p·T⌋, ⌊q·T⌋ and T, one step later. PyTorch's knots may be between
    steps. A knot before step 0 skips the phase that it ends. In three phases with p > 1/2 the second knot is after step
    T - 1, and step T - 1 then does not have the lowest value.

    The attribute `momentum` is the schedule that goes from β₁ to β₀ while the rate rises, back to β₁ in the second
    phase, and stays there in the third. The attribute `learning_rate` is this schedule.

    Args:
        peak_value: η₁, a finite number.
        transition_steps: T ≥ 1, the length of the whole schedule.
        pct_start: p in [0, 1], the fraction of the schedule in which the value rises.
        pct_final: q in [p, 1], the fraction after which the third phase begins, or None for 0.85. It requires
            `phases=3` and `knots="optax"`.
        phases: 2 or 3.
        kind: "cosine" or "linear".
        div_factor: a > 0.
        final_div_factor: b > 0.
        base_momentum: β₀ in [0, 1), the lowest momentum.
        max_momentum: β₁ in [0, 1), the highest momentum.
        knots: "pytorch" or "optax".

    Raises:
        ValueError: `pct_final` is less than `pct_start`, or is given although there is no such knot.

    Sources: Smith & Topin 2018, arXiv:1708.07120; Smith 2018, arXiv:1803.09820. The same as PyTorch's `OneCycleLR`.
    With `knots="optax"` the same as `optax.cosine_onecycle_schedule`; with three phases and lines, too, as
    `optax.linear_onecycle_schedule`. Both have T before η₁, and neither has a momentum.

    >>> import gradtx as gx
    >>> cycle = gx.schedules.one_cycle(0.1, 100)
    >>> cycle(jnp.asarray([0, 29, 99])), cycle.momentum(jnp.asarray([0, 29, 99]))
    (Array([4.e-03, 1.e-01, 4.e-07], dtype=float32), Array([0.95, 0.85, 0.95], dtype=float32))
    >>> gx.adam(cycle.learning_rate, b1=cycle.momentum)
    chain(scale_by_adam(b1=one_cycle(0.1, 100).momentum), scale_by_learning_rate(one_cycle(0.1, 100)))
    """

    peak_value: Finite
    transition_steps: Annotated[Number, Interval(1, hyper=False)]
    _: KW_ONLY
    pct_start: Fraction = 0.3
    pct_final: Fraction | None = None
    phases: Literal[2, 3] = 2
    kind: Literal["cosine", "linear"] = "cosine"
    div_factor: Positive = 25.0
    final_div_factor: Positive = 1e4
    base_momentum: Momentum = 0.85
    max_momentum: Momentum = 0.95
    knots: Literal["pytorch", "optax"] = "pytorch"

    def __post_init__(self) -> None:
        super().__post_init__()
        start, final = self.pct_start, self.pct_final
        if self.phases == 2 or self.knots == "pytorch":
            reason = f"with phases={self.phases} and knots={self.knots!r}; set phases=3 and knots='optax'"
            refuse_without_effect(self, ["pct_final"], reason)
        concrete = not (isinstance(start, jax.Array) or isinstance(final, jax.Array))
        if concrete and final is not None and final < start:
            raise ValueError(f"{self.label}: pct_final must be at least pct_start={start}, got {final}")

    def __call__(self, step: ArrayLike) -> jax.Array:
        low = self.peak_value / self.div_factor
        return self._through(step, [low, self.peak_value, low, low / self.final_div_factor])

    def momentum_at(self, step: ArrayLike) -> jax.Array:
        return self._through(step, [self.max_momentum, self.base_momentum, self.max_momentum, self.max_momentum])

    def _through(self, step: ArrayLike, values: Sequence[Number]) -> jax.Array:
        """The value of the cycle at a step.

        Args:
            step: The step.
            values: The first value, and the values at the ends of three phases. With two phases the third is not used.
        """
        values = [*values[:2], values[3]] if self.phases == 2 else values
        ends = self._ends()
        steps = since(step, 0)
        if not jnp.issubdtype(jnp.result_type(ends[-1]), jnp.integer):
            steps = as_float(steps)
        steps = jnp.minimum(steps, jnp.asarray(ends[-1], steps.dtype))
        phases = list(zip(values, values[1:], (0, *ends), ends, strict=False))
        value = self._phase(steps, *phases[-1])[0]
        for phase in phases[-2::-1]:
            earlier, left = self._phase(steps, *phase)
            # The step at a knot is the last step of a phase in PyTorch, and the first of the next phase in optax.
            value = jnp.where(left >= 0 if self.knots == "pytorch" else left > 0, earlier, value)
        return value

    def _ends(self) -> tuple[Number, ...]:
        """The knots: the steps at which the phases end."""
        start, length = self.pct_start, self.transition_steps
        length = as_float(length) if isinstance(length, jax.Array) else length
        if self.knots == "pytorch":
            middle = () if self.phases == 2 else (2 * start * length - 2,)
            return start * length - 1, *middle, length - 1
        fractions = (start,) if self.phases == 2 else (start, 0.85 if self.pct_final is None else self.pct_final)
        products = [fraction * length for fraction in fractions]
        return *(jnp.floor(x) if isinstance(x, jax.Array) else int(x) for x in products), length

    def _phase(
        self, steps: jax.Array, before: Number, after: Number, start: Number, end: Number
    ) -> tuple[jax.Array, jax.Array]:
        """The value in the phase from `before` to `after`, and the number of steps that are left of the phase."""
        steps_left = -_past(steps, end)
        length = as_float(end - start)
        length = jnp.where(length == 0, 1.0, length)
        done, left = jnp.where(steps_left == 0, 1.0, _past(steps, start) / length), steps_left / length
        if self.kind == "cosine":
            left, done = wave_of(done, left, 1)
        return before * left + after * done, steps_left


def _past(steps: jax.Array, knot: Number) -> jax.Array:
    """The steps since a knot. The whole part of the knot is subtracted as an integer."""
    if isinstance(knot, jax.Array):
        return as_float(steps) - as_float(knot)
    whole = min(max(int(knot), 0), 2**31 - 1)
    return as_float(steps - jnp.asarray(whole, steps.dtype)) - (knot - whole)
