"""NAdam."""

from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core import (
    Decay,
    Hyper,
    NonNegative,
    Role,
    Rule,
    Selector,
    Slot,
    Transformation,
    abs_sq,
    as_transformation,
    root,
)
from gradtx.techniques._descend import WeightDecayMode, descend
from gradtx.techniques._moments import debias, ema, ema_of_squares, one_minus_power, quotient, unbiased


class ScaleByNadam(Rule):
    """u = ((1-βₜ) / (1 - Πₜ)·gₜ + βₜ₊₁ / (1 - Πₜ·βₜ₊₁)·μₜ) / (√ν̂ₜ + ε), Πₜ = β₁'·…·βₜ.

    μₜ, νₜ and ν̂ₜ are Adam's, with the constants b1 and b2; the weights follow a schedule that starts at about half of
    b1, βₜ = b1·(1 - 0.96^(t·ψ) / 2). With ψ = None, βₜ = b1 throughout.

    Args:
        b1: In [0, 1).
        b2: In [0, 1).
        eps: ε ≥ 0.
        momentum_decay: ψ ≥ 0, how fast βₜ rises; or None.

    Source: Dozat 2016, "Incorporating Nesterov momentum into Adam", §3, whose ψ is 4e-3, as is PyTorch's. Keras has
    ψ = 1 and ε = 1e-7, optax's `nadam` has constant weights, None.
    """

    b1: Decay = 0.9
    b2: Decay = 0.999
    eps: NonNegative = 1e-8
    momentum_decay: NonNegative | None = 4e-3

    slots = {
        "mu": Slot(Role.FIRST_MOMENT),
        "nu": Slot(Role.SECOND_MOMENT),
        "product": Slot(Role.SCALAR, fill=1.0, when="momentum_decay", dtype=float),
    }

    def prepare(self, at: Any) -> dict[str, jax.Array]:
        kept = {}
        if self.momentum_decay is None:
            now = after = self.b1
            rest, rest_after = one_minus_power(self.b1, at.count), one_minus_power(self.b1, at.count + 1)
        else:
            now, after = (self._beta(at.count + i) for i in (0, 1))
            kept["product"] = product = at.scalars["product"] * now
            rest, rest_after = 1 - product, 1 - product * after
        return kept | {"g": (1 - now) / rest, "mu": after / rest_after, "debias": debias(self.b2, at.count)}

    def update(self, g: jax.Array, slot: Any, at: Any) -> tuple[jax.Array, dict[str, jax.Array]]:
        mu = ema(slot.mu, g, self.b1)
        nu = ema_of_squares(slot.nu, abs_sq(g), self.b2)
        nu_hat = unbiased(nu, abs_sq(g), at.measured["debias"], at.count)
        ahead = at.measured["g"] * g + at.measured["mu"] * mu
        return quotient(ahead, root(nu_hat) + self.eps, self.eps), {"mu": mu, "nu": nu}

    def _beta(self, t: jax.Array) -> Any:
        psi: Any = self.momentum_decay
        return self.b1 * (1 - 0.5 * 0.96 ** (jnp.asarray(t, float) * psi))


scale_by_nadam = as_transformation(ScaleByNadam)


def nadam(
    learning_rate: Hyper,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-8,
    momentum_decay: Hyper | None = 4e-3,
    weight_decay: Hyper = 0.0,
    weight_decay_mode: WeightDecayMode = "decoupled",
    mask: Selector | None = None,
) -> Transformation:
    """NAdam: Adam with Nesterov's look-ahead and a momentum that warms up. See `scale_by_nadam` for the equation.

    Args:
        learning_rate: η ≥ 0; PyTorch's default is 2e-3, Keras's 1e-3.
        b1: In [0, 1).
        b2: In [0, 1).
        eps: ε ≥ 0.
        momentum_decay: ψ: 4e-3 as in PyTorch, 1.0 as in Keras, None for optax's constant momentum.
        weight_decay: λ ≥ 0.
        weight_decay_mode: Where λ·θ goes, see `adamw`.
        mask: A selector of the parameters that decay; None for all.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> tx = gx.nadam(0.1, momentum_decay=None)
    >>> tx.update(jnp.array([1.0, -4.0]), tx.init(jnp.zeros(2)))[0]
    Array([-0.147,  0.147], dtype=float32)
    """
    return descend(
        scale_by_nadam(b1, b2, eps, momentum_decay),
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        weight_decay_mode=weight_decay_mode,
        mask=mask,
    )
