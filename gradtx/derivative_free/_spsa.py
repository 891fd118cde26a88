"""Simultaneous perturbation stochastic approximation."""

from typing import Any

import jax

from gradtx.derivative_free._finite_differences import finite_differences


class spsa(finite_differences):
    """G = 1/N·Σᵢ (f(x + cδᵢ) - f(x - cδᵢ)) / 2c·δᵢ, where each element of δᵢ is 1 or -1, which is its own reciprocal.

    Two values give an estimate for any number of parameters. Spall takes c / (k + 1)^0.101 for c, as
    `stddev=gx.schedules.power_decay(c, 1, 0.101)`, and a / (k + 1 + A)^0.602 for the learning rate, which is
    `gx.schedules.power_decay(a / (A + 1)**0.602, A + 1, 0.602)`.

    Args:
        directions: N ≥ 1; Spall has 1.
        stddev: c > 0; a number or a schedule. About the standard deviation of the noise in f.
        key: An integer seed, or a key made by `jax.random.key`.
        maximize: Whether to climb f.

    Source: Spall 1992, IEEE Transactions on Automatic Control 37(3), equation 2.2; his gains are those of Spall 1998,
    IEEE Transactions on Aerospace and Electronic Systems 34(3).

    >>> import gradtx as gx, jax.numpy as jnp
    >>> estimator = gx.derivative_free.spsa(1, gx.schedules.power_decay(0.1, 1, 0.101), key=0)
    >>> estimator.estimate(lambda x: 3.0 * x, jnp.asarray(1.0), 0)
    (Array(3., dtype=float32), Array(3., dtype=float32))
    """

    def draw(self, key: jax.Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
        return jax.random.rademacher(key, shape, dtype)
