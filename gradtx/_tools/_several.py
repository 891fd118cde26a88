"""Fields that hold several numbers."""

from collections.abc import Sequence
from typing import Any

import jax
from jax.core import Tracer

from gradtx._tools._kinds import Interval


class Several(tuple):
    """A tuple that prints functions by name, and in which a tracer equals itself alone, as in a record."""

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
    """The kind of a field that holds numbers of one `Interval`, and with `callables` schedules among them."""

    def __init__(self, interval: Interval, callables: bool = False, ascending: bool = False) -> None:
        self.interval, self.callables, self.ascending = interval, callables, ascending

    def check(self, where: str, value: Any) -> Several:
        """Python numbers, tracers and schedules, in a tuple."""
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise TypeError(f"{where} must be a list or a tuple, got {value!r} ({type(value).__name__})")
        found = Several(self._one(f"{where}[{i}]", x) for i, x in enumerate(value))
        known = [x for x in found if not isinstance(x, Tracer)]
        if self.ascending and sorted(known) != known:
            raise ValueError(f"{where} must be in ascending order, got {found}")
        return found

    def _one(self, where: str, value: Any) -> Any:
        if self.callables and callable(value):
            return value
        value = self.interval.check(where, value)
        if isinstance(value, jax.Array) and not isinstance(value, Tracer):
            value = value.item()
        return int(value) if self.ascending and isinstance(value, float) and value.is_integer() else value


def one_more(label: str, name: str, many: Sequence[Any], boundaries: Sequence[Any]) -> None:
    """A piece ends at every boundary, and one piece is the last."""
    if len(many) != len(boundaries) + 1:
        raise ValueError(
            f"{label}: {name} must be one more than the {len(boundaries)} boundaries, got {len(many)}: {many}"
        )
