"""Schedules of the learning rate that bring one of the momentum along."""

from typing import Annotated, Any, Self, TypeAlias

import jax

from gradtx.core import Interval
from gradtx.schedules._schedule import Schedule

Momentum: TypeAlias = Annotated[Any, Interval(0.0, 1.0, hyper=False)]
"""A number in [0, 1)."""


class Cycle(Schedule):
    """A schedule of the learning rate, with a schedule of the momentum that falls where the rate rises."""

    @property
    def learning_rate(self) -> Self:
        """This schedule itself."""
        return self

    @property
    def momentum(self) -> Schedule:
        """The schedule of the momentum, or of Adam's `b1`."""
        return CycleMomentum(self)

    def momentum_at(self, step: Any) -> jax.Array:
        raise NotImplementedError


class CycleMomentum(Schedule):
    """What `momentum` of a `Cycle` is, and how it prints."""

    cycle: Any

    def __call__(self, step: Any) -> jax.Array:
        return self.cycle.momentum_at(step)

    def __repr__(self) -> str:
        return f"{self.cycle!r}.momentum"
