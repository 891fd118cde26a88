"""Momentum."""

from dataclasses import KW_ONLY
from typing import Literal

import jax
import jax.numpy as jnp

from gradtx._tools import Fraction, Real, code_of, is_zero, times_plus
from gradtx.core import At, Hyper, Role, Rule, Slot, Slots, Updated, as_transformation
from gradtx.techniques._moments import ema


class Trace(Rule):
    """Momentum accumulates past gradients in a buffer, and replaces the gradient by the buffer.

    Heavy ball: bₜ = β·bₜ₋₁ + (1-δ)·gₜ, b₁ = g₁, u = bₜ. Average: bₜ = β·bₜ₋₁ + (1-β)·gₜ, u = bₜ.

    With `nesterov`, the gradient counts once more: u = β·bₜ + gₜ for a heavy ball, u = β·bₜ + (1-β)·gₜ for an average.
    This is the gradient at the look-ahead point, ∇J(θₜ - β·vₜ), if the parameters are that point: see
    `lookahead_point`.

    After `scale_by_learning_rate`, the same rule is the velocity form, vₜ = β·vₜ₋₁ - ηₜ·gₜ, with the learning rate
    inside the buffer. With a constant learning rate all three forms give the same updates (the average scaled by 1-β).
    With a varying learning rate they differ.

    Args:
        momentum: β in [0, 1]; the buffer is bounded for β < 1.
        nesterov: Whether to look ahead by one step of the momentum.
        momentum_form: "heavy_ball" or "average".
        dampening: δ, for a heavy ball without nesterov; the first gradient is not dampened.

    Raises:
        ValueError: dampening with nesterov, or with the form "average".

    Sources: Polyak 1964; Sutskever et al. 2013 for Nesterov's form after the change of variables. optax's `trace` is
    the heavy ball without dampening, PyTorch's momentum the heavy ball, Keras's the velocity.

    >>> import gradtx as gx
    >>> gx.chain(gx.trace(0.9), gx.scale_by_learning_rate(0.1)) == gx.sgd(0.1, momentum=0.9)
    True
    >>> gx.chain(gx.scale_by_learning_rate(0.1), gx.trace(0.9)) == gx.sgd(0.1, momentum=0.9, momentum_form="velocity")
    True
    """

    momentum: Fraction
    nesterov: bool = False
    _: KW_ONLY
    momentum_form: Literal["heavy_ball", "average"] = "heavy_ball"
    dampening: Real = 0.0

    idle = {"nesterov": "momentum", "momentum_form": "momentum"}
    slots = {"buffer": Slot(Role.FIRST_MOMENT)}

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_dampening(self.label, self.dampening, self.nesterov, self.momentum_form)

    def update(self, g: jax.Array, slot: Slots, at: At) -> Updated:
        if self.momentum_form == "average":
            b = ema(slot.buffer, g, self.momentum)
            return (ema(b, g, self.momentum) if self.nesterov else b), {"buffer": b}
        dampened = jnp.where(at.count == 1, g, (1 - self.dampening) * g) if not is_zero(self.dampening) else g
        b = times_plus(self.momentum, slot.buffer, dampened)
        return (times_plus(self.momentum, b, g) if self.nesterov else b), {"buffer": b}


trace = as_transformation(Trace)


def refuse_dampening(where: str, dampening: Hyper, nesterov: bool, momentum_form: str) -> None:
    """Complains about a dampening beside Nesterov's momentum or an average, which have none."""
    possible = momentum_form != "average" and not nesterov
    if possible or is_zero(dampening) or isinstance(dampening, jax.Array):  # a tracer may be 0
        return
    other = "nesterov=True" if nesterov else "momentum_form='average'"
    raise ValueError(f"{where}: dampening={code_of(dampening)} has no meaning with {other}; leave out one of the two")
