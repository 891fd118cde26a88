"""Cosine decay that restarts, period after period."""

import decimal
from dataclasses import KW_ONLY
from functools import lru_cache
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike

from gradtx._tools import Number
from gradtx.core import Interval
from gradtx.schedules._cosine import check_one_minimum, wave_of
from gradtx.schedules._schedule import Finite, Positive, Schedule, as_float, is_number, laps, power, since

_LAST_STEP, _MOST_PERIODS = 2**31 - 1, 2**17


class cosine_restarts(Schedule):
    """The value falls along half a cosine in every period, and jumps up at the start of the next.

    η(t) = η₁ + (η₀ - η₁)·mᵏ·(1 + cos(π·(t - Sₖ) / (T·rᵏ))) / 2, where η₁ is α·η₀, or `end_value` if it is given.

    Sₖ = T·(1 + r + … + rᵏ⁻¹) is the last restart at or before t. It is computed in decimals from T and r as they print:
    with T = 10 and r = 1.1 the second restart is exactly at step 21.

    Args:
        init_value: η₀, a finite number.
        first_steps: T ≥ 1, the length of the first period. It cannot be traced.
        t_mul: r ≥ 1, the factor from the length of one period to the next. It cannot be traced.
        m_mul: m > 0, the factor from the height of one period to the next.
        alpha: α, the minimum as a fraction of η₀.
        end_value: η₁, a finite number that replaces α·η₀, or None.

    Raises:
        ValueError: both `alpha` and `end_value` are given; or r is so near to 1 that there are more than 2¹⁷ restarts
            in 2³¹ steps.

    Source: Loshchilov & Hutter 2017, arXiv:1608.03983. The same as Keras's `CosineDecayRestarts`, which has r = 2 by
    default; with `end_value` and m = 1 the same as PyTorch's `CosineAnnealingWarmRestarts`.

    >>> import gradtx as gx
    >>> gx.schedules.cosine_restarts(1.0, 10, t_mul=2.0, m_mul=0.5)(jnp.asarray([0, 10, 30, 70]))
    Array([1.   , 0.5  , 0.25 , 0.125], dtype=float32)
    """

    init_value: Finite
    first_steps: Annotated[Number, Interval(1, hyper=False)]
    t_mul: Annotated[Number, Interval(1, hyper=False)] = 1.0
    m_mul: Positive = 1.0
    alpha: Finite = 0.0
    _: KW_ONLY
    end_value: Finite | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_one_minimum(self, self.alpha, self.end_value)
        for name in ("first_steps", "t_mul"):
            value = getattr(self, name)
            if isinstance(value, Tracer):
                raise TypeError(f"{self.label}: {name} must be a concrete number, got {value}")
            if isinstance(value, jax.Array):
                object.__setattr__(self, name, value.item())
        self._periods()

    def _periods(self) -> "_Periods":
        table = _table(repr(self.first_steps), repr(self.t_mul))
        if table is None:
            raise ValueError(f"{self.label}: t_mul must be 1 or in [1.0002, inf), got {self.t_mul}")
        return table

    def __call__(self, step: ArrayLike) -> jax.Array:
        steps = since(step, 0)
        number, done, left = _place(steps, self.first_steps, self.t_mul, self._periods())
        wave, remainder = wave_of(done, left, 1)
        if not is_number(self.m_mul, 1):
            wave = wave * power(self.m_mul, number)
            remainder = 1 - wave
        end = self.init_value * self.alpha if self.end_value is None else self.end_value
        return self.init_value * wave + end * remainder


class _Periods(NamedTuple):
    """A table of periods, with one entry for each period in each array.

    start: Its start, which may be between two steps.
    first: Its first whole step.
    head: first - start.
    span: The whole steps from `first` to its end.
    tail: The remainder, so that length = head + span + tail.
    length: Its length.
    """

    start: np.ndarray
    first: np.ndarray
    head: np.ndarray
    span: np.ndarray
    tail: np.ndarray
    length: np.ndarray


@lru_cache(maxsize=64)
def _table(first_steps: str, t_mul: str) -> _Periods | None:
    """The periods that begin by step 2³¹, or only the first if all have one length. None if there are too many."""
    rows = []
    with decimal.localcontext(decimal.Context(prec=60)):
        begin, length, factor = decimal.Decimal(0), decimal.Decimal(first_steps), decimal.Decimal(t_mul)
        while begin <= _LAST_STEP:
            if factor == 1 and len(rows) == 1:
                break
            if len(rows) == _MOST_PERIODS:
                return None
            end = begin + length
            first = int(begin.to_integral_value(decimal.ROUND_CEILING))
            span = min(int(end.to_integral_value(decimal.ROUND_FLOOR)) - first, _LAST_STEP)
            rows.append((begin, first, first - begin, span, end - first - span, length))
            begin, length = end, length * factor
        kinds = (np.float64, np.int64, np.float64, np.int64, np.float64, np.float64)
        columns = zip(*rows, strict=True)
        return _Periods(*(np.array([kind(x) for x in c], kind) for c, kind in zip(columns, kinds, strict=True)))


def _place(
    steps: jax.Array, first_steps: Number, factor: Number, periods: _Periods
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The number of the period at `steps`, and the fractions of the period that are done and left."""
    whole = jnp.issubdtype(steps.dtype, jnp.integer)
    if factor == 1:
        number, passed, length = laps(steps, first_steps)
        return number, as_float(passed) / as_float(length), as_float(length - passed) / as_float(length)
    marks = jnp.asarray(periods.first if whole else periods.start, steps.dtype)
    number = jnp.searchsorted(marks, steps, side="right") - 1
    passed = steps - jnp.asarray(periods.first, steps.dtype)[number]
    left = jnp.asarray(periods.span, steps.dtype)[number] - passed
    head, tail, length = (as_float(x)[number] for x in (periods.head, periods.tail, periods.length))
    return number, (as_float(passed) + head) / length, jnp.maximum(as_float(left) + tail, 0.0) / length
