"""Reading hyperparameters, and changing in mid-run those that are kept in the state."""

import difflib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jax.tree_util import keystr

from gradtx._tools import hyperparameters
from gradtx.core import State, Transformation, from_state, varying


def hyperparams(tx: Transformation, state: State) -> dict[str, Any]:
    """What every hyperparameter is at the next step, by "stage.field": a number, or the value of what stands for it.

    Those of stages that hold transformations are named "stage.part.stage.field". What follows a metric shows what it is
    before the metric of the next step.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> tx = gx.sgd(gx.tunable(0.1), momentum=0.9)
    >>> gx.hyperparams(tx, tx.init(jnp.ones(2)))
    {'trace.momentum': 0.9, 'trace.dampening': 0.0, 'scale_by_learning_rate.learning_rate': Array(0.1, dtype=float32)}
    """
    if not isinstance(tx, Transformation):
        raise TypeError(f"hyperparams: only gradtx's own transformations tell their hyperparameters, got {tx!r}")
    values = {}
    for name, stage in tx.stages.items():
        found = {field: getattr(stage, field) for field in hyperparameters(type(stage))} | varying(name, stage, state)
        values |= {f"{name}.{field}": value for field, value in found.items() if value is not None}
        for part, inner in stage.parts().items():
            found = hyperparams(inner, from_state(state, "stages", name)[part])
            values |= {f"{name}.{part}.{key}": value for key, value in found.items()}
    return values


def set_hyperparams(state: Any, **values: Any) -> Any:
    """`state` with other values of the hyperparameters that are kept in it, by name or by "stage.field".

    These are the tunable ones, and what those that follow a metric keep, as in "learning_rate.scale". A name may lack
    its beginning, as far as it stays unique. Works on the state of a chain and on any tree that holds one, such as the
    state of `optax.chain`. A new value has the shape of the old one, so nothing is compiled again.

    Raises:
        ValueError: a name that nothing in the state has, or several have; a value that is NaN.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> state = gx.sgd(gx.tunable(0.1)).init(jnp.ones(2))
    >>> gx.set_hyperparams(state, learning_rate=0.01).hyperparams
    {'scale_by_learning_rate.learning_rate': Array(0.01, dtype=float32)}
    """
    known: list[str] = []
    _map_kept(state, lambda name, old: known.append(name) or old)
    new = {}
    for name, value in values.items():
        found = [full for full in known if f".{full}".endswith(f".{name}")]
        exact = [full for full in found if full == name]
        if len(exact or found) != 1:
            raise ValueError(_complaint(name, found, known))
        new[(exact or found)[0]] = value
    return _map_kept(state, lambda name, old: _like(old, name, new[name]) if name in new else old)


def _map_kept(tree: Any, change: Callable[[str, Any], Any], prefix: str = "") -> Any:
    """`change` of every array that the states in a tree keep of hyperparameters, also of states within stages."""

    def visit(path: Any, leaf: Any) -> Any:
        if not isinstance(leaf, State):
            return leaf
        where = "".join(f"{_word(key)}." for key in path)
        kept = jax.tree.map_with_path(
            lambda at, old: change(prefix + where + ".".join(map(_word, at)), old), leaf.hyperparams
        )
        return leaf._replace(hyperparams=kept, stages=_map_kept(leaf.stages, change, prefix + where))

    return jax.tree.map_with_path(visit, tree, is_leaf=lambda x: isinstance(x, State))


def _word(key: Any) -> str:
    return keystr((key,), simple=True)


def _like(old: Any, name: str, value: Any) -> jax.Array:
    try:
        new = jnp.asarray(value, old.dtype)
    except (TypeError, ValueError):
        raise TypeError(f"set_hyperparams: {name} must be a number, got {value!r}") from None
    if new.shape != old.shape:
        raise ValueError(f"set_hyperparams: {name} must have the shape {old.shape} of its old value, got {new.shape}")
    if not isinstance(new, Tracer) and bool(jnp.isnan(new).any()):
        raise ValueError(f"set_hyperparams: {name} must be a number, got nan")
    # What is bound to devices, as after a restart, is compiled for them.
    bound = not isinstance(old, Tracer) and getattr(old, "committed", False)
    return jax.device_put(new, old.sharding) if bound else new


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
