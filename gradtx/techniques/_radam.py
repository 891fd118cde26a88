"""RAdam."""

import math
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core import (
    Bound,
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
    root,
)
from gradtx.techniques._descend import WeightDecayMode, descend
from gradtx.techniques._moments import debias, ema, ema_of_squares, quotient, unbiased


class ScaleByRadam(Rule):
    """u = rₜ·μ̂ₜ / (√ν̂ₜ + ε) where ρₜ > s, u = μ̂ₜ before, with Adam's μ̂ₜ and ν̂ₜ.

    ρₜ = ρ∞ - 2t·β₂ᵗ / (1 - β₂ᵗ), ρ∞ = 2 / (1-β₂) - 1, rₜ² = (ρₜ-4)(ρₜ-2)·ρ∞ / ((ρ∞-4)(ρ∞-2)·ρₜ).

    Args:
        b1: β₁ in [0, 1).
        b2: β₂ in [0, 1).
        eps: ε ≥ 0.
        threshold: s ≥ 4.
        eps_hat: Whether ε joins the uncorrected root, as in Adam's ε̂.

    Source: Liu et al. 2020, arXiv:1908.03265, Algorithm 2, which has s = 4 and no ε. optax and PyTorch have s = 5, and
    PyTorch has ε̂.
    """

    b1: Decay = 0.9
    b2: Decay = 0.999
    eps: NonNegative = 1e-8
    threshold: Bound = 5.0
    eps_hat: bool = False

    slots = {"mu": Slot(Role.FIRST_MOMENT), "nu": Slot(Role.SECOND_MOMENT)}

    def prepare(self, at: Any) -> dict[str, jax.Array]:
        debias2 = debias(self.b2, at.count)
        rho, limit = _length(self.b2, at.count), 2 / (1 - self.b2) - 1
        certain = rho > self.threshold
        # Where the variance is intractable the factors may be 0 or negative; they are not used.
        safe = jnp.where(certain, rho, 5.0)
        square = (safe - 4) * (safe - 2) * limit / ((limit - 4) * (limit - 2) * safe)
        eps = {"eps": self.eps * jnp.sqrt(debias2)} if self.eps_hat else {}
        return {
            "debias1": debias(self.b1, at.count),
            "debias2": debias2,
            "certain": certain,
            "rectification": jnp.sqrt(jnp.where(certain, square, 1.0)),
        } | eps

    def update(self, g: jax.Array, slot: Any, at: Any) -> tuple[jax.Array, dict[str, jax.Array]]:
        mu = ema(slot.mu, g, self.b1)
        nu = ema_of_squares(slot.nu, abs_sq(g), self.b2)
        mu_hat = unbiased(mu, g, at.measured["debias1"], at.count)
        divisor = root(nu * at.measured["debias2"]) + (at.measured["eps"] if self.eps_hat else self.eps)
        rectified = quotient(at.measured["rectification"] * mu_hat, divisor, self.eps)
        return jnp.where(at.measured["certain"], rectified, mu_hat), {"mu": mu, "nu": nu}


scale_by_radam = as_transformation(ScaleByRadam)


def radam(
    learning_rate: Hyper,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-8,
    threshold: Hyper = 5.0,
    eps_hat: bool = False,
    weight_decay: Hyper = 0.0,
    weight_decay_mode: WeightDecayMode = "decoupled",
    mask: Selector | None = None,
) -> Transformation:
    """RAdam: Adam that waits until its second moment is worth dividing by. See `scale_by_radam` for the equation.

    Args:
        learning_rate: η ≥ 0; PyTorch's default is 1e-3.
        b1: β₁ in [0, 1).
        b2: β₂ in [0, 1).
        eps: ε ≥ 0.
        threshold: s ≥ 4, how long an average it takes to rectify.
        eps_hat: Where ε stands: √ν̂ₜ + ε as in optax, or at √νₜ as in PyTorch.
        weight_decay: λ ≥ 0.
        weight_decay_mode: Where λ·θ goes, see `adamw`.
        mask: A selector of the parameters that decay; None for all.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> tx = gx.radam(0.1)
    >>> tx.update(jnp.array([1.0, -4.0]), tx.init(jnp.zeros(2)))[0]
    Array([-0.1,  0.4], dtype=float32)
    """
    return descend(
        scale_by_radam(b1, b2, eps, threshold, eps_hat),
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        weight_decay_mode=weight_decay_mode,
        mask=mask,
    )


def _length(b: Any, count: jax.Array) -> jax.Array:
    """ρₜ. Computed as it is written, it would be the difference of two numbers of a thousand times its size.

    With β = e^-λ and x = λt, 2t·βᵗ / (1 - βᵗ) = (2/λ)·x / (eˣ - 1), whose series in x begins with 2/λ - t; so
    ρₜ = (2/(1-β) - 1 - 2/λ) + t·(1 - x/6 + x³/360 - …), where the bracket is small too, about (1-β)/6.
    """
    if isinstance(b, jax.Array):
        rate = -jnp.log1p(b - 1)
        rest = 1 - b
        bracket = jnp.where(rest < 0.05, rest / 6 * (1 + rest / 2 + 19 * rest**2 / 60), 2 / rest - 1 - 2 / rate)
    elif b == 0:
        return jnp.ones_like(count, float)
    else:
        rate = -math.log(b)
        bracket = 2 / (1 - b) - 1 - 2 / rate
    t = jnp.asarray(count, float)
    x = rate * t
    # Four terms of the series are enough for 1e-7 of t where x < 1.
    series = t * (1 - x / 6 * (1 - x**2 / 60 * (1 - x**2 / 42 * (1 - x**2 / 40))))
    return bracket + jnp.where(x < 1, series, (2 / rate) * (1 - x / jnp.expm1(jnp.minimum(x, 80.0))))
