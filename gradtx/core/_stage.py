"""A stage: a technique, its name, and the parameters that it sees.

A technique defines a computation. A stage defines its inputs: the selected parameters (`Only`), one layer at a time of
arrays that hold many layers (`Stacked`), and complex numbers as pairs of real ones (`split`).
"""

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import jax

from gradtx._tools import Flat, Labelled, Labels, Selector, code_of, place_of, select
from gradtx.core._rule import Rule, Scope


class Only(NamedTuple):
    """A view of the selected parameters."""

    selector: Selector

    def code(self, inner: str) -> str:
        return f"only({code_of(self.selector)}, {inner})"


class Stacked(NamedTuple):
    """A view of one layer at a time of the selected parameters. `axis` holds the layers."""

    selector: Selector
    axis: int

    def code(self, inner: str) -> str:
        axis = f", axis={self.axis}" if self.axis else ""
        return f"stacked({code_of(self.selector)}, {inner}{axis})"


Axes: TypeAlias = tuple[int, ...]
"""The axes of an array that hold layers, the outermost first. Each is an axis of the array without the axes before."""
Seen: TypeAlias = Sequence[Axes | None] | None
"""For each leaf the axes of its layers, or None if a stage does not see it. None for a stage that sees all whole."""


class Stage(NamedTuple):
    """A technique with a name, and the parameters that it sees.

    Attributes:
        technique: A rule or a tree stage.
        name: A name, or None for the name of the technique.
        views: `Only` and `Stacked`, the outermost first. The order matters: inside `Stacked`, a selector sees the
            shape of one layer.
        split: Whether complex arrays arrive as pairs of real ones.
        store: Reserved for a storage format of slots; None stores arrays unchanged.
    """

    technique: Any
    name: str | None = None
    views: tuple[Only | Stacked, ...] = ()
    split: bool = False
    store: None = None

    @property
    def splittable(self) -> bool:
        """Whether `split` can change the result: the technique is a rule that updates each element by itself."""
        rule = self.technique
        return isinstance(rule, Rule) and rule.scope is Scope.ELEMENT and not rule.by_parts

    @property
    def by_parts(self) -> bool:
        """Whether complex arrays arrive at the rule as real ones."""
        return self.split or getattr(self.technique, "by_parts", False)

    @property
    def sees_layers(self) -> bool:
        """Whether `Stacked` can change the result: the technique is a rule that needs whole arrays."""
        rule = self.technique
        return isinstance(rule, Rule) and rule.scope is Scope.LEAF

    def axes(self, params: Flat, where: str, check: bool, dtypes: bool = True) -> list[Axes | None] | None:
        """For each leaf the axes that hold layers, or None if the stage does not see it. None if it sees all whole.

        Args:
            params: The parameters, or the gradients in their place.
            where: The name of the stage, for errors.
            check: Whether a selector that selects no parameter is an error.
            dtypes: Whether the dtypes of `params` are those of the parameters.
        """
        if not self.views:
            return None
        visible = {i: array for i, (_, array) in params.trained().items()}
        axes: dict[int, Axes] = dict.fromkeys(visible, ())
        numbers = range(len(params.leaves))
        for view in self.views:
            word = "only" if isinstance(view, Only) else "stacked"
            flat = params._replace(leaves=[visible.get(i) for i in numbers])
            chosen = select(view.selector, flat, f"{where}: {word}", check, dtypes=dtypes)
            for i in list(visible):
                if isinstance(view, Stacked) and chosen[i]:
                    axis, visible[i] = _layer(visible[i], view.axis, f"{where}: stacked", params, i)
                    axes[i] = (*axes[i], axis)
                elif isinstance(view, Only) and not chosen[i]:
                    del visible[i]
        return [axes[i] if i in visible else None for i in numbers]

    def masked(self, tree: Flat, seen: Seen) -> Flat:
        """The tree with None in the place of the leaves that the stage does not see."""
        if seen is None:
            return tree
        return tree._replace(leaves=[None if s is None else x for x, s in zip(tree.leaves, seen, strict=True)])

    def layer_axes(self, seen: Seen, i: int) -> Axes:
        """The axes of layers of leaf i, which matter only to a rule that needs whole arrays."""
        return () if seen is None or not self.sees_layers else seen[i] or ()


def names_of(stages: Sequence[Stage]) -> list[str]:
    """A unique name per stage: its name, or the name of its technique, numbered from the second on."""
    names: list[str] = []
    taken = {stage.name for stage in stages}
    for technique, name, *_ in stages:
        if name is not None and name in names:
            raise ValueError(f"chain: two stages are named {name!r}; give one of them another name")
        if name is None:
            base = technique.origin
            numbered = (base if i == 1 else f"{base}_{i}" for i in range(1, len(stages) + len(taken) + 2))
            name = next(n for n in numbered if n not in taken and n not in names)
        names.append(name)
    return names


def _layer(
    array: jax.ShapeDtypeStruct, axis: int, where: str, params: Flat, i: int
) -> tuple[int, jax.ShapeDtypeStruct]:
    """The axis, counted from the front, and one layer of the array."""
    shape = tuple(array.shape)
    if not -len(shape) <= axis < len(shape):
        raise ValueError(f"{where}: {place_of(params.paths()[i])} has shape {shape} and no axis {axis} of layers")
    axis %= len(shape)
    return axis, jax.ShapeDtypeStruct(shape[:axis] + shape[axis + 1 :], array.dtype)


def code(stages: Sequence[Stage]) -> str:
    """The code that makes a chain of these stages. Neighbours with the same outermost view share it."""
    splittable = [stage for stage in stages if stage.splittable]
    if len(splittable) > 1 and all(stage.split and not stage.views for stage in splittable):
        return f"by_parts({code([stage._replace(split=False) for stage in stages])})"
    codes: list[str] = []
    for view, run in itertools.groupby(stages, _outermost):
        if view is None:
            codes += map(_code, run)
        elif isinstance(view, Labels):
            codes.append(_partition_code(view, list(run)))
        else:
            codes.append(view.code(code([stage._replace(views=stage.views[1:]) for stage in run])))
    return codes[0] if len(codes) == 1 else f"chain({', '.join(codes)})"


def _outermost(stage: Stage) -> Only | Stacked | Labels | None:
    """The outermost view, or the labels of the partition that the stage belongs to."""
    view = stage.views[0] if stage.views else None
    return view.selector.labels if isinstance(view, Only) and isinstance(view.selector, Labelled) else view


def _partition_code(labels: Labels, stages: Sequence[Stage]) -> str:
    """The code of a partition. The names of its stages begin with their labels."""
    codes = []
    for label in labels.names:
        view = Only(Labelled(labels, label))
        inner = [s._replace(views=s.views[1:]) for s in stages if s.views[0] == view]
        given = [str(s.name).removeprefix(f"{label}.") for s in inner]
        default = names_of([s._replace(name=None) for s in inner])
        named = zip(inner, given, default, strict=True)
        codes.append(f"{label!r}: {code([s._replace(name=None if n == d else n) for s, n, d in named])}")
    return f"partition({{{', '.join(codes)}}}, {labels!r})"


def _code(stage: Stage) -> str:
    inner = f"by_parts({stage.technique!r})" if stage.split else repr(stage.technique)
    return inner if stage.name is None else f"named({stage.name!r}, {inner})"
