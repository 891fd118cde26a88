"""Every complaint about a call, raised before any arithmetic: the stage, the place, what was given and expected."""

import difflib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core._kinds import is_real_scalar
from gradtx.core._state import State
from gradtx.core._stateful import Stateful
from gradtx.core._trees import Flat, dtype_of, is_complex, is_trainable


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
        f"init: the parameter at {_place(path)} is {_summary(bad)}, which has no gradient; give the arrays alone, as "
        "with eqx.filter(model, eqx.is_inexact_array) or nnx.state(model, nnx.Param)"
    )


_OPTAX = {"value", "grad", "value_fn"}  # what optax's line searches are told, and so whole chains


def check_call(
    stages: Mapping[str, Any], kept: Mapping[str, Stateful], state: Any, params: Any, extra: Mapping[str, Any]
) -> None:
    """The state is one of ours, and all that stages and hyperparameters need was given under its right name."""
    if not isinstance(state, State):
        raise TypeError(f"update: the state must be the one that init returned, got {type(state).__name__}")
    needs: dict[str, str] = {}
    for name, stage in stages.items():
        needs = dict.fromkeys(sorted(stage.needs - {"key"}), name) | needs
    follower = next((name for name, value in kept.items() if value.follows_metric), None)
    named = needs if follower is None else {"value": follower} | needs
    taken = accepted(stages, kept)
    for given in (name for name in extra if name not in taken | _OPTAX):
        near = difflib.get_close_matches(given, named, n=1, cutoff=0.7)
        if near:
            raise TypeError(f"update: no stage takes {given}=; {named[near[0]]} needs {near[0]}=. Did you mean that?")
    for need, name in needs.items():
        if need == "param" and params is None:
            raise ValueError(f"{name} needs the parameters: call update(grads, state, params)")
        if need != "param" and extra.get(need) is None:
            raise TypeError(f"{name} needs the argument {need}: call update(grads, state, params, {need}=...)")
    metric = extra.get("value")
    if follower is not None and "value" not in extra:
        raise TypeError(f"{follower} follows a metric: call update(..., value=metric), or value=None at a step without")
    if follower is not None and metric is not None and not is_real_scalar(metric):
        raise TypeError(f"{follower} follows a metric: value must be a real scalar, got {_summary(metric)}")


def accepted(stages: Mapping[str, Any], kept: Mapping[str, Stateful]) -> frozenset[str]:
    """The extra arguments of `update` that some stage or hyperparameter takes."""
    follows = any(value.follows_metric for value in kept.values())
    taken = frozenset[str]().union(*(stage.needs | stage.accepts() for stage in stages.values()))
    return taken | {"value"} if follows else taken


def from_state(state: State, part: str, name: str) -> Any:
    """`state.stages[name]` or `state.hyperparams[name]`."""
    entries = getattr(state, part)
    if name not in entries:
        raise ValueError(
            f"{name}: the state has no entry of that name in its {part}, only {sorted(entries)}; "
            "it was made by another chain"
        )
    return entries[name]


def check_structure(stage: str, given: Flat, expected: Flat, reference: str, what: str = "gradients") -> None:
    """Both trees have the same leaves; their containers' types and metadata may differ."""
    if given.treedef == expected.treedef:
        return
    mine, theirs = (dict(zip(tree.code(), tree.paths(), strict=True)) for tree in (given, expected))
    if list(mine) == list(theirs):
        return
    missing, surplus = ({c: a[c] for c in a if c not in b} for a, b in ((theirs, mine), (mine, theirs)))
    unclear = {*missing.values()} & {*surplus.values()}
    missing, surplus = ([c if p in unclear else _place(p) for c, p in a.items()] for a in (missing, surplus))
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
    where = f"{stage}: the {what} at {_place(path)} is {_summary(g)}, but the {reference} there"
    if not is_trainable(e):
        raise TypeError(f"{where} is {_summary(e)} and is not trained; expected None or float0")
    if not is_trainable(g) or (kind and is_complex(dtype_of(g)) != is_complex(dtype_of(e))):
        raise TypeError(
            f"{where} is {_summary(e)}; expected a {'complex' if is_complex(dtype_of(e)) else 'floating'} array"
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


def _place(path: str) -> str:
    return path or "the root"


def _summary(leaf: Any) -> str:
    dtype = dtype_of(leaf)
    return f"of type {type(leaf).__name__}" if dtype is None else f"{dtype}{list(np.shape(leaf))}"
