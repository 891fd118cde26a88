"""What a transformation consists of and what its state costs."""

import dataclasses
import itertools
import math
import re
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx._tools import Flat, flatten, is_trainable, same
from gradtx.core import Rule, Stage, Transformation, TreeStage, chain, hyperparameters, varying

_WIDTH = 120


@dataclasses.dataclass(frozen=True)
class SlotDescription:
    """A slot: its role, the dtypes of its arrays and their bytes in total."""

    role: str
    dtypes: tuple[str, ...]
    bytes: int


@dataclasses.dataclass(frozen=True)
class GroupDescription:
    """Parameters that a stage treats alike.

    Attributes:
        name: "selected" or "not selected" by `only`, "layers on axis 0" under `stacked`, or the depth of a layer.
        hyperparams: The hyperparameters in which the stage's groups differ, at the first step.
        paths: The parameters.
        shown: The same, abbreviated by globs.
    """

    name: str
    hyperparams: Mapping[str, str]
    paths: tuple[str, ...]
    shown: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class StageDescription:
    """A stage: its hyperparameters as given, its slots and, if it does not treat all parameters alike, its groups."""

    name: str
    technique: str
    hyperparams: Mapping[str, str]
    slots: Mapping[str, SlotDescription]
    groups: tuple[GroupDescription, ...] = ()


@dataclasses.dataclass(frozen=True)
class Description:
    """What `describe` found; `str` of it is the table.

    Attributes:
        stages: The stages in order.
        bytes: Bytes of the whole state, the counter and the tunable hyperparameters included.
        parameters: Number of trained parameters (elements, not arrays).
        assumed: True where no parameters were given, and one float32 parameter was assumed.
    """

    stages: tuple[StageDescription, ...]
    bytes: int
    parameters: int
    assumed: bool

    @property
    def bytes_per_parameter(self) -> float:
        """Bytes of slots per trained parameter."""
        slots = sum(slot.bytes for stage in self.stages for slot in stage.slots.values())
        return slots / self.parameters if self.parameters else 0.0

    def __str__(self) -> str:
        rows: list[tuple[str, ...]] = [("stage", "hyperparameters", "slot", "role", "dtype", "bytes")]
        for stage in self.stages:
            hyper = [f"{name}={value}" for name, value in stage.hyperparams.items()] or [""]
            slots = [(n, s.role, "/".join(s.dtypes), f"{s.bytes:,}") for n, s in stage.slots.items()] or [("",) * 4]
            for i in range(max(len(hyper), len(slots))):
                name = stage.name if i == 0 else ""
                rows.append((name, hyper[i] if i < len(hyper) else "", *(slots[i] if i < len(slots) else ("",) * 4)))
        lines = _table(rows)
        per_parameter = f"{self.bytes_per_parameter:g} bytes of slots per parameter"
        total = (
            per_parameter
            if self.assumed
            else f"{self.parameters:,} parameters, {per_parameter}, {self.bytes:,} bytes in all"
        )
        return "\n".join([*lines, total + (" (float32 assumed)" if self.assumed else ""), *self._groups()])

    __repr__ = __str__

    def _groups(self) -> list[str]:
        """The second table: the groups of the stages that have some."""
        groups = [(stage.name * (i == 0), g) for stage in self.stages for i, g in enumerate(stage.groups)]
        rows = [("stage", "group", "hyperparameters", "arrays")]
        for name, group in groups:
            hyper = ", ".join(f"{field}={value}" for field, value in group.hyperparams.items())
            rows.append((name, group.name, hyper, f"{len(group.paths):,}"))
        room = max(20, _WIDTH - len(_table(rows)[1]) - 2)
        shown = [["parameters"], *(_lines(group.shown, room) for _, group in groups)]
        wrapped = zip(rows, shown, strict=True)
        cells = [(*(row if i == 0 else ("",) * 4), line) for row, lines in wrapped for i, line in enumerate(lines)]
        return _table(cells) if groups else []


def describe(tx: Any, params: Any = None) -> Description:
    """The stages of `tx` with their hyperparameters, slots, roles, dtypes, bytes and groups of parameters.

    Args:
        tx: A transformation; one of optax's counts as a single stage.
        params: Parameters, arrays or `jax.ShapeDtypeStruct`s. Without them a single float32 parameter is assumed.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> gx.describe(gx.sgd(gx.tunable(0.1), momentum=0.9), {"w": jnp.zeros((3, 4)), "b": jnp.zeros(4)})
    stage                   hyperparameters             slot    role          dtype    bytes
    ──────────────────────  ──────────────────────────  ──────  ────────────  ───────  ─────
    trace                   momentum=0.9                buffer  first moment  float32  64
                            dampening=0.0
    scale_by_learning_rate  learning_rate=tunable(0.1)
    16 parameters, 4 bytes of slots per parameter, 72 bytes in all
    """
    tx = chain(tx)
    assumed = params is None
    params = jnp.zeros((), jnp.float32) if assumed else params
    shown = Transformation(tuple(s._replace(views=()) for s in tx._stages)) if assumed else tx
    state = jax.eval_shape(lambda p: shown._lift.state(flatten(p)) if assumed else tx.init(p), params)
    leaves = [p for p in jax.tree.leaves(params) if is_trainable(p)]
    stages = tuple(_stages(tx, state, None if assumed else flatten(params)))
    return Description(stages, _bytes(state), sum(math.prod(np.shape(p)) for p in leaves), assumed)


def _stages(tx: Transformation, state: Any, params: Flat | None, prefix: str = "") -> Iterator[StageDescription]:
    """The stages, each followed by those of the transformations that it holds."""
    seen = tx._lift.seen(params) if params is not None else {}
    for name, stage in tx._lift.stages.items():
        kept, technique = state.stages.get(name), stage.technique
        mine = None if params is None else stage.masked(params, seen.get(name))
        groups = () if mine is None or params is None else _groups(technique, mine, params, seen.get(name))
        yield _stage(prefix + name, technique, kept, groups)
        for part, inner in technique.parts().items():
            yield from _stages(inner, kept[part], mine, f"{prefix}{name}.{part}.")


def _stage(name: str, stage: Any, state: Any, groups: tuple[GroupDescription, ...]) -> StageDescription:
    hyper = {
        field: repr(getattr(stage, field))
        for field in hyperparameters(type(stage))
        if getattr(stage, field) is not None
    }
    foreign = isinstance(stage, TreeStage) and not stage.keeps_state
    slots = {slot: _slot(spec.role.value, state[slot]) for slot, spec in stage.active_slots().items()}
    if foreign and jax.tree.leaves(state):
        slots = {"state": _slot("opaque", state)}
    return StageDescription(name, repr(stage) if foreign else stage.label, hyper, slots, groups)


def _groups(technique: Any, mine: Flat, params: Flat, seen: Any) -> tuple[GroupDescription, ...]:
    """The groups of a stage: those of its rule, then those of its views."""
    rule = technique if isinstance(technique, Rule) else None
    groups = () if rule is None else _rule_groups(rule, mine)
    if seen is None:
        return groups
    names = {i: name for i, (name, _) in params.trained().items()}
    by_label: dict[str, list[str]] = {}
    for i in sorted(names, key=lambda i: (seen[i] is None, len(seen[i] or ()))):
        if seen[i] is None or not groups:
            by_label.setdefault(_label(seen[i]), []).append(names[i])
    shown = {label: _folded(paths, names.values()) for label, paths in by_label.items()}
    return (*groups, *(GroupDescription(label, {}, tuple(by_label[label]), shown[label]) for label in by_label))


def _label(axes: tuple[int, ...] | None) -> str:
    if axes is None:
        return "not selected"
    return f"layers on axis {', '.join(map(str, axes))}" if axes else "selected"


def _rule_groups(stage: Rule, params: Flat) -> tuple[GroupDescription, ...]:
    found = stage.groups(params, stage.label, check=False)
    if found is None:
        return ()
    alone = Transformation((Stage(stage),))
    rule = stage.replace(varying(stage.label, stage, alone._lift.state(flatten({}))))
    names = {i: name for i, (name, _) in params.trained().items()}
    order = sorted(dict.fromkeys(found.values()), key=lambda group: group is False)  # first what a mask selects
    rules = {group: rule.for_group(group) for group in order}
    differ = [
        field
        for field in hyperparameters(type(rule))
        if any(not same(getattr(rule, field), getattr(special, field)) for special in rules.values())
    ]
    groups = []
    for group, special in rules.items():
        label = {True: "selected", False: "not selected"}[group] if isinstance(group, bool) else str(group)
        paths = tuple(names[i] for i, g in found.items() if g == group)
        hyper = {field: f"{float(getattr(special, field)):.4g}" for field in differ}
        groups.append(GroupDescription(label, hyper, paths, _folded(paths, names.values())))
    return tuple(groups)


def _slot(role: str, tree: Any) -> SlotDescription:
    dtypes = dict.fromkeys(str(leaf.dtype) for leaf in jax.tree.leaves(tree))
    return SlotDescription(role, tuple(dtypes), _bytes(tree))


def _bytes(tree: Any) -> int:
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def _folded(paths: Iterable[str], everything: Iterable[str]) -> tuple[str, ...]:
    """`paths`, where globs stand for several of which everything that they match is one."""
    here, anywhere = (Counter(glob for path in all_ for glob in _globs(path)) for all_ in (paths, everything))
    return tuple(dict.fromkeys(next((g for g in _globs(path) if here[g] == anywhere[g] > 1), path) for path in paths))


def _globs(path: str) -> list[str]:
    """For all that is below a name, the outermost first, and for all that differ in numbers alone."""
    return [f"{path[:i]}/*" for i, letter in enumerate(path) if letter == "/"] + [re.sub(r"\d+(?=/|$)", "*", path)]


def _lines(entries: Sequence[str], room: int) -> list[str]:
    """As many entries as fit on about three lines, and the number of the others."""
    kept = max(1, sum(end <= 3 * room for end in itertools.accumulate(len(entry) + 2 for entry in entries)))
    text = ", ".join([*entries[:kept], *[f"… {len(entries) - kept:,} more"] * (kept < len(entries))])
    return textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False) or ["the root"]


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [lines[0], "  ".join("─" * w for w in widths), *lines[1:]]
