"""AdaGrad."""

from dataclasses import KW_ONLY
from typing import Annotated, Unpack

import jax

from gradtx._tools import Interval, NonNegative, abs_sq, is_zero, root
from gradtx.core import (
    At,
    Hyper,
    PerGroup,
    Role,
    Rule,
    Slot,
    Slots,
    Stateful,
    Transformation,
    Tunable,
    Updated,
    as_transformation,
)
from gradtx.schedules import inverse_time_decay, product
from gradtx.techniques._moments import quotient
from gradtx.techniques._optimizer import WeightDecay, framed, optimizer


class ScaleByRss(Rule):
    """Divides the gradient by the root of the sum of all squared gradients.

    νₜ = νₜ₋₁ + gₜ², u = gₜ / √(νₜ + ε), or u = gₜ / (√νₜ + ε) with ε outside the root. If that is 0/0, u = 0.

    Args:
        initial_accumulator_value: ν₀ ≥ 0.
        eps: ε ≥ 0.
        eps_inside_sqrt: √(ν + ε), as in optax and Keras, or √ν + ε, as in PyTorch.

    Source: Duchi, Hazan & Singer 2011. optax and Keras have ν₀ = 0.1 and ε = 1e-7 inside the root; PyTorch has
    ν₀ = 0 and ε = 1e-10 outside the root.
    """

    initial_accumulator_value: NonNegative = 0.1
    eps: NonNegative = 1e-7
    _: KW_ONLY
    eps_inside_sqrt: bool = True

    idle = {"eps_inside_sqrt": "eps"}

    slots = {"nu": Slot(Role.SECOND_MOMENT, fill="initial_accumulator_value")}

    def update(self, g: jax.Array, slot: Slots, at: At) -> Updated:
        nu = slot.nu + abs_sq(g)
        divisor = root(nu + self.eps) if self.eps_inside_sqrt else root(nu) + self.eps
        return quotient(g, divisor, self.eps), {"nu": nu}


scale_by_rss = as_transformation(ScaleByRss)


@optimizer(ScaleByRss)
def adagrad(
    learning_rate: Hyper,
    initial_accumulator_value: float = 0.1,
    eps: Hyper = 1e-7,
    *,
    eps_inside_sqrt: bool = True,
    learning_rate_decay: Annotated[float, Interval(0.0, hyper=False)] = 0.0,
    **decay: Unpack[WeightDecay],
) -> Transformation:
    """AdaGrad divides gradients by the root of the sum of all their squares. `scale_by_rss` has the equation.

    Args:
        learning_rate_decay: k ≥ 0, for a learning rate η / (1 + k·(t-1)), as in PyTorch.

    >>> import gradtx as gx
    >>> gx.adagrad(0.1, initial_accumulator_value=0.0)
    chain(scale_by_rss(initial_accumulator_value=0.0), scale_by_learning_rate(0.1))
    """
    direction = scale_by_rss(initial_accumulator_value, eps, eps_inside_sqrt=eps_inside_sqrt)
    return framed(_decaying(learning_rate, learning_rate_decay), direction, **decay)


def _decaying(rate: Hyper, decay: float) -> Hyper:
    """η / (1 + k·(t-1)) as one learning rate, so that weight decay follows it too."""
    if is_zero(decay):
        return rate
    if isinstance(rate, Tunable):
        raise ValueError(
            "adagrad: learning_rate_decay needs a learning rate that is a number or a schedule, got "
            f"{rate}; chain scale_by_schedule(schedules.inverse_time_decay(1.0, 1, {decay})) after adagrad instead"
        )
    if isinstance(rate, Stateful | PerGroup):
        return rate.starting(lambda start: _decaying(start, decay))
    if callable(rate):
        return product(rate, inverse_time_decay(1.0, 1, decay))
    return inverse_time_decay(rate, 1, decay)
