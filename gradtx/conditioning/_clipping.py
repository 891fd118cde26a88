"""Clipping of gradients."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core import Bound, Rule, Scope, abs_sq, as_transformation


class Clip(Rule):
    """u = min(max(g, -c), c), element by element; of complex gradients the real and the imaginary part.

    Args:
        max_delta: c ≥ 0.

    The same as `optax.clip` and `torch.nn.utils.clip_grad_value_`. NaN stays NaN.

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
    """u = g·min(1, c / ‖g‖), where ‖g‖ is the Euclidean norm of all gradients together.

    Args:
        max_norm: c ≥ 0; infinity measures and changes nothing.

    Source: Pascanu et al. 2013, arXiv:1211.5063. optax divides by the norm and multiplies by c, PyTorch has
    c / (‖g‖ + 1e-6). Gradients whose norm is at most c pass bit for bit, zero gradients stay zero whatever c, and
    the norm of finite gradients is finite where their squares overflow or underflow.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> tx, grads = gx.clip_by_global_norm(1.0), {"b": jnp.array([3.0]), "w": jnp.array([4.0])}
    >>> tx.update(grads, tx.init(grads))[0]
    {'b': Array([0.6], dtype=float32), 'w': Array([0.8], dtype=float32)}
    """

    max_norm: Bound

    scope = Scope.TREE

    def measure(self, grads: Sequence[jax.Array], at: Any) -> dict[str, jax.Array]:
        norm = global_norm(grads)
        return {"factor": jnp.where(norm > self.max_norm, self.max_norm / norm, 1.0)}

    def update(self, g: jax.Array, slot: Any, at: Any) -> tuple[jax.Array, dict[str, jax.Array]]:
        return g * at.measured["factor"], {}


clip = as_transformation(Clip)
clip_by_global_norm = as_transformation(ClipByGlobalNorm)


def global_norm(arrays: Sequence[jax.Array]) -> jax.Array:
    """√Σ|g|² over all elements of all arrays, where the squares may overflow or underflow."""
    if not arrays:
        return jnp.zeros(())
    dtype = max((jnp.finfo(x.dtype).dtype for x in arrays), key=lambda d: d.itemsize)
    total = _sum_abs_sq(list(arrays), jnp.ones((), dtype))
    limits = jnp.finfo(dtype)
    too_small, too_large = total < limits.tiny / limits.eps**2, ~(total < limits.max)
    # Powers of two lose no digits. The second pass over the arrays is taken only where it is needed.
    scale = jnp.where(too_small, jnp.asarray(2.0**80, dtype), jnp.asarray(2.0**-80, dtype))
    return jax.lax.cond(
        too_small | too_large, lambda: jnp.sqrt(_sum_abs_sq(list(arrays), scale)) / scale, lambda: jnp.sqrt(total)
    )


@jax.jit  # both passes, and all arrays of one shape, share a trace
def _sum_abs_sq(arrays: list[jax.Array], scale: jax.Array) -> jax.Array:
    return functools.reduce(jax.lax.add, [_leaf_sum_abs_sq(x, scale) for x in arrays])


@jax.jit
def _leaf_sum_abs_sq(x: jax.Array, scale: jax.Array) -> jax.Array:
    return jnp.asarray(jnp.sum(abs_sq(x * jnp.asarray(scale, x.dtype))), scale.dtype)
