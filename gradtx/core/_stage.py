"""A stage: a technique, its name, and how it is run.

A technique says what is computed. A stage says on what and how: which parameters the technique sees (`Only`), which
axes hold layers that it sees one at a time (`Stacked`), and whether complex numbers are split into their parts.
"""

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import jax

from gradtx._tools import Flat, code_of, place_of, select
from gradtx.core._rule import Rule, Scope


class Only(NamedTuple):
    """The stage sees the selected parameters."""

    selector: Any

    def code(self, inner: str) -> str:
        return f"only({code_of(self.selector)}, {inner})"


class Stacked(NamedTuple):
    """The stage sees the selected parameters one layer at a time; `axis` holds the layers."""

    selector: Any
    axis: int

    def code(self, inner: str) -> str:
        return f"stacked({code_of(self.selector)}, {inner}{f', axis={self.axis}' if self.axis else ''})"


Axes: TypeAlias = tuple[int, ...]
"""The axes of an array that hold layers, the outermost first, each counted in what the ones before it left."""


class Stage(NamedTuple):
    """A technique with a name, and the way in which it is run.

    Attributes:
        technique: A rule or a tree stage.
        name: A name of its own; without one the stage is named after its technique.
        views: `Only` and `Stacked`, the outermost first. Their order counts: what is inside `Stacked` selects by the
            shape of a layer.
        split: Whether complex arrays come as pairs of real ones.
        store: Reserved for how slots are stored; None is as they are.
    """

    technique: Any
    name: str | None = None
    views: tuple[Only | Stacked, ...] = ()
    split: bool = False
    store: None = None

    @property
    def splittable(self) -> bool:
        """Whether `split` concerns the stage: a rule that sees each element on its own."""
        rule = self.technique
        return isinstance(rule, Rule) and rule.scope is Scope.ELEMENT and not rule.by_parts

    @property
    def by_parts(self) -> bool:
        """Whether complex arrays reach the rule as real ones."""
        return self.split or getattr(self.technique, "by_parts", False)

    @property
    def sees_layers(self) -> bool:
        """Whether `Stacked` concerns the stage: a rule that sees whole arrays."""
        rule = self.technique
        return isinstance(rule, Rule) and rule.scope is Scope.LEAF

    def axes(self, params: Flat, where: str, check: bool, dtypes: bool = True) -> list[Axes | None] | None:
        """For each leaf the axes that hold layers, None where the stage does not see it; None if it sees all whole.

        Args:
            params: The parameters, or the gradients in their place.
            where: The name of the stage.
            check: Whether a selector that selects nothing is an error.
            dtypes: Whether the dtypes of `params` are those of the parameters.
        """
        if not self.views:
            return None
        shown: dict[int, jax.ShapeDtypeStruct] = {i: array for i, (_, array) in params.trained().items()}
        axes: dict[int, Axes] = dict.fromkeys(shown, ())
        for view in self.views:
            flat = params._replace(leaves=[shown.get(i) for i in range(len(params.leaves))])
            word = "only" if isinstance(view, Only) else "stacked"
            chosen = select(view.selector, flat, f"{where}: {word}", check, dtypes=dtypes)
            if isinstance(view, Only):
                shown = {i: array for i, array in shown.items() if chosen[i]}
                continue
            for i in (i for i in shown if chosen[i]):
                axis, shown[i] = _layer(shown[i], view.axis, f"{where}: stacked", params, i)
                axes[i] = (*axes[i], axis)
        return [axes[i] if i in shown else None for i in range(len(params.leaves))]

    def masked(self, tree: Flat, seen: Sequence[Any] | None) -> Flat:
        """The tree with None in the place of what the stage does not see."""
        if seen is None:
            return tree
        return tree._replace(leaves=[None if s is None else x for x, s in zip(tree.leaves, seen, strict=True)])


def _layer(array: Any, axis: int, where: str, params: Flat, i: int) -> tuple[int, jax.ShapeDtypeStruct]:
    """The axis, counted from the front, and one layer of the array."""
    shape = tuple(array.shape)
    if not -len(shape) <= axis < len(shape):
        raise ValueError(f"{where}: {place_of(params.paths()[i])} has shape {shape} and no axis {axis} of layers")
    axis %= len(shape)
    return axis, jax.ShapeDtypeStruct(shape[:axis] + shape[axis + 1 :], array.dtype)


def code(stages: Sequence[Stage]) -> str:
    """The code that makes a chain of these stages; neighbours that share their outermost view stand in it together."""
    marked = [stage for stage in stages if stage.splittable]
    if len(marked) > 1 and all(stage.split and not stage.views for stage in marked):
        return f"by_parts({code([stage._replace(split=False) for stage in stages])})"
    codes: list[str] = []
    for view, run in itertools.groupby(stages, lambda stage: stage.views[0] if stage.views else None):
        if view is None:
            codes += map(_one, run)
        else:
            codes.append(view.code(code([stage._replace(views=stage.views[1:]) for stage in run])))
    return codes[0] if len(codes) == 1 else f"chain({', '.join(codes)})"


def _one(stage: Stage) -> str:
    inner = f"by_parts({stage.technique!r})" if stage.split else repr(stage.technique)
    return inner if stage.name is None else f"named({stage.name!r}, {inner})"
