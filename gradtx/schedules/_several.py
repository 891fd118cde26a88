"""Fields that hold numbers or schedules, and what they are at a step."""

from typing import Annotated, Any, TypeAlias

import jax
import jax.numpy as jnp

from gradtx._tools import Each, Interval
from gradtx.schedules._schedule import as_float, since


class Item:
    """The kind of a field that holds a schedule or a number."""

    def check(self, where: str, value: Any) -> Any:
        """The schedule, or the number as it is in other fields."""
        return value if callable(value) else Interval(hyper=False).check(where, value)


Numbers: TypeAlias = Annotated[Any, Each(Interval(hyper=False))]
"""Finite numbers."""
Boundaries: TypeAlias = Annotated[Any, Each(Interval(0, hyper=False), ascending=True)]
"""Steps ≥ 0 in ascending order."""
Part: TypeAlias = Annotated[Any, Item()]
"""A schedule or a number."""
Parts: TypeAlias = Annotated[Any, Each(Interval(hyper=False), callables=True)]
"""Schedules and numbers."""


def reached(step: Any, boundary: Any) -> jax.Array:
    """Whether `step` ≥ `boundary`, exactly where both are whole."""
    return (since(step, boundary) > 0) | (since(boundary, step) == 0)


def value_at(part: Any, step: Any) -> jax.Array:
    """The value of a schedule, or a number."""
    return as_float(part(step)) if callable(part) else jnp.broadcast_to(as_float(part), jnp.shape(step))
