"""The hyperparameters of stages that are no constants: kept in the state, or functions of the step."""

from collections.abc import Mapping
from typing import Any

from gradtx._tools import hyperparameters, same
from gradtx.core._check import from_state
from gradtx.core._state import State
from gradtx.core._stateful import Stateful


def stateful(techniques: Mapping[str, Any]) -> dict[str, Stateful]:
    """The hyperparameters of all stages that have a place in the state; those of one name are one."""
    found: dict[str, Stateful] = {}
    for name, technique in techniques.items():
        for field in hyperparameters(type(technique)):
            if isinstance(value := getattr(technique, field), Stateful):
                first = found.setdefault(value.key(name, field), value)
                if not same(first, value):
                    raise ValueError(f"{name}: {field} is {value}, but {first} has that name before; rename one")
    return found


def varying(name: str, technique: Any, state: State) -> dict[str, Any]:
    """What the hyperparameters of a stage that are no constants are at this step."""
    found = {}
    for field in hyperparameters(type(technique)):
        value = getattr(technique, field)
        if isinstance(value, Stateful):
            found[field] = value.now(from_state(state, "hyperparams", value.key(name, field)), state.step)
        elif callable(value):
            found[field] = value(state.step)
    return found
