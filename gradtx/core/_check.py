"""Complaints about a call of `update`, raised before any arithmetic."""

import difflib
from collections.abc import Mapping
from typing import Any

from gradtx._tools import is_real_scalar, summary
from gradtx.core._state import State
from gradtx.core._stateful import Stateful

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
        raise TypeError(f"{follower} follows a metric: value must be a real scalar, got {summary(metric)}")


def accepted(stages: Mapping[str, Any], kept: Mapping[str, Stateful]) -> frozenset[str]:
    """The extra arguments of `update` that some stage or hyperparameter takes."""
    follows = any(value.follows_metric for value in kept.values())
    taken = frozenset[str]().union(*(stage.needs | stage.accepts() for stage in stages.values()))
    return taken | {"value"} if follows else taken
