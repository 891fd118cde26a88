"""Simultaneous perturbation stochastic approximation."""

import jax
import numpy as np

from gradtx.derivative_free._finite_differences import finite_differences


class spsa(finite_differences):
    """The gradient is estimated from finite differences along directions whose elements are 1 or -1 at random.

    g = 1/N·Σᵢ (f(x + cδᵢ) - f(x - cδᵢ)) / 2c·δᵢ. Spall divides by δᵢ; an element of 1 or -1 is its own reciprocal.

    Two values give an estimate for any number of parameters. In step k, Spall uses c / (k + 1)^0.101 for c, which is
    `stddev=gx.schedules.power_decay(c, 1, 0.101)`, and a learning rate of a / (k + 1 + A)^0.602, which is
    `gx.schedules.power_decay(a / (A + 1)**0.602, A + 1, 0.602)`.

    Args:
        directions: N, a whole number ≥ 1. Spall has 1.
        stddev: c > 0, a number or a schedule. It should be about the standard deviation of the noise in f.
        key: An integer seed, or a key made by `jax.random.key`.
        maximize: Whether f is to be maximised.

    Source: Spall 1992, IEEE Transactions on Automatic Control 37(3), equation 2.2. The sequences c and a are from Spall
    1998, IEEE Transactions on Aerospace and Electronic Systems 34(3).

    >>> import gradtx as gx, jax.numpy as jnp
    >>> estimator = gx.derivative_free.spsa(1, gx.schedules.power_decay(0.1, 1, 0.101), key=0)
    >>> estimator.estimate(lambda x: 3.0 * x, jnp.asarray(1.0), 0)
    (Array(3., dtype=float32), Array(3., dtype=float32))
    """

    def draw(self, key: jax.Array, shape: tuple[int, ...], dtype: np.dtype) -> jax.Array:
        return jax.random.rademacher(key, shape, dtype)
