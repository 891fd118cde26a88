"""A rule at one step: its static part, which is compiled, and the values of this step, which are arguments."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradtx._tools import Flat, flatten
from gradtx.core._rule import Role, Rule, Scope
from gradtx.core._stage import Axes, Seen, Stage
from gradtx.core._state import State, from_state, varying


class Varies:
    """A placeholder in a static rule, for a hyperparameter that is an argument of each step."""

    def __repr__(self) -> str:
        return "<an argument of each step>"


VARIES = Varies()


class LeafRule(NamedTuple):
    """The static part of a rule on one array: the name of its stage, and how the array arrives.

    Attributes:
        rule: The rule, with `VARIES` in the place of hyperparameters that vary.
        axes: The axes of layers that the rule sees one by one.
        split: Whether a complex array arrives as a real one.
    """

    name: str
    rule: Rule
    axes: Axes = ()
    split: bool = False


class LeafKind(NamedTuple):
    """The properties of a leaf on which the static part of one rule depends: its axes of layers, and its group."""

    axes: Axes
    group: Hashable


class Resolved(NamedTuple):
    """A rule at one step.

    Attributes:
        rule: The static rule, with `VARIES` in the place of hyperparameters that vary.
        hyper: The values of the hyperparameters that vary.
        scalars, before: The SCALAR slots after this step, and after the last one.
        measured: The scalars that the rule prepared and measured at this step.
        groups: Number of a trained leaf → its group. None if all are alike.
    """

    name: str
    stage: Stage
    rule: Rule
    hyper: Mapping[str, Any]
    slots: Mapping[str, Flat]
    scalars: Mapping[str, Any]
    measured: Mapping[str, Any]
    seen: Seen
    groups: Mapping[int, Hashable] | None
    before: Mapping[str, Any]

    @property
    def measures(self) -> bool:
        """Whether the rule computes scalars before it updates arrays."""
        return self.rule.scope is Scope.TREE or type(self.rule).prepare is not Rule.prepare

    def sees(self, i: int) -> bool:
        """Whether the stage sees leaf i."""
        return self.seen is None or self.seen[i] is not None

    def slots_of(self, i: int) -> dict[str, Any]:
        """The slots of leaf i, by name."""
        return {name: x for name, slot in self.slots.items() if (x := slot.leaves[i]) is not None}

    def copied_slots(self) -> dict[str, list[Any]]:
        """Slot name → a copy of the list of its leaves, for the new ones."""
        return {name: list(slot.leaves) for name, slot in self.slots.items()}

    def state(self, slots: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
        """The state of the stage after this step, given the new leaves of its slots."""
        return {name: self.slots[name].unflatten(leaves) for name, leaves in slots.items()} | dict(self.scalars)

    def kind(self, i: int) -> LeafKind | None:
        """The kind of leaf i. None if the stage does not see it."""
        if not self.sees(i):
            return None
        return LeafKind(self.stage.layer_axes(self.seen, i), None if self.groups is None else self.groups[i])

    def on(self, kind: LeafKind) -> tuple[LeafRule, Mapping[str, Any]]:
        """The static rule on leaves of a kind, and the values of its hyperparameters that vary."""
        rule, hyper = self.rule, self.hyper
        if self.groups is not None:
            rule = rule.replace(hyper).for_group(kind.group)
            hyper = {field: x for field, x in vars(rule).items() if isinstance(x, jax.Array | np.ndarray | np.generic)}
            rule = rule.replace(dict.fromkeys(hyper, VARIES))
        return LeafRule(self.name, rule, kind.axes, self.stage.by_parts), hyper


def resolve(name: str, stage: Stage, state: State, params: Flat | None, seen: Seen) -> Resolved:
    """Evaluates the schedules of a rule, reads its hyperparameters and slots from the state, and finds its groups."""
    rule = stage.technique
    hyper = {field: jnp.asarray(value) for field, value in varying(name, rule, state).items()}
    for field, value in hyper.items():
        if value.shape != ():
            raise ValueError(f"{name}: the schedule of {field} must return a scalar, got shape {value.shape}")
    hyper |= {field: value for field, value in vars(rule).items() if isinstance(value, jax.Array)}
    slots, scalars = slots_in_state(name, stage, state)
    groups = None if params is None else rule.groups(stage.masked(params, seen), name)
    static = rule.replace(dict.fromkeys(hyper, VARIES))
    return Resolved(name, stage, static, hyper, slots, scalars, {}, seen, groups, scalars)


def slots_in_state(name: str, stage: Stage, state: State) -> tuple[dict[str, Flat], dict[str, Any]]:
    """The slots of a stage in the state: those per parameter, and those of role SCALAR."""
    active = stage.technique.active_slots()
    slots = from_state(state, "stages", name) if active else {}
    for slot in (slot for slot in active if slot not in slots):
        raise ValueError(f"{name}: the state has no slot {slot}, only {sorted(slots)}; it was made by another chain")
    scalars = {slot: slots[slot] for slot, spec in active.items() if spec.role is Role.SCALAR}
    return {slot: flatten(slots[slot]) for slot in active if slot not in scalars}, scalars
