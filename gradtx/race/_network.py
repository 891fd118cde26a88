"""The network that is raced."""

import itertools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

import gradtx as gx

# As in PyTorch: small data make few steps an epoch, in which the statistics must settle, and a short last batch.
_NORM = gx.inputs.batch_norm(momentum=0.9, unbiased=True)


class BatchNorm(nnx.Module):
    """`gradtx.inputs.batch_norm` as a layer, with its parameters and its running statistics."""

    def __init__(self, features: int):
        like = jnp.zeros((1, features))
        self.params = nnx.Param(gx.inputs.parameters(_NORM, like))
        self.state = nnx.BatchStat(_NORM.init(like))

    def __call__(self, x: jax.Array, train: bool, mask: Any) -> Any:
        y, state = _NORM.update(x, self.state.get_value(), self.params.get_value(), train=train, mask=mask)
        self.state.set_value(state)
        return y


class Hidden(nnx.Module):
    """A linear layer and ReLU, with batch normalisation between them if told; it would take a bias out again."""

    def __init__(self, inputs: int, outputs: int, batch_norm: bool, rngs: nnx.Rngs):
        self.linear = nnx.Linear(inputs, outputs, use_bias=not batch_norm, rngs=rngs)
        self.norm = BatchNorm(outputs) if batch_norm else None

    def __call__(self, x: jax.Array, train: bool, mask: Any) -> jax.Array:
        x = self.linear(x)
        return nnx.relu(x if self.norm is None else self.norm(x, train, mask))


class Network(nnx.Module):
    """Hidden layers and a linear one, of these widths."""

    def __init__(self, widths: Sequence[int], batch_norm: bool, rngs: nnx.Rngs):
        *hidden, last = itertools.pairwise(widths)
        self.hidden = nnx.List([Hidden(*pair, batch_norm, rngs) for pair in hidden])
        self.last = nnx.Linear(*last, rngs=rngs)

    def __call__(self, x: jax.Array, train: bool = False, mask: Any = None) -> jax.Array:
        """Give the outputs; in training, `mask` tells the real examples."""
        for layer in self.hidden:
            x = layer(x, train, mask)
        return self.last(x)
