"""Rprop."""

from typing import Annotated, Any

import jax
import jax.numpy as jnp

from gradtx.core import Interval, Role, Rule, Slot, as_transformation


class Rprop(Rule):
    """ηₜ = min(max(ηₜ₋₁·f, η_min), η_max), u = -ηₜ·sign(gₜ), element by element, where by the sign of gₜ·gₜ₋₁

    f = η⁺ where it is positive; η⁻ where it is negative, and then gₜ counts as 0, now and at the next step; 1 where it
    is 0. Only signs of gradients matter, so they must be of full batches. Complex numbers are pairs of real ones.

    Args:
        learning_rate: η₀ ≥ 0, every element's first step size. No schedule: the steps set themselves.
        eta_minus: η⁻ in (0, 1).
        eta_plus: η⁺ > 1.
        min_step_size: η_min ≥ 0.
        max_step_size: η_max ≥ η_min.

    Source: Riedmiller & Braun 1993, in the variant iRprop⁻ of Igel & Hüsken 2000. The same as PyTorch's; optax's
    `rprop` returns the update of the step before, and nothing at the first.

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
            raise ValueError(f"rprop: min_step_size must be at most max_step_size, got {low:g} and {high:g}")

    def update(self, g: jax.Array, slot: Any, at: Any) -> tuple[jax.Array, dict[str, jax.Array]]:
        turned = jnp.sign(g) * jnp.sign(slot.previous)  # g·g' may underflow
        factor = jnp.where(turned > 0, self.eta_plus, jnp.where(turned < 0, self.eta_minus, 1.0))
        step_size = jnp.clip(slot.step_size * factor, self.min_step_size, self.max_step_size)
        g = jnp.where(turned < 0, jnp.zeros_like(g), g)
        return -jnp.sign(g) * step_size, {"step_size": step_size, "previous": g}


rprop = as_transformation(Rprop)
