"""RMSProp."""

from dataclasses import KW_ONLY
from typing import Unpack

import jax
import jax.numpy as jnp

from gradtx._tools import Fraction, NonNegative, abs_sq, root, times_plus
from gradtx.core import At, Hyper, Role, Rule, Slot, Slots, Transformation, Updated, as_transformation
from gradtx.techniques._moments import debias, ema, ema_of_squares, quotient
from gradtx.techniques._optimizer import MomentumForm, WeightDecay, framed, optimizer


class ScaleByRms(Rule):
    """Divides the gradient by the root of a running mean of squared gradients.

    νₜ = ρ·νₜ₋₁ + (1-ρ)·gₜ², u = gₜ / √(νₜ + ε), or u = gₜ / (√νₜ + ε) with ε outside the root. With `bias_correction`,
    averages are divided by wₜ = 1 - ρᵗ. With `centered`, the variance νₜ - μₜ² takes the place of νₜ, where
    μₜ = ρ·μₜ₋₁ + (1-ρ)·gₜ. The slot `nu` then holds the variance, by a recursion in which nothing cancels:
    νₜ = ρ·νₜ₋₁ + ρ·(1-ρ)·(gₜ - μₜ₋₁)², or, corrected, νₜ = ρ·νₜ₋₁ + ρ·(1-ρ)·wₜ₋₁/wₜ·(gₜ - μₜ₋₁/wₜ₋₁)².

    Args:
        decay: ρ in [0, 1].
        eps: ε ≥ 0.
        initial_scale: ν₀ ≥ 0.
        eps_inside_sqrt: √(ν + ε), as in optax and Keras, or √ν + ε, as in PyTorch.
        bias_correction: Whether averages are divided by 1 - ρᵗ. If ρ varies, ρᵗ is the power of its present value.
        centered: Whether to divide by the standard deviation [Graves 2013, arXiv:1308.0850, (38-45)].

    Source: Tieleman & Hinton 2012, lecture 6e, where ρ = 0.9. optax has ε = 1e-8, Keras ε = 1e-7, PyTorch ρ = 0.99.
    TensorFlow 1 started at ν₀ = 1.
    """

    decay: Fraction = 0.9
    eps: NonNegative = 1e-8
    initial_scale: NonNegative = 0.0
    eps_inside_sqrt: bool = True
    bias_correction: bool = False
    _: KW_ONLY
    centered: bool = False

    idle = {"eps_inside_sqrt": "eps", "initial_scale": "decay", "bias_correction": "decay"}
    slots = {
        "nu": Slot(Role.SECOND_MOMENT, fill="initial_scale"),
        "mu": Slot(Role.FIRST_MOMENT, when="centered"),
    }

    def prepare(self, at: At) -> dict[str, jax.Array]:
        if not self.bias_correction:
            return {}
        now, before = debias(self.decay, at.count), debias(self.decay, jnp.maximum(at.count - 1, 1))
        return {"debias": now, "before": before, "ratio": jnp.where(at.count > 1, now / before, 0.0)}

    def update(self, g: jax.Array, slot: Slots, at: At) -> Updated:
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


@optimizer(ScaleByRms)
def rmsprop(
    learning_rate: Hyper,
    decay: Hyper = 0.9,
    eps: Hyper = 1e-8,
    initial_scale: float = 0.0,
    eps_inside_sqrt: bool = True,
    centered: bool = False,
    momentum: Hyper | None = None,
    nesterov: bool = False,
    bias_correction: bool = False,
    *,
    momentum_form: MomentumForm = "heavy_ball",
    **weight_decay: Unpack[WeightDecay],
) -> Transformation:
    """RMSProp divides gradients by the root of a running mean of their squares. `scale_by_rms` has the equation.

    >>> import gradtx as gx
    >>> gx.rmsprop(0.01, momentum=0.9)
    chain(scale_by_rms(), trace(0.9), scale_by_learning_rate(0.01))
    """
    direction = scale_by_rms(decay, eps, initial_scale, eps_inside_sqrt, bias_correction, centered=centered)
    return framed(
        learning_rate, direction, momentum=momentum, nesterov=nesterov, momentum_form=momentum_form, **weight_decay
    )
