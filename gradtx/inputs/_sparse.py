"""Sparse arrays of `jax.experimental.sparse`: only some elements are stored, and the others are zeros."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradtx._tools import Flat, Tree, dtype_of, wide

if TYPE_CHECKING:
    from jax.experimental.sparse import BCOO
    from typing_extensions import TypeIs

SHIFTS = "to shift their features would make zeros nonzero and store them all"
"""The reason why a stage that subtracts something refuses sparse inputs."""


def is_sparse(leaf: object) -> "TypeIs[BCOO]":
    module = sys.modules.get("jax.experimental.sparse")  # slow to import; whoever has a sparse array has imported it
    return module is not None and isinstance(leaf, module.JAXSparse)


def map_stored(f: Callable[[jax.Array], jax.Array], x: jax.Array) -> jax.Array:
    """Applies `f` to an array, or to the stored elements of a sparse array."""
    if not is_sparse(x):
        return f(x)
    (data, *indices), treedef = jax.tree.flatten(x)
    return jax.tree.unflatten(treedef, [f(data), *indices])


def flatten_inputs(tree: Tree) -> Flat:
    """The leaves of a tree of inputs. A sparse array is one leaf, although JAX sees a tree of values and indices."""
    return Flat(*jax.tree.flatten(tree, is_leaf=lambda x: x is None or is_sparse(x)))


def cast_stored(leaf: jax.Array, dtype: np.dtype) -> jax.Array:
    """An array, sparse or not, in `dtype`."""
    return map_stored(lambda x: jnp.asarray(x, dtype), leaf)


def widen_stored(leaf: jax.Array) -> jax.Array:
    """A leaf of inputs in the dtype of the arithmetic."""
    return cast_stored(leaf, wide(dtype_of(leaf)))


class Entries(NamedTuple):
    """The stored elements of a sparse batch with the examples on axis 0.

    Attributes:
        values: The elements, shape (entries,).
        inside: bool, shape (entries,). False marks padding, which has no place in the batch.
        places: For each axis of the batch, the indices of the elements along the axis, shape (entries,).
        shape: The shape of the batch, (examples, …features).
    """

    values: jax.Array
    inside: jax.Array
    places: tuple[jax.Array, ...]
    shape: tuple[int, ...]

    def of_features(self, statistic: jax.Array) -> jax.Array:
        """For each entry, the statistic of its feature; 1 for padding."""
        return _take(statistic[None], self._features(), 1)

    def of_batch(self, array: jax.Array) -> jax.Array:
        """For each entry, the element of a boolean array in its place; False for padding.

        The array has the shape of the batch, except that axes may have size 1.
        """
        places = (jnp.where(size == 1, 0, place) for size, place in zip(array.shape, self.places, strict=True))
        return _take(array, tuple(places), False) & self.inside

    def sum(self, values: jax.Array) -> jax.Array:
        """The sum of one value per entry, for each feature."""
        features = jnp.zeros((1, *self.shape[1:]), values.dtype)
        return features.at[self._features()].add(values, mode="drop")[0]

    def max(self, values: jax.Array) -> jax.Array:
        """The maximum of 0 and one value per entry, for each feature."""
        features = jnp.zeros((1, *self.shape[1:]), values.dtype)
        return features.at[self._features()].max(values, mode="drop")[0]

    def _features(self) -> tuple[jax.Array, ...]:
        """Indices into an array of shape (1, …features). Indices of padding are out of its bounds."""
        return jnp.where(self.inside, 0, 1), *self.places[1:]


def _take(array: jax.Array, places: tuple[jax.Array, ...], outside: int | bool) -> jax.Array:
    if not array.size:  # JAX refuses to index an empty array, even if all indices are out of bounds
        return jnp.full(places[0].shape, outside, array.dtype)
    return array.at[places].get(mode="fill", fill_value=outside)


def entries(x: "BCOO") -> Entries:
    """The entries as they are stored. Entries of one place add up."""
    places = tuple(x.indices[:, axis] for axis in range(x.ndim))
    inside = jnp.all(jnp.stack([place < size for place, size in zip(places, x.shape, strict=True)]), 0)
    return Entries(x.data, inside, places, x.shape)


def unique_entries(x: "BCOO") -> Entries:
    """The entries after those of one place are summed, so that each place has at most one entry."""
    stored = entries(x)
    if x.unique_indices:
        return stored
    # SciPy's matrices are in order, but do not tell JAX. The check takes a tenth of the time of sorting.
    return entries(jax.lax.cond(_in_order(stored), lambda: x, lambda: _summed(x)))


def _summed(x: "BCOO") -> "BCOO":
    """The same array, of the same structure, with entries of one place summed."""
    return jax.tree.unflatten(jax.tree.structure(x), jax.tree.leaves(x.sum_duplicates(nse=x.nse)))


def _in_order(stored: Entries) -> jax.Array:
    """Whether the places are in ascending order, by rows or by columns. Then only padding has a place twice."""

    def ascending(places: tuple[jax.Array, ...]) -> jax.Array:
        later = jnp.zeros(stored.inside[1:].shape, bool)
        same = ~stored.inside[1:]
        for place in reversed(places):
            later = (place[1:] > place[:-1]) | ((place[1:] == place[:-1]) & later)
            same &= place[1:] == place[:-1]
        return jnp.all(later | same)

    return ascending(stored.places) | ascending(stored.places[::-1])
