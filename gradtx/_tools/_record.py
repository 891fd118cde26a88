"""Frozen records that check their fields, print as the code that makes them, and compare by value."""

import dataclasses
import functools
import inspect
import re
from collections.abc import Callable, Mapping
from typing import ClassVar, Self, dataclass_transform

import jax
import numpy as np
from jax.core import Tracer

from gradtx._tools._arguments import Idle, bind, kinds_of, refuse_idle
from gradtx._tools._words import code_of, same


@dataclass_transform(frozen_default=True)
class Record:
    """The base class of techniques and schedules: a subclass becomes a frozen dataclass.

    A field is checked when the record is made if its annotation has an `Interval` or another object with a `check`,
    or is `bool` or a `Literal`. Two records are equal if their types and fields are equal. Concrete arrays are compared
    by value, and a tracer equals only itself. Equal records have the same hash, so a record can be a static argument
    of `jax.jit`.

    Attributes:
        label: The name of the public function that makes the record. By default, the class name in snake case.
        idle: Field → the field, or fields, without which it has no effect. A value other than the default is an error.
    """

    label: ClassVar[str]
    idle: ClassVar[Idle] = {}
    _signature: ClassVar[inspect.Signature]  # of the class; to find it at each call would cost more than the checks

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        dataclasses.dataclass(frozen=True, eq=False, repr=False)(cls)
        cls.label = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()
        cls._signature = inspect.signature(cls)
        cls.__init__ = _bound(cls.__init__, cls.label, cls._signature)

    def __post_init__(self) -> None:
        for name, kind in kinds_of(type(self)).items():
            if name in vars(self):
                object.__setattr__(self, name, kind.check(f"{self.label}: {name}", getattr(self, name)))
        if self.idle:
            refuse_idle(self.label, self._signature, vars(self), self.idle)

    def replace(self, fields: Mapping[str, object]) -> Self:
        """Returns a copy with other values in some fields. The values are not checked."""
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
        fields, others = self.__dict__, other.__dict__
        return fields.keys() == others.keys() and all(same(value, others[name]) for name, value in fields.items())

    def __hash__(self) -> int:
        return hash((type(self), *(_hashable(value) for value in self.__dict__.values())))


def _bound(init: Callable[..., None], label: str, signature: inspect.Signature) -> Callable[..., None]:
    """The method `init` with errors about missing and unknown arguments that name the public function."""

    @functools.wraps(init)
    def __init__(self: Record, *args: object, **kwargs: object) -> None:
        bind(label, signature, args, kwargs)
        init(self, *args, **kwargs)

    return __init__


def _hashable(value: object) -> object:
    if isinstance(value, Tracer):
        return id(value)
    return (value.shape, str(value.dtype)) if isinstance(value, jax.Array | np.ndarray) else value
