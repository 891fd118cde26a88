"""Adam and AdamW."""

from typing import Any

import jax
import jax.numpy as jnp

from gradtx.conditioning import add_decayed_weights
from gradtx.core import Decay, Hyper, NonNegative, Role, Rule, Slot, Transformation, abs_sq, as_transformation, chain
from gradtx.techniques._learning_rate import scale_by_learning_rate
from gradtx.techniques._moments import debias, ema


class ScaleByAdam(Rule):
    """μₜ = β₁·μₜ₋₁ + (1-β₁)·gₜ, νₜ = β₂·νₜ₋₁ + (1-β₂)·gₜ², u = μ̂ₜ / (√(ν̂ₜ + ε₀) + ε).

    The hats are bias corrections: μ̂ₜ = μₜ / (1 - β₁ᵗ), ν̂ₜ = νₜ / (1 - β₂ᵗ).

    Args:
        b1: β₁ in [0, 1).
        b2: β₂ in [0, 1).
        eps: ε ≥ 0, outside the root.
        eps_root: ε₀ ≥ 0, under the root; more than 0 where one differentiates through the update.

    Source: Kingma & Ba 2015, arXiv:1412.6980, Algorithm 1, with its defaults. The same in optax and PyTorch; Keras has
    the paper's ε̂, that is ε / √(1 - β₂ᵗ) in the place of ε.
    """

    b1: Decay = 0.9
    b2: Decay = 0.999
    eps: NonNegative = 1e-8
    eps_root: NonNegative = 0.0

    slots = {"mu": Slot(Role.FIRST_MOMENT), "nu": Slot(Role.SECOND_MOMENT)}

    def prepare(self, at: Any) -> dict[str, jax.Array]:
        return {"debias1": debias(self.b1, at.count), "debias2": debias(self.b2, at.count)}

    def update(self, g: jax.Array, slot: Any, at: Any) -> tuple[jax.Array, dict[str, jax.Array]]:
        mu = ema(slot.mu, g, self.b1)
        nu = ema(slot.nu, abs_sq(g), self.b2)
        # The average of one value is that value, without the roundings of (1-β)·g / (1-β).
        mu_hat = jnp.where(at.count == 1, g, mu * at.measured["debias1"])
        nu_hat = jnp.where(at.count == 1, abs_sq(g), nu * at.measured["debias2"])
        return mu_hat / (jnp.sqrt(nu_hat + self.eps_root) + self.eps), {"mu": mu, "nu": nu}


scale_by_adam = as_transformation(ScaleByAdam)


def adam(
    learning_rate: Hyper, b1: Hyper = 0.9, b2: Hyper = 0.999, eps: Hyper = 1e-8, eps_root: Hyper = 0.0
) -> Transformation:
    """Adam: averaged gradients divided by the root of averaged squares. See `scale_by_adam` for the equation.

    Args:
        learning_rate: η ≥ 0.
        b1: β₁ in [0, 1).
        b2: β₂ in [0, 1).
        eps: ε ≥ 0, outside the root.
        eps_root: ε₀ ≥ 0, under the root.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> tx = gx.adam(0.1)
    >>> u, state = tx.update(jnp.array([1.0, -4.0]), tx.init(jnp.zeros(2)))
    >>> u
    Array([-0.1,  0.1], dtype=float32)
    """
    return chain(scale_by_adam(b1, b2, eps, eps_root), scale_by_learning_rate(learning_rate))


def adamw(
    learning_rate: Hyper,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-8,
    eps_root: Hyper = 0.0,
    weight_decay: Hyper = 1e-4,
) -> Transformation:
    """Adam with decoupled weight decay: u = -η·(adam(g) + λ·θ).

    Args:
        learning_rate: η ≥ 0; it scales the decay too.
        b1: β₁ in [0, 1).
        b2: β₂ in [0, 1).
        eps: ε ≥ 0, outside the root.
        eps_root: ε₀ ≥ 0, under the root.
        weight_decay: λ ≥ 0. 1e-4 is optax's default; PyTorch's is 1e-2, Keras's 4e-3.

    Source: Loshchilov & Hutter 2019, arXiv:1711.05101. The same in optax and PyTorch; the paper's λ is this η·λ.

    >>> import gradtx as gx
    >>> gx.adamw(1e-3, weight_decay=0.01)
    chain(scale_by_adam(), add_decayed_weights(0.01), scale_by_learning_rate(0.001))
    """
    return chain(
        scale_by_adam(b1, b2, eps, eps_root),
        add_decayed_weights(weight_decay),
        scale_by_learning_rate(learning_rate),
    )
