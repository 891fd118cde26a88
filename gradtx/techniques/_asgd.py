"""Averaged gradient descent."""

from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core import LearningRate, NonNegative, Real, Role, Rule, Slot, as_transformation, times_plus


class Asgd(Rule):
    """u = -ηₜ·(gₜ + λ·θ), ηₜ₊₁ = η / (1 + λ·η·t)^α, η₁ = η; the slot `average` becomes the mean of θ after step t₀.

    āₜ = āₜ₋₁ + (θₜ₊₁ - āₜ₋₁) / max(1, t - 1 - t₀), so that up to t₀ the average is the parameter itself.

    Args:
        learning_rate: η ≥ 0. The rate of a step is computed at the end of the step before, as in PyTorch: a schedule
            acts one step late.
        lambd: λ ≥ 0, decay of the parameters and of the rate.
        alpha: α, the power of the rate's decay.
        t0: t₀, the step at which to start averaging. PyTorch's default, 1e6, is for long runs.

    Sources: Polyak & Juditsky 1992; the rate's decay as in Bottou 2010. The same as PyTorch's; neither optax nor Keras
    has it. `evaluation_params` gives the averaged parameters, the ones to use in the end.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> tx, params = gx.asgd(0.5, t0=0), jnp.array([1.0])
    >>> state = tx.init(params)
    >>> for _ in range(3):
    ...     params, state = gx.apply_gradients(tx, 2 * params - 1, state, params)
    >>> gx.evaluation_params(tx, state, params)
    Array([0.5], dtype=float32)
    """

    learning_rate: LearningRate = 1e-2
    lambd: NonNegative = 1e-4
    alpha: Real = 0.75
    t0: Real = 1e6

    slots = {
        "average": Slot(Role.AVERAGE, fill="param"),
        "eta": Slot(Role.SCALAR, dtype=float),
    }
    needs = frozenset({"param"})

    def prepare(self, at: Any) -> dict[str, jax.Array]:
        t = jnp.asarray(at.count, float)
        return {
            "rate": jnp.where(at.count == 1, self.learning_rate, at.scalars["eta"]),
            "share": 1 / jnp.maximum(1.0, t - 1 - self.t0),
            "eta": _decayed(self.learning_rate, self.lambd, self.alpha, t),
        }

    def update(self, g: jax.Array, slot: Any, at: Any) -> tuple[jax.Array, dict[str, jax.Array]]:
        u = -at.measured["rate"] * times_plus(self.lambd, at.param, g)
        new, share = at.param + u, at.measured["share"]
        average = jnp.where(share == 1, new, slot.average + (new - slot.average) * share)
        return u, {"average": average}

    def evaluated(self, param: jax.Array, slot: Any, at: Any) -> jax.Array:
        return slot.average


asgd = as_transformation(Asgd)


def _decayed(rate: Any, lambd: Any, alpha: Any, t: jax.Array) -> jax.Array:
    """η / (1 + λ·η·t)^α, which mostly is a little less than η: the little keeps its digits, and η its precision."""
    log = -alpha * jnp.log1p(lambd * rate * t)
    return jnp.where(log > -1, times_plus(rate, jnp.ones_like(t), rate * jnp.expm1(log)), rate * jnp.exp(log))
