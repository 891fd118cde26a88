"""One cycle of the learning rate, and of the momentum the other way, over the whole of a training."""

from typing import Annotated, Any, Literal, TypeAlias

import jax
import jax.numpy as jnp

from gradtx.core import Interval
from gradtx.schedules._cosine import wave_of
from gradtx.schedules._momentum import Cycle, Momentum
from gradtx.schedules._schedule import Number, Positive, as_float, since

Percentage: TypeAlias = Annotated[Any, Interval(0.0, 1.0, closed=True, hyper=False)]
"""A number in [0, 1]."""


class one_cycle(Cycle):
    """From η₁ / a up to η₁, and down to η₁ / (a·b), by lines or half cosines; there it stays.

    In two phases the second goes down all the way. In three the second is back at η₁ / a, and the third is short. The
    last phase is the final annihilation: it ends far below the rate at the start.

    The phases end at the knots p·T - 1 and T - 1, or p·T - 1, 2·p·T - 2 and T - 1 ("pytorch"); at ⌊p·T⌋ and T, or
    ⌊p·T⌋, ⌊q·T⌋ and T ("optax"), one step later. PyTorch's may lie between steps; before step 0, where their phase is
    skipped; and in three phases with p > 1/2 behind step T - 1, which then is not the lowest.

    `momentum` is the schedule that goes from β₁ to β₀ as the rate rises, back to β₁ in the second phase, and stays
    there in the third; `learning_rate` is this one.

    Args:
        peak_value: η₁.
        transition_steps: T ≥ 1, the length of the whole schedule.
        pct_start: p in [0, 1], the part of it that rises.
        pct_final: q in [p, 1], where the third of three phases begins, None for 0.85; for optax's knots alone.
        phases: 2 or 3.
        kind: "cosine" or "linear".
        div_factor: a > 0.
        final_div_factor: b > 0.
        base_momentum: β₀ in [0, 1).
        max_momentum: β₁ in [0, 1).
        knots: "pytorch" or "optax".

    Raises:
        ValueError: `pct_final` where there is no such knot, or below `pct_start`.

    Sources: Smith & Topin 2018, arXiv:1708.07120; Smith 2018, arXiv:1803.09820. The same as PyTorch's `OneCycleLR`;
    with optax's knots as `optax.cosine_onecycle_schedule`, in three phases and linear as
    `optax.linear_onecycle_schedule`, neither of which has a momentum.

    >>> import gradtx as gx
    >>> cycle = gx.schedules.one_cycle(0.1, 100)
    >>> cycle(jnp.asarray([0, 29, 99])), cycle.momentum(jnp.asarray([0, 29, 99]))
    (Array([4.e-03, 1.e-01, 4.e-07], dtype=float32), Array([0.95, 0.85, 0.95], dtype=float32))
    >>> gx.adam(cycle.learning_rate, b1=cycle.momentum)
    chain(scale_by_adam(b1=one_cycle(0.1, 100).momentum), scale_by_learning_rate(one_cycle(0.1, 100)))
    """

    peak_value: Number
    transition_steps: Annotated[Any, Interval(1, hyper=False)]
    pct_start: Percentage = 0.3
    pct_final: Percentage | None = None
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
        if final is None:
            return
        if self.phases == 2 or self.knots == "pytorch":
            raise ValueError(f"{self.label}: pct_final must be None but for phases=3 and knots='optax', got {final}")
        if not (isinstance(start, jax.Array) or isinstance(final, jax.Array)) and final < start:
            raise ValueError(f"{self.label}: pct_final must be at least pct_start, got {final} and {start}")

    def __call__(self, step: Any) -> jax.Array:
        low = self.peak_value / self.div_factor
        return self._through(step, low, self.peak_value, low, low / self.final_div_factor)

    def momentum_at(self, step: Any) -> jax.Array:
        return self._through(step, self.max_momentum, self.base_momentum, self.max_momentum, self.max_momentum)

    def _through(self, step: Any, first: Any, second: Any, third: Any, last: Any) -> jax.Array:
        values = (first, second, last) if self.phases == 2 else (first, second, third, last)
        ends = self._ends()
        steps = since(step, 0)
        if not jnp.issubdtype(jnp.result_type(ends[-1]), jnp.integer):
            steps = as_float(steps)
        steps = jnp.minimum(steps, jnp.asarray(ends[-1], steps.dtype))
        phases = list(zip(values, values[1:], (0, *ends), ends, strict=False))
        value = self._phase(steps, *phases[-1])[0]
        for phase in phases[-2::-1]:
            earlier, rest = self._phase(steps, *phase)
            # The step at a knot is the last of a phase with PyTorch, and the first of the next with optax.
            value = jnp.where(rest >= 0 if self.knots == "pytorch" else rest > 0, earlier, value)
        return value

    def _ends(self) -> tuple[Any, ...]:
        start, length = self.pct_start, self.transition_steps
        length = as_float(length) if isinstance(length, jax.Array) else length
        if self.knots == "pytorch":
            middle = () if self.phases == 2 else (2 * start * length - 2,)
            return start * length - 1, *middle, length - 1
        parts = (start,) if self.phases == 2 else (start, 0.85 if self.pct_final is None else self.pct_final)
        products = [part * length for part in parts]
        return *(jnp.floor(x) if isinstance(x, jax.Array) else int(x) for x in products), length

    def _phase(self, steps: jax.Array, before: Any, after: Any, start: Any, end: Any) -> tuple[jax.Array, jax.Array]:
        """The value in the phase from `before` to `after`, and the steps that are left of it."""
        rest = -_past(steps, end)
        length = as_float(end - start)
        length = jnp.where(length == 0, 1.0, length)
        done, left = jnp.where(rest == 0, 1.0, _past(steps, start) / length), rest / length
        if self.kind == "cosine":
            left, done = wave_of(done, left, 1)
        return before * left + after * done, rest


def _past(steps: jax.Array, knot: Any) -> jax.Array:
    """Steps since a knot, of whose whole part steps are counted as integers."""
    if isinstance(knot, jax.Array):
        return as_float(steps) - as_float(knot)
    whole = min(max(int(knot), 0), 2**31 - 1)
    return as_float(steps - jnp.asarray(whole, steps.dtype)) - (knot - whole)
