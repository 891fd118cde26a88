"""The state of a chain, and the values of hyperparameters at a step."""

from typing import Any, Literal, NamedTuple

import jax

from gradtx._tools import PerGroup, Stateful, hyperparameters
from gradtx.core._rule import Technique


class State(NamedTuple):
    """The state of a transformation between two steps.

    Attributes:
        step: The number of updates done so far, int32. It stops counting at 2³¹ - 1.
        hyperparams: The hyperparameters that live in the state, by name or "stage.field". A tunable one has a float32
            scalar, and one that follows a metric has a dictionary of scalars.
        stages: Stage name → slot name → a tree like the parameters, or a scalar. Stages without slots are absent.
    """

    step: jax.Array
    hyperparams: dict[str, Any]
    stages: dict[str, Any]


def from_state(state: State, part: Literal["hyperparams", "stages"], name: str) -> Any:
    """Returns `state.stages[name]` or `state.hyperparams[name]`, or raises an error that lists the names."""
    entries = getattr(state, part)
    if name not in entries:
        raise ValueError(
            f"{name}: the state has no entry of that name in its {part}, only {sorted(entries)}; "
            "it was made by another chain"
        )
    return entries[name]


def varying(name: str, technique: Technique, state: State) -> dict[str, Any]:
    """The hyperparameters of a stage that are not constants, with their values at this step.

    A hyperparameter with a value for each group is a `PerGroup` of the values at this step.
    """
    values = {}
    for field in hyperparameters(type(technique)):
        value = getattr(technique, field)
        if (now := _now(value, name, field, state)) is not value:
            values[field] = now
    return values


def _now(value: Any, stage: str, field: str, state: State) -> Any:
    if isinstance(value, PerGroup):
        prefix = value.prefix(stage, field)
        return value.map(lambda label, one: _now(one, prefix, label, state))
    if isinstance(value, Stateful):
        return value.now(from_state(state, "hyperparams", value.key(stage, field)), state.step)
    return value(state.step) if callable(value) else value
