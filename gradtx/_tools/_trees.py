"""Flattened trees in which None is a leaf, and the dtypes of the arithmetic."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike, DTypeLike

from gradtx._tools._paths import code, paths
from gradtx._tools._types import Tree, Treedef


class Flat(NamedTuple):
    """A flattened tree. None is a leaf."""

    leaves: list[Any]
    treedef: Treedef

    def unflatten(self, leaves: Iterable[object]) -> Any:
        """The tree of the same structure with other leaves."""
        return jax.tree.unflatten(self.treedef, leaves)

    def map_trained(self, f: Callable[..., object]) -> Any:
        """The tree with `f(leaf)` in the place of each trained leaf, and None in the place of the others."""
        return self.unflatten([f(leaf) if is_trainable(leaf) else None for leaf in self.leaves])

    def paths(self) -> tuple[str, ...]:
        """The path of each leaf, as errors print it and selectors see it.

        The path is "layers/0/kernel", for instance, and "" if the tree is a leaf.
        """
        return paths(self.treedef)

    def code(self) -> list[str]:
        """The index of each leaf as Python code, such as "['layers'][0]"."""
        return code(self.treedef)

    def trained(self) -> dict[int, tuple[str, jax.ShapeDtypeStruct]]:
        """Number of a trained leaf → its path, and its shape and dtype."""
        return {
            i: (path, jax.ShapeDtypeStruct(np.shape(leaf), dtype_of(leaf)))
            for i, (path, leaf) in enumerate(zip(self.paths(), self.leaves, strict=True))
            if is_trainable(leaf)
        }


def flatten(tree: Tree) -> Flat:
    """Flattens a tree. None is a leaf."""
    return Flat(*jax.tree.flatten(tree, is_leaf=lambda x: x is None))


def dtype_of(leaf: object) -> Any:
    """The dtype that JAX gives an array or a number. None for anything else, such as a function, a string or None."""
    if isinstance(leaf, int | float | complex | np.ndarray | np.generic):
        dtype = getattr(leaf, "dtype", None)
        return dtype if dtype == jax.dtypes.float0 else jnp.result_type(leaf)
    return getattr(leaf, "dtype", None) if hasattr(leaf, "shape") else None


def is_trainable(leaf: object) -> bool:
    """Whether `leaf` is floating or complex, so that gradients with respect to it exist."""
    dtype = dtype_of(leaf)
    return dtype is not None and jnp.issubdtype(dtype, jnp.inexact)


def is_complex(dtype: DTypeLike) -> bool:
    """Whether a dtype is complex."""
    return bool(jnp.issubdtype(dtype, jnp.complexfloating))


def wide(dtype: DTypeLike, as_complex: bool | None = None) -> np.dtype:
    """The dtype of the arithmetic: the wider one of `dtype` and float32.

    Args:
        dtype: A floating or complex dtype.
        as_complex: Whether the result is complex. None takes the answer from `dtype`.
    """
    double = dtype in (np.float64, np.complex128)
    if is_complex(dtype) if as_complex is None else as_complex:
        return np.dtype(np.complex128 if double else np.complex64)
    return np.dtype(np.float64 if double else np.float32)


def widen(leaf: ArrayLike) -> jax.Array:
    """A trained leaf in the dtype of the arithmetic."""
    return jnp.asarray(leaf, wide(dtype_of(leaf)))


def map_trained(f: Callable[..., object], tree: Tree, *others: Tree) -> Any:
    """Applies `f` to the trained leaves of `tree` and to the leaves of the other trees at the same places.

    None is in the place of each leaf of `tree` that is not trained, such as an integer.
    """
    flat, further = flatten(tree), [flatten(other).leaves for other in others]
    leaves = zip(flat.leaves, *further, strict=True)
    return flat.unflatten([f(*xs) if is_trainable(xs[0]) else None for xs in leaves])
