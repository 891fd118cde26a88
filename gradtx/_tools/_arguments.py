"""Arguments of functions and fields of records: checks by annotation, and errors that name function and argument."""

import difflib
import functools
import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple, ParamSpec, TypeAlias, TypeVar

import jax
import numpy as np
from jax.core import Tracer

from gradtx._tools._words import code_of, same, summary

P = ParamSpec("P")
R = TypeVar("R")
Idle: TypeAlias = Mapping[str, str | tuple[str, ...]]
"""Argument → the argument, or several arguments, without which it has no effect."""


class Kind(NamedTuple):
    """The values that an annotation allows.

    Attributes:
        kind: A type, or an object with a method `check(where, value)`.
        optional: Whether None is allowed too.
    """

    kind: Any
    optional: bool

    def check(self, where: str, value: object) -> Any:
        """Returns `value` in its canonical form, or raises an error that begins with `where`."""
        if value is None and self.optional:
            return None
        if hasattr(self.kind, "check"):
            return self.kind.check(where, value)
        if self.kind is bool and not isinstance(value, bool):
            raise TypeError(f"{where} must be True or False, got {summary(value)}")
        if typing.get_origin(self.kind) is Literal and value not in typing.get_args(self.kind):
            words = ", ".join(map(repr, (*typing.get_args(self.kind), *([None] if self.optional else []))))
            raise ValueError(f"{where} must be one of {words}, got {code_of(value)}")
        return value


def kind_of(hint: object) -> Kind:
    """The kind that a type hint declares: `Annotated[..., kind]`, `bool`, `Literal[...]`, or one of them or None."""
    if typing.get_origin(hint) is Annotated:
        kinds = (metadata for metadata in typing.get_args(hint)[1:] if hasattr(metadata, "check"))
        return Kind(next(kinds, hint), False)
    alternatives = typing.get_args(hint)
    if type(None) in alternatives:
        others = [alternative for alternative in alternatives if alternative is not type(None)]
        return Kind(kind_of(others[0]).kind if len(others) == 1 else hint, True)
    return Kind(hint, False)


@functools.cache
def kinds_of(annotated: Callable[..., object]) -> Mapping[str, Kind]:
    """Name → kind, for the parameters of a function or the fields of a record."""
    return {name: kind_of(hint) for name, hint in typing.get_type_hints(annotated, include_extras=True).items()}


def later_arguments(function: Callable[..., object]) -> list[str]:
    """The names of the arguments of a function after the first. Empty if the function has no signature."""
    try:
        return list(inspect.signature(function).parameters)[1:]
    except (TypeError, ValueError):
        return []


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Checks the arguments of a public function by its annotations, with errors that name the function.

    >>> from gradtx._tools import Interval
    >>> @checked
    ... def zoom(factor: Annotated[float, Interval(0.0, above=True, hyper=False)] = 1.0) -> float:
    ...     return factor
    >>> zoom(0)
    Traceback (most recent call last):
        ...
    ValueError: zoom: factor must be in (0, inf), got 0
    """
    signature, name = inspect.signature(function), function.__name__

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        bound, kinds = bind(name, signature, args, kwargs), kinds_of(function)
        for argument, value in bound.arguments.items():
            variadic = signature.parameters[argument].kind in (
                inspect.Parameter.VAR_POSITIONAL,
                inspect.Parameter.VAR_KEYWORD,
            )
            if argument in kinds and not variadic:
                bound.arguments[argument] = kinds[argument].check(f"{name}: {argument}", value)
        return function(*bound.args, **bound.kwargs)

    return call


def bind(
    name: str, signature: inspect.Signature, args: Sequence[object], kwargs: Mapping[str, object]
) -> inspect.BoundArguments:
    """Binds arguments to a signature.

    An error names the public function and the argument, and says what to write instead.
    """
    try:
        return signature.bind(*args, **kwargs)
    except TypeError:
        raise TypeError(f"{name}: {_mismatch(name, signature, args, kwargs)}") from None


def _mismatch(name: str, signature: inspect.Signature, args: Sequence[object], kwargs: Mapping[str, object]) -> str:
    """Says why the arguments of a call do not fit the signature."""
    kinds = {p.kind for p in signature.parameters.values()}
    named = {n: p for n, p in signature.parameters.items() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
    positional = [n for n, p in named.items() if p.kind is not p.KEYWORD_ONLY]
    by_position = positional[: len(args)]
    for argument in kwargs:
        if argument not in named and inspect.Parameter.VAR_KEYWORD not in kinds:
            near = difflib.get_close_matches(argument, named, n=1)
            known = f"did you mean {near[0]}?" if near else f"the arguments are {', '.join(named) or 'none'}"
            return f"unknown argument {argument}; {known}"
    if len(args) > len(positional) and inspect.Parameter.VAR_POSITIONAL not in kinds:
        return _too_many(list(named), positional, args)
    for argument in by_position:
        if argument in kwargs:
            return f"{argument} is given twice, by position and by name; give it once"
    given = {*by_position, *kwargs}
    missing = next(n for n, p in named.items() if p.default is p.empty and n not in given)
    return f"the argument {missing} is missing; write {name}({missing}=...)"


def _too_many(names: Sequence[str], positional: Sequence[str], args: Sequence[object]) -> str:
    count = f"{len(positional) or 'no'} positional {'argument' if len(positional) == 1 else 'arguments'}"
    listed = f" ({', '.join(positional)})" if positional else ""
    by_name = names[len(positional) :]
    advice = f"; name the others, as in {by_name[0]}={code_of(args[len(positional)])}" if by_name else ""
    return f"takes {count}{listed}, got {len(args)}{advice}"


def refuse_idle(where: str, signature: inspect.Signature, arguments: Mapping[str, object], idle: Idle) -> None:
    """Raises an error if an argument has no effect because another one is off, in the sense of `is_off`.

    Args:
        where: The name of the public function.
        signature: The signature of the function. A value equal to its default is always accepted.
        arguments: The value of every argument.
        idle: Argument → the argument, or several arguments, without which it has no effect.

    Raises:
        ValueError: An argument other than its default has no effect.
    """
    pairs = [(name, other) for name, others in idle.items() for other in _several(others)]
    for name, other in pairs:
        value, cause, default = arguments[name], arguments[other], signature.parameters[name].default
        if is_off(cause) and default is not inspect.Parameter.empty and _differs(value, default):
            raise ValueError(
                f"{where}: {name}={code_of(value)} has no effect with {other}={code_of(cause)}; "
                f"set {other}, or leave out {name}"
            )


def _differs(value: object, default: object) -> bool:
    """Whether a value is known to differ from the default; `optax.inject_hyperparams` gives numbers as arrays."""
    if isinstance(value, Tracer):
        return False
    if isinstance(value, jax.Array) and isinstance(default, int | float):
        return not bool(value == default)
    return not same(value, default)


def _several(names: str | tuple[str, ...]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else names


def is_off(value: object) -> bool:
    """Whether a value is None, False, zero or infinite at every step.

    A schedule, a tunable or a JAX array is never off, because its value can be another one.
    """
    return value is None or (isinstance(value, bool | int | float | np.number) and (not value or np.isinf(value)))
