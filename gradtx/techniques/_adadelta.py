"""Adadelta."""

from typing import Any

import jax

from gradtx.core import (
    Fraction,
    Hyper,
    NonNegative,
    Role,
    Rule,
    Selector,
    Slot,
    Transformation,
    abs_sq,
    as_transformation,
    root,
)
from gradtx.techniques._descend import WeightDecayMode, descend
from gradtx.techniques._moments import ema_of_squares, quotient


class ScaleByAdadelta(Rule):
    """νₜ = ρ·νₜ₋₁ + (1-ρ)·gₜ², u = √(δₜ₋₁ + ε) / √(νₜ + ε)·gₜ, δₜ = ρ·δₜ₋₁ + (1-ρ)·u².

    Args:
        decay: ρ in [0, 1].
        eps: ε ≥ 0; with 0 nothing ever moves, as δ starts at 0.

    Source: Zeiler 2012, arXiv:1212.5701, Algorithm 1, with optax's and PyTorch's defaults; Keras has ρ = 0.95 and
    ε = 1e-7. δ averages u before the learning rate in all three.
    """

    decay: Fraction = 0.9
    eps: NonNegative = 1e-6

    slots = {"nu": Slot(Role.SECOND_MOMENT), "delta": Slot(Role.SECOND_MOMENT)}

    def update(self, g: jax.Array, slot: Any, at: Any) -> tuple[jax.Array, dict[str, jax.Array]]:
        nu = ema_of_squares(slot.nu, abs_sq(g), self.decay)
        u = quotient(root(slot.delta + self.eps), root(nu + self.eps), self.eps) * g
        return u, {"nu": nu, "delta": ema_of_squares(slot.delta, abs_sq(u), self.decay)}


scale_by_adadelta = as_transformation(ScaleByAdadelta)


def adadelta(
    learning_rate: Hyper = 1.0,
    decay: Hyper = 0.9,
    eps: Hyper = 1e-6,
    weight_decay: Hyper = 0.0,
    weight_decay_mode: WeightDecayMode = "decoupled",
    mask: Selector | None = None,
) -> Transformation:
    """Adadelta: steps in the units of the parameters, without a rate to tune. See `scale_by_adadelta` for the equation.

    Args:
        learning_rate: η ≥ 0; 1 is the paper's algorithm, Keras has 1e-3.
        decay: ρ in [0, 1].
        eps: ε ≥ 0.
        weight_decay: λ ≥ 0.
        weight_decay_mode: Where λ·θ goes, see `adamw`.
        mask: A selector of the parameters that decay; None for all.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> tx = gx.adadelta()
    >>> tx.update(jnp.array([1.0, -4.0]), tx.init(jnp.zeros(2)))[0]
    Array([-0.00316,  0.00316], dtype=float32)
    """
    return descend(
        scale_by_adadelta(decay, eps),
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        weight_decay_mode=weight_decay_mode,
        mask=mask,
    )
