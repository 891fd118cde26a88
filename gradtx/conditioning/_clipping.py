"""Clipping of gradients, by element and by norm."""

from collections.abc import Sequence
from dataclasses import KW_ONLY

import jax
import jax.numpy as jnp

from gradtx._tools import Bound, NonNegative, times
from gradtx.conditioning._norms import clip_factors, clip_to
from gradtx.core import At, Rule, Scope, Slots, Updated, as_transformation


class Clip(Rule):
    """Clips each element to [-c, c]: u = min(max(g, -c), c).

    The real and the imaginary part of a complex gradient are clipped separately. NaN stays NaN.

    Args:
        max_delta: c ≥ 0.

    optax's `clip`, PyTorch's `clip_grad_value_` and Keras's `clipvalue` are the same.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> tx = gx.clip(1.0)
    >>> tx.update(jnp.array([0.5, -3.0]), tx.init(jnp.zeros(2)))[0]
    Array([ 0.5, -1. ], dtype=float32)
    """

    max_delta: Bound

    def update(self, g: jax.Array, slot: Slots, at: At) -> Updated:
        c = self.max_delta
        if jnp.iscomplexobj(g):
            return jax.lax.complex(jnp.clip(g.real, -c, c), jnp.clip(g.imag, -c, c)), {}
        return jnp.clip(g, -c, c), {}


class ClipByGlobalNorm(Rule):
    """Scales all gradients down together if their common norm exceeds a bound.

    u = g·min(1, c / (‖g‖ + ε)), where ‖g‖ is the Euclidean norm of all gradients together.

    Args:
        max_norm: c ≥ 0; with c = ∞ the gradients pass unchanged.
        eps: ε ≥ 0; PyTorch's `clip_grad_norm_` has 1e-6.

    Gradients with ‖g‖ + ε ≤ c pass bit for bit. Zero gradients stay zero for every c and ε; with c = 0, optax makes
    them NaN. Finite gradients are clipped correctly even if their squares or their norm overflow; PyTorch and optax
    then give zeros, Keras gives NaN.

    NaN and infinities stay visible. If the norm is NaN, all gradients become NaN, as in the other libraries. If the
    norm is infinite, the finite gradients become 0 and the others NaN, as in optax and PyTorch; Keras makes all NaN.
    With c = ∞ they pass unchanged. With c = 0 all become 0, as in optax and PyTorch; for Keras, 0 means no bound.

    Source: Pascanu et al. 2013, arXiv:1211.5063, where ε = 0, as in optax and in Keras's `global_clipnorm`.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> tx, grads = gx.clip_by_global_norm(1.0), {"b": jnp.array([3.0]), "w": jnp.array([4.0])}
    >>> tx.update(grads, tx.init(grads))[0]
    {'b': Array([0.6], dtype=float32), 'w': Array([0.8], dtype=float32)}
    """

    max_norm: Bound
    _: KW_ONLY
    eps: NonNegative = 0.0

    idle = {"eps": "max_norm"}
    scope = Scope.TREE

    def measure(self, grads: Sequence[jax.Array], slots: Slots, at: At) -> dict[str, jax.Array]:
        scale, factor = clip_factors(grads, self.max_norm, self.eps)
        return {"scale": scale, "factor": factor}

    def update(self, g: jax.Array, slot: Slots, at: At) -> Updated:
        return times(g, at.measured["scale"], at.measured["factor"]), {}


class ClipByNorm(Rule):
    """Scales the gradient of each array down if its norm exceeds a bound.

    u = g·min(1, c / (‖g‖ + ε)), where ‖g‖ is the Euclidean norm of one array. NaN, infinities and zeros are treated as
    in `clip_by_global_norm`.

    Args:
        max_norm: c ≥ 0, for each array; with c = ∞ the gradients pass unchanged.
        eps: ε ≥ 0.

    Source: Pascanu et al. 2013, arXiv:1211.5063, applied to each array. Keras's `clipnorm` and TensorFlow's
    `clip_by_norm` have ε = 0; PyTorch's `clip_grad_norm_`, called for each parameter, has ε = 1e-6. optax has no
    counterpart: its `clip_by_block_rms` bounds the root mean square, so its bound on the norm grows with the array.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> tx, grads = gx.clip_by_norm(1.0), {"b": jnp.array([0.5]), "w": jnp.array([3.0, 4.0])}
    >>> tx.update(grads, tx.init(grads))[0]
    {'b': Array([0.5], dtype=float32), 'w': Array([0.6, 0.8], dtype=float32)}
    """

    max_norm: Bound
    _: KW_ONLY
    eps: NonNegative = 0.0

    idle = {"eps": "max_norm"}
    scope = Scope.LEAF

    def update(self, g: jax.Array, slot: Slots, at: At) -> Updated:
        return clip_to(g, self.max_norm, self.eps), {}


clip = as_transformation(Clip)
clip_by_global_norm = as_transformation(ClipByGlobalNorm)
clip_by_norm = as_transformation(ClipByNorm)
