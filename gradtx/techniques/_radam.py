"""RAdam."""

import math
from dataclasses import KW_ONLY
from typing import Any, Unpack

import jax
import jax.numpy as jnp

from gradtx._tools import Bound, Decay, NonNegative, abs_sq, root
from gradtx.core import At, Hyper, Role, Rule, Slot, Slots, Transformation, Updated, as_transformation
from gradtx.techniques._moments import debias, ema, ema_of_squares, quotient, unbiased
from gradtx.techniques._optimizer import WeightDecay, framed, optimizer


class ScaleByRadam(Rule):
    """Corrects Adam's direction for the variance of its second moment, and omits that moment at first.

    u = rₜ·μ̂ₜ / (√ν̂ₜ + ε) if ρₜ > s, and u = μ̂ₜ before, with Adam's μ̂ₜ and ν̂ₜ, where
    ρₜ = ρ∞ - 2t·β₂ᵗ / (1 - β₂ᵗ), ρ∞ = 2 / (1-β₂) - 1, rₜ² = (ρₜ-4)(ρₜ-2)·ρ∞ / ((ρ∞-4)(ρ∞-2)·ρₜ).

    Args:
        b1: β₁ in [0, 1).
        b2: β₂ in [0, 1).
        eps: ε ≥ 0.
        threshold: s ≥ 4, the length of the average above which the direction is corrected.
        eps_hat: Whether ε is added to √νₜ, as in PyTorch, or to √ν̂ₜ, as in optax.

    Source: Liu et al. 2020, arXiv:1908.03265, Algorithm 2, where s = 4 and ε = 0. optax and PyTorch have s = 5. optax
    takes `eps_root` before `threshold`; gradtx has none.
    """

    b1: Decay = 0.9
    b2: Decay = 0.999
    eps: NonNegative = 1e-8
    _: KW_ONLY
    threshold: Bound = 5.0
    eps_hat: bool = False

    idle = {"eps": "b2", "threshold": "b2", "eps_hat": ("eps", "b2")}
    slots = {"mu": Slot(Role.FIRST_MOMENT), "nu": Slot(Role.SECOND_MOMENT)}

    def prepare(self, at: At) -> dict[str, jax.Array]:
        debias2 = debias(self.b2, at.count)
        rho, limit = _length(self.b2, at.count), 2 / (1 - self.b2) - 1
        certain = rho > self.threshold
        # Before the threshold the factors may be 0 or negative. They are not used.
        safe = jnp.where(certain, rho, 5.0)
        square = (safe - 4) * (safe - 2) * limit / ((limit - 4) * (limit - 2) * safe)
        eps = {"eps": self.eps * jnp.sqrt(debias2)} if self.eps_hat else {}
        return {
            "debias1": debias(self.b1, at.count),
            "debias2": debias2,
            "certain": certain,
            "rectification": jnp.sqrt(jnp.where(certain, square, 1.0)),
        } | eps

    def update(self, g: jax.Array, slot: Slots, at: At) -> Updated:
        mu = ema(slot.mu, g, self.b1)
        nu = ema_of_squares(slot.nu, abs_sq(g), self.b2)
        mu_hat = unbiased(mu, g, at.measured["debias1"], at.count)
        divisor = root(nu * at.measured["debias2"]) + (at.measured["eps"] if self.eps_hat else self.eps)
        rectified = quotient(at.measured["rectification"] * mu_hat, divisor, self.eps)
        return jnp.where(at.measured["certain"], rectified, mu_hat), {"mu": mu, "nu": nu}


scale_by_radam = as_transformation(ScaleByRadam)


@optimizer(ScaleByRadam)
def radam(
    learning_rate: Hyper,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-8,
    *,
    threshold: Hyper = 5.0,
    eps_hat: bool = False,
    **decay: Unpack[WeightDecay],
) -> Transformation:
    """RAdam is Adam that first waits until its second moment is reliable. `scale_by_radam` has the equation.

    Args:
        learning_rate: η ≥ 0; PyTorch has 1e-3.

    >>> import gradtx as gx
    >>> gx.radam(1e-3)
    chain(scale_by_radam(), scale_by_learning_rate(0.001))
    """
    return framed(learning_rate, scale_by_radam(b1, b2, eps, threshold=threshold, eps_hat=eps_hat), **decay)


def _length(b: Any, count: jax.Array) -> jax.Array:
    """The length ρₜ of the average. The equation itself subtracts two numbers a thousand times larger than ρₜ.

    With β = e^-λ and x = λt, 2t·βᵗ / (1 - βᵗ) = (2/λ)·x / (eˣ - 1), whose series in x begins with 2/λ - t; so
    ρₜ = (2/(1-β) - 1 - 2/λ) + t·(1 - x/6 + x³/360 - …). The bracket is small too, about (1-β)/6.
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
