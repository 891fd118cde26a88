"""Arguments of public functions and fields of records: what an annotation allows, and errors that name the argument."""

import difflib
import functools
import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple, ParamSpec, TypeAlias, TypeVar

import numpy as np

from gradtx._tools._words import code_of, same, summary

P = ParamSpec("P")
R = TypeVar("R")
Idle: TypeAlias = Mapping[str, str | tuple[str, ...]]
"""Argument → the argument, or several arguments, without which it has no effect."""


class Kind(NamedTuple):
    """What an annotation allows: an object with a `check(where, value)` or a plain type, and None where `optional`."""

    kind: Any
    optional: bool

    def check(self, where: str, value: object) -> Any:
        """`value` in its canonical form, or an error that begins with `where`."""
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


def kind_of(hint: Any) -> Kind:
    """The kind that a type hint declares: `Annotated[..., kind]`, `bool`, `Literal[...]`, or one of them or None."""
    if typing.get_origin(hint) is Annotated:
        return Kind(next((m for m in hint.__metadata__ if hasattr(m, "check")), hint), False)
    alternatives = typing.get_args(hint)
    if type(None) in alternatives:
        rest = [a for a in alternatives if a is not type(None)]
        return Kind(kind_of(rest[0]).kind if len(rest) == 1 else hint, True)
    return Kind(hint, False)


@functools.cache
def kinds_of(annotated: Any) -> Mapping[str, Kind]:
    """Name → kind, for the parameters of a function or the fields of a record."""
    return {name: kind_of(hint) for name, hint in typing.get_type_hints(annotated, include_extras=True).items()}


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Holds the arguments of a public function to its annotations, with errors that name the function.

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
    name: str, signature: inspect.Signature, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> inspect.BoundArguments:
    """`signature.bind`, whose errors name the public function and the argument, and say what to write instead."""
    try:
        return signature.bind(*args, **kwargs)
    except TypeError:
        raise TypeError(f"{name}: {_mismatch(name, signature, args, kwargs)}") from None


def _mismatch(name: str, signature: inspect.Signature, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    """What is wrong with the arguments of a call that does not fit the signature."""
    named = {n: p for n, p in signature.parameters.items() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
    places = [n for n, p in named.items() if p.kind is not p.KEYWORD_ONLY]
    if unknown := sorted(kwargs.keys() - named.keys()):
        near = difflib.get_close_matches(unknown[0], named, n=1)
        known = f"did you mean {near[0]}?" if near else f"the arguments are {', '.join(named) or 'none'}"
        return f"unknown argument {unknown[0]}; {known}"
    if len(args) > len(places):
        return _too_many(list(named), places, args)
    if twice := next((argument for argument in places[: len(args)] if argument in kwargs), None):
        return f"{twice} is given twice, by position and by name; give it once"
    given = {*places[: len(args)], *kwargs}
    missing = next(n for n, p in named.items() if p.default is p.empty and n not in given)
    return f"the argument {missing} is missing; write {name}({missing}=...)"


def _too_many(names: list[str], places: list[str], args: Sequence[Any]) -> str:
    count = f"{len(places) or 'no'} positional {'argument' if len(places) == 1 else 'arguments'}"
    taken = f" ({', '.join(places)})" if places else ""
    rest = names[len(places) :]
    advice = f"; name the others, as in {rest[0]}={code_of(args[len(places)])}" if rest else ""
    return f"takes {count}{taken}, got {len(args)}{advice}"


def refuse_idle(where: str, signature: inspect.Signature, arguments: Mapping[str, object], idle: Idle) -> None:
    """Complains about an argument that has no effect because another one switches it off: see `is_off`.

    Args:
        where: The name of the public function.
        signature: The signature of the function, which has the defaults.
        arguments: The value of every argument.
        idle: What each argument depends on.
    """
    pairs = [(name, other) for name, others in idle.items() for other in _several(others)]
    for name, other in pairs:
        value, reason, default = arguments[name], arguments[other], signature.parameters[name].default
        if is_off(reason) and default is not inspect.Parameter.empty and not same(value, default):
            raise ValueError(
                f"{where}: {name}={code_of(value)} has no effect with {other}={code_of(reason)}; "
                f"set {other}, or leave out {name}"
            )


def _several(names: str | tuple[str, ...]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else names


def is_off(value: object) -> bool:
    """Whether a value is None, False, zero or infinite at every step, unlike a schedule, a tunable or a JAX array."""
    return value is None or (isinstance(value, bool | int | float | np.number) and (not value or np.isinf(value)))
