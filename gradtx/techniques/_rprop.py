"""Rprop."""

from typing import Annotated, Any

import jax
import jax.numpy as jnp

from gradtx._tools import Interval
from gradtx.core import At, Role, Rule, Slot, Slots, Updated, as_transformation


class Rprop(Rule):
    """Rprop adapts the step size of each element to the sign of its gradient.

    ηₜ = min(max(ηₜ₋₁·f, η_min), η_max), u = -ηₜ·sign(gₜ). The factor is f = η⁺ if gₜ·gₜ₋₁ > 0, f = η⁻ if gₜ·gₜ₋₁ < 0,
    and f = 1 if it is 0. After a change of sign, gₜ counts as 0 at this step and at the next one. Only the signs of the
    gradients matter, so the gradients must be those of full batches. A complex number is treated as a pair of real
    numbers.

    Args:
        learning_rate: η₀ ≥ 0, the first step size of every element. It takes no schedule: the step sizes adapt.
        eta_minus: η⁻ in (0, 1).
        eta_plus: η⁺ > 1.
        min_step_size: η_min ≥ 0.
        max_step_size: η_max ≥ η_min.

    Source: Riedmiller & Braun 1993, in the variant iRprop⁻ of Igel & Hüsken 2000. PyTorch has the same.
    optax's `rprop` returns the update of the step before, and zeros at the first step.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> tx = gx.rprop(0.1)
    >>> state = tx.init(jnp.zeros(3))
    >>> u, state = tx.update(jnp.array([1.0, -4.0, 2.0]), state)
    >>> tx.update(jnp.array([3.0, -0.1, -2.0]), state)[0]
    Array([-0.12,  0.12,  0.  ], dtype=float32)
    """

    learning_rate: Annotated[Any, Interval(0.0, hyper=False)]
    eta_minus: Annotated[Any, Interval(0.0, 1.0, above=True)] = 0.5
    eta_plus: Annotated[Any, Interval(1.0, above=True)] = 1.2
    min_step_size: Annotated[Any, Interval(0.0)] = 1e-6
    max_step_size: Annotated[Any, Interval(0.0)] = 50.0

    slots = {
        "step_size": Slot(Role.STEP_SIZE, fill="learning_rate"),
        "previous": Slot(Role.PREVIOUS_GRADIENT),
    }
    by_parts = True

    def __post_init__(self) -> None:
        super().__post_init__()
        low, high = self.min_step_size, self.max_step_size
        if isinstance(low, float) and isinstance(high, float) and low > high:
            raise ValueError(f"rprop: min_step_size must be at most max_step_size, got {low:g} and {high:g}; swap them")

    def update(self, g: jax.Array, slot: Slots, at: At) -> Updated:
        turned = jnp.sign(g) * jnp.sign(slot.previous)  # g·g' may underflow
        factor = jnp.where(turned > 0, self.eta_plus, jnp.where(turned < 0, self.eta_minus, 1.0))
        step_size = jnp.clip(slot.step_size * factor, self.min_step_size, self.max_step_size)
        g = jnp.where(turned < 0, jnp.zeros_like(g), g)
        return -jnp.sign(g) * step_size, {"step_size": step_size, "previous": g}


rprop = as_transformation(Rprop)
