"""Techniques and schedules as data: frozen records that check their fields, print as code and compare by value."""

import dataclasses
import math
import numbers
import re
import typing
from collections.abc import Callable, Mapping
from functools import cache
from typing import Annotated, Any, ClassVar, Self, TypeAlias, dataclass_transform

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer


@dataclasses.dataclass(frozen=True)
class Interval:
    """The range of a numeric field: `low <= value < high`; `<= high` where `closed`, `low <` where `above`.

    A `hyper` field is a hyperparameter: besides a number it takes a schedule or `tunable(number)`. A `whole` number is
    an int.
    """

    low: float = -math.inf
    high: float = math.inf
    closed: bool = False
    above: bool = False
    hyper: bool = True
    whole: bool = False

    def __str__(self) -> str:
        low = f"{'(' if self.above or self.low == -math.inf else '['}{self.low:g}"
        return f"{low}, {self.high:g}{']' if self.closed else ')'}"

    @property
    def kinds(self) -> str:
        return "a number, a schedule or tunable(number)" if self.hyper else "a number"

    def check(self, where: str, value: Any) -> Any:
        """`value` in its canonical form: a Python number, a scalar JAX array, a schedule or a tunable.

        Concrete numbers are held against the range; a tracer has no value yet, and passes.
        """
        if isinstance(value, Stateful) and self.hyper:
            return value.starting(lambda start: self.check(where, start))
        if callable(value) and self.hyper:
            return value
        if not is_real_scalar(value):
            raise TypeError(f"{where} must be {self.kinds}, got {_summary(value)}")
        if isinstance(value, Tracer):
            return value
        number = float(value)  # type: ignore[arg-type]
        above = self.low < number if self.above else self.low <= number
        if not (above and (number <= self.high if self.closed else number < self.high)):
            raise ValueError(f"{where} must be in {self}, got {number:g}")
        if self.whole and not number.is_integer():
            raise ValueError(f"{where} must be a whole number, got {number:g}")
        if isinstance(value, jax.Array):
            return value
        # -0.0 + 0.0 is 0.0: the two compare equal, so one compiled function serves both.
        whole = self.whole or (isinstance(value, numbers.Integral) and not self.hyper)
        return int(value) if whole else number + 0.0  # type: ignore[arg-type]


class Seed:
    """The kind of a field that holds an integer seed or a PRNG key."""

    def check(self, where: str, value: Any) -> Any:
        """A Python int, a scalar typed key, or a traced seed."""
        if isinstance(value, jax.Array) and value.shape == () and _is_key(value):
            return value
        if isinstance(value, jax.Array) and value.shape == (2,) and value.dtype == jnp.uint32:  # jax.random.PRNGKey
            return jax.random.wrap_key_data(value)
        whole = is_real_scalar(value) and (
            isinstance(value, numbers.Integral) or jnp.issubdtype(jnp.result_type(value), jnp.integer)
        )
        if not whole:
            raise TypeError(f"{where} must be an integer seed or a key made by jax.random.key, got {_summary(value)}")
        if isinstance(value, Tracer):
            return value
        if not 0 <= int(value) < 2**32:  # JAX would truncate it
            raise ValueError(f"{where} must be a seed in [0, 2**32), got {int(value)}")
        return int(value)


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
        for name, (kind, optional) in _field_kinds(type(self)).items():
            value, where = getattr(self, name), f"{self.label}: {name}"
            if value is None and optional:
                continue
            if hasattr(kind, "check"):
                object.__setattr__(self, name, kind.check(where, value))
            elif kind is bool and not isinstance(value, bool):
                raise TypeError(f"{where} must be True or False, got {_summary(value)}")
            elif typing.get_origin(kind) is typing.Literal and value not in typing.get_args(kind):
                raise ValueError(f"{where} must be one of {', '.join(typing.get_args(kind))}, got {value!r}")

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
                arguments.append(_code(value))
            elif not same(value, field.default):
                arguments.append(f"{field.name}={_code(value)}")
        return f"{self.label}({', '.join(arguments)})"

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        mine, theirs = self.__dict__, other.__dict__
        return mine.keys() == theirs.keys() and all(same(value, theirs[name]) for name, value in mine.items())

    def __hash__(self) -> int:
        return hash((type(self), *(_hashable(value) for value in self.__dict__.values())))


class Stateful(Record):
    """A hyperparameter that has a place in the state. Subclasses declare a field `name`, and:

    follows_metric: whether it needs the extra argument `value` of `update`, a metric, or None at a step without one.
    """

    follows_metric: ClassVar[bool] = False

    def key(self, stage: str, field: str) -> str:
        """Its entry in `state.hyperparams`, given where it stands; all that have one name are one."""
        return vars(self)["name"] or f"{stage}.{field}"

    def under(self, name: str) -> Self:
        """A copy of that name, if it has none."""
        return self if vars(self)["name"] else self.replace({"name": name})

    def init(self) -> Any:
        """What it keeps: a scalar, or a dictionary of scalars."""
        raise NotImplementedError

    def observe(self, state: Any, metric: jax.Array, step: jax.Array) -> Any:
        """What it keeps after it has seen a metric at `step`."""
        raise NotImplementedError

    def now(self, state: Any, step: jax.Array) -> Any:
        """Its value at `step`."""
        raise NotImplementedError

    def starting(self, change: Callable[[Any], Any]) -> Self:
        """A copy that starts from `change` of its value, where it starts from one."""
        del change
        return self


class Identifier:
    """The kind of a field that holds a name."""

    def check(self, where: str, value: Any) -> Any:
        if value is not None and not (isinstance(value, str) and value.isidentifier()):
            raise ValueError(f"{where} must be an identifier, got {value!r}")
        return value


Name: TypeAlias = Annotated[Any, Identifier()]
"""A name of one's own for a hyperparameter in the state, or None."""


def hyperparameters(record: type[Record]) -> Mapping[str, Interval]:
    """The hyperparameters among the fields of `record`, with their ranges."""
    kinds = _field_kinds(record)
    return {name: kind for name, (kind, _) in kinds.items() if isinstance(kind, Interval) and kind.hyper}


def is_real_scalar(value: Any) -> bool:
    """Whether `value` is a number: a Python, NumPy or JAX scalar, real and not a bool, concrete or traced."""
    if isinstance(value, bool | np.bool_):
        return False
    if isinstance(value, jax.Array | np.ndarray | np.generic):
        real = jnp.issubdtype(value.dtype, jnp.floating) or jnp.issubdtype(value.dtype, jnp.integer)
        return real and value.ndim == 0
    return isinstance(value, numbers.Real)


def is_zero(value: Any) -> bool:
    """Whether there is none of it, whatever the step: a schedule, a tunable or a JAX array may be more than 0."""
    return value is None or (is_real_scalar(value) and not isinstance(value, jax.Array) and bool(value == 0))


def same(a: Any, b: Any) -> bool:
    """Equality that is never an array: concrete arrays are equal by dtype, shape and values, tracers by identity."""
    if a is b:
        return True
    if type(a) is not type(b) or isinstance(a, Tracer):
        return False
    if isinstance(a, jax.Array | np.ndarray):
        if a.dtype != b.dtype or a.shape != b.shape:
            return False
        a, b = (jax.random.key_data(x) if _is_key(x) else x for x in (a, b))
        return bool(np.array_equal(a, b))
    return bool(a == b)


@cache
def _field_kinds(record: type[Record]) -> Mapping[str, tuple[Any, bool]]:
    """Field name → (its `Interval` or plain type, whether None is allowed), read off the annotations."""
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


def _summary(value: Any) -> str:
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"an array of shape {tuple(value.shape)} and dtype {value.dtype}"
    return f"{value!r} ({type(value).__name__})"


def _code(value: Any) -> str:
    if isinstance(value, jax.Array) and not isinstance(value, Tracer) and value.ndim == 0 and not _is_key(value):
        return f"jnp.asarray({value.item()!r}, {str(value.dtype)!r})"
    if isinstance(value, Callable) and not isinstance(value, Record) and hasattr(value, "__qualname__"):
        return value.__qualname__
    return repr(value)


def _is_key(array: Any) -> bool:
    return jnp.issubdtype(array.dtype, jax.dtypes.prng_key)


def _hashable(value: Any) -> Any:
    if isinstance(value, Tracer):
        return id(value)
    return (value.shape, str(value.dtype)) if isinstance(value, jax.Array | np.ndarray) else value
