"""The kinds of fields: what a record checks when it is made, numbers and hyperparameters above all."""

import dataclasses
import math
import numbers
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Self, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from gradtx._tools._arguments import kinds_of
from gradtx._tools._record import Record
from gradtx._tools._words import code_of, is_key, summary


class Deferred(Record):
    """A record that stands for a number whose value is known only at a step."""

    def starting(self, change: Callable[[Any], Any]) -> Self:
        """A copy that starts from `change` of its number, if it starts from one."""
        del change
        return self


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
        low = f"{'(' if self.above or self.low == -math.inf else '['}{_limit(self.low)}"
        return f"{low}, {_limit(self.high)}{']' if self.closed else ')'}"

    @property
    def kinds(self) -> str:
        return "a number, a schedule or tunable(number)" if self.hyper else "a number"

    def check(self, where: str, value: Any) -> Any:
        """`value` in its canonical form: a Python number, a scalar JAX array, a schedule or a tunable.

        Concrete numbers are held against the range; a tracer has no value yet, and passes.
        """
        if isinstance(value, Deferred) and self.hyper:
            return value.starting(lambda start: self.check(where, start))
        if callable(value) and self.hyper:
            return value
        if not is_real_scalar(value):
            raise TypeError(f"{where} must be {self.kinds}, got {summary(value)}")
        if isinstance(value, Tracer):
            return value
        number = float(value)  # type: ignore[arg-type]
        above = self.low < number if self.above else self.low <= number
        if not (above and (number <= self.high if self.closed else number < self.high)):
            raise ValueError(f"{where} must be in {self}, got {_number(value)}")
        if self.whole and not number.is_integer():
            raise ValueError(f"{where} must be a whole number, got {_number(value)}")
        if isinstance(value, jax.Array):
            return value
        # -0.0 + 0.0 is 0.0: the two compare equal, so one compiled function serves both.
        whole = self.whole or (isinstance(value, numbers.Integral) and not self.hyper)
        return int(value) if whole else number + 0.0  # type: ignore[arg-type]


def _limit(x: float) -> str:
    """A large power of two as `2**31`."""
    power = math.frexp(x)[1] - 1 if x > 2**20 and math.isfinite(x) else 0
    return f"2**{power}" if power and x == 2**power else f"{x:g}"


def _number(value: Any) -> str:
    return repr(value.item() if hasattr(value, "item") else value)


class Seed:
    """The kind of a field that holds an integer seed or a PRNG key."""

    def check(self, where: str, value: Any) -> Any:
        """A Python int, a scalar typed key, or a traced seed."""
        if isinstance(value, jax.Array) and value.shape == () and is_key(value):
            return value
        if isinstance(value, jax.Array) and value.shape == (2,) and value.dtype == jnp.uint32:  # jax.random.PRNGKey
            return jax.random.wrap_key_data(value)
        whole = is_real_scalar(value) and (
            isinstance(value, numbers.Integral) or jnp.issubdtype(jnp.result_type(value), jnp.integer)
        )
        if not whole:
            raise TypeError(f"{where} must be an integer seed or a key made by jax.random.key, got {summary(value)}")
        if isinstance(value, Tracer):
            return value
        if not 0 <= int(value) < 2**32:  # JAX would truncate it
            raise ValueError(f"{where} must be a seed in [0, 2**32), got {int(value)}")
        return int(value)


def typed_key(seed: Any) -> jax.Array:
    """What a field of the kind `Seed` holds, as a PRNG key."""
    if isinstance(seed, jax.Array) and is_key(seed):
        return seed
    return jax.random.key(np.uint32(seed) if isinstance(seed, int) else seed)


class Identifier:
    """The kind of a field that holds a name."""

    def check(self, where: str, value: Any) -> Any:
        if value is not None and not (isinstance(value, str) and value.isidentifier()):
            raise ValueError(f"{where} must be an identifier, got {code_of(value)}")
        return value


Name: TypeAlias = Annotated[Any, Identifier()]
"""A name of one's own for a hyperparameter in the state, or None."""


def hyperparameters(record: type[Record]) -> Mapping[str, Interval]:
    """The hyperparameters among the fields of `record`, with their ranges."""
    kinds = {name: kind for name, (kind, _) in kinds_of(record).items()}
    return {name: kind for name, kind in kinds.items() if isinstance(kind, Interval) and kind.hyper}


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


# The ranges that many fields share. Inside `update` a field is always a plain value, hence Any for the type checker.
Decay: TypeAlias = Annotated[Any, Interval(0.0, 1.0)]
"""Decay rate of an average, in [0, 1)."""
Fraction: TypeAlias = Annotated[Any, Interval(0.0, 1.0, closed=True)]
"""A number in [0, 1]."""
NonNegative: TypeAlias = Annotated[Any, Interval(0.0)]
"""A finite number ≥ 0."""
Bound: TypeAlias = Annotated[Any, Interval(0.0, float("inf"), closed=True)]
"""A bound ≥ 0; infinity means no bound."""
Real: TypeAlias = Annotated[Any, Interval()]
"""Any finite number."""

Key: TypeAlias = Annotated[Any, Seed()]
"""An integer seed in [0, 2³²), or a key made by `jax.random.key`."""
