"""Adaptive gradient clipping."""

import math

import jax
import jax.numpy as jnp

from gradtx._tools import Bound, NonNegative
from gradtx.conditioning._norms import clip_to, norm
from gradtx.core import At, Rule, Scope, Slots, Updated, as_transformation


class AdaptiveGradClip(Rule):
    """Clips the gradient of each unit to λ times the norm of the parameters of the unit.

    uᵢ = gᵢ·min(1, λ·max(‖θᵢ‖, ε) / ‖gᵢ‖) for each unit i. A unit is the set of parameters from which one output is
    computed. Norms are taken over all of a scalar or a vector; over the first axis of an array with two or three axes
    (a matrix from inputs to outputs, or to heads times outputs); and over all axes but the last of an array with more
    (kernels of convolutions, outputs last). An array with at most one axis longer than 1 counts as a vector.

    Args:
        clipping: λ ≥ 0; the paper has 0.01 to 0.16, smaller for larger batches.
        eps: ε ≥ 0, which lets parameters that start at zero move.

    Source: Brock et al. 2021, arXiv:2102.06171, equation 3. The paper does not clip the last linear layer: exclude it
    with `only`. optax's `adaptive_grad_clip` has the same default axes, and none beyond five axes. PyTorch and Keras
    have no counterpart; PyTorch's layout has the outputs first. NaN and infinities stay visible in their unit, as in
    `clip_by_global_norm`.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> tx, params = gx.adaptive_grad_clip(0.5), jnp.array([[3.0, 1.0], [4.0, 0.0]])
    >>> tx.update(jnp.array([[6.0, 0.1], [8.0, 0.0]]), tx.init(params), params)[0]
    Array([[1.5, 0.1],
           [2. , 0. ]], dtype=float32)
    """

    clipping: Bound
    eps: NonNegative = 1e-3

    idle = {"eps": "clipping"}
    scope = Scope.LEAF
    needs = frozenset({"param"})

    def update(self, g: jax.Array, slot: Slots, at: At) -> Updated:
        axes = _axes_of_a_unit(g.shape)
        bound = self.clipping * jnp.maximum(norm(at.param, axes), self.eps)
        return clip_to(g, bound, axes=axes), {}


adaptive_grad_clip = as_transformation(AdaptiveGradClip)


def _axes_of_a_unit(shape: tuple[int, ...]) -> tuple[int, ...]:
    if math.prod(shape) == max(shape, default=1):
        return tuple(range(len(shape)))
    return (0,) if len(shape) <= 3 else tuple(range(len(shape) - 1))
