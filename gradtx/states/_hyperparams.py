"""Reading hyperparameters, and changing those that live in the state."""

import difflib
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.tree_util import KeyPath, keystr
from jax.typing import ArrayLike

from gradtx._tools import Interval, by_label, hyperparameters, kept, summary
from gradtx.core import State, Transformation, from_state, varying

T = TypeVar("T")


def hyperparams(tx: Transformation, state: State) -> dict[str, Any]:
    """Returns the value of every hyperparameter at the next step, by the name "stage.field".

    The hyperparameters of a transformation that a stage holds are named "stage.part.stage.field", and the value of a
    group of parameters "stage.field.selector"; see `per_group`. A hyperparameter that follows a metric is reported as
    it stands now, before the next metric is observed.

    Args:
        tx: A transformation of gradtx.
        state: The state of `tx`.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> tx = gx.sgd(gx.tunable(0.1), momentum=0.9)
    >>> gx.hyperparams(tx, tx.init(jnp.ones(2)))
    {'trace.momentum': 0.9, 'trace.dampening': 0.0, 'scale_by_learning_rate.learning_rate': Array(0.1, dtype=float32)}
    """
    check_ours("hyperparams", tx)
    values = {}
    for name, stage in tx.stages.items():
        fields = {field: getattr(stage, field) for field in hyperparameters(type(stage))} | varying(name, stage, state)
        for field, value in fields.items():
            if value is not None:
                values |= by_label(f"{name}.{field}", value)
        for part, inner in stage.parts().items():
            fields = hyperparams(inner, from_state(state, "stages", name)[part])
            values |= {f"{name}.{part}.{key}": value for key, value in fields.items()}
    return values


def set_hyperparams(tx: Transformation, state: T, /, **values: ArrayLike) -> T:
    """Returns `state` with new values of hyperparameters. Nothing is compiled again.

    Only hyperparameters that live in the state can be set: those made by `tunable`, and the numbers that a schedule
    which follows a metric keeps, such as "learning_rate.scale". A name may be shortened to any suffix that is unique,
    such as `learning_rate`. A new value has the shape of the old one, and is in the range that the constructor accepts.

    Args:
        tx: The transformation of gradtx that has the hyperparameters.
        state: The state of `tx`, or any tree that contains it, such as the state of `optax.chain(..., tx)`.
        values: The new values by name.

    Raises:
        ValueError: an unknown or ambiguous name, a value out of range, or a value of another shape.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> tx = gx.sgd(gx.tunable(0.1))
    >>> gx.set_hyperparams(tx, tx.init(jnp.ones(2)), learning_rate=0.01).hyperparams
    {'scale_by_learning_rate.learning_rate': Array(0.01, dtype=float32)}
    """
    check_ours("set_hyperparams", tx)
    ranges = _ranges(tx)
    names: list[str] = []
    _map_hyperparams(state, lambda name, old: names.append(name) or old)
    known = {name: intervals for name in names for key, intervals in ranges.items() if f".{key}." in f".{name}."}
    new = {}
    for name, value in values.items():
        candidates = [full for full in known if f".{full}".endswith(f".{name}")]
        exact = [full for full in candidates if full == name]
        if len(exact or candidates) != 1:
            raise ValueError(_complaint(name, candidates, list(known)))
        new[(exact or candidates)[0]] = value

    def change(name: str, old: jax.Array) -> jax.Array:
        return _like(old, name, new[name], known[name]) if name in new else old

    return _map_hyperparams(state, change)


def check_ours(where: str, tx: object) -> None:
    """Checks that `tx` is a transformation of gradtx."""
    if not isinstance(tx, Transformation):
        raise TypeError(
            f"{where}: the first argument must be a transformation of gradtx, which lists its hyperparameters, "
            f"got {summary(tx)}"
        )


def _ranges(tx: Transformation) -> dict[str, tuple[Interval, ...]]:
    """The names in the state of the hyperparameters of `tx`, each with the ranges of all fields that share the name.

    A schedule that follows a metric keeps several numbers under its name. These numbers have no range.
    """
    ranges: dict[str, tuple[Interval, ...]] = {}
    for name, stage in tx.stages.items():
        for field, interval in hyperparameters(type(stage)).items():
            for key, value in kept(name, field, getattr(stage, field)):
                ranges[key] = ranges.get(key, ()) + (() if value.follows_metric else (interval,))
        for part, inner in stage.parts().items():
            ranges |= {f"{name}.{part}.{key}": intervals for key, intervals in _ranges(inner).items()}
    return ranges


def _map_hyperparams(tree: T, change: Callable[[str, jax.Array], jax.Array], prefix: str = "") -> T:
    """Applies `change` to every array that holds a hyperparameter, in all states of a tree and of their stages."""

    def visit(path: KeyPath, leaf: object) -> object:
        if not isinstance(leaf, State):
            return leaf
        where = "".join(f"{_word(key)}." for key in path)
        changed = jax.tree.map_with_path(
            lambda at, old: change(prefix + where + ".".join(map(_word, at)), old), leaf.hyperparams
        )
        return leaf._replace(hyperparams=changed, stages=_map_hyperparams(leaf.stages, change, prefix + where))

    return jax.tree.map_with_path(visit, tree, is_leaf=lambda x: isinstance(x, State))


def _word(key: object) -> str:
    return keystr((key,), simple=True)


def _like(old: jax.Array, name: str, value: ArrayLike, intervals: tuple[Interval, ...]) -> jax.Array:
    where = f"set_hyperparams: {name}"
    try:
        new = jnp.asarray(value, old.dtype)
    except (TypeError, ValueError):
        raise TypeError(f"{where} must be a number, got {summary(value)}") from None
    if new.shape != old.shape:
        raise ValueError(f"{where} must have the shape {old.shape} of its old value, got {new.shape}")
    if not isinstance(new, Tracer):
        for interval in intervals or (Interval(closed=True, hyper=False),):
            for number in np.unique(np.asarray(new)):
                interval.check(where, number)
    # An array that is bound to devices, as after a restart, is an argument of a function compiled for these devices.
    bound = not isinstance(old, Tracer) and getattr(old, "committed", False)
    return jax.device_put(new, old.sharding) if bound else new


def _complaint(name: str, candidates: list[str], known: list[str]) -> str:
    if candidates:
        return f"set_hyperparams: {name} is ambiguous; write one of {', '.join(candidates)}"
    if not known:
        return f"set_hyperparams: {name} is not in this state; construct the chain with {name}=gx.tunable(number)"
    short = {full.rpartition(".")[2] for full in known} | set(known)
    near = difflib.get_close_matches(name, sorted(short), n=3, cutoff=0.5)
    return f"set_hyperparams: unknown hyperparameter {name}; " + (
        f"did you mean {' or '.join(near)}?" if near else f"the state has {', '.join(known)}"
    )
