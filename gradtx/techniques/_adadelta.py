"""Adadelta."""

from typing import Annotated, Any, Unpack

import jax

from gradtx._tools import Fraction, Interval, abs_sq, root
from gradtx.core import At, Hyper, Role, Rule, Slot, Slots, Transformation, Updated, as_transformation
from gradtx.techniques._moments import ema_of_squares, quotient
from gradtx.techniques._optimizer import WeightDecay, framed, optimizer


class ScaleByAdadelta(Rule):
    """Multiplies the gradient by the root mean square of past updates over that of the gradients.

    νₜ = ρ·νₜ₋₁ + (1-ρ)·gₜ², u = √(δₜ₋₁ + ε) / √(νₜ + ε)·gₜ, δₜ = ρ·δₜ₋₁ + (1-ρ)·u².

    Args:
        decay: ρ in [0, 1].
        eps: ε > 0. With ε = 0 every update would be 0, because δ₀ = 0.

    Source: Zeiler 2012, arXiv:1212.5701, Algorithm 1, with the defaults of optax and PyTorch; Keras has ρ = 0.95
    and ε = 1e-7. In all three, δ averages u before the learning rate.
    """

    decay: Fraction = 0.9
    eps: Annotated[Any, Interval(0.0, above=True)] = 1e-6

    slots = {"nu": Slot(Role.SECOND_MOMENT), "delta": Slot(Role.SECOND_MOMENT)}

    def update(self, g: jax.Array, slot: Slots, at: At) -> Updated:
        nu = ema_of_squares(slot.nu, abs_sq(g), self.decay)
        u = quotient(root(slot.delta + self.eps), root(nu + self.eps), self.eps) * g
        return u, {"nu": nu, "delta": ema_of_squares(slot.delta, abs_sq(u), self.decay)}


scale_by_adadelta = as_transformation(ScaleByAdadelta)


@optimizer(ScaleByAdadelta)
def adadelta(
    learning_rate: Hyper = 1.0, decay: Hyper = 0.9, eps: Hyper = 1e-6, **weight_decay: Unpack[WeightDecay]
) -> Transformation:
    """Adadelta steps in the units of the parameters, without a learning rate to tune.

    `scale_by_adadelta` has the equation. optax's weight decay is that of `weight_decay_mode="coupled"`.

    Args:
        learning_rate: η ≥ 0; 1 is the paper's algorithm, Keras has 1e-3.

    >>> import gradtx as gx
    >>> gx.adadelta()
    chain(scale_by_adadelta(), scale_by_learning_rate(1.0))
    """
    return framed(learning_rate, scale_by_adadelta(decay, eps), **weight_decay)
