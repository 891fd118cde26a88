"""Gradient descent, plain and with momentum."""

from typing import Any

import jax

from gradtx.core import Decay, Hyper, Role, Rule, Slot, Transformation, as_transformation, chain, times_plus
from gradtx.techniques._learning_rate import scale_by_learning_rate


class Trace(Rule):
    """Heavy-ball momentum: bₜ = β·bₜ₋₁ + gₜ, u = bₜ; with `nesterov`, u = gₜ + β·bₜ.

    Args:
        momentum: β in [0, 1).
        nesterov: Look ahead by one step of the momentum.

    Sources: Polyak 1964; Nesterov's form as in Sutskever et al. 2013, after the change of variables that evaluates the
    gradient at the point of look-ahead. The same in optax and, without dampening, in PyTorch; Keras has the learning
    rate inside the buffer, which differs as soon as the rate varies.
    """

    momentum: Decay
    nesterov: bool = False

    slots = {"buffer": Slot(Role.FIRST_MOMENT)}

    def update(self, g: jax.Array, slot: Any, at: Any) -> tuple[jax.Array, dict[str, jax.Array]]:
        b = times_plus(self.momentum, slot.buffer, g)
        return (times_plus(self.momentum, b, g) if self.nesterov else b), {"buffer": b}


trace = as_transformation(Trace)


def sgd(learning_rate: Hyper, momentum: Hyper | None = None, nesterov: bool = False) -> Transformation:
    """Stochastic gradient descent: u = -η·g, or with momentum u = -η·bₜ, bₜ = β·bₜ₋₁ + gₜ.

    Args:
        learning_rate: η ≥ 0.
        momentum: β in [0, 1); None for none. 0.9 is usual.
        nesterov: Use u = -η·(gₜ + β·bₜ).

    Raises:
        ValueError: nesterov without momentum.

    The same as `optax.sgd` and, without dampening, as `torch.optim.SGD`. See `trace`.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> tx = gx.sgd(0.1, momentum=0.9)
    >>> state = tx.init(jnp.zeros(2))
    >>> u, state = tx.update(jnp.array([1.0, 2.0]), state)
    >>> u, state = tx.update(jnp.array([1.0, 2.0]), state)
    >>> u
    Array([-0.19, -0.38], dtype=float32)
    """
    if momentum is None:
        if nesterov:
            raise ValueError("sgd: nesterov needs a momentum, got None")
        return chain(scale_by_learning_rate(learning_rate))
    return chain(trace(momentum, nesterov=nesterov), scale_by_learning_rate(learning_rate))
