"""Lion."""

from typing import Unpack

import jax
import jax.numpy as jnp

from gradtx._tools import Fraction
from gradtx.core import At, Hyper, Role, Rule, Slot, Slots, Transformation, Updated, as_transformation
from gradtx.techniques._moments import ema
from gradtx.techniques._optimizer import WeightDecay, framed, optimizer


class ScaleByLion(Rule):
    """Takes the sign of an average of the gradients.

    u = sign(β₁·μₜ₋₁ + (1-β₁)·gₜ), μₜ = β₂·μₜ₋₁ + (1-β₂)·gₜ.

    Args:
        b1: β₁ in [0, 1], of the average whose sign is taken.
        b2: β₂ in [0, 1], of the average in the state.

    Source: Chen et al. 2023, arXiv:2302.06675, Algorithm 2, with its defaults. optax and Keras agree; PyTorch has no
    Lion.
    """

    b1: Fraction = 0.9
    b2: Fraction = 0.99

    idle = {"b2": "b1"}
    slots = {"mu": Slot(Role.FIRST_MOMENT)}

    def update(self, g: jax.Array, slot: Slots, at: At) -> Updated:
        return jnp.sign(ema(slot.mu, g, self.b1)), {"mu": ema(slot.mu, g, self.b2)}


scale_by_lion = as_transformation(ScaleByLion)


@optimizer(ScaleByLion, weight_decay=1e-3)
def lion(learning_rate: Hyper, b1: Hyper = 0.9, b2: Hyper = 0.99, **decay: Unpack[WeightDecay]) -> Transformation:
    """Lion steps by the sign of an averaged gradient, with weight decay. `scale_by_lion` has the equation.

    Args:
        learning_rate: η ≥ 0; the paper recommends a third to a tenth of Adam's.
        weight_decay: λ ≥ 0; optax has 1e-3, Keras has none.

    >>> import gradtx as gx
    >>> gx.lion(1e-4)
    chain(scale_by_lion(), add_decayed_weights(0.001), scale_by_learning_rate(0.0001))
    """
    return framed(learning_rate, scale_by_lion(b1, b2), **decay)
