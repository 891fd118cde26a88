"""Gradient centralisation."""

from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core import Rule, Scope, as_transformation


class Centralize(Rule):
    """uᵢ = gᵢ - mean(gᵢ) for each output i: the gradient of the weights of an output sums to zero.

    Arrays with less than two axes pass as they are.

    Args:
        output_last: Which axis counts the outputs. False, optax's and the default, is the first, as in PyTorch's
            weights; True is the last, as in the kernels of Flax, Haiku and Keras.

    Source: Yong et al. 2020, arXiv:2004.01461, equation 1, where the mean is over the inputs of an output. That is
    `output_last=True` in JAX's layouts, but `optax.centralize` always takes the first axis for the outputs. PyTorch
    and Keras have none.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> g = jnp.array([[1.0, 2.0], [5.0, 0.0]])
    >>> for tx in (gx.centralize(), gx.centralize(output_last=True)):
    ...     print(tx.update(g, tx.init(g))[0])
    [[-0.5  0.5]
     [ 2.5 -2.5]]
    [[-2.  1.]
     [ 2. -1.]]
    """

    output_last: bool = False

    scope = Scope.LEAF

    def update(self, g: jax.Array, slot: Any, at: Any) -> tuple[jax.Array, dict[str, jax.Array]]:
        if g.ndim < 2 or g.size == 0:
            return g, {}
        axes = tuple(range(g.ndim - 1) if self.output_last else range(1, g.ndim))
        return g - jnp.mean(g, axes, keepdims=True), {}


centralize = as_transformation(Centralize)
