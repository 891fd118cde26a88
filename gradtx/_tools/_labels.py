"""Labels of parameters, by which a partition gives each parameter to one transformation."""

from collections.abc import Callable, Mapping
from typing import Any

import jax

from gradtx._tools._record import Record
from gradtx._tools._select import Chooser, LeafTree, Selector, Selects, Trained, select, shapes_of, takes_a_tree
from gradtx._tools._trees import Flat
from gradtx._tools._types import Tree
from gradtx._tools._words import code_of, listed, summary


class LabelTree(LeafTree):
    """A tree of labels, or of labels for the upper levels of the parameters."""


class BySelector(Record):
    """A selector for each label."""

    selectors: tuple[tuple[str, Selector], ...]

    def of(self, params: Flat, trained: Trained, where: str) -> dict[int, list[str]]:
        """Number of a trained leaf → all labels whose selectors select it."""
        chosen = {label: select(s, params, f"{where}: {label}", check=False) for label, s in self.selectors}
        return {i: [label for label, selected in chosen.items() if selected[i]] for i in trained}

    def __repr__(self) -> str:
        return f"{{{', '.join(f'{label!r}: {code_of(selector)}' for label, selector in self.selectors)}}}"


class Labels(Record):
    """The labels of a partition.

    Attributes:
        names: The labels that have a transformation.
        source: What gives a parameter its label.
    """

    names: tuple[str, ...]
    source: LabelTree | BySelector | Callable[..., Any]

    def of(self, params: Flat, trained: Trained, where: str) -> dict[int, str]:
        """Number of a trained leaf → its label.

        Raises:
            ValueError: Some parameters have no label, several labels, or one without a transformation.
        """
        found = self._found(params, trained, where)
        wrong = [
            f"{trained[i][0]!r} has {' and '.join(map(repr, labels)) or 'none'}"
            for i, labels in found.items()
            if len(labels) != 1 or labels[0] not in self.names
        ]
        if wrong:
            raise ValueError(
                f"{where}: every parameter needs one label of {', '.join(map(repr, self.names))}, but "
                f"{listed(wrong, 50)}"
            )
        return {i: labels[0] for i, labels in found.items()}

    def _found(self, params: Flat, trained: Trained, where: str) -> dict[int, list[Any]]:
        if isinstance(self.source, BySelector):
            return self.source.of(params, trained, where)
        source = self.source
        if not isinstance(source, LabelTree) and takes_a_tree(source):
            source = as_tree(source(shapes_of(params, trained)))
        if isinstance(source, LabelTree):
            labels = source.of(params, trained, f"{where}: the tree of labels does not fit the parameters")
            return {i: [label] for i, label in labels.items()}
        return {i: [source(path, array)] for i, (path, array) in trained.items()}

    def __repr__(self) -> str:
        return code_of(self.source)


class Labelled(Chooser):
    """Selects the parameters with one label."""

    labels: Labels
    name: str

    def chosen(self, params: Flat, trained: Trained, where: str) -> dict[int, bool]:
        return {i: label == self.name for i, label in self.labels.of(params, trained, where).items()}

    def __repr__(self) -> str:
        return f"label {self.name!r} of {self.labels!r}"


def labels_of(where: str, names: tuple[str, ...], labels: Tree) -> Labels:
    """Labels in a form that hashes. `labels` is a function, a dictionary label → selector, or a tree of labels."""
    if callable(labels):
        return Labels(names, labels)
    leaves = jax.tree.leaves(labels)
    if leaves and all(isinstance(leaf, str) and leaf in names for leaf in leaves):
        return Labels(names, as_tree(labels))
    if not isinstance(labels, Mapping) or set(labels) != set(names):
        raise ValueError(
            f"{where}: labels must be a function (path, array) -> label, a selector for each of {', '.join(names)}, or "
            f"a tree of these labels, got {summary(labels)}"
        )
    return Labels(names, BySelector(tuple((n, Selects().check(f"{where}: {n}", s)) for n, s in labels.items())))


def as_tree(labels: Tree) -> LabelTree:
    """A tree of labels in a form that hashes."""
    leaves, treedef = jax.tree.flatten(labels)
    return LabelTree(tuple(leaves), treedef)
