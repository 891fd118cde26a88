"""RMSProp."""

from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core import (
    Fraction,
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
    times_plus,
)
from gradtx.techniques._descend import MomentumForm, WeightDecayMode, descend
from gradtx.techniques._moments import debias, ema, ema_of_squares, quotient


class ScaleByRms(Rule):
    """νₜ = ρ·νₜ₋₁ + (1-ρ)·gₜ², u = gₜ / √(νₜ + ε); with ε outside the root, u = gₜ / (√νₜ + ε).

    With `bias_correction`, averages are divided by wₜ = 1 - ρᵗ. With `centered`, the variance νₜ - μₜ², where
    μₜ = ρ·μₜ₋₁ + (1-ρ)·gₜ, takes the place of νₜ. The slot ν then holds the variance itself, by the equal recursion
    νₜ = ρ·νₜ₋₁ + ρ·(1-ρ)·(gₜ - μₜ₋₁)², or, corrected, νₜ = ρ·νₜ₋₁ + ρ·(1-ρ)·wₜ₋₁/wₜ·(gₜ - μₜ₋₁/wₜ₋₁)²: nothing cancels.

    Args:
        decay: ρ in [0, 1].
        eps: ε ≥ 0.
        initial_scale: ν₀ ≥ 0.
        eps_inside_sqrt: Which of the two places ε has.
        centered: Divide by the deviation, not by the root of the mean square [Graves 2013, arXiv:1308.0850, (38-45)].
        bias_correction: Divide averages by 1 - ρᵗ first, where ρ varies that of its present value.

    Source: Tieleman & Hinton 2012, lecture 6e; ρ = 0.9 is theirs. optax and Keras have ε inside the root (1e-8 and
    1e-7), PyTorch outside with ρ = 0.99. TensorFlow 1 started at ν₀ = 1.
    """

    decay: Fraction = 0.9
    eps: NonNegative = 1e-8
    initial_scale: NonNegative = 0.0
    eps_inside_sqrt: bool = True
    centered: bool = False
    bias_correction: bool = False

    slots = {
        "nu": Slot(Role.SECOND_MOMENT, fill="initial_scale"),
        "mu": Slot(Role.FIRST_MOMENT, when="centered"),
    }

    def prepare(self, at: Any) -> dict[str, jax.Array]:
        if not self.bias_correction:
            return {}
        now, before = debias(self.decay, at.count), debias(self.decay, jnp.maximum(at.count - 1, 1))
        return {"debias": now, "before": before, "ratio": jnp.where(at.count > 1, now / before, 0.0)}

    def update(self, g: jax.Array, slot: Any, at: Any) -> tuple[jax.Array, dict[str, jax.Array]]:
        if self.centered:
            weight, mean = self.decay * (1 - self.decay), slot.mu
            if self.bias_correction:
                weight, mean = weight * at.measured["ratio"], mean * at.measured["before"]
            nu = times_plus(self.decay, slot.nu, weight * abs_sq(g - mean))
            new = {"nu": nu, "mu": ema(slot.mu, g, self.decay)}
        else:
            new = {"nu": ema_of_squares(slot.nu, abs_sq(g), self.decay)}
        nu = new["nu"] * at.measured["debias"] if self.bias_correction else new["nu"]
        divisor = root(nu + self.eps) if self.eps_inside_sqrt else root(nu) + self.eps
        return quotient(g, divisor, self.eps), new


scale_by_rms = as_transformation(ScaleByRms)


def rmsprop(
    learning_rate: Hyper,
    decay: Hyper = 0.9,
    eps: Hyper = 1e-8,
    initial_scale: float = 0.0,
    eps_inside_sqrt: bool = True,
    centered: bool = False,
    bias_correction: bool = False,
    momentum: Hyper | None = None,
    nesterov: bool = False,
    momentum_form: MomentumForm = "heavy_ball",
    weight_decay: Hyper = 0.0,
    weight_decay_mode: WeightDecayMode = "decoupled",
    mask: Selector | None = None,
) -> Transformation:
    """RMSProp: gradients divided by the root of a running mean of their squares. See `scale_by_rms` for the equation.

    Args:
        learning_rate: η ≥ 0.
        decay: ρ in [0, 1].
        eps: ε ≥ 0.
        initial_scale: ν₀ ≥ 0.
        eps_inside_sqrt: √(ν + ε), as optax and Keras have it, or √ν + ε, as PyTorch has it.
        centered: Divide by the deviation.
        bias_correction: Divide the averages by 1 - ρᵗ first.
        momentum: β in [0, 1]; None or 0 for none.
        nesterov: Look ahead by one step of the momentum.
        momentum_form: "heavy_ball", momentum before the rate, as PyTorch has it; "velocity", after the rate, as optax
            and Keras have it; or "average". See `trace`.
        weight_decay: λ ≥ 0.
        weight_decay_mode: Where λ·θ goes, see `adamw`.
        mask: A selector of the parameters that decay; None for all.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> tx = gx.rmsprop(0.01)
    >>> u, state = tx.update(jnp.array([1.0, -4.0]), tx.init(jnp.zeros(2)))
    >>> u
    Array([-0.0316,  0.0316], dtype=float32)
    """
    return descend(
        scale_by_rms(decay, eps, initial_scale, eps_inside_sqrt, centered, bias_correction),
        learning_rate=learning_rate,
        momentum=momentum,
        nesterov=nesterov,
        momentum_form=momentum_form,
        weight_decay=weight_decay,
        weight_decay_mode=weight_decay_mode,
        mask=mask,
    )
