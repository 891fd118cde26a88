"""Hyperparameters that are no constants: kept in the state, or functions of the step."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import jax

from gradtx._tools import Deferred, hyperparameters, same
from gradtx.core._state import State, from_state


class Stateful(Deferred):
    """A hyperparameter that has a place in the state. Subclasses declare a field `name`, and:

    follows_metric: whether it needs the extra argument `value` of `update`, a metric, or None at a step without one.
    """

    follows_metric: ClassVar[bool] = False

    def key(self, stage: str, field: str) -> str:
        """Its entry in `state.hyperparams`, given where it stands; all that have one name are one."""
        return vars(self)["name"] or f"{stage}.{field}"

    def under(self, name: str) -> Self:
        """A copy of that name, if it has none."""
        return self if vars(self)["name"] else self.replace({"name": name})

    def init(self) -> Any:
        """What it keeps: a scalar, or a dictionary of scalars."""
        raise NotImplementedError

    def observe(self, state: Any, metric: Any, step: jax.Array) -> Any:
        """What it keeps after it has seen a metric, any real scalar, at `step`."""
        raise NotImplementedError

    def now(self, state: Any, step: jax.Array) -> Any:
        """Its value at `step`."""
        raise NotImplementedError


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
