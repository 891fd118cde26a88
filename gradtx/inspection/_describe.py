"""What a transformation consists of, and how many bytes its state takes."""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from gradtx._tools import Flat, Tree, checked, flatten, hyperparameters, is_trainable, same
from gradtx.core import (
    Group,
    Resolved,
    Rule,
    Stage,
    State,
    Technique,
    Transformation,
    Transforms,
    TreeStage,
    resolve,
    varying,
)
from gradtx.inspection._report import abbreviated, report


@dataclasses.dataclass(frozen=True)
class SlotDescription:
    """A slot of a stage.

    Attributes:
        role: What the slot is for, such as "first moment".
        dtypes: The dtypes of its arrays.
        bytes: The bytes of all its arrays.
    """

    role: str
    dtypes: tuple[str, ...]
    bytes: int


@dataclasses.dataclass(frozen=True)
class GroupDescription:
    """Parameters that a stage treats alike.

    Attributes:
        name: "selected" or "not selected" by a mask or by `only`, "layers on axis 0" under `stacked`, or the depth of
            a layer.
        hyperparams: The hyperparameters in which the stage's groups differ, at the first step.
        paths: The paths of the parameters.
        shown: The same paths, abbreviated by globs.
    """

    name: str
    hyperparams: Mapping[str, str]
    paths: tuple[str, ...]
    shown: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class StageDescription:
    """A stage of a transformation.

    Attributes:
        name: The name of the stage.
        technique: The name of the technique; for a transformation of optax, its code.
        hyperparams: The code of the hyperparameters as the user gave them, without those that are None.
        slots: The slots by name.
        groups: The groups of parameters; empty if the stage treats all parameters alike.
    """

    name: str
    technique: str
    hyperparams: Mapping[str, str]
    slots: Mapping[str, SlotDescription]
    groups: tuple[GroupDescription, ...] = ()


@dataclasses.dataclass(frozen=True)
class Description:
    """The result of `describe`; its `str` is the table.

    Attributes:
        stages: The stages in order.
        bytes: The bytes of the whole state, with the counter and the tunable hyperparameters.
        parameters: The number of trained parameters (elements, not arrays).
        assumed: Whether no parameters were given, so that one float32 parameter was assumed.
    """

    stages: tuple[StageDescription, ...]
    bytes: int
    parameters: int
    assumed: bool

    @property
    def bytes_per_parameter(self) -> float:
        """The bytes of all slots per trained parameter."""
        slots = sum(slot.bytes for stage in self.stages for slot in stage.slots.values())
        return slots / self.parameters if self.parameters else 0.0

    def __str__(self) -> str:
        return report(self)

    __repr__ = __str__


@checked
def describe(tx: Annotated[optax.GradientTransformation, Transforms()], params: Tree | None = None) -> Description:
    """Describes a transformation: its stages with their hyperparameters, slots, roles, dtypes, bytes and groups.

    Args:
        tx: A transformation. A transformation of optax counts as a single stage.
        params: The parameters, a tree of arrays or `jax.ShapeDtypeStruct`s. By default a single float32 parameter is
            assumed.

    Raises:
        TypeError: `tx` is not a transformation, or a parameter is not an array.
        ValueError: A selector of `tx` selects none of the parameters.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> gx.describe(gx.sgd(gx.tunable(0.1), momentum=0.9), {"w": jnp.zeros((3, 4)), "b": jnp.zeros(4)})
    stage                   hyperparameters             slot    role          dtype    bytes
    ──────────────────────  ──────────────────────────  ──────  ────────────  ───────  ─────
    trace                   momentum=0.9                buffer  first moment  float32  64
                            dampening=0.0
    scale_by_learning_rate  learning_rate=tunable(0.1)
    16 parameters, 4 bytes of slots per parameter, 72 bytes in all
    """
    assert isinstance(tx, Transformation)  # the canonical form of `Transforms`
    if params is None:
        # Selectors cannot be checked against parameters that are only assumed, so the stages see all parameters.
        whole = Transformation(tuple(stage._replace(views=()) for stage in tx._stages))
        state = jax.eval_shape(lambda p: whole._lift.state(flatten(p)), jnp.zeros((), jnp.float32))
        return Description(tuple(_stages(tx, state, None)), _bytes(state), 1, True)
    state = jax.eval_shape(tx.init, params)
    sizes = [math.prod(np.shape(p)) for p in jax.tree.leaves(params) if is_trainable(p)]
    return Description(tuple(_stages(tx, state, flatten(params))), _bytes(state), sum(sizes), False)


def _stages(tx: Transformation, state: State, params: Flat | None, prefix: str = "") -> Iterator[StageDescription]:
    """The stages, each followed by the stages of the transformations that it holds."""
    axes = tx._lift.seen(params) if params is not None else {}
    for name, stage in tx._lift.stages.items():
        visible = None if params is None else stage.masked(params, axes.get(name))
        groups = () if params is None else _groups(stage, params, axes.get(name))
        slots = state.stages.get(name)
        yield _stage(prefix + name, stage.technique, slots, groups)
        for part, inner in stage.technique.parts().items():
            yield from _stages(inner, state.stages[name][part], visible, f"{prefix}{name}.{part}.")


def _stage(name: str, technique: Technique, state: Any, groups: tuple[GroupDescription, ...]) -> StageDescription:
    values = {field: getattr(technique, field) for field in hyperparameters(type(technique))}
    hyperparams = {field: repr(value) for field, value in values.items() if value is not None}
    slots = {slot: _slot(spec.role.value, state[slot]) for slot, spec in technique.active_slots().items()}
    opaque = isinstance(technique, TreeStage) and not technique.keeps_state
    if opaque and jax.tree.leaves(state):
        slots = {"state": _slot("opaque", state)}
    return StageDescription(name, repr(technique) if opaque else technique.label, hyperparams, slots, groups)


def _groups(stage: Stage, params: Flat, axes: Sequence[tuple[int, ...] | None] | None) -> tuple[GroupDescription, ...]:
    """Returns the groups of a stage. The groups of the rule come first, and the groups of the views follow.

    Args:
        stage: The stage.
        params: The parameters that reach the stage.
        axes: For each leaf, the axes that hold layers, or None if the stage does not see the leaf. None if the stage
            sees all leaves whole.
    """
    visible = stage.masked(params, axes)
    of_rule = _rule_groups(stage.technique, visible) if isinstance(stage.technique, Rule) else ()
    return of_rule if axes is None else of_rule + _view_groups(params, axes, only_hidden=bool(of_rule))


def _view_groups(
    params: Flat, axes: Sequence[tuple[int, ...] | None], only_hidden: bool
) -> tuple[GroupDescription, ...]:
    """The groups that `only` and `stacked` make.

    Parameters without layers come first, then those with layers, and those that the stage does not see come last. If
    the rule has groups itself, `only_hidden` leaves the groups of parameters that the stage sees to the rule.
    """
    paths = {i: path for i, (path, _) in params.trained().items()}
    members: dict[str, list[str]] = {}
    for i in sorted(paths, key=lambda i: _view_order(axes[i])):
        if axes[i] is None or not only_hidden:
            members.setdefault(_view_name(axes[i]), []).append(paths[i])
    return tuple(
        GroupDescription(name, {}, tuple(group), abbreviated(group, paths.values())) for name, group in members.items()
    )


def _view_order(axes: tuple[int, ...] | None) -> tuple[bool, int]:
    return axes is None, len(axes or ())


def _view_name(axes: tuple[int, ...] | None) -> str:
    if axes is None:
        return "not selected"
    return f"layers on axis {', '.join(map(str, axes))}" if axes else "selected"


def _rule_groups(rule: Rule, params: Flat) -> tuple[GroupDescription, ...]:
    """The groups of a rule, with the hyperparameters in which they differ."""
    before = Transformation((Stage(rule),))._lift.state(flatten({}))
    resolved = resolve(rule.label, Stage(rule), before, params, None, params)
    members = resolved.groups
    if members is None:
        return ()
    # "selected" comes first, and the groups of values are in the order of their selectors.
    order = sorted(dict.fromkeys(members.values()), key=lambda group: (group.of_rule is False, group.values))
    rules = {group: resolved.of_group(group) for group in order}
    differing = _differing(rule.replace(varying(rule.label, rule, before)), list(rules.values()))
    all_paths = {i: path for i, (path, _) in params.trained().items()}
    groups = []
    for group, special in rules.items():
        paths = tuple(all_paths[i] for i, other in members.items() if other == group)
        hyperparams = {field: f"{float(getattr(special, field)):.4g}" for field in differing}
        groups.append(
            GroupDescription(_group_name(resolved, group), hyperparams, paths, abbreviated(paths, all_paths.values()))
        )
    return tuple(groups)


def _differing(rule: Rule, rules: Sequence[Rule]) -> list[str]:
    """The hyperparameters that the groups change."""

    def changes(field: str) -> bool:
        return any(not same(getattr(rule, field), getattr(special, field)) for special in rules)

    return [field for field in hyperparameters(type(rule)) if changes(field)]


def _group_name(resolved: Resolved, group: Group) -> str:
    """The name of the rule's group and the selectors of hyperparameters with a value for each group."""
    names = [list(x.labelled())[n] for x, n in zip(resolved.per_group.values(), group.values, strict=True)]
    if isinstance(group.of_rule, bool):
        names.insert(0, "selected" if group.of_rule else "not selected")
    elif group.of_rule is not None:
        names.insert(0, str(group.of_rule))
    return ", ".join(dict.fromkeys(names))


def _slot(role: str, tree: Tree) -> SlotDescription:
    dtypes = dict.fromkeys(str(leaf.dtype) for leaf in jax.tree.leaves(tree))
    return SlotDescription(role, tuple(dtypes), _bytes(tree))


def _bytes(tree: Tree) -> int:
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))
