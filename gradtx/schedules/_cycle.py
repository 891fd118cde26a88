"""Schedules of the learning rate that come with a schedule of the momentum."""

from typing import Annotated, Self, TypeAlias

import jax
from jax.typing import ArrayLike

from gradtx._tools import Number
from gradtx.core import Interval
from gradtx.schedules._schedule import Schedule

Momentum: TypeAlias = Annotated[Number, Interval(0.0, 1.0, hyper=False)]
"""A number in [0, 1)."""


class Cycle(Schedule):
    """A schedule of the learning rate, with a schedule of the momentum that falls while the rate rises."""

    @property
    def learning_rate(self) -> Self:
        """This schedule."""
        return self

    @property
    def momentum(self) -> Schedule:
        """The schedule of the momentum, or of Adam's `b1`."""
        return CycleMomentum(self)

    def momentum_at(self, step: ArrayLike) -> jax.Array:
        """The momentum at a step."""
        raise NotImplementedError


class CycleMomentum(Schedule):
    """The momentum of a `Cycle`. It prints as the attribute of the cycle, such as `one_cycle(0.1, 100).momentum`."""

    cycle: Cycle

    def __call__(self, step: ArrayLike) -> jax.Array:
        return self.cycle.momentum_at(step)

    def __repr__(self) -> str:
        return f"{self.cycle!r}.momentum"
