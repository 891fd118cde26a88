"""Labels of parameters, by which a partition gives each parameter to one transformation."""

from collections.abc import Callable, Mapping
from typing import Any

import jax

from gradtx._tools._record import Record
from gradtx._tools._select import Chooser, Selector, Selects, Trained, select, shapes_of, takes_a_tree
from gradtx._tools._trees import Flat
from gradtx._tools._types import Tree, Treedef
from gradtx._tools._words import code_of, listed, summary


class LabelTree(Record):
    """A tree of labels, or of labels for the upper levels of the parameters. It hashes, unlike the tree itself."""

    leaves: tuple[str, ...]
    treedef: Treedef

    def __repr__(self) -> str:
        return repr(jax.tree.unflatten(self.treedef, self.leaves))


class BySelector(Record):
    """A selector for each label."""

    selectors: tuple[tuple[str, Selector], ...]

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
            chosen = {n: select(s, params, f"{where}: {n}", check=False) for n, s in self.source.selectors}
            return {i: [label for label, of in chosen.items() if of[i]] for i in trained}
        if isinstance(self.source, LabelTree):
            return _broadcast(self.source, params, trained, where)
        if takes_a_tree(self.source):
            return _broadcast(as_tree(self.source(shapes_of(params, trained))), params, trained, where)
        return {i: [self.source(path, array)] for i, (path, array) in trained.items()}

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


def _broadcast(tree: LabelTree, params: Flat, trained: Trained, where: str) -> dict[int, list[str]]:
    """The label of each leaf, where a label of an upper level holds for all leaves below it."""
    numbers = params.unflatten(range(len(params.leaves)))
    try:
        parts = tree.treedef.flatten_up_to(numbers)
    except ValueError as error:
        raise ValueError(f"{where}: the tree of labels does not fit the parameters: {error}") from None
    labels = {i: label for label, part in zip(tree.leaves, parts, strict=True) for i in jax.tree.leaves(part)}
    return {i: [labels[i]] for i in trained}
