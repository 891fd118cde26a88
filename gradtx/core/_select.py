"""Selectors: which parameters something applies to, by their paths, shapes and dtypes."""

import fnmatch
import re
from collections.abc import Callable
from typing import Annotated, Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from gradtx._tools import Flat, Record, flatten

Selector: TypeAlias = str | re.Pattern[str] | Callable[[str, Any], bool] | Any
"""A glob or a regular expression on the parameter's path, a predicate `(path, array)`, or a tree of booleans.

A path joins keys, attributes and indices by slashes, as in "layers/0/kernel".

- A string is a glob, which the whole path must match, and whose `*` matches slashes too: `"*/kernel"`.
- `re.compile(...)` is a regular expression, which is searched for anywhere in the path.
- A predicate sees the path and a `jax.ShapeDtypeStruct`: it decides by name, shape and dtype, never by values, so
  that its answer is the same at every step.
- A tree of booleans has the structure of the parameters, or that of their upper levels.
"""


class BoolTree(Record):
    """A tree of booleans that hashes, for it is part of a transformation."""

    leaves: Any
    treedef: Any

    def __repr__(self) -> str:
        return repr(jax.tree.unflatten(self.treedef, self.leaves))


class Selects:
    """The kind of a field that holds a selector."""

    def check(self, where: str, value: Any) -> Any:
        """`value` in a form that hashes."""
        if isinstance(value, str | re.Pattern | BoolTree) or callable(value):
            return value
        leaves, treedef = jax.tree.flatten(value)
        if not leaves or not all(_is_bool(leaf) for leaf in leaves):
            raise TypeError(
                f"{where} must be a glob, a compiled regular expression, a predicate (path, array) or a tree of "
                f"booleans, got {value!r}"
            )
        return BoolTree(tuple(map(bool, leaves)), treedef)


Mask: TypeAlias = Annotated[Any, Selects()]
"""A selector, as a rule declares it."""


def matrices_only(path: str, array: Any) -> bool:
    """A selector of everything but scalars and vectors, that is of no biases and no scales of normalisation layers.

    >>> import gradtx as gx
    >>> gx.adamw(1e-3, weight_decay=0.1, mask=gx.matrices_only)
    chain(scale_by_adam(), only(matrices_only, add_decayed_weights(0.1)), scale_by_learning_rate(0.001))
    """
    del path
    return array.ndim > 1


def select(selector: Selector, params: Flat, where: str, check: bool = True, dtypes: bool = True) -> dict[int, bool]:
    """Whether `selector` selects each of the leaves that are trained, by number.

    Raises:
        ValueError: it selects none of the trained parameters, which `check=False` allows.
    """
    trained = params.trained()
    if isinstance(selector, BoolTree):
        all_chosen = _broadcast(selector, params, where)
        chosen = {i: all_chosen[i] for i in trained}
    else:
        chosen = {i: matches(selector, *at) for i, at in trained.items()}
    if check and trained and not any(chosen.values()):
        names = [repr(name) for name, _ in trained.values()]
        shown = ", ".join(names[:50]) + f" and {len(names) - 50} more" * (len(names) > 50)
        raise ValueError(f"{where} selects no parameter: {selector!r}; the paths are {shown}")
    return chosen


def matches(selector: Any, path: str, array: jax.ShapeDtypeStruct) -> bool:
    """Whether a glob, a regular expression or a predicate selects the parameter at `path`."""
    if isinstance(selector, str):
        return fnmatch.fnmatchcase(path, selector)
    if isinstance(selector, re.Pattern):
        return selector.search(path) is not None
    answer = selector(path, array)
    if not _is_bool(answer):
        raise TypeError(f"the selector {selector!r} must answer True or False, got {answer!r} for {path!r}")
    return bool(answer)


def _broadcast(selector: BoolTree, params: Flat, where: str) -> list[bool]:
    tree = params.unflatten(range(len(params.leaves)))
    try:
        parts = selector.treedef.flatten_up_to(tree)
    except ValueError as error:
        raise ValueError(f"{where} must be a tree of booleans like the parameters: {error}") from None
    chosen = [False] * len(params.leaves)
    for value, part in zip(selector.leaves, parts, strict=True):
        for i in flatten(part).leaves:
            chosen[i] = value
    return chosen


def _is_bool(value: Any) -> bool:
    if isinstance(value, Tracer):
        return False
    return isinstance(value, bool | np.bool_) or (
        isinstance(value, jax.Array | np.ndarray) and value.shape == () and value.dtype == jnp.bool_
    )
