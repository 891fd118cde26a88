"""Sparse arrays: those of `jax.experimental.sparse`, of which only some elements are stored and the rest are zeros."""

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx._tools import Flat, dtype_of, wide

SHIFTS = "to shift their features would make zeros nonzero and store them all"
"""Why a stage takes no sparse inputs."""


def is_sparse(leaf: Any) -> bool:
    module = sys.modules.get("jax.experimental.sparse")  # slow to import; whoever has a sparse array has imported it
    return module is not None and isinstance(leaf, module.JAXSparse)


def map_stored(f: Callable[[jax.Array], Any], x: Any) -> Any:
    """`f` of an array, or of the stored elements of a sparse one."""
    if not is_sparse(x):
        return f(x)
    (data, *indices), treedef = jax.tree.flatten(x)
    return jax.tree.unflatten(treedef, [f(data), *indices])


def flatten_inputs(tree: Any) -> Flat:
    """The leaves of a tree of inputs. A sparse array is one leaf, not one of numbers and one of indices."""
    return Flat(*jax.tree.flatten(tree, is_leaf=lambda x: x is None or is_sparse(x)))


def cast_stored(leaf: Any, dtype: Any) -> Any:
    """An array, sparse or not, in `dtype`."""
    return map_stored(lambda x: jnp.asarray(x, dtype), leaf)


def widen_stored(leaf: Any) -> Any:
    """A leaf of inputs in the dtype of the arithmetic."""
    return cast_stored(leaf, wide(dtype_of(leaf)))


class Entries(NamedTuple):
    """The stored elements of a sparse batch, whose axis 0 is the examples'.

    Attributes:
        values: What they are.
        inside: Which are elements at all, and do not only fill up.
        places: Their indices, an array for each axis.
        shape: Of the batch.
    """

    values: jax.Array
    inside: jax.Array
    places: tuple[jax.Array, ...]
    shape: tuple[int, ...]

    def of_features(self, statistic: jax.Array) -> jax.Array:
        """What it is for the feature of each entry; 1 for what only fills up."""
        return _take(statistic[None], self._features(), 1)

    def of_batch(self, array: jax.Array) -> jax.Array:
        """The elements of a boolean array like the batch, or with axes of 1, in the places of the entries."""
        places = (jnp.where(size == 1, 0, place) for size, place in zip(array.shape, self.places, strict=True))
        return _take(array, tuple(places), False) & self.inside

    def sum(self, values: jax.Array) -> jax.Array:
        """The sum for each feature."""
        return self._zeros(values).add(values, mode="drop")[0]

    def max(self, values: jax.Array) -> jax.Array:
        """The maximum for each feature, that of 0 and the entries."""
        return self._zeros(values).max(values, mode="drop")[0]

    def _features(self) -> tuple[jax.Array, ...]:
        """Indices of an array (1, *features), out of its bounds for what only fills up."""
        return jnp.where(self.inside, 0, 1), *self.places[1:]

    def _zeros(self, values: jax.Array) -> Any:
        return jnp.zeros((1, *self.shape[1:]), values.dtype).at[self._features()]


def _take(array: jax.Array, places: tuple[jax.Array, ...], outside: Any) -> jax.Array:
    if not array.size:  # JAX takes nothing from nothing, not even what lies outside
        return jnp.full(places[0].shape, outside, array.dtype)
    return array.at[places].get(mode="fill", fill_value=outside)


def entries(x: Any) -> Entries:
    """The entries of a BCOO, as they are stored: those of one place add up."""
    places = tuple(x.indices[:, axis] for axis in range(x.ndim))
    inside = jnp.all(jnp.stack([place < size for place, size in zip(places, x.shape, strict=True)]), 0)
    return Entries(x.data, inside, places, x.shape)


def unique_entries(x: Any) -> Entries:
    """The same, each place once."""
    stored = entries(x)
    if x.unique_indices:
        return stored
    # SciPy's matrices come in order, but JAX is not told so. To see it takes a tenth of the time to sort them.
    return entries(jax.lax.cond(_in_order(stored), lambda: x, lambda: _summed(x)))


def _summed(x: Any) -> Any:
    """The same array, of the same structure, with entries of one place summed."""
    return jax.tree.unflatten(jax.tree.structure(x), jax.tree.leaves(x.sum_duplicates(nse=x.nse)))


def _in_order(stored: Entries) -> jax.Array:
    """Whether the places come by rows or by columns, so that none comes twice but those of what only fills up."""

    def ascending(places: tuple[jax.Array, ...]) -> jax.Array:
        later = jnp.zeros(stored.inside[1:].shape, bool)
        same = ~stored.inside[1:]
        for place in reversed(places):
            later = (place[1:] > place[:-1]) | ((place[1:] == place[:-1]) & later)
            same &= place[1:] == place[:-1]
        return jnp.all(later | same)

    return ascending(stored.places) | ascending(stored.places[::-1])
