"""Scaling by a rate."""

from typing import Any

import jax

from gradtx.core import LearningRate, Real, Rule, as_transformation


class ScaleByLearningRate(Rule):
    """u = -η·g: the step downhill, usually the last stage of a chain.

    Args:
        learning_rate: η ≥ 0; a number, a schedule or tunable.
        flip_sign: False gives u = η·g, a step uphill.

    The same in optax.

    >>> import gradtx as gx
    >>> gx.chain(gx.clip(1.0), gx.scale_by_learning_rate(gx.schedules.linear(0.1, 0.0, 100)))
    chain(clip(1.0), scale_by_learning_rate(linear(0.1, 0.0, 100)))
    """

    learning_rate: LearningRate
    flip_sign: bool = True

    def update(self, g: jax.Array, slot: Any, at: Any) -> tuple[jax.Array, dict[str, jax.Array]]:
        return (-self.learning_rate if self.flip_sign else self.learning_rate) * g, {}


class ScaleBySchedule(Rule):
    """u = s(step)·g, where step counts from 0. Mind the sign: a descending chain needs a negative schedule.

    Args:
        schedule: s; any callable step → value, or a number, or tunable.

    The same in optax. `scale_by_learning_rate` takes a schedule too, and flips the sign.
    """

    schedule: Real

    def update(self, g: jax.Array, slot: Any, at: Any) -> tuple[jax.Array, dict[str, jax.Array]]:
        return self.schedule * g, {}


scale_by_learning_rate = as_transformation(ScaleByLearningRate)
scale_by_schedule = as_transformation(ScaleBySchedule)
