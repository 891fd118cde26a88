"""Adam, AMSGrad and AdamW."""

from dataclasses import KW_ONLY
from typing import Any, Literal, Unpack

import jax
import jax.numpy as jnp

from gradtx._tools import Decay, NonNegative, abs_sq, is_zero, root
from gradtx.core import At, Hyper, Role, Rule, Slot, Slots, Transformation, Updated, as_transformation
from gradtx.techniques._moments import ema, ema_of_squares, quotient, weights
from gradtx.techniques._optimizer import WeightDecay, framed, optimizer, variant

AmsGrad = Literal["raw", "corrected"]
"""The second moment whose maximum AMSGrad keeps: νₜ, which is corrected afterwards, or ν̂ₜ."""


class ScaleByAdam(Rule):
    """Divides the average of the gradients by the root of the average of their squares.

    μₜ = β₁·μₜ₋₁ + (1-β₁)·gₜ, νₜ = β₂·νₜ₋₁ + (1-β₂)·gₜ², u = μ̂ₜ / (√(ν̂ₜ + ε₀) + ε), where the hats are bias
    corrections: μ̂ₜ = μₜ / (1 - β₁ᵗ), ν̂ₜ = νₜ / (1 - β₂ᵗ). If β varies, βᵗ is the power of its present value.

    Args:
        b1: β₁ in [0, 1).
        b2: β₂ in [0, 1).
        eps: ε ≥ 0, outside the root.
        eps_root: ε₀ ≥ 0, under the root.
        eps_hat: Whether ε is the paper's ε̂, as in Keras: u = μ̂ₜ·√(1 - β₂ᵗ) / (√νₜ + ε).
        amsgrad: Takes the largest second moment so far: "raw", max νₜ / (1 - β₂ᵗ), as in PyTorch and Keras;
            "corrected", max ν̂ₜ, as in optax.

    Sources: Kingma & Ba 2015, arXiv:1412.6980, Algorithm 1 and the end of §2 for ε̂; Reddi et al. 2018,
    arXiv:1904.09237, who correct neither moment. optax and PyTorch agree on Adam; Keras has ε̂ = 1e-7.
    """

    b1: Decay = 0.9
    b2: Decay = 0.999
    eps: NonNegative = 1e-8
    eps_root: NonNegative = 0.0
    _: KW_ONLY
    eps_hat: bool = False
    amsgrad: AmsGrad | None = None

    slots = {
        "mu": Slot(Role.FIRST_MOMENT),
        "nu": Slot(Role.SECOND_MOMENT),
        "nu_max": Slot(Role.SECOND_MOMENT, when="amsgrad"),
    }
    idle = {"eps_hat": ("eps", "b2")}

    def prepare(self, at: At) -> dict[str, Any]:
        """With w₁ = 1 - β₁ᵗ and w₂ = 1 - β₂ᵗ, u = μ / (√(ν + ε₀·w₂)·w₁/√w₂ + ε·w₁): one product an element."""
        w1, w2 = weights(self.b1, at.count), weights(self.b2, at.count)
        root_w2 = jnp.sqrt(w2)
        if self.amsgrad == "corrected":
            eps = self.eps / root_w2 if self.eps_hat else self.eps
            return {"factor": w1, "eps": eps * w1, "eps_root": self.eps_root, "debias": 1 / w2}
        factor = jnp.sqrt(w1 * (w1 / w2))  # a root last: the compiler would repeat a product for every parameter
        eps = factor * self.eps if self.eps_hat else factor * (root_w2 * self.eps)
        return {"factor": factor, "eps": eps, "eps_root": self.eps_root * w2}

    def update(self, g: jax.Array, slot: Slots, at: At) -> Updated:
        mu = ema(slot.mu, g, self.b1)
        nu = largest = ema_of_squares(slot.nu, abs_sq(g), self.b2)
        new = {"mu": mu, "nu": nu}
        if self.amsgrad is not None:
            largest = new["nu_max"] = jnp.maximum(slot.nu_max, nu * at.measured.get("debias", 1.0))
        if not is_zero(self.eps_root):
            largest = largest + at.measured["eps_root"]
        return quotient(mu, root(largest) * at.measured["factor"] + at.measured["eps"], self.eps), new


scale_by_adam = as_transformation(ScaleByAdam)


@optimizer(ScaleByAdam)
def adam(
    learning_rate: Hyper,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-8,
    eps_root: Hyper = 0.0,
    *,
    eps_hat: bool = False,
    amsgrad: AmsGrad | None = None,
    **decay: Unpack[WeightDecay],
) -> Transformation:
    """Adam divides averaged gradients by the root of averaged squares. `scale_by_adam` has the equation.

    >>> import gradtx as gx
    >>> gx.adam(1e-3)
    chain(scale_by_adam(), scale_by_learning_rate(0.001))
    """
    return framed(learning_rate, scale_by_adam(b1, b2, eps, eps_root, eps_hat=eps_hat, amsgrad=amsgrad), **decay)


adamw = variant(
    adam,
    "adamw",
    """AdamW is Adam with decoupled weight decay: u = -η·(d(g) + λ·θ), where d(g) is Adam's direction.

    Source: Loshchilov & Hutter 2019, arXiv:1711.05101, whose λ is this η·λ. PyTorch has λ = 1e-2, Keras 4e-3.

    >>> import gradtx as gx
    >>> gx.adamw(1e-3, weight_decay=0.01)
    chain(scale_by_adam(), add_decayed_weights(0.01), scale_by_learning_rate(0.001))
    """,
    weight_decay=1e-4,
)
