"""Momentum."""

from typing import Any, Literal

import jax
import jax.numpy as jnp

from gradtx.core import Fraction, Real, Role, Rule, Slot, as_transformation, times_plus
from gradtx.techniques._moments import ema


class Trace(Rule):
    """Heavy ball: bₜ = β·bₜ₋₁ + (1-δ)·gₜ, b₁ = g₁, u = bₜ. Average: bₜ = β·bₜ₋₁ + (1-β)·gₜ, u = bₜ.

    With `nesterov`, the gradient goes in once more: u = β·bₜ + gₜ, or u = β·bₜ + (1-β)·gₜ of an average. That is the
    gradient at the point of look-ahead, ∇J(θₜ - β·vₜ), with that point as the parameters: see `lookahead_point`.

    After `scale_by_learning_rate` the same rule is the velocity form, vₜ = β·vₜ₋₁ - ηₜ·gₜ: the learning rate is inside
    the buffer. All forms are one for a constant rate, up to a factor 1-β for the average, and part where it varies.

    Args:
        momentum: β in [0, 1]; below 1 for a sum that converges.
        nesterov: Look ahead by one step of the momentum.
        momentum_form: "heavy_ball" or "average".
        dampening: δ, of a heavy ball without nesterov; the first gradient is not dampened.

    Sources: Polyak 1964; Nesterov's form as in Sutskever et al. 2013, after the change of variables. optax's `trace`
    and PyTorch's momentum are the heavy ball, optax without dampening; Keras's is the velocity.

    >>> import gradtx as gx
    >>> gx.chain(gx.trace(0.9), gx.scale_by_learning_rate(0.1)) == gx.sgd(0.1, momentum=0.9)
    True
    >>> gx.chain(gx.scale_by_learning_rate(0.1), gx.trace(0.9)) == gx.sgd(0.1, momentum=0.9, momentum_form="velocity")
    True
    """

    momentum: Fraction
    nesterov: bool = False
    momentum_form: Literal["heavy_ball", "average"] = "heavy_ball"
    dampening: Real = 0.0

    slots = {"buffer": Slot(Role.FIRST_MOMENT)}

    def __post_init__(self) -> None:
        super().__post_init__()
        plain = self.momentum_form == "heavy_ball" and not self.nesterov
        if self._dampened and not plain and not isinstance(self.dampening, jax.Array):  # a tracer may be 0
            raise ValueError(f"trace: dampening must be 0 with nesterov or an average, got {self.dampening}")

    @property
    def _dampened(self) -> bool:
        return not (isinstance(self.dampening, float) and self.dampening == 0)

    def update(self, g: jax.Array, slot: Any, at: Any) -> tuple[jax.Array, dict[str, jax.Array]]:
        if self.momentum_form == "average":
            b = ema(slot.buffer, g, self.momentum)
            return (ema(b, g, self.momentum) if self.nesterov else b), {"buffer": b}
        dampened = jnp.where(at.count == 1, g, (1 - self.dampening) * g) if self._dampened else g
        b = times_plus(self.momentum, slot.buffer, dampened)
        return (times_plus(self.momentum, b, g) if self.nesterov else b), {"buffer": b}


trace = as_transformation(Trace)
