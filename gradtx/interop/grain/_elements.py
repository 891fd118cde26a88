"""Updates of one element of a dataset, on the host, from numpy to numpy."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple, TypeAlias, TypeVar

import jax
import numpy as np

from gradtx._tools import Tree
from gradtx.core import State, Transformation

Key: TypeAlias = str | int
"""A key of a dictionary, or an index of a tuple or list."""
R = TypeVar("R")


class Selection(NamedTuple):
    """Where the inputs of an element are, and whether they are a batch or a single example."""

    function: str
    select: Key | list[Key] | None
    batched: bool

    def run(self, update: Callable[[Tree], tuple[Tree, R]], element: Tree) -> tuple[Tree, R]:
        """The element with updated inputs, and the second result of `update`."""
        x = self._selected(element)
        x = x if self.batched else jax.tree.map(lambda a: np.asarray(a)[None], x)
        try:
            with jax.default_device(jax.local_devices(backend="cpu")[0]):
                y, second = update(x)
        except ValueError as error:
            kind = "a batch" if self.batched else "a single example"
            error.add_note(f"{self.function}: batched={self.batched}, so each element was taken as {kind}")
            raise
        # A copy, because users may write to their elements.
        y = jax.tree.map(lambda a: np.array(a if self.batched else a[0]), y)
        return self._replaced(element, y), second

    def _selected(self, element: Any) -> Tree:
        if self.select is None:
            return element
        try:
            if isinstance(self.select, list):
                return {key: element[key] for key in self.select}
            return element[self.select]
        except (KeyError, IndexError, TypeError) as error:
            parts = f"the keys {list(element)}" if isinstance(element, Mapping) else f"type {type(element).__name__}"
            raise KeyError(f"{self.function}: select={self.select!r} is no part of an element of {parts}") from error

    def _replaced(self, element: Any, y: Any) -> Tree:
        """A copy of a dictionary, a list or a tuple in which the selected parts are replaced."""
        if self.select is None:
            return y
        parts = y if isinstance(self.select, list) else {self.select: y}
        if isinstance(element, Mapping):
            return {**element, **parts}
        items = [parts.get(i, item) for i, item in enumerate(element)]
        return type(element)(*items) if hasattr(element, "_fields") else type(element)(items)


class Apply(NamedTuple):
    """The map of a dataset that does not change the statistics."""

    tx: Transformation
    state: State
    selection: Selection

    def __call__(self, element: Tree) -> Tree:
        return self.selection.run(lambda x: (_frozen(self.tx, x, self.state), None), element)[0]

    def __repr__(self) -> str:
        return f"apply({self.tx!r})"


@partial(jax.jit, static_argnums=0)
def _frozen(tx: Transformation, x: Any, state: State) -> Tree:
    return tx.update(x, state, train=False)[0]


@partial(jax.jit, static_argnums=0)
def trained(tx: Transformation, x: Any, state: State) -> tuple[Any, Any]:
    """(y, state) after learning from x."""
    return tx.update(x, state)
