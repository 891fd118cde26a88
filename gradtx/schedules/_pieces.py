"""Values that are given piece by piece."""

from dataclasses import KW_ONLY
from typing import Literal

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gradtx._tools import one_more
from gradtx.schedules._cosine import half_cosine
from gradtx.schedules._schedule import Schedule, as_float, is_number, progress, refuse_without_effect, since
from gradtx.schedules._values import Boundaries, Numbers, reached


class piecewise_constant(Schedule):
    """The value is constant between boundaries, and jumps at each of them.

    η(t) = vₖ, where k is the number of boundaries b ≤ t, or b < t if `boundary` is "after".

    Args:
        values: v₀, v₁, …: a list of finite numbers, one more than the boundaries.
        boundaries: b₁ ≤ b₂ ≤ …: a list of steps ≥ 0. Between two equal boundaries there is no step, and the value
            between them is skipped.
        boundary: "from" if the new value begins at the boundary, "after" if it begins one step later.

    Raises:
        ValueError: the boundaries are not in ascending order, the values are not one more than the boundaries, or
            `boundary` is given although there are no boundaries.

    "from" is `optax.piecewise_constant_schedule` and PyTorch's `MultiStepLR`, which take factors: with a factor γ at
    each boundary, vₖ = η₀·γᵏ. "after" is Keras's `PiecewiseConstantDecay`.

    >>> import gradtx as gx
    >>> gx.schedules.piecewise_constant([1.0, 0.1], [3])(3)
    Array(0.1, dtype=float32)
    >>> gx.schedules.piecewise_constant([1.0, 0.1], [3], boundary="after")(3)
    Array(1., dtype=float32)
    """

    values: Numbers
    boundaries: Boundaries
    _: KW_ONLY
    boundary: Literal["from", "after"] = "from"

    def __post_init__(self) -> None:
        super().__post_init__()
        one_more(self.label, "values", self.values, self.boundaries)
        if not self.boundaries:
            refuse_without_effect(self, ["boundary"], "without boundaries")

    def __call__(self, step: ArrayLike) -> jax.Array:
        value = jnp.broadcast_to(as_float(self.values[0]), jnp.shape(step))
        for later, start in zip(self.values[1:], self.boundaries, strict=True):
            passed = reached(step, start) if self.boundary == "from" else since(step, start) > 0
            value = jnp.where(passed, as_float(later), value)
        return value


class piecewise_interpolate(Schedule):
    """The value goes from one given value to the next on lines or half cosines, and stays at the last.

    The value is v₀ at step 0 and vₖ at step bₖ. In between, η(t) = vₖ₋₁ + (vₖ - vₖ₋₁)·x for bₖ₋₁ ≤ t < bₖ, where
    b₀ = 0 and x = (t - bₖ₋₁) / (bₖ - bₖ₋₁). For the kind "cosine", (1 - cos(π·x)) / 2 replaces x.

    Args:
        values: v₀, v₁, …: a list of finite numbers, one more than the boundaries.
        boundaries: b₁ ≤ b₂ ≤ …: a list of steps ≥ 0. At two equal boundaries the value jumps.
        kind: "linear" or "cosine".

    Raises:
        ValueError: the boundaries are not in ascending order, the values are not one more than the boundaries, or
            `kind` is given although no boundary is after step 0.

    The same as `optax.piecewise_interpolate_schedule`, which takes factors instead of values.

    >>> import gradtx as gx
    >>> gx.schedules.piecewise_interpolate([0.0, 1.0, 0.5], [10, 20])(jnp.asarray([5, 10, 15, 30]))
    Array([0.5 , 1.  , 0.75, 0.5 ], dtype=float32)
    """

    values: Numbers
    boundaries: Boundaries
    _: KW_ONLY
    kind: Literal["linear", "cosine"] = "linear"

    def __post_init__(self) -> None:
        super().__post_init__()
        one_more(self.label, "values", self.values, self.boundaries)
        if all(is_number(boundary, 0) for boundary in self.boundaries):
            refuse_without_effect(self, ["kind"], "without a boundary after step 0")

    def __call__(self, step: ArrayLike) -> jax.Array:
        value, start = jnp.broadcast_to(as_float(self.values[0]), jnp.shape(step)), 0
        for before, after, end in zip(self.values, self.values[1:], self.boundaries, strict=False):
            if self.kind == "linear":
                done, left = progress(step, start, end - start)
            else:
                left, done = half_cosine(step, start, end - start, 1)
            value = jnp.where(reached(step, start), before * left + after * done, value)
            start = end
        return value
