"""The paths of the leaves of a tree, as the user's framework writes them."""

import functools
import sys

import jax
from jax.tree_util import KeyPath

from gradtx._tools._types import Treedef


def paths(treedef: Treedef) -> tuple[str, ...]:
    """The path of each leaf: keys, attributes and indices joined by slashes, and "" for a tree that is a leaf.

    A box around an array, such as a `flax.nnx.Param` or a `flax.linen.Partitioned`, adds nothing. In an NNX state the
    path is "layers/0/kernel", not "layers/0/kernel/value".
    """
    try:
        return _cached(treedef)
    except TypeError:  # a treedef with static data that cannot be hashed
        return _paths(treedef)


def _paths(treedef: Treedef) -> tuple[str, ...]:
    numbered = jax.tree.unflatten(treedef, range(treedef.num_leaves))  # numbers, because None is no leaf here
    boxes = _boxes()
    joined: list[str] = []
    for keys, leaf in jax.tree.leaves_with_path(numbered, is_leaf=lambda x: isinstance(x, boxes)):
        if not isinstance(leaf, boxes):
            joined.append(_joined(keys))
            continue
        inner = [more for more, _ in jax.tree.leaves_with_path(leaf)]
        joined += [_joined(keys)] if len(inner) == 1 else [_joined((*keys, *more)) for more in inner]
    return tuple(joined)


_cached = functools.lru_cache(maxsize=256)(_paths)


def code(treedef: Treedef) -> list[str]:
    """The index of each leaf as Python code. Unlike a path, it distinguishes a key with a slash from two keys."""
    numbered = jax.tree.unflatten(treedef, range(treedef.num_leaves))
    return [jax.tree_util.keystr(keys) for keys, _ in jax.tree.leaves_with_path(numbered)]


def _joined(keys: KeyPath) -> str:
    return jax.tree_util.keystr(keys, simple=True, separator="/")


def _boxes() -> tuple[type, ...]:
    """The classes of boxes in the libraries that the user has imported."""
    places = (("flax.nnx", "Variable"), ("flax.core.meta", "AxisMetadata"))
    classes = (getattr(sys.modules.get(module), name, None) for module, name in places)
    return tuple(cls for cls in classes if cls is not None)
