"""Averaged gradient descent."""

from dataclasses import KW_ONLY

import jax
import jax.numpy as jnp

from gradtx._tools import NonNegative, Number, Real, times_plus
from gradtx.core import At, LearningRate, Role, Rule, Slot, Slots, Updated, as_transformation


class Asgd(Rule):
    """Averaged gradient descent decays the learning rate and averages the parameters after step t₀.

    u = -ηₜ·(gₜ + λ·θ), η₁ = η, ηₜ₊₁ = η / (1 + λ·η·t)^α. The slot `average` has
    āₜ = āₜ₋₁ + (θₜ₊₁ - āₜ₋₁) / max(1, t - 1 - t₀), so the average is the parameter itself up to t₀.
    `evaluation_params` gives the averaged parameters, with which the model is evaluated.

    Args:
        learning_rate: η ≥ 0. As in PyTorch, the learning rate of a step is computed at the end of the step before, so
            a schedule acts one step late.
        lambd: λ ≥ 0, the decay of the parameters and of the learning rate.
        alpha: α, the power of the learning rate's decay.
        t0: t₀, the step after which averaging starts. PyTorch's default, 1e6, is for long runs.

    Sources: Polyak & Juditsky 1992; Bottou 2010 for the decay of the learning rate. PyTorch has the same; optax and
    Keras have none.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> tx, params = gx.asgd(0.5, t0=0), jnp.array([1.0])
    >>> state = tx.init(params)
    >>> for _ in range(3):
    ...     params, state = gx.apply_gradients(tx, 2 * params - 1, state, params)
    >>> gx.evaluation_params(tx, state, params)
    Array([0.5], dtype=float32)
    """

    learning_rate: LearningRate = 1e-2
    _: KW_ONLY
    lambd: NonNegative = 1e-4
    alpha: Real = 0.75
    t0: Real = 1e6

    idle = {"alpha": "lambd"}
    slots = {
        "average": Slot(Role.AVERAGE, fill="param"),
        "eta": Slot(Role.SCALAR, dtype=float),
    }
    needs = frozenset({"param"})

    def prepare(self, at: At) -> dict[str, jax.Array]:
        t = jnp.asarray(at.count, float)
        return {
            "rate": jnp.where(at.count == 1, self.learning_rate, at.scalars["eta"]),
            "share": 1 / jnp.maximum(1.0, t - 1 - self.t0),
            "eta": _decayed(self.learning_rate, self.lambd, self.alpha, t),
        }

    def update(self, g: jax.Array, slot: Slots, at: At) -> Updated:
        u = -at.measured["rate"] * times_plus(self.lambd, at.param, g)
        new, share = at.param + u, at.measured["share"]
        average = jnp.where(share == 1, new, slot.average + (new - slot.average) * share)
        return u, {"average": average}

    def evaluated(self, param: jax.Array, slot: Slots, at: At) -> jax.Array:
        return slot.average


asgd = as_transformation(Asgd)


def _decayed(rate: Number, lambd: Number, alpha: Number, t: jax.Array) -> jax.Array:
    """η / (1 + λ·η·t)^α. Near η, the small difference to η is computed by itself, so that neither loses digits."""
    log = -alpha * jnp.log1p(lambd * rate * t)
    return jnp.where(log > -1, times_plus(rate, jnp.ones_like(t), rate * jnp.expm1(log)), rate * jnp.exp(log))
