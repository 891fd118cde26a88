"""Rules at one step: what is static about them, and what the step gives."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradtx._tools import Flat, flatten
from gradtx.core._rule import Role, Rule, Scope
from gradtx.core._slots import layer_axes
from gradtx.core._stage import Axes, Stage
from gradtx.core._state import State, from_state
from gradtx.core._stateful import varying


class Varies:
    """Stands in a static rule for a hyperparameter that is an argument of each step."""

    def __repr__(self) -> str:
        return "<an argument of each step>"


VARIES = Varies()


class LeafRule(NamedTuple):
    """What is static about a rule on one array.

    Attributes:
        name: Its stage's.
        rule: With `VARIES` in the place of what is an argument.
        axes: The axes of layers that it sees one by one.
        split: Whether a complex array comes as a real one.
    """

    name: str
    rule: Rule
    axes: Axes = ()
    split: bool = False


class Resolved(NamedTuple):
    """A rule at one step: its static part, the hyperparameters that vary, its slots, and what it measured.

    Attributes:
        seen: For each leaf the axes of its layers, None where the stage does not see it; None where it sees all.
        groups: The group of each trained leaf, by number; None where all are alike.
        scalars, before: The SCALAR slots as this step leaves them, and as the last one did.
    """

    name: str
    stage: Stage
    rule: Rule
    hyper: Mapping[str, Any]
    slots: Mapping[str, Flat]
    scalars: Mapping[str, Any]
    measured: Mapping[str, Any]
    seen: Sequence[Axes | None] | None
    groups: Mapping[int, Hashable] | None
    before: Mapping[str, Any]

    @property
    def measures(self) -> bool:
        return self.rule.scope is Scope.TREE or type(self.rule).prepare is not Rule.prepare

    def sees(self, i: int) -> bool:
        return self.seen is None or self.seen[i] is not None

    def slots_of(self, i: int) -> dict[str, Any]:
        """The slots that leaf i has."""
        return {name: x for name, slot in self.slots.items() if (x := slot.leaves[i]) is not None}

    def copied_slots(self) -> dict[str, list[Any]]:
        """Slot name → its leaves, to write the new ones in."""
        return {name: list(slot.leaves) for name, slot in self.slots.items()}

    def state(self, slots: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
        """What the state keeps of the stage, given the leaves of its slots."""
        return {name: self.slots[name].unflatten(leaves) for name, leaves in slots.items()} | dict(self.scalars)

    def kind(self, i: int) -> Any:
        """What the static part of the rule on leaf i depends on; None where the stage does not see it."""
        if not self.sees(i):
            return None
        return layer_axes(self.stage, self.seen, i), None if self.groups is None else self.groups[i]

    def on(self, kind: Any) -> tuple[LeafRule, Mapping[str, Any]]:
        """The rule on leaves of a kind, and its varying hyperparameters."""
        axes, group = kind
        rule, hyper = self.rule, self.hyper
        if self.groups is not None:
            rule = rule.replace(hyper).for_group(group)
            hyper = {field: x for field, x in vars(rule).items() if isinstance(x, jax.Array | np.ndarray | np.generic)}
            rule = rule.replace(dict.fromkeys(hyper, VARIES))
        return LeafRule(self.name, rule, axes, self.stage.by_parts), hyper


def resolve(name: str, stage: Stage, state: State, params: Flat | None, seen: Any) -> Resolved:
    """The rule of a stage with its schedules evaluated, its stateful hyperparameters read and its slots found."""
    rule = stage.technique
    hyper = {field: jnp.asarray(value) for field, value in varying(name, rule, state).items()}
    for field, value in hyper.items():
        if value.shape != ():
            raise ValueError(f"{name}: the schedule of {field} must give a scalar, got shape {value.shape}")
    hyper |= {field: value for field, value in vars(rule).items() if isinstance(value, jax.Array)}
    slots, scalars = found_slots(name, stage, state)
    groups = None if params is None else rule.groups(stage.masked(params, seen), name, check=False)
    static = rule.replace(dict.fromkeys(hyper, VARIES))
    return Resolved(name, stage, static, hyper, slots, scalars, {}, seen, groups, scalars)


def found_slots(name: str, stage: Stage, state: State) -> tuple[dict[str, Flat], dict[str, Any]]:
    """The slots of a stage in the state: those of each parameter, and the scalars."""
    active = stage.technique.active_slots()
    slots = from_state(state, "stages", name) if active else {}
    for slot in (slot for slot in active if slot not in slots):
        raise ValueError(f"{name}: the state has no slot {slot}, only {sorted(slots)}; it was made by another chain")
    scalars = {slot: slots[slot] for slot, spec in active.items() if spec.role is Role.SCALAR}
    return {slot: flatten(slots[slot]) for slot in active if slot not in scalars}, scalars
