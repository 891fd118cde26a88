"""AdaMax."""

from dataclasses import KW_ONLY
from typing import Unpack

import jax
import jax.numpy as jnp

from gradtx._tools import Decay, NonNegative, magnitude, times_plus
from gradtx.core import At, Hyper, Role, Rule, Slot, Slots, Transformation, Updated, as_transformation
from gradtx.techniques._moments import debias, ema, quotient, unbiased
from gradtx.techniques._optimizer import WeightDecay, framed, optimizer


class ScaleByAdamax(Rule):
    """Divides the average of the gradients by a decaying maximum of their magnitudes.

    μₜ = β₁·μₜ₋₁ + (1-β₁)·gₜ, νₜ = max(β₂·νₜ₋₁, |gₜ| + ε), u = μ̂ₜ / νₜ, with μ̂ₜ = μₜ / (1 - β₁ᵗ). With ε outside the
    maximum, νₜ = max(β₂·νₜ₋₁, |gₜ|) and u = μ̂ₜ / (νₜ + ε). If that is 0/0, u = 0.

    Args:
        b1: β₁ in [0, 1).
        b2: β₂ in [0, 1).
        eps: ε ≥ 0.
        eps_inside_max: Whether ε is inside the maximum, as in optax and PyTorch, or outside, as in Keras.

    Source: Kingma & Ba 2015, arXiv:1412.6980, Algorithm 2, which has no ε. Keras has ε = 1e-7.
    """

    b1: Decay = 0.9
    b2: Decay = 0.999
    eps: NonNegative = 1e-8
    _: KW_ONLY
    eps_inside_max: bool = True

    idle = {"eps_inside_max": ("eps", "b2")}
    slots = {"mu": Slot(Role.FIRST_MOMENT), "nu": Slot(Role.SECOND_MOMENT)}

    def prepare(self, at: At) -> dict[str, jax.Array]:
        return {"debias": debias(self.b1, at.count)}

    def update(self, g: jax.Array, slot: Slots, at: At) -> Updated:
        mu = ema(slot.mu, g, self.b1)
        nu = jnp.maximum(
            times_plus(self.b2, slot.nu, jnp.zeros_like(slot.nu)),
            magnitude(g) + (self.eps if self.eps_inside_max else 0.0),
        )
        norm = nu if self.eps_inside_max else nu + self.eps
        mu_hat = unbiased(mu, g, at.measured["debias"], at.count)
        return quotient(mu_hat, norm, self.eps), {"mu": mu, "nu": nu}


scale_by_adamax = as_transformation(ScaleByAdamax)


@optimizer(ScaleByAdamax)
def adamax(
    learning_rate: Hyper,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-8,
    *,
    eps_inside_max: bool = True,
    **decay: Unpack[WeightDecay],
) -> Transformation:
    """AdaMax is Adam with the largest recent gradient in the place of the root mean square. See `scale_by_adamax`.

    Args:
        learning_rate: η ≥ 0; the paper and PyTorch have 2e-3, Keras has 1e-3.

    >>> import gradtx as gx
    >>> gx.adamax(2e-3)
    chain(scale_by_adamax(), scale_by_learning_rate(0.002))
    """
    return framed(learning_rate, scale_by_adamax(b1, b2, eps, eps_inside_max=eps_inside_max), **decay)
