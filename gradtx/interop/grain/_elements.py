"""What is done to one element of a dataset, on the host, from numpy to numpy."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from gradtx.core import State, Transformation


class Part(NamedTuple):
    """Where the inputs of an element are, and whether they are a batch or a single example."""

    select: Any
    batched: bool

    def run(self, update: Callable[[Any], tuple[Any, Any]], element: Any) -> tuple[Any, Any]:
        """The element with its inputs updated, and what else `update` gives."""
        x = _selected(element, self.select)
        x = x if self.batched else jax.tree.map(lambda a: np.asarray(a)[None], x)
        try:
            with jax.default_device(jax.local_devices(backend="cpu")[0]):
                y, rest = update(x)
        except ValueError as error:
            given = "batches" if self.batched else "single examples"
            error.add_note(f"The elements of the dataset were taken as {given}, as batched={self.batched} says.")
            raise
        y = jax.tree.map(lambda a: np.array(a if self.batched else a[0]), y)  # a copy, which may be written to
        return _replaced(element, self.select, y), rest


class Apply(NamedTuple):
    """The map of a dataset that leaves the statistics as they are."""

    tx: Transformation
    state: State
    part: Part

    def __call__(self, element: Any) -> Any:
        return self.part.run(lambda x: (_frozen(self.tx, x, self.state), None), element)[0]

    def __repr__(self) -> str:
        return f"apply({self.tx!r})"


def _selected(element: Any, select: Any) -> Any:
    if isinstance(select, list):
        return {key: element[key] for key in select}
    return element if select is None else element[select]


def _replaced(element: Any, select: Any, y: Any) -> Any:
    """A copy of a dictionary, a list or a tuple with what is selected replaced."""
    if select is None:
        return y
    parts = y if isinstance(select, list) else {select: y}
    if isinstance(element, Mapping):
        return {**element, **parts}
    items = [parts.get(i, item) for i, item in enumerate(element)]
    return type(element)(*items) if hasattr(element, "_fields") else type(element)(items)


@partial(jax.jit, static_argnums=0)
def _frozen(tx: Transformation, x: Any, state: State) -> Any:
    return tx.update(x, state, train=False)[0]


@partial(jax.jit, static_argnums=0)
def trained(tx: Transformation, x: Any, state: State) -> Any:
    """(y, state) after learning from x."""
    return tx.update(x, state)
