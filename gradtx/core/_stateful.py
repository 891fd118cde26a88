"""Hyperparameters that have a place in the state."""

from typing import Any, ClassVar, Self

import jax

from gradtx._tools import Deferred


class Stateful(Deferred):
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

    def observe(self, state: Any, metric: Any, step: jax.Array) -> Any:
        """What it keeps after it has seen a metric, any real scalar, at `step`."""
        raise NotImplementedError

    def now(self, state: Any, step: jax.Array) -> Any:
        """Its value at `step`."""
        raise NotImplementedError
