"""Techniques and schedules as data: frozen records that check their fields, print as code and compare by value."""

import dataclasses
import functools
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self, dataclass_transform

import jax
import numpy as np
from jax.core import Tracer

from gradtx._tools._arguments import Idle, bind, kinds_of, refuse_idle
from gradtx._tools._words import code_of, same


@dataclass_transform(frozen_default=True)
class Record:
    """Base of everything that is data: a subclass becomes a frozen dataclass.

    A field is checked when the record is made if its annotation has an `Interval` or another object with a `check`,
    or is `bool` or a `Literal`. Two records are equal if their types and fields are equal. Concrete arrays are compared
    by value, and a tracer equals only itself. Equal records have the same hash, so a record can be a static argument
    of `jax.jit`.

    label: The name of the public function that makes the record.
    idle: Field → the field, or fields, without which it has no effect. A value other than the default is then an error.
    """

    label: ClassVar[str]
    idle: ClassVar[Idle] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        dataclasses.dataclass(frozen=True, eq=False, repr=False)(cls)
        cls.label = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()
        cls.__init__ = _bound(cls.__init__, cls.label)

    def __post_init__(self) -> None:
        for name, kind in kinds_of(type(self)).items():
            if name in vars(self):
                object.__setattr__(self, name, kind.check(f"{self.label}: {name}", getattr(self, name)))
        if self.idle:
            refuse_idle(self.label, inspect.signature(type(self)), vars(self), self.idle)

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
                arguments.append(f"{field.name}={code_of(value)}" if field.kw_only else code_of(value))
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


def _bound(init: Callable[..., None], label: str) -> Callable[..., None]:
    """`init`, whose complaints about missing and unknown arguments name the record as users know it."""
    whole = inspect.signature(init)
    signature = whole.replace(parameters=list(whole.parameters.values())[1:])

    @functools.wraps(init)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        bind(label, signature, args, kwargs)
        init(self, *args, **kwargs)

    return __init__


def _hashable(value: Any) -> Any:
    if isinstance(value, Tracer):
        return id(value)
    return (value.shape, str(value.dtype)) if isinstance(value, jax.Array | np.ndarray) else value
