"""Adam, AMSGrad and AdamW."""

from typing import Any, Literal

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
    abs_sq,
    as_transformation,
    is_zero,
    root,
)
from gradtx.techniques._descend import WeightDecayMode, descend
from gradtx.techniques._moments import ema, ema_of_squares, quotient, weights

AmsGrad = Literal["raw", "corrected"]
"""Which second moment AMSGrad keeps the maximum of: νₜ, which is corrected afterwards, or ν̂ₜ."""


class ScaleByAdam(Rule):
    """μₜ = β₁·μₜ₋₁ + (1-β₁)·gₜ, νₜ = β₂·νₜ₋₁ + (1-β₂)·gₜ², u = μ̂ₜ / (√(ν̂ₜ + ε₀) + ε).

    The hats are bias corrections: μ̂ₜ = μₜ / (1 - β₁ᵗ), ν̂ₜ = νₜ / (1 - β₂ᵗ). With `eps_hat`, ε joins the uncorrected
    root: u = μ̂ₜ·√(1 - β₂ᵗ) / (√νₜ + ε), that is ε / √(1 - β₂ᵗ) in the place of ε. With `amsgrad`, the largest second
    moment so far takes the place of the present one. Where a β varies, βᵗ is the power of its present value, as in
    PyTorch, Keras and optax, and not the product of all so far.

    Args:
        b1: β₁ in [0, 1).
        b2: β₂ in [0, 1).
        eps: ε ≥ 0, outside the root.
        eps_root: ε₀ ≥ 0, under the root.
        eps_hat: Whether ε is the paper's ε̂.
        amsgrad: "raw" for max νₜ / (1 - β₂ᵗ), "corrected" for max ν̂ₜ, None for Adam.

    Sources: Kingma & Ba 2015, arXiv:1412.6980, Algorithm 1, with its defaults, ε̂ from the end of its §2; Reddi et al.
    2018, arXiv:1904.09237, where neither moment is corrected. Adam is the same in optax and PyTorch; Keras has ε̂, of
    1e-7. AMSGrad is "corrected" in optax, "raw" in PyTorch, "raw" with ε̂ in Keras.
    """

    b1: Decay = 0.9
    b2: Decay = 0.999
    eps: NonNegative = 1e-8
    eps_root: NonNegative = 0.0
    eps_hat: bool = False
    amsgrad: AmsGrad | None = None

    slots = {
        "mu": Slot(Role.FIRST_MOMENT),
        "nu": Slot(Role.SECOND_MOMENT),
        "nu_max": Slot(Role.SECOND_MOMENT, when="amsgrad"),
    }

    def prepare(self, at: Any) -> dict[str, Any]:
        """What the average of all steps' weights, w₁ = 1 - β₁ᵗ and w₂ = 1 - β₂ᵗ, makes of the divisor.

        u = μ / (√(ν + ε₀·w₂)·w₁/√w₂ + ε·w₁): one product an element, and its rounding and the sum's may be one.
        """
        w1, w2 = weights(self.b1, at.count), weights(self.b2, at.count)
        root_w2 = jnp.sqrt(w2)
        if self.amsgrad == "corrected":
            eps = self.eps / root_w2 if self.eps_hat else self.eps
            return {"factor": w1, "eps": eps * w1, "eps_root": self.eps_root, "debias": 1 / w2}
        # It ends in a root, as the compiler would repeat a product for every parameter.
        factor = jnp.sqrt(w1 * (w1 / w2))
        eps = factor * self.eps if self.eps_hat else factor * (root_w2 * self.eps)
        return {"factor": factor, "eps": eps, "eps_root": self.eps_root * w2}

    def update(self, g: jax.Array, slot: Any, at: Any) -> tuple[jax.Array, dict[str, jax.Array]]:
        mu = ema(slot.mu, g, self.b1)
        nu = largest = ema_of_squares(slot.nu, abs_sq(g), self.b2)
        new = {"mu": mu, "nu": nu}
        if self.amsgrad is not None:
            debias = at.measured["debias"] if self.amsgrad == "corrected" else 1.0
            largest = new["nu_max"] = jnp.maximum(slot.nu_max, nu * debias)
        if not is_zero(self.eps_root):
            largest = largest + at.measured["eps_root"]
        return quotient(mu, root(largest) * at.measured["factor"] + at.measured["eps"], self.eps), new


scale_by_adam = as_transformation(ScaleByAdam)


def adam(
    learning_rate: Hyper,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-8,
    eps_root: Hyper = 0.0,
    eps_hat: bool = False,
    amsgrad: AmsGrad | None = None,
    weight_decay: Hyper = 0.0,
    weight_decay_mode: WeightDecayMode = "decoupled",
    mask: Selector | None = None,
) -> Transformation:
    """Adam: averaged gradients divided by the root of averaged squares. See `scale_by_adam` for the equation.

    Args:
        learning_rate: η ≥ 0.
        b1: β₁ in [0, 1).
        b2: β₂ in [0, 1).
        eps: ε ≥ 0, outside the root.
        eps_root: ε₀ ≥ 0, under the root.
        eps_hat: Whether ε is the paper's ε̂, as in Keras.
        amsgrad: "raw" as in PyTorch and Keras, "corrected" as in optax, None for Adam.
        weight_decay: λ ≥ 0.
        weight_decay_mode: Where λ·θ goes, see `adamw`.
        mask: A selector of the parameters that decay; None for all.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> tx = gx.adam(0.1)
    >>> u, state = tx.update(jnp.array([1.0, -4.0]), tx.init(jnp.zeros(2)))
    >>> u
    Array([-0.1,  0.1], dtype=float32)
    """
    return descend(
        scale_by_adam(b1, b2, eps, eps_root, eps_hat, amsgrad),
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        weight_decay_mode=weight_decay_mode,
        mask=mask,
    )


def adamw(
    learning_rate: Hyper,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-8,
    eps_root: Hyper = 0.0,
    eps_hat: bool = False,
    amsgrad: AmsGrad | None = None,
    weight_decay: Hyper = 1e-4,
    weight_decay_mode: WeightDecayMode = "decoupled",
    mask: Selector | None = None,
) -> Transformation:
    """Adam with decoupled weight decay: u = -η·(d(g) + λ·θ), where d(g) is Adam's direction, see `scale_by_adam`.

    The modes of weight decay, which the other optimizers have too, each with its d:

    - "decoupled": θ' = θ - η·(d(g) + λ·θ), decay times the rate, before the step;
    - "after": θ' = (1 - η·λ)·(θ - η·d(g)), after the step;
    - "independent": θ' = θ - η·d(g) - λ·θ; where the rate varies, give λ the schedule that it is to follow;
    - "cautious": θ' = θ - η·(d(g) + λ·θ·[d(g)·θ ≥ 0]), only where the step goes towards zero [arXiv:2510.12402];
    - "coupled": θ' = θ - η·d(g + λ·θ), L2 regularisation.

    Args:
        learning_rate: η ≥ 0; it scales the decay too.
        b1: β₁ in [0, 1).
        b2: β₂ in [0, 1).
        eps: ε ≥ 0, outside the root.
        eps_root: ε₀ ≥ 0, under the root.
        eps_hat: Whether ε is the paper's ε̂, as in Keras.
        amsgrad: "raw" as in PyTorch and Keras, "corrected" as in optax, None for AdamW.
        weight_decay: λ ≥ 0. 1e-4 is optax's default; PyTorch's is 1e-2, Keras's 4e-3.
        weight_decay_mode: One of the above.
        mask: A selector of the parameters that decay, such as `matrices_only`; None for all.

    Source: Loshchilov & Hutter 2019, arXiv:1711.05101. The same in optax, PyTorch and, with ε̂, Keras; the paper's λ is
    this η·λ, or λ of the independent mode.

    >>> import gradtx as gx
    >>> gx.adamw(1e-3, weight_decay=0.01)
    chain(scale_by_adam(), add_decayed_weights(0.01), scale_by_learning_rate(0.001))
    """
    return descend(
        scale_by_adam(b1, b2, eps, eps_root, eps_hat, amsgrad),
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        weight_decay_mode=weight_decay_mode,
        mask=mask,
    )
