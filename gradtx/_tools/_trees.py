"""Trees whose None leaves stay in place, and the dtypes of the arithmetic."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradtx._tools._paths import code, paths


class Flat(NamedTuple):
    """A flattened tree; None is a leaf."""

    leaves: list[Any]
    treedef: Any

    def unflatten(self, leaves: Sequence[Any]) -> Any:
        return jax.tree.unflatten(self.treedef, leaves)

    def map_trained(self, f: Callable[[Any], Any]) -> Any:
        """The tree of `f` of each leaf that is trained, None in the place of the others."""
        return self.unflatten([f(leaf) if is_trainable(leaf) else None for leaf in self.leaves])

    def paths(self) -> tuple[str, ...]:
        """What users call the leaves, and selectors see: "layers/0/kernel", and "" for a tree that is a leaf."""
        return paths(self.treedef)

    def code(self) -> list[str]:
        """The leaves as Python would index the tree."""
        return code(self.treedef)

    def trained(self) -> dict[int, tuple[str, jax.ShapeDtypeStruct]]:
        """The leaves that are trained, by number: path, shape and dtype."""
        return {
            i: (path, jax.ShapeDtypeStruct(np.shape(leaf), dtype_of(leaf)))
            for i, (path, leaf) in enumerate(zip(self.paths(), self.leaves, strict=True))
            if is_trainable(leaf)
        }


def flatten(tree: Any) -> Flat:
    return Flat(*jax.tree.flatten(tree, is_leaf=lambda x: x is None))


def dtype_of(leaf: Any) -> Any:
    """The dtype that JAX gives an array or a number, None for anything else (a function, a string, None)."""
    if isinstance(leaf, int | float | complex | np.ndarray | np.generic):
        dtype = getattr(leaf, "dtype", None)
        return dtype if dtype == jax.dtypes.float0 else jnp.result_type(leaf)
    return leaf.dtype if hasattr(leaf, "dtype") and hasattr(leaf, "shape") else None


def is_trainable(leaf: Any) -> bool:
    """Whether gradients with respect to `leaf` exist: it is floating or complex."""
    dtype = dtype_of(leaf)
    return dtype is not None and jnp.issubdtype(dtype, jnp.inexact)


def is_complex(dtype: Any) -> bool:
    return bool(jnp.issubdtype(dtype, jnp.complexfloating))


def wide(dtype: Any, as_complex: bool | None = None) -> np.dtype:
    """The dtype of the arithmetic: `dtype` or float32, whichever is wider; complex or real where that is asked for."""
    double = dtype in (np.float64, np.complex128)
    if is_complex(dtype) if as_complex is None else as_complex:
        return np.dtype(np.complex128 if double else np.complex64)
    return np.dtype(np.float64 if double else np.float32)


def widen(leaf: Any) -> jax.Array:
    """A trained leaf in the dtype of the arithmetic."""
    return jnp.asarray(leaf, wide(dtype_of(leaf)))


def map_trained(f: Callable[..., Any], tree: Any, *rest: Any) -> Any:
    """The tree of `f` of the trained leaves of all trees, None in the place of what is not trained."""
    flat, others = flatten(tree), [flatten(other).leaves for other in rest]
    leaves = zip(flat.leaves, *others, strict=True)
    return flat.unflatten([f(*xs) if is_trainable(xs[0]) else None for xs in leaves])
