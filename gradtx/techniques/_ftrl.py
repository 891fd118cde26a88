"""Follow the regularised leader."""

from collections.abc import Hashable, Mapping
from typing import Annotated, Any, Self

import jax
import jax.numpy as jnp

from gradtx.core import (
    Interval,
    LearningRate,
    Mask,
    NonNegative,
    Role,
    Rule,
    Slot,
    abs_sq,
    as_transformation,
    ratio,
    root,
    select,
    times_plus,
)


class Ftrl(Rule):
    """nₜ = nₜ₋₁ + gₜ², zₜ = zₜ₋₁ + gₜ + 2·s·θ - (nₜ^p - nₜ₋₁^p) / η·θ, and the new parameter is

    θ' = (min(max(zₜ, -λ₁), λ₁) - zₜ) / (nₜ^p / η + 2·λ₂ + β / η), which is exactly 0 where |zₜ| ≤ λ₁; u = θ' - θ.
    The slots `accumulator` and `linear` are n and z. Complex numbers are pairs of real ones.

    Args:
        learning_rate: η ≥ 0; at a step with η = 0 nothing changes.
        learning_rate_power: -p ≤ 0.
        initial_accumulator_value: n₀ ≥ 0.
        l1: λ₁ ≥ 0, for sparse parameters.
        l2: λ₂ ≥ 0, which draws the parameter to 0.
        l2_shrinkage: s ≥ 0, which adds the gradient of s·θ².
        beta: β ≥ 0.
        weight_decay: λ ≥ 0: the equations see (1 - η·λ)·θ for θ.
        mask: A selector of the parameters that decay; None for all.

    Source: McMahan et al. 2013, "Ad click prediction: a view from the trenches", Algorithm 1, with Keras's additions
    and defaults. Mind that θ' owes nothing to θ but what zₜ has kept: a parameter that has had no gradient becomes 0.
    optax and PyTorch have no counterpart.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> tx, params = gx.ftrl(0.1, l1=1.0), jnp.zeros(2)
    >>> tx.update(jnp.array([0.5, -4.0]), tx.init(params), params)[0]
    Array([0.    , 0.0748], dtype=float32)
    """

    learning_rate: LearningRate
    learning_rate_power: Annotated[Any, Interval(high=0.0, closed=True)] = -0.5
    initial_accumulator_value: NonNegative = 0.1
    l1: NonNegative = 0.0
    l2: NonNegative = 0.0
    l2_shrinkage: NonNegative = 0.0
    beta: NonNegative = 0.0
    weight_decay: NonNegative = 0.0
    mask: Mask | None = None

    slots = {
        "accumulator": Slot(Role.SECOND_MOMENT, fill="initial_accumulator_value"),
        "linear": Slot(Role.FIRST_MOMENT),
    }
    needs = frozenset({"param"})
    by_parts = True

    def groups(self, params: Any, where: str, check: bool) -> Mapping[int, Hashable] | None:
        return None if self.mask is None else select(self.mask, params, f"{where}: mask", check)

    def for_group(self, group: Hashable) -> Self:
        return self.replace({"mask": None} | ({} if group else {"weight_decay": 0.0}))

    def update(self, g: jax.Array, slot: Any, at: Any) -> tuple[jax.Array, dict[str, jax.Array]]:
        moves = jnp.asarray(self.learning_rate) > 0
        rate = jnp.where(moves, self.learning_rate, 1.0)
        param = times_plus(-self.learning_rate * self.weight_decay, at.param, at.param)
        n = slot.accumulator + abs_sq(g)
        power, gain = self._power(n), self._gain(n, slot.accumulator, abs_sq(g))
        z = slot.linear + (times_plus(2 * self.l2_shrinkage, param, g) - gain / rate * param)
        quadratic = power / rate + (2 * self.l2 + self.beta / rate)
        new = ratio(jnp.clip(z, -self.l1, self.l1) - z, quadratic)
        u = jnp.where(moves & (quadratic != 0), new - at.param, jnp.zeros_like(g))
        return u, {"accumulator": jnp.where(moves, n, slot.accumulator), "linear": jnp.where(moves, z, slot.linear)}

    def _power(self, n: jax.Array) -> jax.Array:
        if self._square_root:
            return root(n)
        p, nothing = -self.learning_rate_power, n == 0
        return jnp.where(nothing, jnp.power(0.0, p), jnp.power(jnp.where(nothing, jnp.ones_like(n), n), p))

    def _gain(self, n: jax.Array, before: jax.Array, square: jax.Array) -> jax.Array:
        """nₜ^p - nₜ₋₁^p; of square roots without cancellation."""
        if not self._square_root:
            return self._power(n) - self._power(before)
        return ratio(square, root(n) + root(before))

    @property
    def _square_root(self) -> bool:
        return isinstance(self.learning_rate_power, float) and self.learning_rate_power == -0.5


ftrl = as_transformation(Ftrl)
