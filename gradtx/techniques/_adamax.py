"""AdaMax."""

from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core import (
    Decay,
    Hyper,
    NonNegative,
    Role,
    Rule,
    Selector,
    Slot,
    Transformation,
    as_transformation,
    magnitude,
    times_plus,
)
from gradtx.techniques._descend import WeightDecayMode, descend
from gradtx.techniques._moments import debias, ema, quotient, unbiased


class ScaleByAdamax(Rule):
    """μₜ = β₁·μₜ₋₁ + (1-β₁)·gₜ, νₜ = max(β₂·νₜ₋₁, |gₜ| + ε), u = μ̂ₜ / νₜ, with μ̂ₜ = μₜ / (1 - β₁ᵗ).

    With ε outside the maximum, νₜ = max(β₂·νₜ₋₁, |gₜ|) and u = μ̂ₜ / (νₜ + ε). Where that is 0/0, u = 0.

    Args:
        b1: β₁ in [0, 1).
        b2: β₂ in [0, 1).
        eps: ε ≥ 0.
        eps_inside_max: Which of the two places ε has.

    Source: Kingma & Ba 2015, arXiv:1412.6980, Algorithm 2, which has no ε. optax and PyTorch have it inside the
    maximum, Keras outside, with 1e-7.
    """

    b1: Decay = 0.9
    b2: Decay = 0.999
    eps: NonNegative = 1e-8
    eps_inside_max: bool = True

    slots = {"mu": Slot(Role.FIRST_MOMENT), "nu": Slot(Role.SECOND_MOMENT)}

    def prepare(self, at: Any) -> dict[str, jax.Array]:
        return {"debias": debias(self.b1, at.count)}

    def update(self, g: jax.Array, slot: Any, at: Any) -> tuple[jax.Array, dict[str, jax.Array]]:
        mu = ema(slot.mu, g, self.b1)
        nu = jnp.maximum(
            times_plus(self.b2, slot.nu, jnp.zeros_like(slot.nu)),
            magnitude(g) + (self.eps if self.eps_inside_max else 0.0),
        )
        norm = nu if self.eps_inside_max else nu + self.eps
        mu_hat = unbiased(mu, g, at.measured["debias"], at.count)
        return quotient(mu_hat, norm, self.eps), {"mu": mu, "nu": nu}


scale_by_adamax = as_transformation(ScaleByAdamax)


def adamax(
    learning_rate: Hyper,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-8,
    eps_inside_max: bool = True,
    weight_decay: Hyper = 0.0,
    weight_decay_mode: WeightDecayMode = "decoupled",
    mask: Selector | None = None,
) -> Transformation:
    """AdaMax: Adam with the largest recent gradient in the place of the mean square. See `scale_by_adamax`.

    Args:
        learning_rate: η ≥ 0; the paper's and PyTorch's default is 2e-3, Keras's 1e-3.
        b1: β₁ in [0, 1).
        b2: β₂ in [0, 1).
        eps: ε ≥ 0.
        eps_inside_max: Where ε stands: as optax and PyTorch have it, or (False) as Keras has it.
        weight_decay: λ ≥ 0.
        weight_decay_mode: Where λ·θ goes, see `adamw`.
        mask: A selector of the parameters that decay; None for all.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> tx = gx.adamax(0.1)
    >>> tx.update(jnp.array([1.0, -4.0]), tx.init(jnp.zeros(2)))[0]
    Array([-0.1,  0.1], dtype=float32)
    """
    return descend(
        scale_by_adamax(b1, b2, eps, eps_inside_max),
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        weight_decay_mode=weight_decay_mode,
        mask=mask,
    )
