"""Weight decay."""

import functools
import inspect
from collections.abc import Callable
from dataclasses import KW_ONLY
from typing import Any

import jax
import jax.numpy as jnp

from gradtx._tools import NonNegative, Selects, bind, is_zero, refuse_idle
from gradtx.core import At, LearningRate, Rule, Slots, Transformation, Updated, as_transformation
from gradtx.views import only


class AddDecayedWeights(Rule):
    """Adds weight decay to the gradient: u = g + λ·θ.

    Before the rule of an optimizer this is L2 regularisation, as PyTorch's `weight_decay` of SGD and Adam. Between the
    rule and the learning rate it is decoupled weight decay times the learning rate, as in AdamW. With `cautious`,
    u = g + λ·θ·[g·θ ≥ 0]: an element that the step moves away from zero does not decay.

    Args:
        weight_decay: λ ≥ 0.
        mask: A selector of the parameters that decay; None selects all. `mask=s` is short for `only(s, ...)`.
        cautious: Whether only those elements decay that the step moves towards zero, or does not move.

    Sources: Loshchilov & Hutter 2019, arXiv:1711.05101; Chen et al. 2025, arXiv:2510.12402, for `cautious`. optax has
    the same; there, a mask that is a function is called with the tree of gradients.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> tx, params = gx.add_decayed_weights(0.1, mask="*kernel"), {"kernel": jnp.array([2.0]), "bias": jnp.array([2.0])}
    >>> tx.update({"kernel": jnp.array([1.0]), "bias": jnp.array([1.0])}, tx.init(params), params)[0]
    {'bias': Array([1.], dtype=float32), 'kernel': Array([1.2], dtype=float32)}
    """

    weight_decay: NonNegative
    _: KW_ONLY
    cautious: bool = False

    idle = {"cautious": "weight_decay"}
    needs = frozenset({"param"})

    def update(self, g: jax.Array, slot: Slots, at: At) -> Updated:
        if is_zero(self.weight_decay):  # 0·θ would be NaN for an infinite θ
            return g, {}
        return g + self.weight_decay * (_aligned(at.param, g) if self.cautious else at.param), {}


class DecayWeights(Rule):
    """Subtracts weight decay at the end of a chain: u = g - η·λ·θ, where g is the finished step.

    With η = 1 the decay is independent of the learning rate. With the learning rate as η it is decoupled weight decay
    that stays out of a momentum buffer after the learning rate. With `after`, u = g - η·λ·(θ + g): the parameter decays
    after the step, θ' = (1 - η·λ)·(θ + g).

    Args:
        weight_decay: λ ≥ 0, at most 1/η. A schedule lets λ follow the shape of a learning rate.
        learning_rate: η ≥ 0.
        cautious: Whether only those elements decay that the step moves towards zero, or does not move.
        after: Whether to decay after the step.
        mask: A selector of the parameters that decay; None selects all. `mask=s` is short for `only(s, ...)`.

    Sources: Wortsman et al. 2023, arXiv:2309.14322, §3.2.2, for independent decay; Chen et al. 2025, arXiv:2510.12402,
    for `cautious`. Keras decays like this, before the step, in every optimizer. optax has no counterpart.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> tx, params = gx.chain(gx.scale_by_learning_rate(0.5), gx.decay_weights(0.1)), jnp.array([2.0])
    >>> tx.update(jnp.array([1.0]), tx.init(params), params)[0]
    Array([-0.7], dtype=float32)
    """

    weight_decay: NonNegative
    _: KW_ONLY
    learning_rate: LearningRate = 1.0
    cautious: bool = False
    after: bool = False

    idle = {"learning_rate": "weight_decay", "cautious": "weight_decay", "after": "weight_decay"}
    needs = frozenset({"param"})

    def update(self, g: jax.Array, slot: Slots, at: At) -> Updated:
        if is_zero(self.weight_decay):  # 0·θ would be NaN for an infinite θ
            return g, {}
        decayed = at.param + g if self.after else at.param
        decayed = _aligned(decayed, -g) if self.cautious else decayed
        return g - self.learning_rate * self.weight_decay * decayed, {}


def _with_mask(make: Callable[..., Transformation]) -> Callable[..., Transformation]:
    """`make` with a further argument `mask`, the selector of `only`."""
    plain = list(inspect.signature(make).parameters.values())
    places = sum(p.kind is p.POSITIONAL_OR_KEYWORD for p in plain)
    place = inspect.Parameter.POSITIONAL_OR_KEYWORD
    mask = inspect.Parameter("mask", place, default=None, annotation="Selector | None")
    signature = inspect.Signature([*plain[:places], mask, *plain[places:]], return_annotation="Transformation")

    @functools.wraps(make)
    def masked(*args: Any, **kwargs: Any) -> Transformation:
        bound = bind(make.__name__, signature, args, kwargs)
        bound.apply_defaults()
        refuse_idle(make.__name__, signature, bound.arguments, {"mask": "weight_decay"})
        selector = bound.arguments.pop("mask")
        tx = make(**bound.arguments)
        return tx if selector is None else only(Selects().check(f"{make.__name__}: mask", selector), tx)

    masked.__signature__ = signature  # type: ignore[attr-defined]
    del masked.__wrapped__
    return masked


add_decayed_weights = _with_mask(as_transformation(AddDecayedWeights))
decay_weights = _with_mask(as_transformation(DecayWeights))


def _aligned(param: jax.Array, descent: jax.Array) -> jax.Array:
    """θ where θ·descent ≥ 0, and 0 elsewhere."""
    if jnp.iscomplexobj(param):
        keeps = (descent * jnp.conj(param)).real >= 0
    else:
        keeps = jnp.sign(descent) * jnp.sign(param) >= 0  # a product of the two might underflow to 0
    return jnp.where(keeps, param, jnp.zeros_like(param))
