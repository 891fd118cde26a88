"""Two-sided finite differences along random directions."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gradtx.derivative_free._estimator import Estimator


class finite_differences(Estimator):
    """The gradient is estimated from two-sided finite differences along random directions.

    g = 1/N·Σᵢ (f(x + νδᵢ) - f(x - νδᵢ)) / 2ν·δᵢ, δᵢ ~ N(0, I).

    On average this is the gradient of f smoothed by a normal distribution of standard deviation ν. If f is quadratic,
    it is the gradient of f. The variance of g is about |∇f|²·(d + 1) / N for d parameters.

    Args:
        directions: N, a whole number ≥ 1. An estimate takes 2N values.
        stddev: ν > 0, a number or a schedule.
        key: An integer seed, or a key made by `jax.random.key`.
        maximize: Whether f is to be maximised.

    Source: Nesterov & Spokoiny 2017, Foundations of Computational Mathematics 17, equation 26. As evolution
    strategies with mirrored samples: Salimans et al. 2017, arXiv:1703.03864. Some texts add (f₊ - f₋)·δ to the
    parameters and claim that this minimises f, but it maximises f. A chain subtracts the gradient that is estimated
    here, and minimises f.

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

    def weights(self, values: jax.Array, finite: jax.Array, stddev: ArrayLike) -> jax.Array:
        return (values[0] - values[1]) / (2 * stddev * jnp.maximum(jnp.sum(finite, dtype=values.dtype), 1.0))
