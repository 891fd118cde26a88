"""What estimates of gradients share: values on both sides of the parameters, along directions drawn at random."""

import math
from collections.abc import Callable
from typing import Annotated, Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from gradtx._tools import (
    Flat,
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

Count: TypeAlias = Annotated[Any, Interval(1, hyper=False, whole=True)]
"""A whole number ≥ 1."""
Distance: TypeAlias = Annotated[Any, Interval(0.0, above=True)]
"""A finite number > 0, or a schedule."""


class Estimator(Record):
    """Subclasses say how a direction is drawn, and how much each of them counts.

    Fields: the number N of directions, how far along them, and what they are drawn with.
    """

    directions: Count
    stddev: Distance
    key: Key
    maximize: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.stddev, Stateful):
            raise TypeError(f"{self.label}: stddev must be a number or a schedule, got {self.stddev!r}")

    def draw(self, key: jax.Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
        """Independent elements of directions δ."""
        return jax.random.normal(key, shape, dtype)

    def weights(self, values: jax.Array, finite: jax.Array, stddev: Any) -> jax.Array:
        """(wᵢ) of the estimate Σwᵢ·δᵢ, from the values, (2, N), of what is to be minimised, 0 where not `finite`."""
        raise NotImplementedError

    def estimate(
        self,
        value_fn: Callable[..., Any],
        params: Any,
        step: Any,
        *args: Any,
        has_aux: bool = False,
        sharding: NamedSharding | None = None,
    ) -> tuple[Any, Any]:
        """The mean of the values and an estimate of the gradient, as `jax.value_and_grad(value_fn)` gives them.

        The gradient is that of what is to be minimised, -value_fn if `maximize`, so that a chain descends; the value is
        value_fn's. Directions on one of whose sides the value is not finite count in neither. If none is left, value
        and gradient are NaN.

        Args:
            value_fn: (params, *args) → a real scalar, or with `has_aux` a pair of it and a tree of arrays. It runs
                under `vmap`, and needs no derivative.
            params: A tree of arrays; only those of real floating numbers are moved, and have a gradient.
            step: The number of the estimate, as `state.step` of a chain tells it. With `key` it decides the directions.
            *args: What value_fn takes besides; the same for all directions.
            has_aux: Whether value_fn returns a pair.
            sharding: How the directions are spread over devices, as in `NamedSharding(mesh, PartitionSpec("d"))`.

        Returns:
            (value, gradient), or ((value, aux), gradient), where arrays of aux have two more axes in front: the sides
            + and -, and the directions.

        Raises:
            TypeError: if the value is no real scalar, or a parameter is complex.
        """
        flat = flatten(params)
        moved = [i for i, leaf in enumerate(flat.leaves) if is_trainable(leaf)]
        if bad := [i for i in moved if is_complex(dtype_of(flat.leaves[i]))]:
            raise TypeError(f"{self.label}: the parameter at {flat.paths()[bad[0]]!r} is complex; give its parts")
        stddev: Any = self.stddev(step) if callable(self.stddev) else self.stddev
        drawn = self._drawn(flat, moved, step)
        if sharding is not None:
            drawn = [spread(x, sharding) for x in drawn]

        def value_at(side: jax.Array, directions: list[jax.Array]) -> tuple[jax.Array, Any]:
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
        grads: list[Any] = [None] * len(flat.leaves)
        for i, directions in zip(moved, drawn, strict=True):
            each = jnp.expand_dims(jnp.asarray(weights, directions.dtype), tuple(range(1, directions.ndim)))
            grads[i] = jnp.asarray(jnp.sum(each * directions, 0), dtype_of(flat.leaves[i]))
        value = jnp.sum(values) / (2 * number)
        return ((value, aux) if has_aux else value), flat.unflatten(grads)

    def _drawn(self, flat: Flat, moved: list[int], step: Any) -> list[jax.Array]:
        key = jax.random.fold_in(typed_key(self.key), step)
        drawn = []
        for i in moved:
            x, shape = flat.leaves[i], (self.directions, *np.shape(flat.leaves[i]))
            # As rows: XLA's CPU backend compiles random numbers of three axes for seconds.
            rows = self.draw(jax.random.fold_in(key, i), (self.directions, math.prod(shape[1:])), wide(dtype_of(x)))
            drawn.append(rows.reshape(shape))
        return drawn

    def _checked(self, result: Any, has_aux: bool) -> tuple[jax.Array, Any]:
        if has_aux and not (isinstance(result, tuple) and len(result) == 2):
            raise TypeError(f"{self.label}: with has_aux, value_fn must return a pair, got {type(result).__name__}")
        value, aux = result if has_aux else (result, None)
        check_real_scalar(f"{self.label}: value_fn", value)
        return widen(value), aux
