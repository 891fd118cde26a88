"""AdaGrad."""

from typing import Any

import jax

from gradtx.core import (
    Hyper,
    NonNegative,
    Role,
    Rule,
    Selector,
    Slot,
    Stateful,
    Transformation,
    Tunable,
    abs_sq,
    as_transformation,
    is_zero,
    root,
)
from gradtx.schedules import inverse_time_decay, product
from gradtx.techniques._descend import WeightDecayMode, descend
from gradtx.techniques._moments import quotient


class ScaleByRss(Rule):
    """νₜ = νₜ₋₁ + gₜ², u = gₜ / √(νₜ + ε); with ε outside the root, u = gₜ / (√νₜ + ε). Where that is 0/0, u = 0.

    Args:
        initial_accumulator_value: ν₀ ≥ 0.
        eps: ε ≥ 0.
        eps_inside_sqrt: Which of the two places ε has.

    Source: Duchi, Hazan & Singer 2011. ν₀ = 0.1 and ε = 1e-7 inside the root are optax's and Keras's; PyTorch has
    ν₀ = 0 and ε = 1e-10 outside.
    """

    initial_accumulator_value: NonNegative = 0.1
    eps: NonNegative = 1e-7
    eps_inside_sqrt: bool = True

    slots = {"nu": Slot(Role.SECOND_MOMENT, fill="initial_accumulator_value")}

    def update(self, g: jax.Array, slot: Any, at: Any) -> tuple[jax.Array, dict[str, jax.Array]]:
        nu = slot.nu + abs_sq(g)
        divisor = root(nu + self.eps) if self.eps_inside_sqrt else root(nu) + self.eps
        return quotient(g, divisor, self.eps), {"nu": nu}


scale_by_rss = as_transformation(ScaleByRss)


def adagrad(
    learning_rate: Hyper,
    initial_accumulator_value: float = 0.1,
    eps: Hyper = 1e-7,
    eps_inside_sqrt: bool = True,
    learning_rate_decay: float = 0.0,
    weight_decay: Hyper = 0.0,
    weight_decay_mode: WeightDecayMode = "decoupled",
    mask: Selector | None = None,
) -> Transformation:
    """AdaGrad: gradients divided by the root of the sum of all their squares. See `scale_by_rss` for the equation.

    Args:
        learning_rate: η ≥ 0.
        initial_accumulator_value: ν₀ ≥ 0.
        eps: ε ≥ 0.
        eps_inside_sqrt: √(ν + ε), as optax and Keras have it, or √ν + ε, as PyTorch has it.
        learning_rate_decay: k ≥ 0, a rate of η / (1 + k·(t-1)), as PyTorch has it.
        weight_decay: λ ≥ 0.
        weight_decay_mode: Where λ·θ goes, see `adamw`.
        mask: A selector of the parameters that decay; None for all.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> tx = gx.adagrad(0.1, initial_accumulator_value=0.0, eps=0.0)
    >>> tx.update(jnp.array([1.0, -4.0]), tx.init(jnp.zeros(2)))[0]
    Array([-0.1,  0.1], dtype=float32)
    """
    return descend(
        scale_by_rss(initial_accumulator_value, eps, eps_inside_sqrt),
        learning_rate=_decaying(learning_rate, learning_rate_decay),
        weight_decay=weight_decay,
        weight_decay_mode=weight_decay_mode,
        mask=mask,
    )


def _decaying(rate: Hyper, decay: Any) -> Hyper:
    """η / (1 + k·(t-1)) as one rate, so that whatever is scaled by the rate decays with it."""
    if is_zero(decay):
        return rate
    if isinstance(rate, Tunable):
        raise ValueError(
            "adagrad: learning_rate_decay needs a learning rate that is a number or a schedule, got "
            f"{rate}; chain scale_by_schedule(inverse_time_decay(1.0, 1, {decay})) instead"
        )
    if isinstance(rate, Stateful):
        return rate.starting(lambda start: _decaying(start, decay))
    if callable(rate):
        return product(rate, inverse_time_decay(1.0, 1, decay))
    return inverse_time_decay(rate, 1, decay)
