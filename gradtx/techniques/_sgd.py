"""Gradient descent, plain and with momentum."""

from gradtx.core import Hyper, Selector, Transformation
from gradtx.techniques._descend import MomentumForm, WeightDecayMode, descend


def sgd(
    learning_rate: Hyper,
    momentum: Hyper | None = None,
    nesterov: bool = False,
    momentum_form: MomentumForm = "heavy_ball",
    dampening: Hyper = 0.0,
    weight_decay: Hyper = 0.0,
    weight_decay_mode: WeightDecayMode = "decoupled",
    mask: Selector | None = None,
) -> Transformation:
    """Stochastic gradient descent: u = -η·g, or with momentum u = -η·bₜ. See `trace` for bₜ.

    The forms of momentum agree for a constant rate (an average up to the factor 1-β), but not for one that varies:

    - "heavy_ball", u = -η·bₜ, bₜ = β·bₜ₋₁ + gₜ, as optax and PyTorch have it;
    - "average", u = -η·bₜ, bₜ = β·bₜ₋₁ + (1-β)·gₜ, as Adam has it;
    - "velocity", u = bₜ = β·bₜ₋₁ - ηₜ·gₜ, the rate inside the buffer, as Keras has it.

    Args:
        learning_rate: η ≥ 0.
        momentum: β in [0, 1]; None or 0 for none. 0.9 is usual.
        nesterov: Look ahead by one step of the momentum: u = -η·(gₜ + β·bₜ) of a heavy ball.
        momentum_form: "heavy_ball", "average" or "velocity".
        dampening: δ, bₜ = β·bₜ₋₁ + (1-δ)·gₜ from the second step on, as PyTorch has it; without nesterov.
        weight_decay: λ ≥ 0.
        weight_decay_mode: Where λ·θ goes, see `adamw`: "coupled" as in PyTorch, "decoupled" as in Keras.
        mask: A selector of the parameters that decay; None for all.

    Raises:
        ValueError: nesterov without momentum, or with dampening.

    The same as `optax.sgd`, and with coupled decay as `torch.optim.SGD`.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> tx = gx.sgd(0.1, momentum=0.9)
    >>> state = tx.init(jnp.zeros(2))
    >>> u, state = tx.update(jnp.array([1.0, 2.0]), state)
    >>> u, state = tx.update(jnp.array([1.0, 2.0]), state)
    >>> u
    Array([-0.19, -0.38], dtype=float32)
    """
    return descend(
        learning_rate=learning_rate,
        momentum=momentum,
        nesterov=nesterov,
        momentum_form=momentum_form,
        dampening=dampening,
        weight_decay=weight_decay,
        weight_decay_mode=weight_decay_mode,
        mask=mask,
    )
