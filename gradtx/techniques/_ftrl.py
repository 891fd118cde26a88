"""Follow the regularised leader."""

from collections.abc import Hashable, Mapping
from dataclasses import KW_ONLY
from typing import Annotated, Any, Self

import jax
import jax.numpy as jnp

from gradtx._tools import Flat, Interval, Mask, NonNegative, abs_sq, code_of, is_off, ratio, root, select, times_plus
from gradtx.core import At, LearningRate, Role, Rule, Slot, Slots, Updated, as_transformation


class Ftrl(Rule):
    """FTRL follows the regularised leader: it computes each parameter anew from the sum of all gradients.

    nₜ = nₜ₋₁ + gₜ², zₜ = zₜ₋₁ + gₜ + 2·s·θ - (nₜ^p - nₜ₋₁^p) / η·θ. The new parameter is
    θ' = (min(max(zₜ, -λ₁), λ₁) - zₜ) / (nₜ^p / η + 2·λ₂ + β / η), and u = θ' - θ. If |zₜ| ≤ λ₁, θ' is exactly 0.
    The slots `accumulator` and `linear` are n and z. A complex number is treated as a pair of real numbers.
    A parameter without any gradient so far becomes 0, because θ' depends on θ only through zₜ.

    Args:
        learning_rate: η ≥ 0; a step with η = 0 changes nothing.
        learning_rate_power: -p ≤ 0.
        initial_accumulator_value: n₀ ≥ 0.
        l1: λ₁ ≥ 0; makes parameters sparse.
        l2: λ₂ ≥ 0; draws parameters to 0.
        l2_shrinkage: s ≥ 0; adds the gradient of s·θ².
        beta: β ≥ 0.
        weight_decay: λ ≥ 0; (1 - η·λ)·θ takes the place of θ in the equations.
        mask: A selector of the parameters that decay; None selects all.

    Source: McMahan et al. 2013, "Ad click prediction: a view from the trenches", Algorithm 1, with Keras's additions
    and defaults. optax and PyTorch have no counterpart.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> tx, params = gx.ftrl(0.1, l1=1.0), jnp.zeros(2)
    >>> tx.update(jnp.array([0.5, -4.0]), tx.init(params), params)[0]
    Array([0.    , 0.0748], dtype=float32)
    """

    learning_rate: LearningRate
    _: KW_ONLY
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
    idle = {"mask": "weight_decay", "initial_accumulator_value": "learning_rate_power"}
    needs = frozenset({"param"})
    by_parts = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if is_off(self.learning_rate_power) and is_off(self.l2_shrinkage) and not is_off(self.weight_decay):
            raise ValueError(
                f"ftrl: weight_decay={code_of(self.weight_decay)} has no effect with learning_rate_power=0.0 and "
                "l2_shrinkage=0.0; set one of the two, or leave out weight_decay"
            )

    def groups(self, params: Flat, where: str) -> Mapping[int, Hashable] | None:
        return None if self.mask is None else select(self.mask, params, f"{where}: mask")

    def for_group(self, group: Hashable) -> Self:
        return self.replace({"mask": None} | ({} if group else {"weight_decay": 0.0}))

    def update(self, g: jax.Array, slot: Slots, at: At) -> Updated:
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
        """nₜ^p - nₜ₋₁^p. The difference of square roots is computed without cancellation."""
        if not self._square_root:
            return self._power(n) - self._power(before)
        return ratio(square, root(n) + root(before))

    @property
    def _square_root(self) -> bool:
        return isinstance(self.learning_rate_power, float) and self.learning_rate_power == -0.5


ftrl = as_transformation(Ftrl)
