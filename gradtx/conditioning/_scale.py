"""Scaling by a constant, and by nothing."""

import jax

from gradtx._tools import Real, times
from gradtx.core import At, Rule, Slots, Transformation, Updated, as_transformation, chain


class Scale(Rule):
    """Multiplies gradients by a number: u = s·g.

    The sign is not flipped: `scale(-0.1)` at the end of a chain is a step downhill. `scale_by_learning_rate` flips it.

    Args:
        step_size: s; a number, a schedule or `tunable(number)`.

    optax has the same.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> tx = gx.scale(-0.5)
    >>> tx.update(jnp.array([1.0, -2.0]), tx.init(jnp.zeros(2)))[0]
    Array([-0.5,  1. ], dtype=float32)
    """

    step_size: Real

    def update(self, g: jax.Array, slot: Slots, at: At) -> Updated:
        return times(g, self.step_size), {}


scale = as_transformation(Scale)


def identity() -> Transformation:
    """Makes the chain without stages, which passes gradients unchanged. optax has the same.

    >>> import gradtx as gx
    >>> gx.identity()
    chain()
    """
    return chain()
