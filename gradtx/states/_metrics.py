"""What a training loop logs of a chain."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx._tools import by_label, hyperparameters
from gradtx.core import State, Transformation, from_state, varying
from gradtx.states._hyperparams import check_ours


def metrics(tx: Transformation, state: State) -> dict[str, jax.Array]:
    """Returns the numbers of a chain that are worth logging, as scalars by name.

    These are every learning rate, every other hyperparameter that varies, as `hyperparams` gives them for the next
    step, and what stages such as `monitor` and `skip_nonfinite` have measured. A name is as short as it can be:
    "learning_rate" for "scale_by_learning_rate.learning_rate", if no other name ends so. The value of a group of
    parameters is "learning_rate.selector".

    Args:
        tx: A transformation of gradtx.
        state: The state of `tx`.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> tx = gx.chain(gx.monitor("norm"), gx.sgd(gx.schedules.linear(0.5, 0.0, 5)))
    >>> _, state = tx.update(jnp.array([3.0, 4.0]), tx.init(jnp.zeros(2)))
    >>> {name: float(value) for name, value in gx.metrics(tx, state).items()}
    {'norm': 5.0, 'learning_rate': 0.4000000059604645}
    """
    check_ours("metrics", tx)
    found = _found(tx, state, ())
    ends = Counter(end for *_, end in found)
    names = [end if ends[end] == 1 else ".".join([*stages, end]) for *stages, end in found]
    return dict(zip(names, found.values(), strict=True))


def _found(tx: Transformation, state: State, stages: tuple[str, ...]) -> dict[tuple[str, ...], jax.Array]:
    """The numbers by the names of the stages and of the number."""
    values: dict[tuple[str, ...], jax.Array] = {}
    for name, technique in tx.stages.items():
        here = (*stages, name)
        kept = state.stages.get(name, {})
        for slot in technique.shown():
            values |= {(*here, end): jnp.asarray(x) for end, x in _scalars(slot, kept[slot]).items()}
        now = varying(name, technique, state)
        fields = {field: getattr(technique, field) for field in hyperparameters(type(technique)) if "rate" in field}
        for field, value in (fields | now).items():
            if value is not None:
                values |= {(*here, end): jnp.asarray(x) for end, x in by_label(field, value).items()}
        for part, inner in technique.parts().items():
            values |= _found(inner, from_state(state, "stages", name)[part], (*here, part))
    return values


def _scalars(slot: str, tree: Any) -> Mapping[str, Any]:
    """A number by its name, or the numbers of a tree by their paths."""
    paths = jax.tree.leaves_with_path(tree)
    names = [".".join([slot, *(jax.tree_util.keystr((key,), simple=True) for key in path)]) for path, _ in paths]
    return {name: x for name, (_, x) in zip(names, paths, strict=True) if np.size(x)}
