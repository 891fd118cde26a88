"""Gradient centralisation."""

from dataclasses import KW_ONLY

import jax
import jax.numpy as jnp

from gradtx.core import At, Rule, Scope, Slots, Updated, as_transformation


class Centralize(Rule):
    """Subtracts from the gradient of each output its mean, so that the gradient of an output sums to zero.

    uᵢ = gᵢ - mean(gᵢ) for each output i. Arrays with fewer than two axes pass unchanged.

    Args:
        output_last: Whether the last axis counts the outputs, as in the kernels of Flax, Haiku and Keras. By default
            the first axis does, as in PyTorch's weights and in optax.

    Source: Yong et al. 2020, arXiv:2004.01461, equation 1, where the mean is over the inputs of an output. In JAX's
    layouts this is `output_last=True`, but `optax.centralize` always takes the first axis. PyTorch and Keras have no
    counterpart.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> g = jnp.array([[1.0, 2.0], [5.0, 0.0]])
    >>> for tx in (gx.centralize(), gx.centralize(output_last=True)):
    ...     print(tx.update(g, tx.init(g))[0])
    [[-0.5  0.5]
     [ 2.5 -2.5]]
    [[-2.  1.]
     [ 2. -1.]]
    """

    _: KW_ONLY
    output_last: bool = False

    scope = Scope.LEAF

    def update(self, g: jax.Array, slot: Slots, at: At) -> Updated:
        if g.ndim < 2 or g.size == 0:
            return g, {}
        axes = tuple(range(g.ndim - 1) if self.output_last else range(1, g.ndim))
        return g - jnp.mean(g, axes, keepdims=True), {}


centralize = as_transformation(Centralize)
