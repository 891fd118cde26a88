"""Checks of the arguments of `update`, before any arithmetic."""

import difflib
from collections.abc import Mapping

from gradtx._tools import Extra, Stateful, Tree, grouped, is_real_scalar, summary
from gradtx.core._rule import Role, Rule, Scope, Technique
from gradtx.core._state import State

_OPTAX = {"value", "grad", "value_fn"}  # the arguments of optax's line searches, which reach a whole chain


def check_call(
    techniques: Mapping[str, Technique], stateful: Mapping[str, Stateful], state: object, params: Tree, extra: Extra
) -> None:
    """Checks that `state` is a state of gradtx, and that each argument that a stage or hyperparameter needs is given.

    An argument that nobody takes is ignored, as in optax, unless its name resembles that of a needed argument.
    """
    if not isinstance(state, State):
        raise TypeError(f"update: the state must be the one that init returned, got {type(state).__name__}")
    needs: dict[str, str] = {}  # argument → the first stage that needs it
    for name, technique in techniques.items():
        needs = dict.fromkeys(sorted(technique.needs - {"key"}), name) | needs
    follower = next((name for name, hyperparameter in stateful.items() if hyperparameter.follows_metric), None)
    _check_names(extra, accepted(techniques, stateful), needs if follower is None else {"value": follower} | needs)
    for need, name in needs.items():
        if need == "param" and params is None:
            raise ValueError(f"{name} needs the parameters: call update(grads, state, params)")
        if need != "param" and extra.get(need) is None:
            raise TypeError(f"{name} needs the argument {need}: call update(grads, state, params, {need}=...)")
    metric = extra.get("value")
    if follower is not None and "value" not in extra:
        raise TypeError(f"{follower} follows a metric: call update(..., value=metric), or value=None without a metric")
    if follower is not None and metric is not None and not is_real_scalar(metric):
        raise TypeError(f"{follower} follows a metric: value must be a real scalar, got {summary(metric)}")


def _check_names(extra: Extra, taken: frozenset[str], needs: Mapping[str, str]) -> None:
    for argument in extra:
        near = difflib.get_close_matches(argument, needs, n=1, cutoff=0.7)
        if argument not in taken | _OPTAX and near:
            needed = f"{needs[near[0]]} needs {near[0]}="
            raise TypeError(f"update: no stage takes {argument}=; {needed}. Did you mean that?")


def check_order(techniques: Mapping[str, Technique]) -> None:
    """Refuses a stage that changes updates after one that must see the final updates."""
    end = None
    for name, technique in techniques.items():
        if end is not None and not technique.passes:
            raise ValueError(f"{end} must see the final updates, but {name} changes them; put {end} last")
        end = name if technique.ends else end


def check_per_group(techniques: Mapping[str, Technique]) -> None:
    """Refuses a value for each group where a stage computes one number for all parameters."""
    for name, technique in techniques.items():
        fields = list(grouped(technique))
        if not fields:
            continue
        reason = None
        if not isinstance(technique, Rule):
            reason = "belongs to the whole tree"
        elif technique.scope is Scope.TREE:
            reason = "goes with a measure of all gradients"
        elif kept := [slot for slot, spec in technique.active_slots().items() if spec.role is Role.SCALAR]:
            reason = f"goes with {kept[0]}, one number for all parameters"
        if reason is not None:
            raise TypeError(
                f"{name}: {fields[0]} {reason}, so it takes no per_group; write only(selector, ...) with a "
                "transformation for each group"
            )


def accepted(techniques: Mapping[str, Technique], stateful: Mapping[str, Stateful]) -> frozenset[str]:
    """The extra arguments of `update` that some stage or hyperparameter takes."""
    follows = any(hyperparameter.follows_metric for hyperparameter in stateful.values())
    taken = frozenset[str]().union(*(technique.needs | technique.accepts() for technique in techniques.values()))
    return taken | {"value"} if follows else taken
