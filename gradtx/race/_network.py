"""The network that the contestants train."""

import itertools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx

import gradtx as gx

# PyTorch's convention. Small data sets have few steps an epoch, so the statistics must settle quickly.
_NORM = gx.inputs.batch_norm(momentum=0.9, unbiased=True)


class BatchNorm(nnx.Module):
    """A layer of `gradtx.inputs.batch_norm`, with its parameters and its running statistics."""

    def __init__(self, features: int):
        like = jnp.zeros((1, features))
        self.params = nnx.Param(gx.inputs.parameters(_NORM, like))
        self.state = nnx.BatchStat(_NORM.init(like))

    def __call__(self, x: jax.Array, train: bool, mask: jax.Array | None) -> jax.Array:
        y, state = _NORM.update(x, self.state.get_value(), self.params.get_value(), train=train, mask=mask)
        self.state.set_value(state)
        return jnp.asarray(y)


class Hidden(nnx.Module):
    """A linear layer and ReLU, with batch normalisation between them if `batch_norm` is true.

    With batch normalisation the linear layer has no bias, because the normalisation would subtract it.
    """

    def __init__(self, inputs: int, outputs: int, batch_norm: bool, rngs: nnx.Rngs):
        self.linear = nnx.Linear(inputs, outputs, use_bias=not batch_norm, rngs=rngs)
        self.norm = BatchNorm(outputs) if batch_norm else None

    def __call__(self, x: jax.Array, train: bool, mask: jax.Array | None) -> jax.Array:
        x = self.linear(x)
        return nnx.relu(x if self.norm is None else self.norm(x, train, mask))


class Network(nnx.Module):
    """Hidden layers and a linear output layer. `widths` are the numbers of features: inputs, hidden layers, outputs."""

    def __init__(self, widths: Sequence[int], batch_norm: bool, rngs: nnx.Rngs):
        *hidden, last = itertools.pairwise(widths)
        self.hidden = nnx.List([Hidden(*pair, batch_norm, rngs) for pair in hidden])
        self.last = nnx.Linear(*last, rngs=rngs)

    def __call__(self, x: jax.Array, train: bool = False, mask: jax.Array | None = None) -> jax.Array:
        """Return the outputs, of shape (examples, outputs).

        In training, `mask` has shape (examples,) and is false for examples that only fill the batch.
        """
        for layer in self.hidden:
            x = layer(x, train, mask)
        return self.last(x)
