"""Gradient noise."""

from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core import Key, NonNegative, Rule, as_transformation, root


class AddNoise(Rule):
    """u = g + n, n ~ N(0, σ²ₜ), σ²ₜ = η / (1+t)^γ with t = 0, 1, …: independent for each element, array and step.

    Complex gradients get complex noise of the same variance, E|n|² = σ²ₜ: half of it in each part.

    Args:
        eta: η ≥ 0, the first variance; the paper has 0.01, 0.3 or 1.
        gamma: γ ≥ 0; the paper has 0.55. With 0 the variance stays.
        key: An integer seed, or a key made by `jax.random.key`.

    Source: Neelakantan et al. 2015, arXiv:1511.06807, equation 1. optax has the same variances, and keeps a key in the
    state. Here the noise depends on `key`, the step, the stage's name and the parameter's place alone: the state is
    empty, and a run that goes on from a saved state gets the noise that it would have had. It is drawn in the dtype of
    the arithmetic, and only the sum is rounded to that of the gradient. PyTorch and Keras have none for gradients.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> tx = gx.add_noise(0.01, 0.55, key=0)
    >>> updates, state = tx.update(jnp.ones(3), tx.init(jnp.ones(3)))
    >>> bool(jnp.all(jnp.abs(updates - 1.0) < 0.5))
    True
    """

    eta: NonNegative
    gamma: NonNegative
    key: Key

    needs = frozenset({"key"})

    def update(self, g: jax.Array, slot: Any, at: Any) -> tuple[jax.Array, dict[str, jax.Array]]:
        t = jnp.asarray(at.count, jnp.finfo(g.dtype).dtype)
        deviation = root(jnp.asarray(self.eta, t.dtype)) * t ** (-self.gamma / 2)
        return g + deviation * jax.random.normal(at.key, g.shape, g.dtype), {}


add_noise = as_transformation(AddNoise)
