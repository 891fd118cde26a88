"""Directions in which parameters are moved, and the plane that two of them span."""

import functools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx._tools import check_leaves, check_structure, dtype_of, flatten, is_complex, is_trainable, wide


class Vectors:
    """Trees like the parameters θ as vectors of all numbers that may be moved."""

    def __init__(self, where: str, params: Any) -> None:
        self.where, self.params = where, flatten(params)
        moved = {
            name: leaf for name, leaf in zip(self.params.paths(), self.params.leaves, strict=True) if is_trainable(leaf)
        }
        if not sum(map(np.size, moved.values())):
            raise ValueError(f"{where}: params have no floating numbers, and nothing can be moved")
        if bad := next((name for name, leaf in moved.items() if is_complex(dtype_of(leaf))), None):
            raise TypeError(f"{where}: the parameter at {bad!r} is complex; give its parts")
        self.dtype = np.result_type(*(wide(dtype_of(leaf)) for leaf in moved.values()))
        self.theta = self._vector(self.params.leaves)

    def tree(self, vector: jax.Array) -> Any:
        """The parameters that the vector stands for."""
        parts = iter(self._parts(vector))
        leaves = [jnp.asarray(next(parts), dtype_of(x)) if is_trainable(x) else x for x in self.params.leaves]
        return self.params.unflatten(leaves)

    def given(self, directions: Sequence[Any]) -> jax.Array:
        if not isinstance(directions, list | tuple) or len(directions) != 2:
            raise ValueError(f"{self.where}: directions must be two trees like params, got {directions!r}")
        trees = [flatten(direction) for direction in directions]
        for tree in trees:
            check_structure(self.where, tree, self.params, "parameters", what="directions")
            check_leaves(self.where, tree, self.params, "parameters", what="direction")
        plane = jnp.stack([self._vector(tree.leaves) for tree in trees])
        gram = np.asarray(plane @ plane.T, float)
        if not gram[0, 0] * gram[1, 1] - gram[0, 1] ** 2 > 1e-6 * gram[0, 0] * gram[1, 1]:
            raise ValueError(f"{self.where}: the directions must be independent, and neither of them 0")
        return plane

    def random(self, normalize: str | None, key: jax.Array) -> jax.Array:
        """Two directions drawn from N(0, I), and normalised."""

        def scaled(drawn: jax.Array, theta: jax.Array) -> jax.Array:
            if drawn.ndim < 2:
                return jnp.zeros(drawn.size, self.dtype)
            axes = tuple(range(drawn.ndim - 1)) if normalize == "filter" else None
            mine, theirs = (jnp.sqrt(jnp.sum(x**2, axes, keepdims=True)) for x in (drawn, theta))
            return (drawn * jnp.where(mine > 0, theirs / mine, 0.0)).ravel()

        @jax.jit
        @functools.partial(jax.vmap, in_axes=(0, None))
        def direction(drawn: jax.Array, theta: jax.Array) -> jax.Array:
            return jnp.concatenate(list(map(scaled, self._parts(drawn), self._parts(theta))))

        drawn = jax.random.normal(key, (2, self.theta.size), self.dtype)
        plane = drawn if normalize is None else direction(drawn, self.theta)
        if not plane.any():
            raise ValueError(
                f"{self.where}: params have no array of two or more axes that is not 0, and others are moved along "
                "random directions with normalize=None alone"
            )
        return plane

    def way(self, path: Any) -> jax.Array:
        """From θ to each point of the path."""
        tree, steps = flatten(path), 0
        check_structure(self.where, tree, self.params, "parameters", what="arrays of the path")
        for name, xs, leaf in zip(tree.paths(), tree.leaves, self.params.leaves, strict=True):
            if is_trainable(leaf):
                steps = steps or (np.shape(xs) or (0,))[0]
                if not steps or np.shape(xs) != (steps, *np.shape(leaf)):
                    raise ValueError(
                        f"{self.where}: the path at {name!r} must have the shape (steps, *{np.shape(leaf)}), with as "
                        f"many steps in all arrays, got {np.shape(xs)}"
                    )
        return self._vector(tree.leaves, 1) - self.theta[None]

    def principal(self, way: jax.Array) -> tuple[jax.Array, np.ndarray]:
        """The two orthogonal directions of length 1 nearest to the path, and their shares of its squared distances."""
        if not jnp.isfinite(way).all():
            raise ValueError(f"{self.where}: the path must be finite, or be given directions")
        _, sizes, plane = jnp.linalg.svd(way, full_matrices=False)
        if len(plane) < 2 or not sizes[0] > 0:
            raise ValueError(f"{self.where}: the path must have two points besides params, or be given directions")
        # A direction and its opposite are as good: take those in which the path begins ahead.
        plane = plane[:2] * jnp.where(plane[:2] @ way[0] < 0, -1.0, 1.0)[:, None]
        squares = np.asarray(sizes, float) ** 2
        return plane, squares[:2] / squares.sum()

    def on(self, plane: jax.Array, way: jax.Array) -> np.ndarray:
        """The coordinates of the points of the plane that are nearest to those of the path."""
        gram = np.asarray(plane @ plane.T, float)
        return np.linalg.solve(gram, np.asarray(plane @ way.T, float)).T

    def _parts(self, vector: jax.Array) -> list[jax.Array]:
        """What belongs to each of the moved arrays, in its shape."""
        shapes = [np.shape(x) for x in self.params.leaves if is_trainable(x)]
        ends = np.cumsum([math.prod(shape) for shape in shapes])
        return [x.reshape(shape) for x, shape in zip(jnp.split(vector, ends[:-1]), shapes, strict=True)]

    def _vector(self, leaves: Sequence[Any], lead: int = 0) -> jax.Array:
        """All as one axis, after `lead` others; 0 where there is None."""
        pairs = [(x, p) for x, p in zip(leaves, self.params.leaves, strict=True) if is_trainable(p)]
        arrays = [jnp.zeros(np.shape(p), self.dtype) if x is None else jnp.asarray(x, self.dtype) for x, p in pairs]
        return jnp.concatenate([x.reshape(*x.shape[:lead], -1) for x in arrays], -1)
