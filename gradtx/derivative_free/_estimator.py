"""The base of estimators: values on both sides of the parameters, along random directions."""

import math
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY
from typing import Annotated, Any, TypeAlias, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from jax.typing import ArrayLike

from gradtx._tools import (
    Flat,
    Number,
    Tree,
    check_real_scalar,
    dtype_of,
    flatten,
    is_complex,
    is_trainable,
    spread,
    typed_key,
    wide,
    widen,
)
from gradtx.core import Interval, Key, Record, Stateful

Params = TypeVar("Params")
Count: TypeAlias = Annotated[int, Interval(1, hyper=False, whole=True)]
"""A whole number ≥ 1."""
Distance: TypeAlias = Annotated[Number | Callable[[Any], ArrayLike], Interval(0.0, above=True)]
"""A finite number > 0, or a schedule."""


class Estimator(Record):
    """The base of estimators. A subclass defines how a direction is drawn, and the weight of each direction.

    Fields: the number N of directions, the distance along them, the key that they are drawn with, and the sign.
    """

    directions: Count
    stddev: Distance
    _: KW_ONLY
    key: Key
    maximize: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.stddev, Stateful):
            raise TypeError(
                f"{self.label}: stddev must be a number or a schedule, because an estimator has no state, "
                f"got {self.stddev!r}"
            )

    def draw(self, key: jax.Array, shape: tuple[int, ...], dtype: np.dtype) -> jax.Array:
        """Independent elements of directions δ."""
        return jax.random.normal(key, shape, dtype)

    def weights(self, values: jax.Array, finite: jax.Array, stddev: ArrayLike) -> jax.Array:
        """The weights wᵢ of the estimate Σwᵢ·δᵢ, in the shape (N,).

        Args:
            values: The values to be minimised, in the shape (2, N): at +δᵢ and at -δᵢ. 0 if not `finite`.
            finite: Whether both values of a direction are finite, in the shape (N,).
            stddev: The distance along the directions.
        """
        raise NotImplementedError

    def estimate(
        self,
        value_fn: Callable[..., ArrayLike | tuple[ArrayLike, Tree]],
        params: Params,
        step: ArrayLike,
        *args: Tree,
        has_aux: bool = False,
        sharding: NamedSharding | None = None,
    ) -> tuple[Any, Params]:
        """The mean of the values and an estimate of the gradient, in the form of `jax.value_and_grad(value_fn)`.

        The gradient is that of the function to be minimised, which is -value_fn if `maximize`, so that a chain descends
        either way. The value is the one of value_fn. A direction is dropped if the value at either of its two points is
        not finite. If all directions are dropped, the value and the gradient are NaN.

        Args:
            value_fn: (params, *args) → a real scalar, or with `has_aux` a pair of a real scalar and a tree of arrays.
                It runs under `vmap`, and needs no derivative.
            params: A tree of arrays. Only arrays of real floating numbers are changed, and have a gradient.
            step: The number of the estimate, an integer such as `state.step` of a chain. The step and `key` determine
                the directions.
            *args: More arguments of value_fn, the same for all directions.
            has_aux: Whether value_fn returns a pair.
            sharding: How the directions are distributed over devices, such as
                `NamedSharding(mesh, PartitionSpec("d"))`.

        Returns:
            (value, gradient), or ((value, aux), gradient). The arrays of aux have two more axes in front: the two sides
            + and -, and the directions.

        Raises:
            TypeError: the value is not a real scalar, or a parameter is complex.
        """
        flat = flatten(params)
        moved = [i for i, leaf in enumerate(flat.leaves) if is_trainable(leaf)]
        if complex_ones := [i for i in moved if is_complex(dtype_of(flat.leaves[i]))]:
            path = flat.paths()[complex_ones[0]]
            raise TypeError(f"{self.label}: the parameter at {path!r} is complex; give its real and imaginary parts")
        stddev = self.stddev(step) if callable(self.stddev) else self.stddev
        drawn = self._drawn(flat, moved, step)
        if sharding is not None:
            drawn = [spread(x, sharding) for x in drawn]

        def value_at(side: jax.Array, directions: list[jax.Array]) -> tuple[jax.Array, Tree]:
            leaves = list(flat.leaves)
            for i, direction in zip(moved, directions, strict=True):
                x = widen(leaves[i])
                leaves[i] = jnp.asarray(x + side * stddev * direction, dtype_of(leaves[i]))
            return self._checked(value_fn(flat.unflatten(leaves), *args), has_aux)

        along = jax.vmap(jax.vmap(value_at, (None, 0)), (0, None))
        values, aux = along(jnp.array([1.0, -1.0]), drawn)
        if sharding is not None:
            values = spread(values, NamedSharding(sharding.mesh, PartitionSpec()))
        finite = jnp.isfinite(values).all(0)
        values = jnp.where(finite, values, 0.0)
        number = jnp.sum(finite, dtype=values.dtype)
        weights = self.weights(-values if self.maximize else values, finite, stddev)
        weights = jnp.where(number > 0, weights, jnp.nan)
        grads: list[jax.Array | None] = [None] * len(flat.leaves)
        for i, directions in zip(moved, drawn, strict=True):
            each = jnp.expand_dims(jnp.asarray(weights, directions.dtype), tuple(range(1, directions.ndim)))
            grads[i] = jnp.asarray(jnp.sum(each * directions, 0), dtype_of(flat.leaves[i]))
        value = jnp.sum(values) / (2 * number)
        return ((value, aux) if has_aux else value), flat.unflatten(grads)

    def _drawn(self, flat: Flat, moved: Sequence[int], step: ArrayLike) -> list[jax.Array]:
        """For each of the moved leaves an array of directions, which are on the first axis."""
        key = jax.random.fold_in(typed_key(self.key), step)
        drawn = []
        for i in moved:
            x, shape = flat.leaves[i], (self.directions, *np.shape(flat.leaves[i]))
            # The elements are drawn in two axes: XLA's CPU backend takes seconds to compile random numbers in three.
            rows = self.draw(jax.random.fold_in(key, i), (self.directions, math.prod(shape[1:])), wide(dtype_of(x)))
            drawn.append(rows.reshape(shape))
        return drawn

    def _checked(self, result: ArrayLike | tuple[ArrayLike, Tree], has_aux: bool) -> tuple[jax.Array, Tree]:
        """The value and aux, which is None without `has_aux`."""
        value: Any = result
        aux: Tree = None
        if has_aux:
            if not (isinstance(result, tuple) and len(result) == 2):
                raise TypeError(
                    f"{self.label}: with has_aux, value_fn must return a pair (value, aux), got {type(result).__name__}"
                )
            value, aux = result
        check_real_scalar(f"{self.label}: value_fn", value)
        return widen(value), aux
