"""Batch renormalisation."""

from typing import Annotated, Any, Self, TypeAlias

import jax
import jax.numpy as jnp

from gradtx.core import Bound, Interval, Role, Slot, as_transformation, full_like
from gradtx.inputs._batch_norm import BatchNorm

Ratio: TypeAlias = Annotated[Any, Interval(1.0, float("inf"), closed=True)]
"""A bound ≥ 1; infinity means no bound."""


class BatchRenorm(BatchNorm):
    """X̂ = (x - μ_B) / σ_B·r + d, r = clip(σ_B / σ, 1 / r_max, r_max), d = clip((μ_B - μ) / σ, -d_max, d_max).

    σ_B = √(σ²_B + ε) and σ = √(σ² + ε). Batch normalisation for small batches: as far as the bounds let it, training
    sees the x̂ of inference, (x - μ) / σ. r and d are constants to the gradient. It is σ that is averaged, from 1 on,
    σ ← m·σ + (1-m)·σ_B; the slot "var" holds σ² - ε. Bounds of 1 and 0 make it batch normalisation, with which the
    paper begins: give a schedule of each, since the r and d of statistics that have not settled yet are wrong.

    Args:
        axis: Where the features are.
        momentum: m in [0, 1], the weight of the old average; None for the mean of all batches so far.
        eps: ε > 0.
        unbiased: Whether σ averages √(σ²_B·n / (n - 1) + ε), of n values per feature.
        scale: Whether there is a γ.
        bias: Whether there is a β.
        axis_name: The axis, or axes, of `vmap` or `shard_map` that the batch is spread over.
        r_max: The largest r, in [1, inf].
        d_max: The largest |d|, in [0, inf].

    Source: Ioffe 2017, arXiv:1702.03275, Algorithm 1, with its bounds at the end of training. The same in Keras with
    `renorm_clipping={"rmax": r_max, "rmin": 1 / r_max, "dmax": d_max}`. See `batch_norm` for the rest.

    >>> import gradtx as gx
    >>> ramp = gx.schedules.piecewise_interpolate
    >>> tx = gx.inputs.batch_renorm(r_max=ramp([1, 1, 3], [5000, 40000]), d_max=ramp([0, 0, 5], [5000, 25000]))
    >>> tx.stages["batch_renorm"].d_max
    piecewise_interpolate((0, 0, 5), (5000, 25000))
    """

    r_max: Ratio = 3.0
    d_max: Bound = 5.0

    slots = {**BatchNorm.slots, "var": Slot(Role.STATISTIC, fill="param", like="first_var")}

    def first_var(self, x: jax.Array) -> jax.Array:
        """1 - ε for each feature, so that the standard deviation starts at 1."""
        features = self.features(x)
        return full_like(features, 1.0, features.dtype) - self.eps

    def correction(self, mean: jax.Array, var: jax.Array, slot: Any) -> tuple[Any, Any]:
        sigma = jnp.sqrt(slot["var"] + self.eps)
        ratio = jnp.clip(jnp.sqrt(var + self.eps) / sigma, 1 / self.r_max, self.r_max)
        shift = jnp.clip((mean - slot["mean"]) / sigma, -self.d_max, self.d_max)
        return jax.lax.stop_gradient(ratio), jax.lax.stop_gradient(shift)

    def cumulative(self) -> Self:
        # Deeper layers are to see what the batch makes of this one, not what statistics that are thrown away do.
        return super().cumulative().replace({"r_max": 1.0, "d_max": 0.0})

    def average(self, old: jax.Array, new: jax.Array, momentum: Any) -> jax.Array:
        sigma = super().average(jnp.sqrt(old + self.eps), jnp.sqrt(new + self.eps), momentum)
        return jnp.maximum(sigma * sigma - self.eps, 0.0)


batch_renorm = as_transformation(BatchRenorm)
