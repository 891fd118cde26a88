"""Fields that hold several numbers."""

from collections.abc import Sequence
from typing import Any

import jax
from jax.core import Tracer

from gradtx._tools._kinds import Interval
from gradtx._tools._words import summary


class Several(tuple):
    """A tuple that prints functions by name, and in which a tracer equals only itself, as in a record."""

    def __repr__(self) -> str:
        words = [getattr(x, "__qualname__", None) or repr(x) for x in self]
        return f"({', '.join(words)}{',' if len(words) == 1 else ''})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Several) or len(self) != len(other):
            return False
        pairs = zip(self, other, strict=True)
        return all(a is b or (not (isinstance(a, Tracer) or isinstance(b, Tracer)) and bool(a == b)) for a, b in pairs)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(tuple(id(x) if isinstance(x, Tracer) else x for x in self))


class Each:
    """The kind of a field that holds numbers of one `Interval`.

    Args:
        interval: The range of each number.
        callables: Whether schedules are allowed among the numbers.
        ascending: Whether the numbers must be in ascending order; whole numbers then become ints.
    """

    def __init__(self, interval: Interval, callables: bool = False, ascending: bool = False) -> None:
        self.interval, self.callables, self.ascending = interval, callables, ascending

    def check(self, where: str, value: object) -> Several:
        """Returns Python numbers, tracers and schedules in a tuple."""
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise TypeError(f"{where} must be a list or a tuple, got {summary(value)}")
        several = Several(self._one(f"{where}[{i}]", x) for i, x in enumerate(value))
        known = [x for x in several if not isinstance(x, Tracer)]
        if self.ascending and sorted(known) != known:
            raise ValueError(f"{where} must be in ascending order, got {several}")
        return several

    def _one(self, where: str, value: object) -> Any:
        if self.callables and callable(value):
            return value
        value = self.interval.check(where, value)
        if isinstance(value, jax.Array) and not isinstance(value, Tracer):
            value = value.item()
        return int(value) if self.ascending and isinstance(value, float) and value.is_integer() else value


def one_more(label: str, name: str, pieces: Sequence[object], boundaries: Sequence[object]) -> None:
    """Checks that there is one piece more than boundaries: one piece follows the last boundary."""
    if len(pieces) != len(boundaries) + 1:
        raise ValueError(
            f"{label}: {name} must be one more than the {len(boundaries)} boundaries, got {len(pieces)}: {pieces}"
        )
