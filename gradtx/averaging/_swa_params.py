"""The equal average of parameters along a run."""

from dataclasses import KW_ONLY

import jax
import jax.numpy as jnp

from gradtx._tools import Count, CountFromZero
from gradtx.averaging._ema_params import blended
from gradtx.core import At, Role, Rule, Slot, Slots, Updated, as_transformation


class SwaParams(Rule):
    """Keeps the equal average of parameters along a run, for evaluation. The updates pass unchanged.

    a = Σ θₜ / n over the parameters after steps t = start, start + every, …, of which there are n so far. The stage is
    the last of a chain: a later stage that changes the updates is an error. `evaluation_params(tx, state, params)`
    returns the average; until `start`, it returns the parameters.

    Args:
        start: The first step whose parameters count, a whole number ≥ 0; with 0 the initial ones count.
        every: The number of steps between two parameters that count, a whole number ≥ 1, such as an epoch.

    The average is in float32 or wider, from the parameters before they are rounded to their dtype. After training,
    `gx.inputs.refresh` computes the statistics of batch normalisation again.

    PyTorch's `AveragedModel` without `avg_fn` is the same; there the user calls `update_parameters`.

    Source: Izmailov et al. 2018, arXiv:1803.05407.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> tx, params = gx.chain(gx.sgd(1.0), gx.swa_params(start=1)), jnp.array([4.0])
    >>> state = tx.init(params)
    >>> for _ in range(3):
    ...     params, state = gx.apply_gradients(tx, jnp.array([1.0]), state, params)
    >>> params, gx.evaluation_params(tx, state, params)
    (Array([1.], dtype=float32), Array([2.], dtype=float32))
    """

    start: CountFromZero
    _: KW_ONLY
    every: Count = 1

    slots = {"average": Slot(Role.AVERAGE, fill="param"), "averaged": Slot(Role.SCALAR)}
    needs = frozenset({"param"})
    passes = ends = True

    def prepare(self, at: At) -> dict[str, jax.Array]:
        t = at.count - self.start
        on = (t >= 0) & (t % self.every == 0)
        first = jnp.where(self.start == 0, 1.0, 0.0)
        before = jnp.where(at.step == 0, first, at.scalars["averaged"])
        after = jnp.where(on, before + 1, before)
        return {"averaged": after, "share": jnp.where(on, 1 / jnp.maximum(after, 1), 0.0)}

    def update(self, g: jax.Array, slot: Slots, at: At) -> Updated:
        return g, {"average": blended(slot.average, at.param + g, at.measured["share"])}

    def evaluated(self, param: jax.Array, slot: Slots, at: At) -> jax.Array:
        return jnp.where(at.scalars["averaged"] == 0, param, slot.average)


swa_params = as_transformation(SwaParams)
