"""The dataset whose iterators learn, and how their statistics are kept in Grain's checkpoints."""

import base64
from collections.abc import Iterator
from typing import Any

import grain  # type: ignore[import-not-found]
import numpy as np

from gradtx._tools import flatten
from gradtx.core import State, Transformation
from gradtx.interop.grain._elements import Part, trained

KEY = "gradtx"


class LearnIterDataset(grain.IterDataset):
    """Passes elements on as `tx` makes them, learning from each."""

    def __init__(self, parent: Any, tx: Transformation, state: State, part: Part):
        super().__init__(parent)
        self._learner = tx, state, part

    def __iter__(self) -> "LearnDatasetIterator":
        return LearnDatasetIterator(self._parent.__iter__(), *self._learner)

    def __str__(self) -> str:
        return f"LearnIterDataset({self._learner[0]!r})"


class LearnDatasetIterator(grain.DatasetIterator):
    """Its checkpoint is that of its parent and the statistics."""

    def __init__(self, parent: Any, tx: Transformation, state: State, part: Part):
        super().__init__(parent)
        self._tx, self._state, self._part = tx, state, part

    def __next__(self) -> Any:
        if (workers := self._ctx.mp_context.process_count) > 1:
            raise ValueError(
                f"learn: each of the {workers} workers of mp_prefetch would learn from its own share of the elements; "
                "call mp_prefetch before learn"
            )
        element = next(self._parent)
        if element is None:
            return None
        element, self._state = self._part.run(lambda x: trained(self._tx, x, self._state), element)
        return element

    def get_state(self) -> dict[str, Any]:
        return {"parent": self._parent.get_state(), KEY: encode(self._state)}

    def set_state(self, state: dict[str, Any]) -> None:
        statistics = decode(state[KEY], self._state)
        self._parent.set_state(state["parent"])
        self._state = statistics

    def __str__(self) -> str:
        return f"LearnDatasetIterator({self._tx!r})"


def encode(state: State) -> dict[str, Any]:
    """What JSON holds without loss: for each array its dtype, its shape and its bytes, the least first."""
    arrays = {code: np.asarray(leaf) for code, leaf in _leaves(state).items()}
    return {
        code: {
            "dtype": str(a.dtype),
            "shape": list(a.shape),
            "data": base64.b64encode(a.astype(a.dtype.newbyteorder("<")).tobytes()).decode(),
        }
        for code, a in arrays.items()
    }


def decode(encoded: dict[str, Any], like: State) -> State:
    """The state that was encoded, of the structure of another."""
    flat, kinds = flatten(like), {code: (str(a.dtype), list(np.shape(a))) for code, a in _leaves(like).items()}
    found = {code: (a["dtype"], a["shape"]) for code, a in encoded.items()}
    if found != kinds:
        wrong = next(code for code in {**kinds, **found} if found.get(code) != kinds.get(code))
        raise ValueError(
            f"learn: the checkpoint is of another transformation or of other inputs: {wrong} is "
            f"{_kind(found.get(wrong))}, expected {_kind(kinds.get(wrong))}"
        )
    arrays = {
        code: np.frombuffer(base64.b64decode(a["data"]), np.dtype(a["dtype"]).newbyteorder("<"))
        .reshape(a["shape"])
        .astype(a["dtype"])
        for code, a in encoded.items()
    }
    return flat.unflatten([arrays.get(code) for code in flat.code()])


def entries(checkpoint: Any) -> Iterator[dict[str, Any]]:
    """The encoded states in the checkpoint of an iterator."""
    if isinstance(checkpoint, dict):
        for key, value in checkpoint.items():
            yield from [value] if key == KEY else entries(value)
    elif isinstance(checkpoint, list | tuple):
        for value in checkpoint:
            yield from entries(value)


def _leaves(state: State) -> dict[str, Any]:
    flat = flatten(state)
    return {code: leaf for code, leaf in zip(flat.code(), flat.leaves, strict=True) if leaf is not None}


def _kind(kind: Any) -> str:
    return "absent" if kind is None else f"{kind[0]}{kind[1]}"
