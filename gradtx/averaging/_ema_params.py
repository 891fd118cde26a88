"""The exponential moving average of the parameters."""

from dataclasses import KW_ONLY
from typing import Any

import jax
import jax.numpy as jnp

from gradtx._tools import Count, CountFromZero, Fraction
from gradtx.core import At, Role, Rule, Slot, Slots, Updated, as_transformation


class EmaParams(Rule):
    """Keeps the exponential moving average of the parameters, for evaluation. The updates pass unchanged.

    aₜ = d·aₜ₋₁ + (1-d)·θₜ, where θₜ = θₜ₋₁ + u are the parameters after the step. The stage is the last of a chain:
    a later stage that changes the updates is an error. `evaluation_params(tx, state, params)` returns the average.

    Args:
        decay: d in [0, 1]; a schedule makes the average longer or shorter in the course of training.
        warmup: Whether d is at most (1 + n) / (10 + n) after n averaged steps, so that the first parameters are soon
            forgotten.
        debias: Whether the average starts empty and is divided by 1 - dᵗ, so that the initial parameters do not count,
            as in Adam.
        start: The average begins with the parameters after `start` steps: 0 for the initial ones. Until then it equals
            the parameters.
        every: The number of steps between two updates of the average.

    The average is in float32 or wider, from the parameters before they are rounded to their dtype.

    Keras's `use_ema` and PyTorch's `AveragedModel` with `get_ema_multi_avg_fn` copy the parameters after the first
    step, and are this with start=1. The `warmup` is TensorFlow's `num_updates`. optax averages updates by `optax.ema`,
    and leaves parameters to the user.

    Source: Polyak & Juditsky 1992 for averages of parameters; Morales-Brotons et al. 2024, arXiv:2411.18704, for
    exponential ones.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> tx, params = gx.chain(gx.sgd(1.0), gx.ema_params(0.5)), jnp.array([4.0])
    >>> params, state = gx.apply_gradients(tx, jnp.array([2.0]), tx.init(params), params)
    >>> params, gx.evaluation_params(tx, state, params)
    (Array([2.], dtype=float32), Array([3.], dtype=float32))
    """

    decay: Fraction
    _: KW_ONLY
    warmup: bool = False
    debias: bool = False
    start: CountFromZero = 0
    every: Count = 1

    slots = {
        "average": Slot(Role.AVERAGE, fill="param"),
        "missing": Slot(Role.SCALAR, fill=1.0, when="debias"),
    }
    needs = frozenset({"param"})
    passes = ends = True

    def prepare(self, at: At) -> dict[str, jax.Array]:
        t = at.count - self.start
        on = (t > 0) & (t % self.every == 0)
        decay = jnp.asarray(self.decay, jnp.float32)
        if self.warmup:
            n = ((t - 1) // self.every).astype(jnp.float32)
            decay = jnp.minimum(decay, (1 + n) / (10 + n))
        # Before the start the average follows the parameters, unless it starts empty.
        copied = (t <= 0) & (not self.debias)
        new = jnp.where(on, 1 - decay, jnp.where(copied, 1.0, 0.0))
        if not self.debias:
            return {"new": new}
        return {"new": new, "missing": jnp.where(on, decay, 1.0) * at.scalars["missing"]}

    def update(self, g: jax.Array, slot: Slots, at: At) -> Updated:
        before = slot.average
        if self.debias:  # the average starts empty
            before = jnp.where(at.scalars["missing"] == 1, jnp.zeros_like(before), before)
        return g, {"average": blended(before, at.param + g, at.measured["new"])}

    def evaluated(self, param: jax.Array, slot: Slots, at: At) -> jax.Array:
        if not self.debias:
            return slot.average
        missing = at.scalars["missing"]
        return jnp.where(missing == 1, param, slot.average / jnp.where(missing == 1, 1.0, 1 - missing))


ema_params = as_transformation(EmaParams)


def blended(old: jax.Array, new: jax.Array, share: Any) -> jax.Array:
    """Returns (1-s)·old + s·new: exactly `old` for s = 0 and `new` for s = 1, also if the other one is not finite."""
    return jnp.where(share == 0, old, jnp.where(share == 1, new, old + share * (new - old)))
