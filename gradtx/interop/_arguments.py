"""What the constructors of all frameworks share: ranges checked under the names that the framework gives them."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, Protocol, TypeVar

from gradtx.core import Interval

P = ParamSpec("P")
R = TypeVar("R")

NON_NEGATIVE, FRACTION, DECAY, REAL = Interval(0.0), Interval(0.0, 1.0, closed=True), Interval(0.0, 1.0), Interval()


class Kind(Protocol):
    """What an argument may be. `check` complains about anything else."""

    def check(self, where: str, value: Any) -> Any: ...


class Pair:
    """Two numbers of one range."""

    def __init__(self, interval: Interval) -> None:
        self.interval = interval

    def check(self, where: str, value: Any) -> None:
        if not isinstance(value, tuple | list) or len(value) != 2:
            raise ValueError(f"{where} must be a pair of numbers, got {value!r}")
        for i, item in enumerate(value):
            self.interval.check(f"{where}[{i}]", item)


class OneOf:
    """One of some words."""

    def __init__(self, *words: str) -> None:
        self.words = words

    def check(self, where: str, value: Any) -> None:
        if value not in self.words:
            raise ValueError(f"{where} must be one of {', '.join(self.words)}, got {value!r}")


def checked(kinds: Mapping[str, Kind]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Holds the arguments of a constructor to their kinds, in messages that begin with the constructor's name.

    None passes where it is the default, and stands for no such argument.
    """

    def decorate(make: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(make)

        @functools.wraps(make)
        def constructor(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                given = signature.bind(*args, **kwargs).arguments
            except TypeError as error:
                raise TypeError(f"{make.__name__}: {error}") from None
            for name, value in given.items():
                if name in kinds and not (value is None and signature.parameters[name].default is None):
                    kinds[name].check(f"{make.__name__}: {name}", value)
            return make(*args, **kwargs)

        return constructor

    return decorate
