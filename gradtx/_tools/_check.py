"""Complaints about trees of arrays: the stage, the place, what was given and what was expected."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx._tools._trees import Flat, dtype_of, is_complex, is_trainable


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
        f"init: the parameter at {place_of(path)} is {described(bad)}, which has no gradient; give only the arrays, "
        "as with eqx.filter(model, eqx.is_inexact_array) or nnx.state(model, nnx.Param)"
    )


def check_structure(stage: str, given: Flat, expected: Flat, reference: str, what: str = "gradients") -> None:
    """Both trees have the same leaves; their containers' types and metadata may differ."""
    if given.treedef == expected.treedef:
        return
    mine, theirs = (dict(zip(tree.code(), tree.paths(), strict=True)) for tree in (given, expected))
    if list(mine) == list(theirs):
        return
    missing, surplus = ({c: a[c] for c in a if c not in b} for a, b in ((theirs, mine), (mine, theirs)))
    unclear = {*missing.values()} & {*surplus.values()}
    missing, surplus = ([c if p in unclear else place_of(p) for c, p in a.items()] for a in (missing, surplus))
    parts = [f"none at {', '.join(missing[:3])}{' …' * (len(missing) > 3)}"] * bool(missing)
    parts += [f"one too many at {', '.join(surplus[:3])}{' …' * (len(surplus) > 3)}"] * bool(surplus)
    raise ValueError(
        f"{stage}: the {what} must have the leaves of the {reference}, but have "
        f"{' and '.join(parts) or 'them in another order'}"
    )


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
    where = f"{stage}: the {what} at {place_of(path)} is {described(g)}, but the {reference} there"
    if not is_trainable(e):
        raise TypeError(f"{where} is {described(e)} and is not trained; expected None or float0")
    if not is_trainable(g) or (kind and is_complex(dtype_of(g)) != is_complex(dtype_of(e))):
        raise TypeError(
            f"{where} is {described(e)}; expected a {'complex' if is_complex(dtype_of(e)) else 'floating'} array"
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


def described(leaf: Any) -> str:
    """An array by its dtype and shape, anything else by its type."""
    dtype = dtype_of(leaf)
    return f"of type {type(leaf).__name__}" if dtype is None else f"{dtype}{list(np.shape(leaf))}"
