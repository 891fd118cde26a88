"""Hyperparameters that the user changes during a run."""

from collections.abc import Callable
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np

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
        value = change(self.value)
        if isinstance(value, float) and (kept := float(np.float32(value))) != value:
            try:
                change(kept)
            except ValueError as error:
                raise ValueError(f"{error}, to which float32 rounds {value!r}") from None
        return Tunable(value, self.name)


def tunable(value: float | jax.Array, name: str | None = None) -> Tunable:
    """Makes a hyperparameter that can be changed during a run, without a new compilation.

    The state keeps it as a float32 scalar in `state.hyperparams`, and `set_hyperparams` changes it.

    Args:
        value: The first value.
        name: A name in the state. Tunables with the same name are one hyperparameter. By default, each tunable has the
            name of its stage and field, such as "scale_by_learning_rate.learning_rate".

    >>> import gradtx as gx
    >>> gx.adam(gx.tunable(1e-3))
    chain(scale_by_adam(), scale_by_learning_rate(tunable(0.001)))
    """
    return Tunable(value, name)
