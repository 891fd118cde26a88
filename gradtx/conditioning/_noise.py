"""Gradient noise."""

import jax
import jax.numpy as jnp

from gradtx._tools import Key, NonNegative, root
from gradtx.core import At, Rule, Slots, Updated, as_transformation


class AddNoise(Rule):
    """Adds Gaussian noise, with a variance that decays from step to step.

    u = g + n, n ~ N(0, σ²ₜ), σ²ₜ = η / (1+t)^γ with t = 0, 1, …, independent for each element, array and step. Noise
    for complex gradients is complex, with E|n|² = σ²ₜ: half of the variance is in each part.

    Args:
        eta: η ≥ 0, the first variance; the paper has 0.01, 0.3 or 1.
        gamma: γ ≥ 0; the paper has 0.55. With γ = 0 the variance is constant.
        key: An integer seed, or a key made by `jax.random.key`.

    The noise depends only on `key`, the step, the name of the stage and the number of the parameter. The state is
    empty, and a run that continues from a saved state gets the same noise as a run without interruption. The noise is
    drawn in the dtype of the arithmetic; only the sum is rounded to the dtype of the gradient.

    Source: Neelakantan et al. 2015, arXiv:1511.06807, equation 1. optax has the same variances, and a key in the
    state. PyTorch and Keras have no noise for gradients.

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

    def update(self, g: jax.Array, slot: Slots, at: At) -> Updated:
        t = jnp.asarray(at.count, jnp.finfo(g.dtype).dtype)
        deviation = root(jnp.asarray(self.eta, t.dtype)) * t ** (-self.gamma / 2)
        return g + deviation * jax.random.normal(at.key, g.shape, g.dtype), {}


add_noise = as_transformation(AddNoise)
