"""Scaling by a rate."""

from dataclasses import KW_ONLY

import jax

from gradtx._tools import Real
from gradtx.core import At, LearningRate, Rule, Slots, Updated, as_transformation


class ScaleByLearningRate(Rule):
    """Scales by the negative learning rate, u = -η·g: the step downhill, usually the last stage of a chain.

    Args:
        learning_rate: η ≥ 0; a number, a schedule or `tunable(number)`.
        flip_sign: Whether to negate. False gives u = η·g, a step uphill.

    optax has the same.

    >>> import gradtx as gx
    >>> gx.chain(gx.clip(1.0), gx.scale_by_learning_rate(gx.schedules.linear(0.1, 0.0, 100)))
    chain(clip(1.0), scale_by_learning_rate(linear(0.1, 0.0, 100)))
    """

    learning_rate: LearningRate
    _: KW_ONLY
    flip_sign: bool = True

    def update(self, g: jax.Array, slot: Slots, at: At) -> Updated:
        return (-self.learning_rate if self.flip_sign else self.learning_rate) * g, {}


class ScaleBySchedule(Rule):
    """Scales by a schedule, u = s(step)·g, where steps count from 0.

    The sign is not flipped: a descending chain needs a negative schedule, or `scale_by_learning_rate`.

    Args:
        schedule: s, a function from step to value, a number, or `tunable(number)`.

    optax has the same.

    >>> import gradtx as gx
    >>> gx.scale_by_schedule(gx.schedules.linear(-0.1, 0.0, 100))
    scale_by_schedule(linear(-0.1, 0.0, 100))
    """

    schedule: Real

    def update(self, g: jax.Array, slot: Slots, at: At) -> Updated:
        return self.schedule * g, {}


scale_by_learning_rate = as_transformation(ScaleByLearningRate)
scale_by_schedule = as_transformation(ScaleBySchedule)
