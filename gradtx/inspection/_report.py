"""How a description is printed: the table of stages, the totals, and the table of groups."""

import itertools
import re
import textwrap
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gradtx.inspection._describe import Description, StageDescription

_WIDTH = 120
_EMPTY = ("",) * 4


def report(description: "Description") -> str:
    """The text of a description."""
    rows: list[tuple[str, ...]] = [("stage", "hyperparameters", "slot", "role", "dtype", "bytes")]
    for stage in description.stages:
        rows += _stage_rows(stage)
    return "\n".join([*_table(rows), _totals(description), *_groups_table(description)])


def _stage_rows(stage: "StageDescription") -> Iterator[tuple[str, ...]]:
    """The rows of a stage: one for each hyperparameter or slot, whichever are more, and at least one."""
    hyperparams = [f"{name}={value}" for name, value in stage.hyperparams.items()]
    slots = [(name, slot.role, "/".join(slot.dtypes), f"{slot.bytes:,}") for name, slot in stage.slots.items()]
    pairs = itertools.zip_longest(hyperparams or [""], slots)
    for i, (hyperparam, slot) in enumerate(pairs):
        yield stage.name if i == 0 else "", hyperparam or "", *(slot or _EMPTY)


def _totals(description: "Description") -> str:
    per_parameter = f"{description.bytes_per_parameter:g} bytes of slots per parameter"
    if description.assumed:
        return f"{per_parameter} (float32 assumed)"
    return f"{description.parameters:,} parameters, {per_parameter}, {description.bytes:,} bytes in all"


def _groups_table(description: "Description") -> list[str]:
    """The lines of the table of groups; none if no stage has groups."""
    rows, shown = [("stage", "group", "hyperparameters", "arrays")], []
    for stage in description.stages:
        for i, group in enumerate(stage.groups):
            hyperparams = ", ".join(f"{field}={value}" for field, value in group.hyperparams.items())
            rows.append((stage.name if i == 0 else "", group.name, hyperparams, f"{len(group.paths):,}"))
            shown.append(group.shown)
    if not shown:
        return []
    room = max(20, _WIDTH - len(_table(rows)[1]) - 2)
    cells = [(*rows[0], "parameters")]
    for row, paths in zip(rows[1:], shown, strict=True):
        first, *others = _wrapped(paths, room)
        cells += [(*row, first), *((*_EMPTY, line) for line in others)]
    return _table(cells)


def _wrapped(entries: Sequence[str], room: int) -> list[str]:
    """About three lines of entries, and the number of the other entries."""
    ends = itertools.accumulate(len(entry) + 2 for entry in entries)
    fitting = max(1, sum(end <= 3 * room for end in ends))
    words = list(entries[:fitting])
    if fitting < len(entries):
        words.append(f"… {len(entries) - fitting:,} more")
    return textwrap.wrap(", ".join(words), room, break_long_words=False, break_on_hyphens=False) or ["the root"]


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """The rows as lines of aligned columns, with a rule under the first row."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [lines[0], "  ".join("─" * w for w in widths), *lines[1:]]


def abbreviated(paths: Collection[str], all_paths: Collection[str]) -> tuple[str, ...]:
    """The paths, with a glob instead of several paths if all that the glob matches is among the paths."""
    here = Counter(glob for path in paths for glob in _globs(path))
    anywhere = Counter(glob for path in all_paths for glob in _globs(path))
    shown = (next((glob for glob in _globs(path) if here[glob] == anywhere[glob] > 1), path) for path in paths)
    return tuple(dict.fromkeys(shown))


def _globs(path: str) -> list[str]:
    """The globs that match a path: of all below each name, the outermost first, and of any numbers in the path."""
    below = [f"{path[:i]}/*" for i, letter in enumerate(path) if letter == "/"]
    return [*below, re.sub(r"\d+(?=/|$)", "*", path)]
