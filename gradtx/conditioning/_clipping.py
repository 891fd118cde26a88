"""Clipping of gradients, by element and by norm."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.conditioning._norms import clip_factors, clip_to, times
from gradtx.core import Bound, NonNegative, Rule, Scope, as_transformation


class Clip(Rule):
    """u = min(max(g, -c), c), element by element; of complex gradients the real and the imaginary part.

    Args:
        max_delta: c ≥ 0.

    The same as `optax.clip`, `torch.nn.utils.clip_grad_value_` and Keras's `clipvalue`. NaN stays NaN.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> tx = gx.clip(1.0)
    >>> tx.update(jnp.array([0.5, -3.0]), tx.init(jnp.zeros(2)))[0]
    Array([ 0.5, -1. ], dtype=float32)
    """

    max_delta: Bound

    def update(self, g: jax.Array, slot: Any, at: Any) -> tuple[jax.Array, dict[str, jax.Array]]:
        c = self.max_delta
        if jnp.iscomplexobj(g):
            return jax.lax.complex(jnp.clip(g.real, -c, c), jnp.clip(g.imag, -c, c)), {}
        return jnp.clip(g, -c, c), {}


class ClipByGlobalNorm(Rule):
    """u = g·min(1, c / (‖g‖ + ε)), where ‖g‖ is the Euclidean norm of all gradients together.

    Args:
        max_norm: c ≥ 0; infinity measures and changes nothing.
        eps: ε ≥ 0; 1e-6 is `torch.nn.utils.clip_grad_norm_`.

    Source: Pascanu et al. 2013, arXiv:1211.5063, where ε = 0, as in optax and Keras's `global_clipnorm`. Gradients
    whose norm plus ε is at most c pass bit for bit, zero gradients stay zero whatever c and ε (with c = 0, optax makes
    them NaN). Finite gradients are clipped right where their squares, or their norm itself, overflow: PyTorch and optax
    then give zeros, Keras NaN.

    What is not finite stays visible: a norm that is NaN makes all gradients NaN, as in the others; an infinite one
    makes the finite gradients 0 and the others NaN, as in optax and PyTorch (Keras makes all NaN), except that they
    pass where c is infinite. For c = 0 nothing is left, as in optax and PyTorch, while Keras takes 0 for no bound.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> tx, grads = gx.clip_by_global_norm(1.0), {"b": jnp.array([3.0]), "w": jnp.array([4.0])}
    >>> tx.update(grads, tx.init(grads))[0]
    {'b': Array([0.6], dtype=float32), 'w': Array([0.8], dtype=float32)}
    """

    max_norm: Bound
    eps: NonNegative = 0.0

    scope = Scope.TREE

    def measure(self, grads: Sequence[jax.Array], slots: Any, at: Any) -> dict[str, jax.Array]:
        scale, factor = clip_factors(grads, self.max_norm, self.eps)
        return {"scale": scale, "factor": factor}

    def update(self, g: jax.Array, slot: Any, at: Any) -> tuple[jax.Array, dict[str, jax.Array]]:
        return times(g, at.measured["scale"], at.measured["factor"]), {}


class ClipByNorm(Rule):
    """u = g·min(1, c / (‖g‖ + ε)), where ‖g‖ is the Euclidean norm of this array alone.

    Args:
        max_norm: c ≥ 0, for each array; infinity changes nothing.
        eps: ε ≥ 0.

    Source: Pascanu et al. 2013, arXiv:1211.5063, applied to each array; Keras's `clipnorm` and `tf.clip_by_norm`, with
    ε = 0, and in PyTorch `clip_grad_norm_` called for each parameter, with ε = 1e-6. optax has no such form: its
    `clip_by_block_rms` bounds the root mean square, so that the bound on the norm grows with the array. The edges are
    those of `clip_by_global_norm`.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> tx, grads = gx.clip_by_norm(1.0), {"b": jnp.array([0.5]), "w": jnp.array([3.0, 4.0])}
    >>> tx.update(grads, tx.init(grads))[0]
    {'b': Array([0.5], dtype=float32), 'w': Array([0.6, 0.8], dtype=float32)}
    """

    max_norm: Bound
    eps: NonNegative = 0.0

    scope = Scope.LEAF

    def update(self, g: jax.Array, slot: Any, at: Any) -> tuple[jax.Array, dict[str, jax.Array]]:
        return clip_to(g, self.max_norm, self.eps), {}


clip = as_transformation(Clip)
clip_by_global_norm = as_transformation(ClipByGlobalNorm)
clip_by_norm = as_transformation(ClipByNorm)
