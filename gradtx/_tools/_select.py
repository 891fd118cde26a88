"""Selectors: which parameters something applies to, by their paths, shapes and dtypes."""

import fnmatch
import inspect
import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from gradtx._tools._paths import paths
from gradtx._tools._record import Record
from gradtx._tools._trees import Flat, flatten, is_trainable
from gradtx._tools._words import code_of

Selector: TypeAlias = str | re.Pattern[str] | Callable[..., Any] | Sequence[Any] | Any
"""A glob or a regular expression on the parameter's path, a predicate, a tree of booleans, or a list of these.

A path joins keys, attributes and indices by slashes, as in "layers/0/kernel". The box that NNX puts around an array is
no part of it.

- A string is a glob. The whole path must match, and `*` matches slashes too. "*/kernel" also selects a "kernel" at the
  top of the tree.
- `re.compile(...)` is a regular expression, which is searched for anywhere in the path.
- A function of two arguments is a predicate `(path, array)`.
- A function of one argument takes the tree of parameters and gives a tree of booleans, as optax's masks do:
  `lambda params: jax.tree.map(lambda x: x.ndim > 1, params)`.
- A tree of booleans has the paths of the parameters, or those of their upper levels. The containers need not be the
  same: a `FrozenDict` may stand for a `dict`, and the state of `nnx.split` for that of `nnx.state`.
- A list of selectors selects what any of them selects.

Functions see a `jax.ShapeDtypeStruct` in the place of each array. They decide by name, shape and dtype, never by
values, so that their answer is the same at every step. In an `update` without parameters the dtypes are unknown, and to
ask for one is an error.
"""


class BoolTree(Record):
    """A tree of booleans that hashes, for it is part of a transformation."""

    leaves: Any
    treedef: Any

    def __repr__(self) -> str:
        return repr(jax.tree.unflatten(self.treedef, self.leaves))


class AnyOf(Record):
    """Several selectors."""

    selectors: tuple[Any, ...]

    def __repr__(self) -> str:
        return f"[{', '.join(map(code_of, self.selectors))}]"


class Shaped:
    """An array of known shape and unknown dtype, in the place of a parameter."""

    def __init__(self, shape: tuple[int, ...]):
        self.shape, self.ndim, self.size = shape, len(shape), int(np.prod(shape))

    @property
    def dtype(self) -> Any:
        raise ValueError(
            "a selector asks for a dtype, which is known only with the parameters: call update(grads, state, params)"
        )


class Selects:
    """The kind of a field that holds a selector."""

    def check(self, where: str, value: Any) -> Any:
        """`value` in a form that hashes."""
        if _is_plain(value) or isinstance(value, BoolTree | AnyOf):
            return value
        if isinstance(value, list | tuple) and any(map(_is_plain, value)) and not any(map(_is_bool, value)):
            return AnyOf(tuple(self.check(f"{where}[{i}]", one) for i, one in enumerate(value)))
        leaves, treedef = jax.tree.flatten(value)
        if not leaves or not all(_is_bool(leaf) for leaf in leaves):
            raise TypeError(
                f"{where} must be a glob, a compiled regular expression, a predicate (path, array), a tree of "
                f"booleans, a function from the parameters to one, or a list of these, got {value!r}"
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

    Args:
        selector: What `Selects.check` gave.
        params: The parameters, or `jax.ShapeDtypeStruct`s.
        where: What errors begin with.
        check: Whether it is an error that nothing is selected.
        dtypes: Whether the dtypes are those of the parameters.

    Raises:
        ValueError: it selects none of the trained parameters, or a tree of booleans does not fit them.
    """
    trained: dict[int, tuple[str, Any]] = dict(params.trained())
    if not dtypes:
        trained = {i: (path, Shaped(array.shape)) for i, (path, array) in trained.items()}
    chosen = _chosen(selector, params, trained, where)
    if check and trained and not any(chosen.values()):
        names = [repr(name) for name, _ in trained.values()]
        shown = ", ".join(names[:50]) + f" and {len(names) - 50} more" * (len(names) > 50)
        raise ValueError(f"{where} selects no parameter: {selector!r}; the paths are {shown}")
    return chosen


def _chosen(selector: Any, params: Flat, trained: dict[int, tuple[str, Any]], where: str) -> dict[int, bool]:
    if isinstance(selector, AnyOf):
        several = [_chosen(one, params, trained, where) for one in selector.selectors]
        return {i: any(found[i] for found in several) for i in trained}
    if callable(selector) and _takes_a_tree(selector):
        selector = _mask_of(selector, params, trained, where)
    if isinstance(selector, BoolTree):
        return _broadcast(selector, params, trained, where)
    return {i: matches(selector, *at) for i, at in trained.items()}


def matches(selector: Any, path: str, array: Any) -> bool:
    """Whether a glob, a regular expression or a predicate selects the parameter at `path`."""
    if isinstance(selector, str):
        return fnmatch.fnmatchcase(path, selector) or fnmatch.fnmatchcase(f"/{path}", selector)
    if isinstance(selector, re.Pattern):
        return selector.search(path) is not None
    answer = selector(path, array)
    if not _is_bool(answer):
        raise TypeError(f"the selector {selector!r} must answer True or False, got {answer!r} for {path!r}")
    return bool(answer)


def _takes_a_tree(function: Callable[..., Any]) -> bool:
    """Whether a function takes the tree of parameters: it requires one argument, and a predicate two."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    required = [p for p in parameters if p.kind in kinds and p.default is inspect.Parameter.empty]
    return len(required) == 1 and not any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in parameters)


def _mask_of(function: Any, params: Flat, trained: dict[int, tuple[str, Any]], where: str) -> BoolTree:
    """The tree of booleans that a function makes of the parameters."""
    shown = [trained[i][1] if i in trained else None for i in range(len(params.leaves))]
    given = params.unflatten(shown)
    try:
        answer = function(given)
    except (TypeError, AttributeError) as error:
        raise TypeError(
            f"{where}: the function {code_of(function)} of the parameters failed: {error}; it must go by shapes and "
            "dtypes, not by values, and a predicate takes two arguments, (path, array)"
        ) from error
    found = Selects().check(f"{where}: what {code_of(function)} gives", answer)
    if not isinstance(found, BoolTree):
        raise TypeError(f"{where}: {code_of(function)} must give a tree of booleans, got {answer!r}")
    return found


def _broadcast(selector: BoolTree, params: Flat, trained: dict[int, tuple[str, Any]], where: str) -> dict[int, bool]:
    """The boolean of each trained leaf: by the structure, or where containers differ by the paths."""
    tree = params.unflatten(range(len(params.leaves)))
    try:
        parts = selector.treedef.flatten_up_to(tree)
    except ValueError:
        return _by_path(selector, trained, where)
    chosen = {i: value for value, part in zip(selector.leaves, parts, strict=True) for i in flatten(part).leaves}
    return {i: chosen[i] for i in trained}


def _by_path(selector: BoolTree, trained: dict[int, tuple[str, Any]], where: str) -> dict[int, bool]:
    booleans = dict(zip(paths(selector.treedef), selector.leaves, strict=True))
    chosen: dict[int, bool] = {}
    missing: list[str] = []
    for i, (path, _) in trained.items():
        ends = [len(path), *(k for k, letter in enumerate(path) if letter == "/"), 0]
        found = next((path[:end] for end in ends if path[:end] in booleans), None)
        if found is None:
            missing.append(path)
        else:
            chosen[i] = booleans[found]
    if missing:
        surplus = [path for path in booleans if not any(f"{at}/".startswith(f"{path}/") for at, _ in trained.values())]
        more = f", but has one for {', '.join(surplus[:3])}" if surplus else ""
        raise ValueError(
            f"{where} must be a tree of booleans like the parameters: it has none for {', '.join(missing[:3])}{more}"
        )
    return chosen


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | re.Pattern) or (callable(value) and not is_trainable(value))


def _is_bool(value: Any) -> bool:
    if isinstance(value, Tracer):
        return False
    return isinstance(value, bool | np.bool_) or (
        isinstance(value, jax.Array | np.ndarray) and value.shape == () and value.dtype == jnp.bool_
    )
