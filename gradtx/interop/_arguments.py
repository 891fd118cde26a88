"""What the constructors of all frameworks share: ranges checked under the names that the framework gives them."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec

from gradtx.core import Interval, Transformation

P = ParamSpec("P")

NON_NEGATIVE, FRACTION, DECAY, REAL = Interval(0.0), Interval(0.0, 1.0, closed=True), Interval(0.0, 1.0), Interval()


def checked(
    ranges: Mapping[str, Interval],
) -> Callable[[Callable[P, Transformation]], Callable[P, Transformation]]:
    """Holds the arguments of a constructor to their ranges, in messages that begin with the constructor's name."""

    def decorate(make: Callable[P, Transformation]) -> Callable[P, Transformation]:
        signature = inspect.signature(make)

        @functools.wraps(make)
        def constructor(*args: P.args, **kwargs: P.kwargs) -> Transformation:
            for name, value in signature.bind(*args, **kwargs).arguments.items():
                if name in ranges:
                    check(f"{make.__name__}: {name}", ranges[name], value)
            return make(*args, **kwargs)

        return constructor

    return decorate


def check(where: str, interval: Interval, value: Any) -> None:
    """Complains about a number, or one of a pair of numbers, outside `interval`. None stands for no such argument."""
    if isinstance(value, tuple | list):
        if len(value) != 2:
            raise ValueError(f"{where} must be a pair of numbers, got {value!r}")
        for i, item in enumerate(value):
            interval.check(f"{where}[{i}]", item)
    elif value is not None:
        interval.check(where, value)
