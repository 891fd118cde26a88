"""What the constructors of all frameworks share: the ranges of arguments, and the decorators that check and show them.

A constructor declares the range of an argument in its annotation. Its signature shows the types without the ranges.
"""

import functools
import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, NoReturn, ParamSpec, TypeAlias, TypeVar

import jax

from gradtx._tools import Each, Interval, checked, code_of, is_off, is_real_scalar, same, summary
from gradtx.core import Hyper

P = ParamSpec("P")
R = TypeVar("R")

# A hyperparameter: a number, a schedule or `tunable(number)`.
NonNegative: TypeAlias = Annotated[Hyper, Interval(0.0)]
NonNegativeOrNone: TypeAlias = NonNegative | None
Fraction: TypeAlias = Annotated[Hyper, Interval(0.0, 1.0, closed=True)]
FractionAboveZero: TypeAlias = Annotated[Hyper, Interval(0.0, 1.0, closed=True, above=True)]
NonPositive: TypeAlias = Annotated[Hyper, Interval(high=0.0, closed=True)]
Decay: TypeAlias = Annotated[Hyper, Interval(0.0, 1.0)]
Real: TypeAlias = Annotated[Hyper, Interval()]

# A number.
Number: TypeAlias = Annotated[float, Interval(hyper=False)]
NumberFromZero: TypeAlias = Annotated[float, Interval(0.0, hyper=False)]
NumberFromOne: TypeAlias = Annotated[float, Interval(1, hyper=False)]
NumberAboveZero: TypeAlias = Annotated[float, Interval(0.0, above=True, hyper=False)]
Share: TypeAlias = Annotated[float, Interval(0.0, 1.0, closed=True, hyper=False)]
ShareAboveZero: TypeAlias = Annotated[float, Interval(0.0, 1.0, closed=True, above=True, hyper=False)]
ShareBelowOne: TypeAlias = Annotated[float, Interval(0.0, 1.0, hyper=False)]

# A whole number.
Whole: TypeAlias = Annotated[int, Interval(hyper=False, whole=True)]
WholeFromZero: TypeAlias = Annotated[int, Interval(0, hyper=False, whole=True)]
WholeFromOne: TypeAlias = Annotated[int, Interval(1, hyper=False, whole=True)]
LastEpoch: TypeAlias = Annotated[int, Interval(-1, hyper=False, whole=True)]

# Several numbers.
Steps: TypeAlias = Annotated[Sequence[int], Each(Interval(0, hyper=False, whole=True))]
AscendingSteps: TypeAlias = Annotated[Sequence[int], Each(Interval(0, hyper=False, whole=True), ascending=True)]
AscendingNumbers: TypeAlias = Annotated[Sequence[float], Each(Interval(0.0, hyper=False), ascending=True)]
NumbersFromZero: TypeAlias = Annotated[Sequence[float], Each(Interval(0.0, hyper=False))]
Schedules: TypeAlias = Annotated[
    Sequence[Callable[[jax.Array], jax.Array] | float], Each(Interval(hyper=False), callables=True)
]


class Pair:
    """The kind of an argument that holds two hyperparameters, each with a range."""

    def __init__(self, first: Interval, second: Interval) -> None:
        self.intervals = first, second

    def check(self, where: str, value: object) -> tuple[Hyper, Hyper]:
        if not isinstance(value, tuple | list) or len(value) != 2:
            raise ValueError(f"{where} must be a pair of numbers, got {summary(value)}")
        first, second = (
            interval.check(f"{where}[{i}]", item)
            for i, (interval, item) in enumerate(zip(self.intervals, value, strict=True))
        )
        return first, second


_SHOWN = {
    Hyper: "Hyper",
    Hyper | None: "Hyper | None",
    tuple[Hyper, Hyper]: "tuple[Hyper, Hyper]",
    Sequence[Callable[[jax.Array], jax.Array] | float]: "Sequence[Schedule | float]",
}


def drop_in(needs: Mapping[str, str] | None = None) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a constructor of another framework: check its arguments, and show its signature without ranges.

    Args:
        needs: Argument → the argument without which it has no effect. The first one must be at its default if the
            second one is None, False or 0.
    """

    def decorate(make: Callable[P, R]) -> Callable[P, R]:
        signature, hints = inspect.signature(make), typing.get_type_hints(make)

        @functools.wraps(make)
        def constructor(*args: P.args, **kwargs: P.kwargs) -> R:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            for argument, needed in (needs or {}).items():
                if is_off(bound.arguments[needed]):
                    refuse_unless_default(make, argument, bound.arguments[argument], f"without {needed}", needed)
            return make(*args, **kwargs)

        shown = [p.replace(annotation=_shown(hints.get(p.name, p.annotation))) for p in signature.parameters.values()]
        constructor.__signature__ = signature  # type: ignore[attr-defined]
        public = checked(constructor)
        public.__signature__ = signature.replace(parameters=shown)  # type: ignore[attr-defined]
        return public

    return decorate


def extended(
    make: Callable[..., Any], parameters: Sequence[inspect.Parameter], run: Callable[[Mapping[str, Any]], R]
) -> Callable[..., R]:
    """Give `run` the name and the documentation of `make`, and the `parameters` by name, defaults included."""
    signature = inspect.signature(make).replace(parameters=parameters)

    @functools.wraps(make)
    def constructor(*args: object, **kwargs: object) -> R:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return run(bound.arguments)

    constructor.__signature__ = signature  # type: ignore[attr-defined]
    constructor.__annotations__ = {p.name: p.annotation for p in parameters if p.annotation is not p.empty}
    return constructor


def refuse_unless_default(
    make: Callable[..., Any], argument: str, value: object, reason: str, needed: str | None = None
) -> None:
    """Raise an error if an argument that has no effect is not at its default.

    Args:
        make: The constructor, which has the default.
        argument: The name of the argument.
        value: The value of the argument.
        reason: Why there is no effect, such as "without momentum".
        needed: The argument that would give it an effect, or None.
    """
    default = inspect.signature(make).parameters[argument].default
    if same(value, default) or _equal(value, default):
        return
    advice = f"give {needed}, or leave {argument} out" if needed else f"leave {argument} out"
    raise ValueError(f"{make.__name__}: {argument}={code_of(value)} has no effect {reason}; {advice}")


def refuse_unsupported(constructor: str, argument: str, instead: str) -> NoReturn:
    """Raise an error for an argument of the framework that gradtx does not have."""
    raise NotImplementedError(f"{constructor}: {argument} is not supported; {instead}")


def _equal(value: object, default: object) -> bool:
    """Whether two Python numbers are equal whatever their types."""
    numbers = (is_real_scalar(x) and not isinstance(x, jax.Array) for x in (value, default))
    return all(numbers) and bool(value == default)


def _shown(hint: Any) -> Any:
    """A type hint for the signature: a hyperparameter as "Hyper", any other type as itself."""
    return _SHOWN.get(hint, hint)
