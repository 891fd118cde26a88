"""What users call the leaves of a tree: their paths, as the user's framework writes them."""

import functools
import sys
from typing import Any

import jax


def paths(treedef: Any) -> tuple[str, ...]:
    """The path of each leaf: keys, attributes and indices joined by slashes, "" for a tree that is a leaf.

    A box around an array, such as a `flax.nnx.Param` or a `flax.linen.Partitioned`, adds nothing: in an NNX state the
    path is "layers/0/kernel", not "layers/0/kernel/value".
    """
    try:
        return _cached(treedef)
    except TypeError:  # a tree may hold what does not hash
        return _paths(treedef)


def _paths(treedef: Any) -> tuple[str, ...]:
    numbered = jax.tree.unflatten(treedef, range(treedef.num_leaves))  # None would be no leaf
    boxes = _boxes()
    found: list[str] = []
    for keys, leaf in jax.tree.leaves_with_path(numbered, is_leaf=lambda x: isinstance(x, boxes)):
        if not isinstance(leaf, boxes):
            found.append(_joined(keys))
            continue
        inner = [more for more, _ in jax.tree.leaves_with_path(leaf)]
        found += [_joined(keys)] if len(inner) == 1 else [_joined((*keys, *more)) for more in inner]
    return tuple(found)


_cached = functools.lru_cache(maxsize=256)(_paths)


def code(treedef: Any) -> list[str]:
    """The same as Python would index the tree, which unlike the paths tells a key with slashes from two keys."""
    numbered = jax.tree.unflatten(treedef, range(treedef.num_leaves))
    return [jax.tree_util.keystr(keys) for keys, _ in jax.tree.leaves_with_path(numbered)]


def _joined(keys: Any) -> str:
    return jax.tree_util.keystr(keys, simple=True, separator="/")


def _boxes() -> tuple[type, ...]:
    """The classes of boxes, of those libraries that the user has imported."""
    places = (("flax.nnx", "Variable"), ("flax.core.meta", "AxisMetadata"))
    found = (getattr(sys.modules.get(module), name, None) for module, name in places)
    return tuple(cls for cls in found if cls is not None)
