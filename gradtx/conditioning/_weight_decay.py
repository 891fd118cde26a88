"""Weight decay."""

from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core import LearningRate, NonNegative, Rule, as_transformation, is_zero, with_mask


class AddDecayedWeights(Rule):
    """u = g + λ·θ, or with `cautious`, u = g + λ·θ·[g·θ ≥ 0].

    Before the rule of an optimizer this is L2 regularisation (PyTorch's `weight_decay` of SGD and Adam), between it and
    the learning rate it is decoupled decay times the rate (AdamW). Cautious decay, there, spares the elements that the
    step takes away from zero.

    Args:
        weight_decay: λ ≥ 0.
        cautious: Decay only elements that the step moves towards zero, or not at all.
        mask: A selector of the parameters that decay; None for all. `mask=s` is short for `only(s, ...)`.

    Sources: Loshchilov & Hutter 2019, arXiv:1711.05101; cautious: Chen et al. 2025, arXiv:2510.12402. The same in
    optax, where a mask that is a function sees the gradients' tree.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> tx, params = gx.add_decayed_weights(0.1, mask="*kernel"), {"kernel": jnp.array([2.0]), "bias": jnp.array([2.0])}
    >>> tx.update({"kernel": jnp.array([1.0]), "bias": jnp.array([1.0])}, tx.init(params), params)[0]
    {'bias': Array([1.], dtype=float32), 'kernel': Array([1.2], dtype=float32)}
    """

    weight_decay: NonNegative
    cautious: bool = False

    needs = frozenset({"param"})

    def update(self, g: jax.Array, slot: Any, at: Any) -> tuple[jax.Array, dict[str, jax.Array]]:
        if is_zero(self.weight_decay):  # nor is θ read, which may be infinite
            return g, {}
        return g + self.weight_decay * (_aligned(at.param, g) if self.cautious else at.param), {}


class DecayWeights(Rule):
    """u = g - η·λ·θ, or with `after`, u = g - η·λ·(θ + g), where g is a step that is ready to be added to θ.

    For the end of a chain. With η = 1 it is decay independent of the learning rate; with the learning rate as η it is
    decoupled decay that stays out of a momentum which comes after the rate. `after` decays the parameter that the step
    leads to, θ' = (1 - η·λ)·(θ + g).

    Args:
        weight_decay: λ ≥ 0, at most 1/η. To follow the course of a rate, but not its size, give it a schedule.
        learning_rate: η ≥ 0.
        cautious: Decay only elements that the step moves towards zero, or not at all.
        after: Decay after the step, not before it.
        mask: A selector of the parameters that decay; None for all. `mask=s` is short for `only(s, ...)`.

    Sources: independent decay: Wortsman et al. 2023, arXiv:2309.14322, §3.2.2; cautious: Chen et al. 2025,
    arXiv:2510.12402. optax has no counterpart. Keras decays like this, before the step, with every optimizer.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> tx, params = gx.chain(gx.scale_by_learning_rate(0.5), gx.decay_weights(0.1)), jnp.array([2.0])
    >>> tx.update(jnp.array([1.0]), tx.init(params), params)[0]
    Array([-0.7], dtype=float32)
    """

    weight_decay: NonNegative
    learning_rate: LearningRate = 1.0
    cautious: bool = False
    after: bool = False

    needs = frozenset({"param"})

    def update(self, g: jax.Array, slot: Any, at: Any) -> tuple[jax.Array, dict[str, jax.Array]]:
        if is_zero(self.weight_decay):  # nor is θ read, which may be infinite
            return g, {}
        decayed = at.param + g if self.after else at.param
        decayed = _aligned(decayed, -g) if self.cautious else decayed
        return g - self.learning_rate * self.weight_decay * decayed, {}


add_decayed_weights = with_mask(as_transformation(AddDecayedWeights))
decay_weights = with_mask(as_transformation(DecayWeights))


def _aligned(param: jax.Array, descent: jax.Array) -> jax.Array:
    """θ where it has the sign of what is subtracted from it or either is 0, elsewhere 0."""
    if jnp.iscomplexobj(param):
        keeps = (descent * jnp.conj(param)).real >= 0
    else:
        keeps = jnp.sign(descent) * jnp.sign(param) >= 0  # a product of the two might underflow to 0
    return jnp.where(keeps, param, jnp.zeros_like(param))
