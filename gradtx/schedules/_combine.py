"""Schedules made of others."""

from typing import Any

import jax

from gradtx.schedules._schedule import Schedule, as_float


class product(Schedule):
    """η(t) = a(t)·b(t).

    Args:
        first: a, a schedule or a number.
        second: b, a schedule or a number.

    >>> from gradtx.schedules import inverse_time_decay, linear, product
    >>> product(linear(0.0, 1.0, 10), inverse_time_decay(0.5, 1, 1.0))(4)
    Array(0.04, dtype=float32)
    """

    first: Any
    second: Any

    def __post_init__(self) -> None:
        for name in ("first", "second"):
            if not callable(getattr(self, name)):
                as_float(getattr(self, name))

    def __call__(self, step: Any) -> jax.Array:
        a, b = (x(step) if callable(x) else x for x in (self.first, self.second))
        return as_float(a) * as_float(b)
