"""Adaptive gradient clipping."""

import math
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.conditioning._norms import clip_to, norm
from gradtx.core import Bound, NonNegative, Rule, Scope, as_transformation


class AdaptiveGradClip(Rule):
    """uᵢ = gᵢ·min(1, λ·max(‖θᵢ‖, ε) / ‖gᵢ‖) for each unit i: no unit's gradient is larger than its parameters, times λ.

    A unit is what one output is computed from. Its norms are taken over the whole of a scalar or a vector, over the
    first axis of arrays with two or three (a matrix from inputs to outputs, or to heads times outputs), and over all
    but the last axis of arrays with more (kernels of convolutions, outputs last). Axes of length 1 make no matrix of a
    vector.

    Args:
        clipping: λ ≥ 0; the paper has 0.01 to 0.16, less for larger batches.
        eps: ε ≥ 0, so that parameters that start at zero can move.

    Source: Brock et al. 2021, arXiv:2102.06171, equation 3. The same as `optax.adaptive_grad_clip`, whose default axes
    these are (it has no default beyond five axes); PyTorch and Keras have none. PyTorch's layout has the outputs first.
    The paper does not clip the last linear layer: leave it out. NaN and infinities stay visible in their unit, as in
    `clip_by_global_norm`.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> tx, params = gx.adaptive_grad_clip(0.5), jnp.array([[3.0, 1.0], [4.0, 0.0]])
    >>> tx.update(jnp.array([[6.0, 0.1], [8.0, 0.0]]), tx.init(params), params)[0]
    Array([[1.5, 0.1],
           [2. , 0. ]], dtype=float32)
    """

    clipping: Bound
    eps: NonNegative = 1e-3

    scope = Scope.LEAF
    needs = frozenset({"param"})

    def update(self, g: jax.Array, slot: Any, at: Any) -> tuple[jax.Array, dict[str, jax.Array]]:
        axes = _axes_of_a_unit(g.shape)
        bound = self.clipping * jnp.maximum(norm(at.param, axes), self.eps)
        return clip_to(g, bound, axes=axes), {}


adaptive_grad_clip = as_transformation(AdaptiveGradClip)


def _axes_of_a_unit(shape: tuple[int, ...]) -> tuple[int, ...]:
    if math.prod(shape) == max(shape, default=1):
        return tuple(range(len(shape)))
    return (0,) if len(shape) <= 3 else tuple(range(len(shape) - 1))
