"""Augmented random search."""

from typing import Any

import jax
import jax.numpy as jnp

from gradtx.derivative_free._estimator import Count, Estimator


class ars(Estimator):
    """G = 1/(b·σ_R)·Σ (f(x + νδᵢ) - f(x - νδᵢ))·δᵢ over the b best of N directions, δᵢ ~ N(0, I).

    Of a direction, the better side counts; σ_R is the standard deviation of the 2b values used, by which the step does
    not depend on their unit. If they are all the same, G is 0. With `scale_by_learning_rate(α)` it is the paper's V1,
    with `top` its V1-t. In V2 and V2-t the policy sees states scaled by the mean and the deviation of those met so far:
    `gx.inputs.standardize`, whose state value_fn takes as an argument, and which learns from the states in its aux.

    Args:
        directions: N ≥ 1. An estimate takes 2N values.
        stddev: ν > 0; a number or a schedule.
        key: An integer seed, or a key made by `jax.random.key`.
        maximize: Whether to climb f, as returns want.
        top: b in [1, N]; None for N.

    Source: Mania, Guy & Recht 2018, arXiv:1803.07055, Algorithms 1 and 2.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> search = gx.derivative_free.ars(8, 0.05, key=0, top=4)
    >>> value, grads = search.estimate(lambda x: jnp.sum(x**2), jnp.ones(3), 0)
    >>> bool(jnp.dot(grads, jnp.ones(3)) > 0)
    True
    """

    top: Count | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.top is not None and self.top > self.directions:
            raise ValueError(f"ars: top must be at most the number of directions, {self.directions}, got {self.top}")

    def weights(self, values: jax.Array, finite: jax.Array, stddev: Any) -> jax.Array:
        best = jnp.where(finite, jnp.min(values, 0), jnp.inf)
        rank = jnp.argsort(jnp.argsort(best))
        used = finite & (rank < (self.top or self.directions))
        number = jnp.maximum(jnp.sum(used, dtype=values.dtype), 1.0)
        mean = jnp.sum(jnp.where(used, values, 0.0)) / (2 * number)
        variance = jnp.sum(jnp.where(used, (values - mean) ** 2, 0.0)) / (2 * number)
        deviation = jnp.sqrt(jnp.where(variance > 0, variance, 1.0))
        return jnp.where(used, (values[0] - values[1]) / (number * deviation), 0.0)
