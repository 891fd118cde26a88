"""Hyperparameters: the numeric fields of a record that can be numbers, schedules, or values in the state of a chain."""

import inspect
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Self, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from gradtx._tools._arguments import kinds_of
from gradtx._tools._kinds import Change, Deferred, Interval, Name
from gradtx._tools._per_group import PerGroup
from gradtx._tools._record import Record
from gradtx._tools._words import same

HyperState: TypeAlias = Any
"""What a hyperparameter has in the state: a scalar array, or a dictionary of scalar arrays."""


def hyperparameters(record: type[Record]) -> Mapping[str, Interval]:
    """The hyperparameters among the fields of a record: field → its range."""
    kinds = {name: kind for name, (kind, _) in kinds_of(record).items()}
    return {name: kind for name, kind in kinds.items() if isinstance(kind, Interval) and kind.hyper}


class Stateful(Deferred):
    """A hyperparameter whose value is kept in the state of the chain. Subclasses declare a field `name`.

    Attributes:
        follows_metric: Whether the hyperparameter needs the extra argument `value` of `update`. This argument is a
            metric, or None at a step without one.
    """

    follows_metric: ClassVar[bool] = False

    def key(self, stage: str, field: str) -> str:
        """The key in `state.hyperparams`: the name, or by default "stage.field". Equal keys share one entry."""
        return vars(self)["name"] or f"{stage}.{field}"

    def under(self, name: str) -> Self:
        """Returns a copy with this name, if the hyperparameter has none."""
        return self if vars(self)["name"] else self.replace({"name": name})

    def init(self) -> HyperState:
        """The entry in the state before the first step: a scalar, or a dictionary of scalars."""
        raise NotImplementedError

    def observe(self, state: HyperState, metric: ArrayLike, step: jax.Array) -> HyperState:
        """The entry in the state after a metric, which is a real scalar, was observed at `step`."""
        raise NotImplementedError

    def now(self, state: HyperState, step: jax.Array) -> ArrayLike:
        """The value at `step`, given the entry in the state."""
        raise NotImplementedError


class Tunable(Stateful):
    """A hyperparameter that the user changes during a run. The function `tunable` makes it."""

    value: Annotated[Any, Interval(closed=True, hyper=False)]
    name: Name = None

    def init(self) -> jax.Array:
        return jnp.asarray(self.value, jnp.float32)

    def now(self, state: jax.Array, step: jax.Array) -> jax.Array:
        return state

    def starting(self, change: Change) -> "Tunable":
        value = change(self.value)
        if isinstance(value, float) and (rounded := float(np.float32(value))) != value:
            try:
                change(rounded)
            except ValueError as error:
                raise ValueError(f"{error}, to which float32 rounds {value!r}") from None
        return Tunable(value, self.name)


def tunable(value: float | jax.Array, name: str | None = None) -> Tunable:
    """Makes a hyperparameter that can be changed during a run without a new compilation.

    The value is a float32 scalar in `state.hyperparams`, and `set_hyperparams` changes it.

    Args:
        value: The first value, a real number.
        name: A name in the state. Tunables with the same name are one hyperparameter. By default, the name is that of
            the stage and the field, such as "scale_by_learning_rate.learning_rate".

    >>> import gradtx as gx
    >>> gx.adam(gx.tunable(1e-3))
    chain(scale_by_adam(), scale_by_learning_rate(tunable(0.001)))
    """
    return Tunable(value, name)


def kept(stage: str, field: str, value: object) -> Iterator[tuple[str, Stateful]]:
    """The parts of a hyperparameter that live in the state, each with its key: none, one, or one for each group."""
    if isinstance(value, Stateful):
        yield value.key(stage, field), value
    elif isinstance(value, PerGroup):
        for label, one in value.labelled().items():
            yield from kept(value.prefix(stage, field), label, one)


def stateful(records: Mapping[str, Record]) -> dict[str, Stateful]:
    """The hyperparameters of all stages that live in the state: key in the state → hyperparameter.

    Args:
        records: Stage name → its technique.

    Raises:
        ValueError: Two different hyperparameters have the same key.
    """
    by_key: dict[str, Stateful] = {}
    for name, record in records.items():
        for field in hyperparameters(type(record)):
            for key, value in kept(name, field, getattr(record, field)):
                first = by_key.setdefault(key, value)
                if not same(first, value):
                    raise ValueError(f"{name}: {field} is {value}, but {first} has the same name; rename one of them")
    return by_key


def signature_of(record: type[Record], returns: str) -> inspect.Signature:
    """The signature of the public function of a record. A hyperparameter is shown as `b1: 'Hyper' = 0.9`.

    The docstring has the ranges.
    """
    hyper, signature = hyperparameters(record), inspect.signature(record)
    fields = [p.replace(annotation="Hyper") if p.name in hyper else p for p in signature.parameters.values()]
    return signature.replace(parameters=fields, return_annotation=returns)
