"""Augmented random search."""

from dataclasses import KW_ONLY

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gradtx.derivative_free._estimator import Count, Estimator


class ars(Estimator):
    """The gradient is estimated from the best of many random directions (augmented random search).

    g = 1/(b·σ_R)·Σ (f(x + νδᵢ) - f(x - νδᵢ))·δᵢ over the b best of N directions, δᵢ ~ N(0, I).

    A direction is as good as the better of its two values. σ_R is the standard deviation of the 2b values that are
    used: the step does not depend on the unit of f. If these values are all equal, g is 0.

    With `scale_by_learning_rate(α)` this is the paper's V1, and with `top` its V1-t. In V2 and V2-t the policy sees
    states that are standardised by the mean and the standard deviation of all states so far. For these, use
    `gx.inputs.standardize`: give its state to value_fn as an argument, and update it with the states in aux.

    Args:
        directions: N, a whole number ≥ 1. An estimate takes 2N values.
        stddev: ν > 0, a number or a schedule.
        key: An integer seed, or a key made by `jax.random.key`.
        maximize: Whether f is to be maximised, such as a return.
        top: b, a whole number in [1, N], or None for N.

    Raises:
        ValueError: `top` is greater than `directions`.

    Source: Mania, Guy & Recht 2018, arXiv:1803.07055, Algorithms 1 and 2.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> search = gx.derivative_free.ars(8, 0.05, key=0, top=4)
    >>> value, grads = search.estimate(lambda x: jnp.sum(x**2), jnp.ones(3), 0)
    >>> bool(jnp.dot(grads, jnp.ones(3)) > 0)
    True
    """

    _: KW_ONLY
    top: Count | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.top is not None and self.top > self.directions:
            raise ValueError(f"ars: top must be at most directions={self.directions}, got {self.top}")

    def weights(self, values: jax.Array, finite: jax.Array, stddev: ArrayLike) -> jax.Array:
        best = jnp.where(finite, jnp.min(values, 0), jnp.inf)
        rank = jnp.argsort(jnp.argsort(best))
        used = finite & (rank < (self.top or self.directions))
        number = jnp.maximum(jnp.sum(used, dtype=values.dtype), 1.0)
        mean = jnp.sum(jnp.where(used, values, 0.0)) / (2 * number)
        variance = jnp.sum(jnp.where(used, (values - mean) ** 2, 0.0)) / (2 * number)
        deviation = jnp.sqrt(jnp.where(variance > 0, variance, 1.0))
        return jnp.where(used, (values[0] - values[1]) / (number * deviation), 0.0)
