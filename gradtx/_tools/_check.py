"""Complaints about trees of arrays: the stage, the place, what was given and what was expected."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx._tools._trees import Flat, dtype_of, is_complex, is_trainable
from gradtx._tools._words import summary


def check_params(params: Flat) -> None:
    """Parameters are numbers and arrays; None, integers and the like are carried along untrained."""
    if any(isinstance(p, jax.ShapeDtypeStruct) for p in params.leaves):
        raise TypeError("init: the parameters are shapes, not arrays; call jax.eval_shape(tx.init, params)")
    if all(p is None or dtype_of(p) is not None for p in params.leaves):
        return
    path, bad = next(
        (w, p) for w, p in zip(params.paths(), params.leaves, strict=True) if p is not None and dtype_of(p) is None
    )
    raise TypeError(
        f"init: the parameter at {place_of(path)} is {summary(bad)}, which has no gradient; give only the arrays, "
        "as with eqx.filter(model, eqx.is_inexact_array) or nnx.state(model, nnx.Param)"
    )


def check_structure(stage: str, given: Flat, expected: Flat, reference: str, what: str = "gradients") -> None:
    """Both trees have the same leaves; their containers' types and metadata may differ."""
    if given.treedef == expected.treedef:
        return
    mine, theirs = _by_code(given), _by_code(expected)
    if list(mine) == list(theirs):
        return
    # Where two leaves have one path, such as a/b and ["a/b"], their code tells them apart.
    missing, surplus = _names(theirs, without=mine), _names(mine, without=theirs)
    parts = [f"missing {_some(missing)}"] if missing else []
    parts += [f"unexpected {_some(surplus)}"] if surplus else []
    difference = "; ".join(parts) or "the same leaves in another order"
    raise ValueError(f"{stage}: the {what} and the {reference} have different structures: {difference}")


def _by_code(tree: Flat) -> dict[str, str]:
    return dict(zip(tree.code(), tree.paths(), strict=True))


def _names(leaves: Mapping[str, str], without: Mapping[str, str]) -> list[str]:
    """The leaves that only the first tree has, by path; by code where the path could also mean one of the second."""
    left = {code: path for code, path in leaves.items() if code not in without}
    other = {path for code, path in without.items() if code not in leaves}
    return [code if path in other else place_of(path) for code, path in left.items()]


def _some(places: Sequence[str]) -> str:
    return ", ".join(places[:3]) + (f" and {len(places) - 3} more" if len(places) > 3 else "")


def check_leaves(
    stage: str, grads: Flat, expected: Flat, reference: str, what: str = "gradient", kind: bool = True
) -> None:
    """Every gradient has the shape and, with `kind`, the kind of `expected`: floating, complex, or none at all."""
    if all(_fits(g, e, kind) for g, e in zip(grads.leaves, expected.leaves, strict=True)):
        return
    bad = (
        (w, g, e) for w, g, e in zip(grads.paths(), grads.leaves, expected.leaves, strict=True) if not _fits(g, e, kind)
    )
    path, g, e = next(bad)
    where = f"{stage}: the {what} at {place_of(path)} is {summary(g)}, but the {reference} there"
    if not is_trainable(e):
        raise TypeError(f"{where} is {summary(e)} and is not trained; expected None or float0")
    if not is_trainable(g) or (kind and is_complex(dtype_of(g)) != is_complex(dtype_of(e))):
        raise TypeError(
            f"{where} is {summary(e)}; expected a {'complex' if is_complex(dtype_of(e)) else 'floating'} array"
        )
    raise ValueError(f"{where} has shape {tuple(np.shape(e))}; expected the same shape")


def check_real_scalar(where: str, value: Any) -> None:
    """What a function to be minimised gave is one real number, or will be."""
    dtype, shape = dtype_of(value), getattr(value, "shape", ())
    if dtype is None or shape or is_complex(dtype) or not jnp.issubdtype(dtype, jnp.number):
        found = type(value).__name__ if dtype is None else f"{dtype} of shape {shape}"
        raise TypeError(f"{where} must return a real scalar, got {found}")


def _fits(g: Any, e: Any, kind: bool) -> bool:
    if g is None or dtype_of(g) == jax.dtypes.float0:
        return True
    if not (is_trainable(g) and is_trainable(e) and np.shape(g) == np.shape(e)):
        return False
    return not kind or is_complex(dtype_of(g)) == is_complex(dtype_of(e))


def place_of(path: str) -> str:
    """A path, which is empty for a tree that is a leaf, in words."""
    return path or "the root"
