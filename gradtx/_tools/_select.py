"""Selectors: a selector chooses parameters by their paths, shapes and dtypes."""

import fnmatch
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, TypeAlias, TypeGuard

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from gradtx._tools._paths import paths
from gradtx._tools._record import Record
from gradtx._tools._trees import Flat, flatten, is_trainable
from gradtx._tools._types import Tree, Treedef
from gradtx._tools._words import code_of, listed, summary

Selector: TypeAlias = str | re.Pattern[str] | Callable[..., object] | Sequence[object] | Tree
"""A glob or a regular expression on the parameter's path, a predicate, a tree of booleans, or a list of these.

A path joins keys, attributes and indices by slashes, as in "layers/0/kernel". The box that NNX puts around an array is
no part of the path.

- A string is a glob. The whole path must match, and `*` matches slashes too. "*/kernel" also selects a "kernel" at the
  top of the tree.
- `re.compile(...)` is a regular expression. It can match anywhere in the path.
- A function of two arguments is a predicate `(path, array)`.
- A function of one argument takes the tree of parameters and returns a tree of booleans, as optax's masks do:
  `lambda params: jax.tree.map(lambda x: x.ndim > 1, params)`.
- A tree of booleans has the paths of the parameters, or the paths of their upper levels. The containers can differ:
  a `FrozenDict` stands for a `dict`, and the state of `nnx.split` for that of `nnx.state`.
- A list of selectors selects a parameter if any of them does.

Functions see a `jax.ShapeDtypeStruct` in the place of each array. They decide by name, shape and dtype, never by
values, so that their answer is the same at every step. In an `update` without parameters the dtypes are unknown, and
reading one is an error.
"""

Trained: TypeAlias = dict[int, tuple[str, Any]]
"""Number of a trained leaf → its path, and its shape and dtype."""


class LeafTree(Record):
    """A tree of booleans or labels. Unlike the tree itself, it hashes, as a part of a transformation must."""

    leaves: tuple[Any, ...]
    treedef: Treedef

    def of(self, params: Flat, trained: Trained, misfit: str) -> dict[int, Any]:
        """The value for each trained leaf: by the structure of the trees, or by paths if their containers differ.

        `misfit` is the beginning of the error about parameters without a value.
        """
        tree = params.unflatten(range(len(params.leaves)))
        try:
            parts = self.treedef.flatten_up_to(tree)
        except ValueError:
            return _by_path(self, trained, misfit)
        chosen = {i: value for value, part in zip(self.leaves, parts, strict=True) for i in flatten(part).leaves}
        return {i: chosen[i] for i in trained}

    def __repr__(self) -> str:
        return repr(jax.tree.unflatten(self.treedef, self.leaves))


class BoolTree(LeafTree):
    """A tree of booleans."""


class AnyOf(Record):
    """Several selectors. Each of them selects."""

    selectors: tuple[Selector, ...]

    def __repr__(self) -> str:
        return f"[{', '.join(map(code_of, self.selectors))}]"


class Chooser(Record):
    """A selector with a rule of its own. Subclasses define `chosen`."""

    def chosen(self, params: Flat, trained: Trained, where: str) -> dict[int, bool]:
        """Number of a trained leaf → whether it is selected."""
        raise NotImplementedError


class Shaped:
    """A parameter of known shape and unknown dtype."""

    def __init__(self, shape: tuple[int, ...]):
        self.shape, self.ndim, self.size = shape, len(shape), int(np.prod(shape))

    @property
    def dtype(self) -> np.dtype:
        raise ValueError(
            "update: a selector reads the dtype of a parameter, which is unknown without the parameters; call "
            "update(grads, state, params)"
        )


class Selects:
    """The kind of a field that holds a selector."""

    def check(self, where: str, value: Selector) -> Selector:
        """Returns `value` in a form that hashes."""
        if _is_plain(value) or isinstance(value, BoolTree | AnyOf | Chooser):
            return value
        if isinstance(value, list | tuple) and any(map(_is_plain, value)) and not any(map(_is_bool, value)):
            return AnyOf(tuple(self.check(f"{where}[{i}]", one) for i, one in enumerate(value)))
        leaves, treedef = jax.tree.flatten(value)
        if not leaves or not all(_is_bool(leaf) for leaf in leaves):
            raise TypeError(
                f"{where} must be a glob, a compiled regular expression, a predicate (path, array), a tree of "
                f"booleans, a function from the parameters to one, or a list of these, got {summary(value)}"
            )
        return BoolTree(tuple(map(bool, leaves)), treedef)


Mask: TypeAlias = Annotated[Selector, Selects()]
"""A selector, as a field or an argument declares it."""


def matrices_only(path: str, array: jax.ShapeDtypeStruct) -> bool:
    """Selects arrays of two or more dimensions: no biases, and no scales of normalisation layers. A `Selector`.

    >>> import gradtx as gx
    >>> gx.adamw(1e-3, weight_decay=0.1, mask=gx.matrices_only)
    chain(scale_by_adam(), only(matrices_only, add_decayed_weights(0.1)), scale_by_learning_rate(0.001))
    """
    del path
    return array.ndim > 1


def select(selector: Selector, params: Flat, where: str, check: bool = True, dtypes: bool = True) -> dict[int, bool]:
    """Finds the parameters that `selector` selects: number of a trained leaf → whether it is selected.

    Args:
        selector: A selector as `Selects.check` returns it.
        params: The parameters, or `jax.ShapeDtypeStruct`s.
        where: The beginning of errors: the stage and the argument.
        check: Whether selecting nothing is an error.
        dtypes: Whether the dtypes are those of the parameters, so that selectors can read them.

    Raises:
        ValueError: The selector selects no trained parameter, or a tree of booleans does not fit the parameters.
    """
    trained: Trained = dict(params.trained())
    if not dtypes:
        trained = {i: (path, Shaped(array.shape)) for i, (path, array) in trained.items()}
    chosen = _chosen(selector, params, trained, where)
    if check and trained and not any(chosen.values()):
        names = listed([repr(path) for path, _ in trained.values()], 50)
        raise ValueError(f"{where} selects no parameter: {code_of(selector)}; the paths are {names}")
    return chosen


def _chosen(selector: Selector, params: Flat, trained: Trained, where: str) -> dict[int, bool]:
    if isinstance(selector, AnyOf):
        several = [_chosen(one, params, trained, where) for one in selector.selectors]
        return {i: any(chosen[i] for chosen in several) for i in trained}
    if isinstance(selector, Chooser):
        return selector.chosen(params, trained, where)
    if callable(selector) and takes_a_tree(selector):
        selector = _mask_of(selector, params, trained, where)
    if isinstance(selector, BoolTree):
        return selector.of(params, trained, f"{where} must be a tree of booleans like the parameters")
    return {i: matches(selector, path, array) for i, (path, array) in trained.items()}


def matches(selector: Selector, path: str, array: jax.ShapeDtypeStruct) -> bool:
    """Whether a glob, a regular expression or a predicate selects the parameter at `path`."""
    if isinstance(selector, str):
        return fnmatch.fnmatchcase(path, selector) or fnmatch.fnmatchcase(f"/{path}", selector)
    if isinstance(selector, re.Pattern):
        return selector.search(path) is not None
    answer = selector(path, array) if callable(selector) else None
    if not _is_bool(answer):
        raise TypeError(f"the selector {code_of(selector)} must return True or False, got {answer!r} for {path!r}")
    return bool(answer)


def takes_a_tree(function: Callable[..., object]) -> bool:
    """Whether a function takes the tree of parameters. Such a function requires one argument, a predicate two."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    required = [p for p in parameters if p.kind in kinds and p.default is inspect.Parameter.empty]
    return len(required) == 1 and not any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in parameters)


def shapes_of(params: Flat, trained: Trained) -> Any:
    """The tree of the shapes and dtypes of the trained parameters."""
    return params.unflatten([trained[i][1] if i in trained else None for i in range(len(params.leaves))])


def _mask_of(function: Callable[..., object], params: Flat, trained: Trained, where: str) -> BoolTree:
    """The tree of booleans that a function returns for the tree of parameters."""
    try:
        answer = function(shapes_of(params, trained))
    except (TypeError, AttributeError) as error:
        raise TypeError(
            f"{where}: the function {code_of(function)} of the parameters failed: {error}; it must use shapes and "
            "dtypes, not values, and a predicate takes two arguments, (path, array)"
        ) from error
    mask = Selects().check(f"{where}: the result of {code_of(function)}", answer)
    if not isinstance(mask, BoolTree):
        raise TypeError(f"{where}: {code_of(function)} must return a tree of booleans, got {summary(answer)}")
    return mask


def _by_path(tree: LeafTree, trained: Trained, misfit: str) -> dict[int, Any]:
    values = dict(zip(paths(tree.treedef), tree.leaves, strict=True))
    chosen: dict[int, Any] = {}
    missing: list[str] = []
    for i, (path, _) in trained.items():
        # The path itself, or one of its parents.
        ends = [len(path), *(k for k, letter in enumerate(path) if letter == "/"), 0]
        covering = next((path[:end] for end in ends if path[:end] in values), None)
        if covering is None:
            missing.append(path)
        else:
            chosen[i] = values[covering]
    if missing:
        raise ValueError(f"{misfit}: {_difference(values, missing, trained)}")
    return chosen


def _difference(values: Mapping[str, object], missing: list[str], trained: Trained) -> str:
    children = [f"{path}/" for path, _ in trained.values()]
    surplus = [path for path in values if not any(child.startswith(f"{path}/") for child in children)]
    more = f", but has one for {', '.join(surplus[:3])}" if surplus else ""
    return f"it has none for {', '.join(missing[:3])}{more}"


def _is_plain(value: object) -> TypeGuard[str | re.Pattern[str] | Callable[..., object]]:
    return isinstance(value, str | re.Pattern) or (callable(value) and not is_trainable(value))


def _is_bool(value: object) -> bool:
    if isinstance(value, Tracer):
        return False
    return isinstance(value, bool | np.bool_) or (
        isinstance(value, jax.Array | np.ndarray) and value.shape == () and value.dtype == jnp.bool_
    )
