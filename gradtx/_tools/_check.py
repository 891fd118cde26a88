"""Checks of trees of arrays. An error names the stage, the path, what was given and what was expected."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx._tools._trees import Flat, dtype_of, is_complex, is_trainable
from gradtx._tools._words import listed, summary


def check_params(params: Flat) -> None:
    """Checks that parameters are arrays, numbers or None. Integers and None are allowed and never trained."""
    if any(isinstance(p, jax.ShapeDtypeStruct) for p in params.leaves):
        raise TypeError("init: the parameters are shapes, not arrays; call jax.eval_shape(tx.init, params)")
    wrong = [i for i, p in enumerate(params.leaves) if p is not None and dtype_of(p) is None]
    if wrong:
        raise TypeError(
            f"init: the parameter at {place_of(params.paths()[wrong[0]])} is {summary(params.leaves[wrong[0]])}, which "
            "has no gradient; give only the arrays, as with eqx.filter(model, eqx.is_inexact_array) or "
            "nnx.state(model, nnx.Param)"
        )


def check_structure(stage: str, tree: Flat, expected: Flat, reference: str, what: str = "gradients") -> None:
    """Checks that both trees have leaves at the same paths. The types of their containers can differ.

    Args:
        stage: The name of the stage.
        tree: The tree that was given.
        expected: The tree whose paths it must have.
        reference: What `expected` is, for the error: "parameters", for instance.
        what: What `tree` is, for the error.

    Raises:
        ValueError: The trees differ. The error lists the missing and the unexpected paths.
    """
    if tree.treedef == expected.treedef:
        return
    present, wanted = _path_by_code(tree), _path_by_code(expected)
    if list(present) == list(wanted):
        return
    missing, surplus = _only_in_first(wanted, present), _only_in_first(present, wanted)
    parts = [f"missing {listed(missing, 3)}"] if missing else []
    parts += [f"unexpected {listed(surplus, 3)}"] if surplus else []
    difference = "; ".join(parts) or "the same leaves in another order"
    raise ValueError(f"{stage}: the {what} and the {reference} have different structures: {difference}")


def _path_by_code(tree: Flat) -> dict[str, str]:
    # The code of a leaf is unique. Its path is not: both tree["a"]["b"] and tree["a/b"] have the path a/b.
    return dict(zip(tree.code(), tree.paths(), strict=True))


def _only_in_first(first: Mapping[str, str], second: Mapping[str, str]) -> list[str]:
    """The leaves that only the first tree has: their paths, or their code if the second tree has the same path."""
    ambiguous = {path for code, path in second.items() if code not in first}
    different = {code: path for code, path in first.items() if code not in second}
    return [code if path in ambiguous else place_of(path) for code, path in different.items()]


def check_leaves(
    stage: str, grads: Flat, expected: Flat, reference: str, what: str = "gradient", kind: bool = True
) -> None:
    """Checks that each gradient has the shape of the leaf of `expected`, or is None or float0.

    Args:
        stage: The name of the stage.
        grads: The gradients.
        expected: A tree of the same structure.
        reference: What a leaf of `expected` is, for the error.
        what: What a leaf of `grads` is, for the error.
        kind: Whether the gradient must also be complex exactly if the leaf of `expected` is.

    Raises:
        TypeError: A gradient has the wrong kind of dtype, or belongs to a leaf that is not trained.
        ValueError: A gradient has the wrong shape.
    """
    wrong = [i for i, (g, e) in enumerate(zip(grads.leaves, expected.leaves, strict=True)) if not _fits(g, e, kind)]
    if not wrong:
        return
    path, grad, leaf = grads.paths()[wrong[0]], grads.leaves[wrong[0]], expected.leaves[wrong[0]]
    where = f"{stage}: the {what} at {place_of(path)} is {summary(grad)}, but the {reference} there"
    if not is_trainable(leaf):
        raise TypeError(f"{where} is {summary(leaf)} and is not trained; expected None or float0")
    if not is_trainable(grad) or (kind and is_complex(dtype_of(grad)) != is_complex(dtype_of(leaf))):
        dtypes = "complex" if is_complex(dtype_of(leaf)) else "floating"
        raise TypeError(f"{where} is {summary(leaf)}; expected a {dtypes} array")
    raise ValueError(f"{where} has shape {tuple(np.shape(leaf))}; expected the same shape")


def check_real_scalar(where: str, value: object) -> None:
    """Checks that a function returned one real number. The number can be a tracer or a shape."""
    dtype, shape = dtype_of(value), getattr(value, "shape", ())
    if dtype is None or shape or is_complex(dtype) or not jnp.issubdtype(dtype, jnp.number):
        returned = type(value).__name__ if dtype is None else f"{dtype} of shape {shape}"
        raise TypeError(f"{where} must return a real scalar, got {returned}")


def _fits(grad: Any, leaf: Any, kind: bool) -> bool:
    if grad is None or dtype_of(grad) == jax.dtypes.float0:
        return True
    if not (is_trainable(grad) and is_trainable(leaf) and np.shape(grad) == np.shape(leaf)):
        return False
    return not kind or is_complex(dtype_of(grad)) == is_complex(dtype_of(leaf))


def place_of(path: str) -> str:
    """A path as errors print it. The empty path of a tree that is a leaf becomes "the root"."""
    return path or "the root"
