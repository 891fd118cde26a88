"""Weight decay."""

from typing import Any

import jax

from gradtx.core import NonNegative, Rule, as_transformation, times_plus


class AddDecayedWeights(Rule):
    """u = g + λ·θ.

    Before the rule of an optimizer this is L2 regularisation (PyTorch's `weight_decay` of SGD and Adam), between it and
    the learning rate it is decoupled decay times the rate (AdamW).

    Args:
        weight_decay: λ ≥ 0.

    Source: Loshchilov & Hutter 2019, arXiv:1711.05101. The same in optax.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> tx, params = gx.add_decayed_weights(0.1), jnp.array([2.0])
    >>> tx.update(jnp.array([1.0]), tx.init(params), params)[0]
    Array([1.2], dtype=float32)
    """

    weight_decay: NonNegative

    needs = frozenset({"param"})

    def update(self, g: jax.Array, slot: Any, at: Any) -> tuple[jax.Array, dict[str, jax.Array]]:
        return times_plus(self.weight_decay, at.param, g), {}


add_decayed_weights = as_transformation(AddDecayedWeights)
