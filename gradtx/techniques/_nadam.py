"""NAdam."""

from dataclasses import KW_ONLY
from typing import Any, Unpack

import jax
import jax.numpy as jnp

from gradtx._tools import Decay, NonNegative, abs_sq, root
from gradtx.core import At, Hyper, Role, Rule, Slot, Slots, Transformation, Updated, as_transformation
from gradtx.techniques._moments import debias, ema, ema_of_squares, one_minus_power, quotient, unbiased
from gradtx.techniques._optimizer import WeightDecay, framed, optimizer


class ScaleByNadam(Rule):
    """Adds Nesterov's look-ahead to Adam: the gradient counts once more beside its average.

    u = ((1-βₜ) / (1 - Πₜ)·gₜ + βₜ₊₁ / (1 - Πₜ·βₜ₊₁)·μₜ) / (√ν̂ₜ + ε), where Πₜ is the product of β₁, …, βₜ. μₜ, νₜ and
    ν̂ₜ are Adam's, with the constants b1 and b2. The weights βₜ = b1·(1 - 0.96^(t·ψ) / 2) start at about half of b1.

    Args:
        b1: In [0, 1).
        b2: In [0, 1).
        eps: ε ≥ 0.
        momentum_decay: ψ ≥ 0, how fast βₜ rises: 4e-3 as in PyTorch, 1.0 as in Keras, or None for βₜ = b1 at every
            step, as in optax.

    Source: Dozat 2016, "Incorporating Nesterov momentum into Adam", §3, where ψ = 4e-3. Keras has ε = 1e-7.
    """

    b1: Decay = 0.9
    b2: Decay = 0.999
    eps: NonNegative = 1e-8
    _: KW_ONLY
    momentum_decay: NonNegative | None = 4e-3

    idle = {"momentum_decay": "b1"}
    slots = {
        "mu": Slot(Role.FIRST_MOMENT),
        "nu": Slot(Role.SECOND_MOMENT),
        "product": Slot(Role.SCALAR, fill=1.0, when="momentum_decay", dtype=float),
    }

    def prepare(self, at: At) -> dict[str, jax.Array]:
        kept = {}
        if self.momentum_decay is None:
            now = after = self.b1
            rest, rest_after = one_minus_power(self.b1, at.count), one_minus_power(self.b1, at.count + 1)
        else:
            now, after = (self._beta(at.count + i) for i in (0, 1))
            kept["product"] = product = at.scalars["product"] * now
            rest, rest_after = 1 - product, 1 - product * after
        return kept | {"g": (1 - now) / rest, "mu": after / rest_after, "debias": debias(self.b2, at.count)}

    def update(self, g: jax.Array, slot: Slots, at: At) -> Updated:
        mu = ema(slot.mu, g, self.b1)
        nu = ema_of_squares(slot.nu, abs_sq(g), self.b2)
        nu_hat = unbiased(nu, abs_sq(g), at.measured["debias"], at.count)
        ahead = at.measured["g"] * g + at.measured["mu"] * mu
        return quotient(ahead, root(nu_hat) + self.eps, self.eps), {"mu": mu, "nu": nu}

    def _beta(self, t: jax.Array) -> Any:
        psi: Any = self.momentum_decay
        return self.b1 * (1 - 0.5 * 0.96 ** (jnp.asarray(t, float) * psi))


scale_by_nadam = as_transformation(ScaleByNadam)


@optimizer(ScaleByNadam)
def nadam(
    learning_rate: Hyper,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-8,
    *,
    momentum_decay: Hyper | None = 4e-3,
    **decay: Unpack[WeightDecay],
) -> Transformation:
    """NAdam is Adam with Nesterov's look-ahead and a momentum that warms up. `scale_by_nadam` has the equation.

    Args:
        learning_rate: η ≥ 0; PyTorch has 2e-3, Keras has 1e-3.

    >>> import gradtx as gx
    >>> gx.nadam(1e-3, momentum_decay=None)
    chain(scale_by_nadam(momentum_decay=None), scale_by_learning_rate(0.001))
    """
    return framed(learning_rate, scale_by_nadam(b1, b2, eps, momentum_decay=momentum_decay), **decay)
