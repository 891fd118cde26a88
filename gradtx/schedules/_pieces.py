"""Values given piece by piece."""

from typing import Any, Literal

import jax
import jax.numpy as jnp

from gradtx._tools import one_more
from gradtx.schedules._cosine import half_cosine
from gradtx.schedules._schedule import Schedule, as_float, progress, since
from gradtx.schedules._several import Boundaries, Numbers, reached


class piecewise_constant(Schedule):
    """η(t) = vₖ, where k is the number of boundaries b ≤ t, or of those b < t.

    Args:
        values: v₀, v₁, …, one more than the boundaries.
        boundaries: b₁ ≤ b₂ ≤ …, steps ≥ 0.
        boundary: "from" has the new value at the boundary, "after" one step later.

    Raises:
        ValueError: the boundaries are out of order, or the values are not one more.

    "from" is `optax.piecewise_constant_schedule` and PyTorch's `MultiStepLR`, which give factors: with a factor γ at
    each boundary vₖ = η₀·γᵏ. "after" is Keras's `PiecewiseConstantDecay`.

    >>> import gradtx as gx
    >>> gx.schedules.piecewise_constant([1.0, 0.1], [3])(3)
    Array(0.1, dtype=float32)
    >>> gx.schedules.piecewise_constant([1.0, 0.1], [3], boundary="after")(3)
    Array(1., dtype=float32)
    """

    values: Numbers
    boundaries: Boundaries
    boundary: Literal["from", "after"] = "from"

    def __post_init__(self) -> None:
        super().__post_init__()
        one_more(self.label, "values", self.values, self.boundaries)

    def __call__(self, step: Any) -> jax.Array:
        value = jnp.broadcast_to(as_float(self.values[0]), jnp.shape(step))
        for later, start in zip(self.values[1:], self.boundaries, strict=True):
            passed = reached(step, start) if self.boundary == "from" else since(step, start) > 0
            value = jnp.where(passed, as_float(later), value)
        return value


class piecewise_interpolate(Schedule):
    """η passes through v₀ at step 0 and vₖ at step bₖ, and stays at the last; lines or half cosines in between.

    η(t) = vₖ₋₁ + (vₖ - vₖ₋₁)·x for bₖ₋₁ ≤ t < bₖ, b₀ = 0, with x = (t - bₖ₋₁) / (bₖ - bₖ₋₁), for the kind "cosine" with
    (1 - cos(π·x)) / 2 in place of x.

    Args:
        values: v₀, v₁, …, one more than the boundaries.
        boundaries: b₁ ≤ b₂ ≤ …, steps ≥ 0; of two equal ones the first is skipped.
        kind: "linear" or "cosine".

    Raises:
        ValueError: the boundaries are out of order, or the values are not one more.

    The same as `optax.piecewise_interpolate_schedule`, which gives factors instead of values.

    >>> import gradtx as gx
    >>> gx.schedules.piecewise_interpolate([0.0, 1.0, 0.5], [10, 20])(jnp.asarray([5, 10, 15, 30]))
    Array([0.5 , 1.  , 0.75, 0.5 ], dtype=float32)
    """

    values: Numbers
    boundaries: Boundaries
    kind: Literal["linear", "cosine"] = "linear"

    def __post_init__(self) -> None:
        super().__post_init__()
        one_more(self.label, "values", self.values, self.boundaries)

    def __call__(self, step: Any) -> jax.Array:
        value, start = jnp.broadcast_to(as_float(self.values[0]), jnp.shape(step)), 0
        for before, after, end in zip(self.values, self.values[1:], self.boundaries, strict=False):
            if self.kind == "linear":
                done, left = progress(step, start, end - start)
            else:
                left, done = half_cosine(step, start, end - start, 1)
            value = jnp.where(reached(step, start), before * left + after * done, value)
            start = end
        return value
