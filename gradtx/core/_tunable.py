"""Hyperparameters that are changed by hand."""

from collections.abc import Callable
from typing import Annotated, Any

import jax
import jax.numpy as jnp

from gradtx._tools import Interval, Name
from gradtx.core._stateful import Stateful


class Tunable(Stateful):
    """A hyperparameter that lives in the state, made by `tunable`."""

    value: Annotated[Any, Interval(closed=True, hyper=False)]
    name: Name = None

    def init(self) -> jax.Array:
        return jnp.asarray(self.value, jnp.float32)

    def now(self, state: Any, step: jax.Array) -> Any:
        return state

    def starting(self, change: Callable[[Any], Any]) -> "Tunable":
        return Tunable(change(self.value), self.name)


def tunable(value: float | jax.Array, name: str | None = None) -> Tunable:
    """A hyperparameter kept in `state.hyperparams` as a float32 scalar, starting at `value`.

    `set_hyperparams` changes it in mid-run without a new compilation. All that have one `name` are one hyperparameter;
    without a name it is that of its stage and field alone.

    >>> import gradtx as gx
    >>> gx.adam(gx.tunable(1e-3))
    chain(scale_by_adam(), scale_by_learning_rate(tunable(0.001)))
    """
    return Tunable(value, name)
