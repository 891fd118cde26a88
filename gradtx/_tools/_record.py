"""Techniques and schedules as data: frozen records that check their fields, print as code and compare by value."""

import dataclasses
import re
import typing
from collections.abc import Callable, Mapping
from functools import cache
from typing import Annotated, Any, ClassVar, Self, dataclass_transform

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer


@dataclass_transform(frozen_default=True)
class Record:
    """Base of everything that is data: a subclass becomes a frozen dataclass.

    Fields annotated with an `Interval`, or with anything that has its `check`, are checked when the record is made, and
    those annotated with a `Literal` are held to its values. Records are equal when their types and
    fields are (concrete arrays by value, a tracer only to itself), and hash accordingly, so that they serve as static
    arguments of `jax.jit`.
    """

    label: ClassVar[str]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        dataclasses.dataclass(frozen=True, eq=False, repr=False)(cls)
        cls.label = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()

    def __post_init__(self) -> None:
        for name, (kind, optional) in field_kinds(type(self)).items():
            value, where = getattr(self, name), f"{self.label}: {name}"
            if value is None and optional:
                continue
            if hasattr(kind, "check"):
                object.__setattr__(self, name, kind.check(where, value))
            elif kind is bool and not isinstance(value, bool):
                raise TypeError(f"{where} must be True or False, got {summary(value)}")
            elif typing.get_origin(kind) is typing.Literal and value not in typing.get_args(kind):
                raise ValueError(f"{where} must be one of {', '.join(map(str, typing.get_args(kind)))}, got {value!r}")

    def replace(self, fields: Mapping[str, Any]) -> Self:
        """A copy with other values in some fields, taken as they are."""
        new = object.__new__(type(self))
        new.__dict__.update(self.__dict__, **fields)
        return new

    def __repr__(self) -> str:
        arguments = []
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if field.default is dataclasses.MISSING:
                arguments.append(code_of(value))
            elif not same(value, field.default):
                arguments.append(f"{field.name}={code_of(value)}")
        return f"{self.label}({', '.join(arguments)})"

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        mine, theirs = self.__dict__, other.__dict__
        return mine.keys() == theirs.keys() and all(same(value, theirs[name]) for name, value in mine.items())

    def __hash__(self) -> int:
        return hash((type(self), *(_hashable(value) for value in self.__dict__.values())))


def same(a: Any, b: Any) -> bool:
    """Equality that is never an array: concrete arrays are equal by dtype, shape and values, tracers by identity."""
    if a is b:
        return True
    if type(a) is not type(b) or isinstance(a, Tracer):
        return False
    if isinstance(a, jax.Array | np.ndarray):
        if a.dtype != b.dtype or a.shape != b.shape:
            return False
        a, b = (jax.random.key_data(x) if is_key(x) else x for x in (a, b))
        return bool(np.array_equal(a, b))
    return bool(a == b)


@cache
def field_kinds(record: type[Record]) -> Mapping[str, tuple[Any, bool]]:
    """Field name → (what has a `check`, or its plain type; whether None is allowed), read off the annotations."""
    hints = typing.get_type_hints(record, include_extras=True)
    return {field.name: _kind(hints[field.name]) for field in dataclasses.fields(record)}  # type: ignore[arg-type]


def _kind(hint: Any) -> tuple[Any, bool]:
    if typing.get_origin(hint) is Annotated:
        return next((m for m in hint.__metadata__ if hasattr(m, "check")), hint), False
    alternatives = typing.get_args(hint)
    if type(None) in alternatives:
        rest = [a for a in alternatives if a is not type(None)]
        return (_kind(rest[0])[0] if len(rest) == 1 else hint), True
    return hint, False


def summary(value: Any) -> str:
    """An array by its shape and dtype, anything else as it prints, with its type."""
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"an array of shape {tuple(value.shape)} and dtype {value.dtype}"
    return f"{value!r} ({type(value).__name__})"


def code_of(value: Any) -> str:
    """The code that makes a value; a function by its name."""
    if isinstance(value, jax.Array) and not isinstance(value, Tracer) and value.ndim == 0 and not is_key(value):
        return f"jnp.asarray({value.item()!r}, {str(value.dtype)!r})"
    if isinstance(value, Callable) and not isinstance(value, Record) and hasattr(value, "__qualname__"):
        return value.__qualname__
    return repr(value)


def is_key(array: Any) -> bool:
    """Whether an array holds PRNG keys."""
    return jnp.issubdtype(array.dtype, jax.dtypes.prng_key)


def _hashable(value: Any) -> Any:
    if isinstance(value, Tracer):
        return id(value)
    return (value.shape, str(value.dtype)) if isinstance(value, jax.Array | np.ndarray) else value
