"""Rules at one step: what is static about them, and what the step gives."""

from collections.abc import Hashable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradtx._tools import Flat, flatten
from gradtx.core._check import from_state
from gradtx.core._rule import Role, Rule, Scope
from gradtx.core._slots import varying
from gradtx.core._state import State

_VARIES = "<an argument of each step>"  # stands in a static rule for a hyperparameter that is no constant


class Resolved(NamedTuple):
    """A rule at one step: its static part, the hyperparameters that vary, its slots, and what it measured."""

    name: str
    rule: Rule
    hyper: Mapping[str, Any]
    slots: Mapping[str, Flat]
    scalars: Mapping[str, Any]
    measured: Mapping[str, Any]
    groups: Mapping[int, Hashable] | None

    @property
    def measures(self) -> bool:
        return self.rule.scope is Scope.TREE or type(self.rule).prepare is not Rule.prepare

    def for_group(self, group: Hashable) -> tuple[Any, Mapping[str, Any]]:
        """(the rule with its name, its varying hyperparameters) for the leaves of a group."""
        if self.groups is None:
            return (self.name, self.rule), self.hyper
        rule = self.rule.replace(self.hyper).for_group(group)
        hyper = {field: x for field, x in vars(rule).items() if isinstance(x, jax.Array | np.ndarray | np.generic)}
        return (self.name, rule.replace(dict.fromkeys(hyper, _VARIES))), hyper


def resolve(name: str, rule: Any, state: State, params: Flat | None) -> Resolved:
    """`rule` with its schedules evaluated, its tunables read, its slots found and its groups told."""
    hyper = {field: jnp.asarray(value) for field, value in varying(name, rule, state).items()}
    for field, value in hyper.items():
        if value.shape != ():
            raise ValueError(f"{name}: the schedule of {field} must give a scalar, got shape {value.shape}")
    hyper |= {field: value for field, value in vars(rule).items() if isinstance(value, jax.Array)}
    active = rule.active_slots()
    slots = from_state(state, "stages", name) if active else {}
    scalars = {slot: slots[slot] for slot, spec in active.items() if spec.role is Role.SCALAR}
    arrays = {slot: flatten(slots[slot]) for slot in active if slot not in scalars}
    groups = rule.groups(params, name, check=False)
    return Resolved(name, rule.replace(dict.fromkeys(hyper, _VARIES)), hyper, arrays, scalars, {}, groups)
