"""The kinds of fields: what a record or a public function accepts, above all numbers and hyperparameters."""

import dataclasses
import math
import numbers
from collections.abc import Callable
from typing import Annotated, Any, Self, TypeAlias, TypeGuard

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike

from gradtx._tools._record import Record
from gradtx._tools._types import Number
from gradtx._tools._words import code_of, is_key, summary

Change: TypeAlias = Callable[[Any], Any]
"""A function from a number or a schedule to another one, or to an error."""


class Deferred(Record):
    """A record that stands for a number which is known only at a step."""

    def starting(self, change: Change) -> Self:
        """Returns a copy with `change` of the number that the record starts from, if it starts from one."""
        del change
        return self


@dataclasses.dataclass(frozen=True)
class Interval:
    """The range of a numeric field.

    Args:
        low: The lower bound, inclusive unless `above`.
        high: The upper bound, exclusive unless `closed`.
        closed: Whether the upper bound is allowed.
        above: Whether the lower bound is excluded.
        hyper: Whether the field is a hyperparameter, which takes a schedule or `tunable(number)` too.
        whole: Whether the number must be whole. A whole number becomes an int.
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

    def check(self, where: str, value: object) -> Any:
        """Returns `value` in its canonical form: a Python number, a scalar JAX array, a schedule or a tunable.

        Concrete numbers are compared with the range. A tracer has no value yet and is accepted.
        """
        if isinstance(value, Deferred) and self.hyper:
            return value.starting(lambda start: self.check(where, start))
        if callable(value) and self.hyper:
            return value
        if not is_real_scalar(value):
            expected = "a number, a schedule or tunable(number)" if self.hyper else "a number"
            raise TypeError(f"{where} must be {expected}, got {summary(value)}")
        if isinstance(value, Tracer):
            return value
        number = float(value)
        above = self.low < number if self.above else self.low <= number
        if not (above and (number <= self.high if self.closed else number < self.high)):
            raise ValueError(f"{where} must be in {self}, got {_number(value)}")
        if self.whole and not number.is_integer():
            raise ValueError(f"{where} must be a whole number, got {_number(value)}")
        if isinstance(value, jax.Array):
            return value
        # The sum -0.0 + 0.0 is 0.0. The two compare equal, so one compiled function serves both.
        whole = self.whole or (isinstance(value, numbers.Integral) and not self.hyper)
        return int(value) if whole else number + 0.0


def _limit(x: float) -> str:
    """A bound as text. A large power of two becomes `2**31`."""
    power = math.frexp(x)[1] - 1 if x > 2**20 and math.isfinite(x) else 0
    return f"2**{power}" if power and x == 2**power else f"{x:g}"


def _number(value: Number) -> str:
    return repr(value.item() if isinstance(value, jax.Array | np.ndarray | np.generic) else value)


class Seed:
    """The kind of a field that holds an integer seed or a PRNG key."""

    def check(self, where: str, value: object) -> Any:
        """Returns a Python int, a scalar typed key, or a traced seed."""
        if isinstance(value, jax.Array) and value.shape == () and is_key(value):
            return value
        if isinstance(value, jax.Array) and value.shape == (2,) and value.dtype == jnp.uint32:  # jax.random.PRNGKey
            return jax.random.wrap_key_data(value)
        integral = isinstance(value, numbers.Integral)
        if not is_real_scalar(value) or not (integral or jnp.issubdtype(jnp.result_type(value), jnp.integer)):
            raise TypeError(f"{where} must be an integer seed or a key made by jax.random.key, got {summary(value)}")
        if isinstance(value, Tracer):
            return value
        if not 0 <= int(value) < 2**32:  # JAX would truncate it
            raise ValueError(f"{where} must be a seed in [0, 2**32), got {int(value)}")
        return int(value)


def typed_key(seed: int | jax.Array) -> jax.Array:
    """The PRNG key of a field of the kind `Seed`."""
    if isinstance(seed, jax.Array) and is_key(seed):
        return seed
    return jax.random.key(np.uint32(seed) if isinstance(seed, int) else seed)


def folded_key(seed: int | jax.Array, *numbers: ArrayLike) -> jax.Array:
    """A key that depends on a seed and on the numbers of the place where it is used, such as the step."""
    key = typed_key(seed)
    for number in numbers:
        key = jax.random.fold_in(key, number)
    return key


class Identifier:
    """The kind of a field that holds a name."""

    def check(self, where: str, value: object) -> str | None:
        """Returns `value`, a Python identifier or None."""
        if value is None or (isinstance(value, str) and value.isidentifier()):
            return value
        raise ValueError(f"{where} must be an identifier, got {code_of(value)}")


Name: TypeAlias = Annotated[Any, Identifier()]
"""The name of a hyperparameter in the state, or None."""


def is_real_scalar(value: object) -> TypeGuard[Number]:
    """Whether `value` is a real number and not a bool: a Python, NumPy or JAX scalar, concrete or traced."""
    if isinstance(value, bool | np.bool_):
        return False
    if isinstance(value, jax.Array | np.ndarray | np.generic):
        real = jnp.issubdtype(value.dtype, jnp.floating) or jnp.issubdtype(value.dtype, jnp.integer)
        return real and value.ndim == 0
    return isinstance(value, numbers.Real)


def is_zero(value: object) -> bool:
    """Whether `value` is None, or zero at every step. A schedule, a tunable or a JAX array can have other values."""
    return value is None or (is_real_scalar(value) and not isinstance(value, jax.Array) and bool(value == 0))


# The ranges that many fields share. Inside `update` a field is always a number, hence Any for the type checker.
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
LearningRate: TypeAlias = Annotated[Any, Interval(0.0)]
"""A step size η ≥ 0, finite."""

Count: TypeAlias = Annotated[int, Interval(1, 2**31, hyper=False, whole=True)]
"""A whole number in [1, 2³¹), such as a number of steps."""
CountFromZero: TypeAlias = Annotated[int, Interval(0, 2**31, hyper=False, whole=True)]
"""A whole number in [0, 2³¹)."""

Key: TypeAlias = Annotated[Any, Seed()]
"""An integer seed in [0, 2³²), or a key made by `jax.random.key`."""
