"""Two-sided finite differences along random directions."""

from typing import Any

import jax
import jax.numpy as jnp

from gradtx.derivative_free._estimator import Estimator


class finite_differences(Estimator):
    """G = 1/N·Σᵢ (f(x + νδᵢ) - f(x - νδᵢ)) / 2ν·δᵢ, δᵢ ~ N(0, I).

    The gradient of f smoothed by a normal distribution of standard deviation ν, on average; of f itself where that is
    quadratic. Its variance is about |∇f|²·(d + 1) / N for d parameters.

    Args:
        directions: N ≥ 1. An estimate takes 2N values.
        stddev: ν > 0; a number or a schedule.
        key: An integer seed, or a key made by `jax.random.key`.
        maximize: Whether to climb f.

    Source: Nesterov & Spokoiny 2017, Foundations of Computational Mathematics 17, equation 26; as evolution
    strategies with mirrored samples, Salimans et al. 2017, arXiv:1703.03864. Some texts add (f₊ - f₋)·δ to the
    parameters and say that this minimises f: it climbs. What is given to a chain here has the sign that descends.

    >>> import gradtx as gx, jax, jax.numpy as jnp
    >>> estimator = gx.derivative_free.finite_differences(16, 0.1, key=0)
    >>> params, tx = jnp.array([3.0, -2.0]), gx.sgd(0.1)
    >>> def step(carry, _):
    ...     params, state = carry
    ...     value, grads = estimator.estimate(lambda x: jnp.sum(x**2), params, state.step)
    ...     return gx.apply_gradients(tx, grads, state, params), value
    >>> _, values = jax.lax.scan(step, (params, tx.init(params)), length=100)
    >>> bool(values[-1] < 1e-1)
    True
    """

    def weights(self, values: jax.Array, finite: jax.Array, stddev: Any) -> jax.Array:
        return (values[0] - values[1]) / (2 * stddev * jnp.maximum(jnp.sum(finite, dtype=values.dtype), 1.0))
