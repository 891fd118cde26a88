"""RMSProp."""

from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core import Decay, Hyper, NonNegative, Role, Rule, Slot, Transformation, abs_sq, as_transformation, chain
from gradtx.techniques._learning_rate import scale_by_learning_rate
from gradtx.techniques._moments import debias, ema


class ScaleByRms(Rule):
    """νₜ = ρ·νₜ₋₁ + (1-ρ)·gₜ², u = gₜ / √(νₜ + ε); with ε outside the root, u = gₜ / (√νₜ + ε).

    Args:
        decay: ρ in [0, 1).
        eps: ε ≥ 0.
        initial_scale: ν₀ ≥ 0.
        eps_inside_sqrt: Which of the two places ε has.
        bias_correction: Divide νₜ by 1 - ρᵗ first.

    Source: Tieleman & Hinton 2012, lecture 6e; ρ = 0.9 is theirs. optax and Keras have ε inside the root (1e-8 and
    1e-7), PyTorch outside with ρ = 0.99. TensorFlow 1 started at ν₀ = 1.
    """

    decay: Decay = 0.9
    eps: NonNegative = 1e-8
    initial_scale: NonNegative = 0.0
    eps_inside_sqrt: bool = True
    bias_correction: bool = False

    slots = {"nu": Slot(Role.SECOND_MOMENT, fill="initial_scale")}

    def prepare(self, at: Any) -> dict[str, jax.Array]:
        return {"debias": debias(self.decay, at.count)} if self.bias_correction else {}

    def update(self, g: jax.Array, slot: Any, at: Any) -> tuple[jax.Array, dict[str, jax.Array]]:
        nu = ema(slot.nu, abs_sq(g), self.decay)
        nu_hat = nu * at.measured["debias"] if self.bias_correction else nu
        root = jnp.sqrt(nu_hat + self.eps) if self.eps_inside_sqrt else jnp.sqrt(nu_hat) + self.eps
        return g / root, {"nu": nu}


scale_by_rms = as_transformation(ScaleByRms)


def rmsprop(
    learning_rate: Hyper,
    decay: Hyper = 0.9,
    eps: Hyper = 1e-8,
    initial_scale: float = 0.0,
    eps_inside_sqrt: bool = True,
    bias_correction: bool = False,
) -> Transformation:
    """RMSProp: gradients divided by the root of a running mean of their squares. See `scale_by_rms` for the equation.

    Args:
        learning_rate: η ≥ 0.
        decay: ρ in [0, 1).
        eps: ε ≥ 0.
        initial_scale: ν₀ ≥ 0.
        eps_inside_sqrt: √(ν + ε), as optax and Keras have it, or √ν + ε, as PyTorch has it.
        bias_correction: Divide νₜ by 1 - ρᵗ first.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> tx = gx.rmsprop(0.01)
    >>> u, state = tx.update(jnp.array([1.0, -4.0]), tx.init(jnp.zeros(2)))
    >>> u
    Array([-0.0316,  0.0316], dtype=float32)
    """
    return chain(
        scale_by_rms(decay, eps, initial_scale, eps_inside_sqrt, bias_correction),
        scale_by_learning_rate(learning_rate),
    )
