"""Lion."""

from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core import Fraction, Hyper, Role, Rule, Selector, Slot, Transformation, as_transformation
from gradtx.techniques._descend import WeightDecayMode, descend
from gradtx.techniques._moments import ema


class ScaleByLion(Rule):
    """u = sign(β₁·μₜ₋₁ + (1-β₁)·gₜ), μₜ = β₂·μₜ₋₁ + (1-β₂)·gₜ.

    Args:
        b1: β₁ in [0, 1], of the average whose sign is taken.
        b2: β₂ in [0, 1], of the average that is kept.

    Source: Chen et al. 2023, arXiv:2302.06675, Algorithm 2, with its defaults. The same in optax and Keras; PyTorch
    has no Lion.
    """

    b1: Fraction = 0.9
    b2: Fraction = 0.99

    slots = {"mu": Slot(Role.FIRST_MOMENT)}

    def update(self, g: jax.Array, slot: Any, at: Any) -> tuple[jax.Array, dict[str, jax.Array]]:
        return jnp.sign(ema(slot.mu, g, self.b1)), {"mu": ema(slot.mu, g, self.b2)}


scale_by_lion = as_transformation(ScaleByLion)


def lion(
    learning_rate: Hyper,
    b1: Hyper = 0.9,
    b2: Hyper = 0.99,
    weight_decay: Hyper = 1e-3,
    weight_decay_mode: WeightDecayMode = "decoupled",
    mask: Selector | None = None,
) -> Transformation:
    """Lion with decoupled weight decay: u = -η·(sign(…) + λ·θ). See `scale_by_lion` for the equation.

    Args:
        learning_rate: η ≥ 0; the paper advises a third to a tenth of Adam's.
        b1: β₁ in [0, 1].
        b2: β₂ in [0, 1].
        weight_decay: λ ≥ 0; 1e-3 is optax's default, Keras has none.
        weight_decay_mode: Where λ·θ goes, see `adamw`.
        mask: A selector of the parameters that decay; None for all.

    >>> import gradtx as gx
    >>> gx.lion(1e-4)
    chain(scale_by_lion(), add_decayed_weights(0.001), scale_by_learning_rate(0.0001))
    """
    return descend(
        scale_by_lion(b1, b2),
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        weight_decay_mode=weight_decay_mode,
        mask=mask,
    )
