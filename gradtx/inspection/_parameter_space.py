"""Trees of parameters as vectors, and the planes that two directions span."""

import functools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx._tools import (
    Tree,
    check_leaves,
    check_structure,
    dtype_of,
    flatten,
    is_complex,
    is_trainable,
    place_of,
    summary,
    wide,
)


class ParameterSpace:
    """The space of all trees like the parameters θ, as vectors of the floating-point numbers in them.

    A plane is a pair of directions: an array (2, numbers).
    """

    def __init__(self, function: str, params: Tree) -> None:
        """Checks the parameters; `function` is the public function that errors name."""
        self.function, self.params = function, flatten(params)
        paths = zip(self.params.paths(), self.params.leaves, strict=True)
        moved = {path: leaf for path, leaf in paths if is_trainable(leaf)}
        if not sum(map(np.size, moved.values())):
            raise ValueError(f"{function}: params have no floating-point numbers, so that nothing can be moved")
        bad = next((path for path, leaf in moved.items() if is_complex(dtype_of(leaf))), None)
        if bad is not None:
            raise TypeError(
                f"{function}: the parameter at {place_of(bad)} is complex; give its real and imaginary parts as two "
                "arrays"
            )
        self.dtype = np.result_type(*(wide(dtype_of(leaf)) for leaf in moved.values()))
        self.theta = self._vector(self.params.leaves)

    def tree(self, vector: jax.Array) -> Tree:
        """The tree of parameters whose vector is given."""
        arrays = iter(self._arrays(vector))
        leaves = [jnp.asarray(next(arrays), dtype_of(x)) if is_trainable(x) else x for x in self.params.leaves]
        return self.params.unflatten(leaves)

    def checked_plane(self, directions: Sequence[Tree]) -> jax.Array:
        """The plane of two directions that the user gives as trees."""
        if not isinstance(directions, list | tuple) or len(directions) != 2:
            raise ValueError(
                f"{self.function}: directions must be a pair of trees like params, got {summary(directions)}"
            )
        trees = [flatten(direction) for direction in directions]
        for tree in trees:
            check_structure(self.function, tree, self.params, "parameters", what="directions")
            check_leaves(self.function, tree, self.params, "parameters", what="direction")
        plane = jnp.stack([self._vector(tree.leaves) for tree in trees])
        gram = np.asarray(plane @ plane.T, float)
        if not gram[0, 0] * gram[1, 1] - gram[0, 1] ** 2 > 1e-6 * gram[0, 0] * gram[1, 1]:
            raise ValueError(f"{self.function}: the directions must be linearly independent")
        return plane

    def random_plane(self, normalize: str | None, key: jax.Array) -> jax.Array:
        """Two directions that are drawn from N(0, I) and normalised."""
        drawn = jax.random.normal(key, (2, self.theta.size), self.dtype)
        if normalize is None:
            return drawn

        def scaled(drawn: jax.Array, theta: jax.Array) -> jax.Array:
            if drawn.ndim < 2:
                return jnp.zeros(drawn.size, self.dtype)
            axes = tuple(range(drawn.ndim - 1)) if normalize == "filter" else None
            norm, target = (jnp.sqrt(jnp.sum(x**2, axes, keepdims=True)) for x in (drawn, theta))
            return (drawn * jnp.where(norm > 0, target / norm, 0.0)).ravel()

        @jax.jit
        @functools.partial(jax.vmap, in_axes=(0, None))
        def direction(drawn: jax.Array, theta: jax.Array) -> jax.Array:
            return jnp.concatenate(list(map(scaled, self._arrays(drawn), self._arrays(theta))))

        plane = direction(drawn, self.theta)
        if not plane.any():
            raise ValueError(
                f"{self.function}: params have no array of two or more axes that is not 0; set normalize=None to move "
                "the other arrays too"
            )
        return plane

    def displacements(self, path: Tree) -> jax.Array:
        """The differences between the points of a path and θ, (points, numbers)."""
        tree, steps = flatten(path), 0
        check_structure(self.function, tree, self.params, "parameters", what="arrays of the path")
        for name, xs, leaf in zip(tree.paths(), tree.leaves, self.params.leaves, strict=True):
            if is_trainable(leaf):
                steps = steps or (np.shape(xs) or (0,))[0]
                if not steps or np.shape(xs) != (steps, *np.shape(leaf)):
                    raise ValueError(
                        f"{self.function}: the path at {place_of(name)} must have the shape (steps, *{np.shape(leaf)}) "
                        f"with the same number of steps in all arrays, got {np.shape(xs)}"
                    )
        return self._vector(tree.leaves, leading=1) - self.theta[None]

    def principal_plane(self, displacements: jax.Array) -> tuple[jax.Array, np.ndarray]:
        """The two orthogonal directions of length 1 that are nearest to a path.

        Returns:
            The plane, and the share of each direction in the sum of squared distances from θ.
        """
        if not jnp.isfinite(displacements).all():
            raise ValueError(f"{self.function}: the path must be finite; otherwise give directions")
        _, sizes, plane = jnp.linalg.svd(displacements, full_matrices=False)
        if len(plane) < 2 or not sizes[0] > 0:
            raise ValueError(
                f"{self.function}: the path must have two points that differ from params; otherwise give directions"
            )
        # A direction and its opposite are equally good: the path begins at positive coordinates.
        plane = plane[:2] * jnp.where(plane[:2] @ displacements[0] < 0, -1.0, 1.0)[:, None]
        squares = np.asarray(sizes, float) ** 2
        return plane, squares[:2] / squares.sum()

    def coordinates(self, plane: jax.Array, displacements: jax.Array) -> np.ndarray:
        """The coordinates (points, 2) of the orthogonal projections on a plane, in units of its directions."""
        gram = np.asarray(plane @ plane.T, float)
        return np.linalg.solve(gram, np.asarray(plane @ displacements.T, float)).T

    def _arrays(self, vector: jax.Array) -> list[jax.Array]:
        """The parts of a vector in the shapes of the moved arrays."""
        shapes = [np.shape(x) for x in self.params.leaves if is_trainable(x)]
        ends = np.cumsum([math.prod(shape) for shape in shapes])
        return [x.reshape(shape) for x, shape in zip(jnp.split(vector, ends[:-1]), shapes, strict=True)]

    def _vector(self, leaves: Sequence[Any], leading: int = 0) -> jax.Array:
        """All numbers along one axis after the `leading` axes; 0 if a leaf is None."""
        pairs = [(x, p) for x, p in zip(leaves, self.params.leaves, strict=True) if is_trainable(p)]
        arrays = [jnp.zeros(np.shape(p), self.dtype) if x is None else jnp.asarray(x, self.dtype) for x, p in pairs]
        return jnp.concatenate([x.reshape(*x.shape[:leading], -1) for x in arrays], -1)
