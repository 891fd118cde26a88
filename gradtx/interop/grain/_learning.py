"""A dataset with iterators that learn, and the form of their statistics in Grain's checkpoints."""

import base64
from collections.abc import Iterator, Mapping
from typing import Any, TypedDict

import grain  # type: ignore[import-not-found]
import jax
import numpy as np

from gradtx._tools import Tree, flatten
from gradtx.core import State, Transformation
from gradtx.interop.grain._elements import Selection, trained

KEY = "gradtx"


class Encoded(TypedDict):
    """An array as JSON holds it without loss: its bytes are little-endian, in base64."""

    dtype: str
    shape: list[int]
    data: str


class LearnIterDataset(grain.IterDataset):
    """Updates the inputs of each element and learns from them."""

    def __init__(self, parent: grain.IterDataset, tx: Transformation, state: State, selection: Selection):
        super().__init__(parent)
        self._learner = tx, state, selection

    def __iter__(self) -> "LearnDatasetIterator":
        return LearnDatasetIterator(self._parent.__iter__(), *self._learner)

    def __str__(self) -> str:
        return f"LearnIterDataset({self._learner[0]!r})"


class LearnDatasetIterator(grain.DatasetIterator):
    """An iterator that learns. Its checkpoint is the checkpoint of its parent and the statistics."""

    def __init__(self, parent: grain.DatasetIterator, tx: Transformation, state: State, selection: Selection):
        super().__init__(parent)
        self._tx, self._state, self._selection = tx, state, selection

    def __next__(self) -> Tree:
        if (workers := self._ctx.mp_context.process_count) > 1:
            raise ValueError(
                f"learn: each of the {workers} workers of mp_prefetch would learn from its own share of the elements; "
                "call mp_prefetch before learn"
            )
        element = next(self._parent)
        if element is None:
            return None
        element, self._state = self._selection.run(lambda x: trained(self._tx, x, self._state), element)
        return element

    def get_state(self) -> dict[str, Any]:
        return {"parent": self._parent.get_state(), KEY: encode(self._state)}

    def set_state(self, state: dict[str, Any]) -> None:
        statistics = decode("learn", state[KEY], self._state)
        self._parent.set_state(state["parent"])
        self._state = statistics

    def __str__(self) -> str:
        return f"LearnDatasetIterator({self._tx!r})"


def as_iter_dataset(dataset: grain.MapDataset | grain.IterDataset) -> grain.IterDataset:
    """The dataset itself, or a `MapDataset` as one that is read in order."""
    return dataset.to_iter_dataset() if isinstance(dataset, grain.MapDataset) else dataset


def encode(state: State) -> dict[str, Encoded]:
    """Path → array, for each array of a state."""
    arrays = {code: np.asarray(leaf) for code, leaf in _leaves(state).items()}
    return {
        code: {
            "dtype": str(a.dtype),
            "shape": list(a.shape),
            "data": base64.b64encode(a.astype(a.dtype.newbyteorder("<")).tobytes()).decode(),
        }
        for code, a in arrays.items()
    }


def decode(function: str, encoded: Mapping[str, Encoded], like: State) -> State:
    """The encoded state, which must have the structure, shapes and dtypes of `like`; errors begin with `function`."""
    expected = {code: _kind(str(a.dtype), np.shape(a)) for code, a in _leaves(like).items()}
    given = {code: _kind(a["dtype"], a["shape"]) for code, a in encoded.items()}
    if given != expected:
        wrong = next(code for code in {**expected, **given} if given.get(code) != expected.get(code))
        raise ValueError(
            f"{function}: the checkpoint is of another transformation or of other inputs: {wrong} is "
            f"{given.get(wrong, 'absent')}, expected {expected.get(wrong, 'absent')}"
        )
    flat = flatten(like)
    return flat.unflatten([_array(encoded[code]) if code in encoded else None for code in flat.code()])


def entries(checkpoint: Tree) -> Iterator[dict[str, Encoded]]:
    """The encoded states in the checkpoint of an iterator."""
    if isinstance(checkpoint, dict):
        for key, value in checkpoint.items():
            yield from [value] if key == KEY else entries(value)
    elif isinstance(checkpoint, list | tuple):
        for value in checkpoint:
            yield from entries(value)


def _leaves(state: State) -> dict[str, jax.Array]:
    flat = flatten(state)
    return {code: leaf for code, leaf in zip(flat.code(), flat.leaves, strict=True) if leaf is not None}


def _array(encoded: Encoded) -> np.ndarray:
    little_endian = np.dtype(encoded["dtype"]).newbyteorder("<")
    flat = np.frombuffer(base64.b64decode(encoded["data"]), little_endian)
    return flat.reshape(encoded["shape"]).astype(encoded["dtype"])


def _kind(dtype: str, shape: tuple[int, ...] | list[int]) -> str:
    return f"{dtype}{list(shape)}"
