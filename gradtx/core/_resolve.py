"""A rule at one step: its static part, which is compiled, and the values of this step, which are arguments."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradtx._tools import Flat, PerGroup, flatten
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


class Group(NamedTuple):
    """The group of a leaf: that of the rule, and the numbers of its values in hyperparameters with one per group."""

    of_rule: Hashable = None
    values: tuple[int, ...] = ()


class LeafKind(NamedTuple):
    """The properties of a leaf on which the static part of one rule depends: its axes of layers, and its group."""

    axes: Axes
    group: Group | None


class Resolved(NamedTuple):
    """A rule at one step.

    Attributes:
        rule: The static rule, with `VARIES` in the place of hyperparameters that vary.
        hyper: The values of the hyperparameters that vary.
        scalars, before: The SCALAR slots after this step, and after the last one.
        per_group: The hyperparameters with a value for each group, with their values at this step.
        measured: The scalars that the rule prepared and measured at this step, by group if `per_group` has any.
        groups: Number of a trained leaf → its group. None if all are alike.
    """

    name: str
    stage: Stage
    rule: Rule
    hyper: Mapping[str, Any]
    per_group: Mapping[str, PerGroup]
    slots: Mapping[str, Flat]
    scalars: Mapping[str, Any]
    measured: Mapping[Any, Any]
    seen: Seen
    groups: Mapping[int, Group] | None
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
        if kind.group is not None:
            rule = self.of_group(kind.group)
            hyper = {field: x for field, x in vars(rule).items() if isinstance(x, jax.Array | np.ndarray | np.generic)}
            rule = rule.replace(dict.fromkeys(hyper, VARIES))
        return LeafRule(self.name, rule, kind.axes, self.stage.by_parts), hyper

    def of_group(self, group: Group) -> Rule:
        """The rule for the parameters of a group, with the values of this step."""
        values = {field: x.values[n][1] for (field, x), n in zip(self.per_group.items(), group.values, strict=True)}
        rule = self.rule.replace({**self.hyper, **values})
        return rule if group.of_rule is None else rule.for_group(group.of_rule)

    def measured_on(self, group: Group | None) -> Mapping[str, Any]:
        """The scalars that the rule prepared and measured for the leaves of a group."""
        return self.measured[group] if self.per_group and self.measures else self.measured


def resolve(name: str, stage: Stage, state: State, params: Flat | None, seen: Seen, grads: Flat) -> Resolved:
    """Evaluates the schedules of a rule, reads its hyperparameters and slots from the state, and finds its groups.

    `grads` has the paths of the parameters if `params` is None.
    """
    rule, now = stage.technique, varying(name, stage.technique, state)
    per_group = {field: value for field, value in now.items() if isinstance(value, PerGroup)}
    hyper = {field: jnp.asarray(value) for field, value in now.items() if field not in per_group}
    of_groups = {f"{field}, {n}": x for field, v in per_group.items() for n, x in v.labelled().items()}
    for field, value in (hyper | of_groups).items():
        if np.shape(value) != ():
            raise ValueError(f"{name}: the schedule of {field} must return a scalar, got shape {value.shape}")
    hyper |= {field: value for field, value in vars(rule).items() if isinstance(value, jax.Array)}
    slots, scalars = slots_in_state(name, stage, state)
    visible = stage.masked(grads if params is None else params, seen)
    groups = groups_of(name, rule, per_group, visible, dtypes=params is not None)
    static = rule.replace(dict.fromkeys(hyper, VARIES))
    return Resolved(name, stage, static, hyper, per_group, slots, scalars, {}, seen, groups, scalars)


def groups_of(
    name: str, rule: Rule, per_group: Mapping[str, PerGroup], visible: Flat, check: bool = False, dtypes: bool = True
) -> dict[int, Group] | None:
    """The group of each trained leaf that a rule sees. None if all are alike.

    Args:
        name: The name of the stage, for errors.
        rule: The rule.
        per_group: Its hyperparameters with a value for each group.
        visible: The parameters that the stage sees; the gradients in their place if the rule does not need parameters.
        check: Whether selectors that are the first of no parameter are an error.
        dtypes: Whether the dtypes are those of the parameters.
    """
    of_rule = rule.groups(visible, name) if "param" in rule.needs and dtypes else None
    if of_rule is None and not per_group:
        return None
    chosen = [v.members(visible, f"{name}: {field}", check, dtypes) for field, v in per_group.items()]
    return {
        i: Group(None if of_rule is None else of_rule[i], tuple(members[i] for members in chosen))
        for i in (visible.trained() if of_rule is None else of_rule)
    }


def slots_in_state(name: str, stage: Stage, state: State) -> tuple[dict[str, Flat], dict[str, Any]]:
    """The slots of a stage in the state: those per parameter, and those of role SCALAR."""
    active = stage.technique.active_slots()
    slots = from_state(state, "stages", name) if active else {}
    for slot in (slot for slot in active if slot not in slots):
        raise ValueError(f"{name}: the state has no slot {slot}, only {sorted(slots)}; it was made by another chain")
    scalars = {slot: slots[slot] for slot, spec in active.items() if spec.role is Role.SCALAR}
    return {slot: flatten(slots[slot]) for slot in active if slot not in scalars}, scalars
