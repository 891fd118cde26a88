"""Reading hyperparameters, and changing the tunable ones in mid-run."""

import difflib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer

from gradtx.core._check import from_state
from gradtx.core._record import Tunable, hyperparameters
from gradtx.core._state import State
from gradtx.core._transformation import Transformation


def hyperparams(tx: Transformation, state: State) -> dict[str, Any]:
    """What every hyperparameter is at the next step, by "stage.field": number, schedule's value or tunable's.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> tx = gx.sgd(gx.tunable(0.1), momentum=0.9)
    >>> gx.hyperparams(tx, tx.init(jnp.ones(2)))
    {'trace.momentum': 0.9, 'trace.dampening': 0.0, 'scale_by_learning_rate.learning_rate': Array(0.1, dtype=float32)}
    """
    if not isinstance(tx, Transformation):
        raise TypeError(f"hyperparams: only gradtx's own transformations tell their hyperparameters, got {tx!r}")
    values = {}
    for name, stage in tx.stages.items():
        for field in hyperparameters(type(stage)):
            value = getattr(stage, field)
            if isinstance(value, Tunable):
                value = from_state(state, "hyperparams", value.key(name, field))
            elif callable(value):
                value = value(state.step)
            if value is not None:
                values[f"{name}.{field}"] = value
    return values


def set_hyperparams(state: Any, **values: Any) -> Any:
    """`state` with other values of its tunable hyperparameters, by name or by "stage.field".

    Works on the state of a chain and on any tree that holds one, such as the state of `optax.chain`. A new value has
    the shape of the old one, so nothing is compiled again.

    Raises:
        ValueError: a name that no tunable hyperparameter has, or several have; a value that is NaN.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> state = gx.sgd(gx.tunable(0.1)).init(jnp.ones(2))
    >>> gx.set_hyperparams(state, learning_rate=0.01).hyperparams
    {'scale_by_learning_rate.learning_rate': Array(0.01, dtype=float32)}
    """
    known: list[str] = []
    _map_states(state, lambda s: known.extend(s.hyperparams) or s)
    new = {}
    for name, value in values.items():
        found = [full for full in known if name in (full, full.rpartition(".")[2])]
        if len(found) != 1:
            raise ValueError(_complaint(name, found, known))
        new[found[0]] = value
    return _map_states(
        state,
        lambda s: s._replace(
            hyperparams={
                full: _like(old, full, new[full]) if full in new else old for full, old in s.hyperparams.items()
            }
        ),
    )


def _map_states(tree: Any, f: Callable[[State], State]) -> Any:
    """`f` of every state in a tree, also of those within the stages of another."""

    def visit(leaf: Any) -> Any:
        return f(leaf._replace(stages=_map_states(leaf.stages, f))) if isinstance(leaf, State) else leaf

    return jax.tree.map(visit, tree, is_leaf=lambda x: isinstance(x, State))


def _like(old: Any, name: str, value: Any) -> jax.Array:
    try:
        new = jnp.asarray(value, old.dtype)
    except (TypeError, ValueError):
        raise TypeError(f"set_hyperparams: {name} must be a number, got {value!r}") from None
    if new.shape != old.shape:
        raise ValueError(f"set_hyperparams: {name} must have the shape {old.shape} of its old value, got {new.shape}")
    if not isinstance(new, Tracer) and bool(jnp.isnan(new).any()):
        raise ValueError(f"set_hyperparams: {name} must be a number, got nan")
    return new


def _complaint(name: str, found: list[str], known: list[str]) -> str:
    if found:
        return f"set_hyperparams: {name} is ambiguous, it could be any of {', '.join(found)}"
    if not known:
        return f"set_hyperparams: no {name}: nothing is tunable in this state; make it so with gx.tunable(number)"
    short = {full.rpartition(".")[2] for full in known} | set(known)
    near = difflib.get_close_matches(name, sorted(short), n=3, cutoff=0.5)
    return f"set_hyperparams: no tunable {name}; " + (
        f"did you mean {' or '.join(near)}?" if near else f"tunable: {', '.join(known)}"
    )
