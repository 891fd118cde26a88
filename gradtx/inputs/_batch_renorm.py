"""Batch renormalisation."""

from dataclasses import KW_ONLY
from typing import Annotated, Any, Self, TypeAlias

import jax
import jax.numpy as jnp

from gradtx._tools import Number
from gradtx.core import Bound, Interval, Role, Slot, as_transformation, full_like
from gradtx.inputs._batch_norm import BatchNorm
from gradtx.inputs._rule import Slots

Ratio: TypeAlias = Annotated[Any, Interval(1.0, float("inf"), closed=True)]
"""A bound ≥ 1; infinity means no bound."""


class BatchRenorm(BatchNorm):
    """Normalises small batches, with a correction that brings training close to the outputs of inference.

    For each feature, with σ_B = √(σ²_B + ε) and σ = √(σ² + ε),

        x̂ = (x - μ_B) / σ_B·r + d,  y = γ·x̂ + β,
        r = clip(σ_B / σ, 1 / r_max, r_max),  d = clip((μ_B - μ) / σ, -d_max, d_max).

    If nothing is clipped, x̂ is (x - μ) / σ, as in inference. r and d are constants to the gradient. The average is
    that of σ instead of σ², and σ is initially 1:

        σ ← m·σ + (1-m)·σ_B.

    The slot "var" stores σ² - ε. With `r_max=1` and `d_max=0` this is batch normalisation. The paper begins with these
    bounds and relaxes them, because r and d are wrong until the statistics have settled: give a schedule for each.

    Args:
        axis: The axis of the features.
        momentum: m in [0, 1], the weight of the old average. None averages all batches so far with equal weights.
        eps: ε > 0, finite.
        unbiased: Whether σ averages √(σ²_B·n / (n - 1) + ε), with n values per feature.
        scale: Whether there is a γ.
        bias: Whether there is a β.
        axis_name: The axes of `vmap` or `shard_map` that split the batch; see `batch_norm`.
        r_max: The largest r, in [1, inf]. A number or a schedule.
        d_max: The largest |d|, in [0, inf]. A number or a schedule.

    Parameters, masks and errors are those of `batch_norm`.

    Source: Ioffe 2017, arXiv:1702.03275, Algorithm 1. The defaults of `r_max` and `d_max` are the paper's bounds at the
    end of training. Keras computes the same with `renorm_clipping={"rmax": r_max, "rmin": 1 / r_max, "dmax": d_max}`.

    >>> import gradtx as gx
    >>> ramp = gx.schedules.piecewise_interpolate
    >>> tx = gx.inputs.batch_renorm(r_max=ramp([1, 1, 3], [5000, 40000]), d_max=ramp([0, 0, 5], [5000, 25000]))
    >>> tx.stages["batch_renorm"].d_max
    piecewise_interpolate((0, 0, 5), (5000, 25000))
    """

    _: KW_ONLY
    r_max: Ratio = 3.0
    d_max: Bound = 5.0

    slots = {**BatchNorm.slots, "var": Slot(Role.STATISTIC, fill="param", like="first_var")}

    def first_var(self, x: jax.Array) -> jax.Array:
        """1 - ε for each feature, so that the standard deviation is initially 1."""
        features = self.features(x)
        return full_like(features, 1.0, features.dtype) - self.eps

    def correction(self, mean: jax.Array, var: jax.Array, slot: Slots) -> tuple[Number, Number]:
        sigma = jnp.sqrt(slot["var"] + self.eps)
        ratio = jnp.clip(jnp.sqrt(var + self.eps) / sigma, 1 / self.r_max, self.r_max)
        shift = jnp.clip((mean - slot["mean"]) / sigma, -self.d_max, self.d_max)
        return jax.lax.stop_gradient(ratio), jax.lax.stop_gradient(shift)

    def cumulative(self) -> Self:
        # The bounds make this batch normalisation. Deeper layers then see outputs by the statistics of the batch, and
        # not by statistics that are about to be discarded.
        return super().cumulative().replace({"r_max": 1.0, "d_max": 0.0})

    def average(self, old: jax.Array, new: jax.Array, momentum: Number) -> jax.Array:
        sigma = super().average(jnp.sqrt(old + self.eps), jnp.sqrt(new + self.eps), momentum)
        return jnp.maximum(sigma * sigma - self.eps, 0.0)


batch_renorm = as_transformation(BatchRenorm)
