"""One transformation until a moment, another from then on."""

from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias

import jax
import jax.numpy as jnp

from gradtx.core import Interval, Part, TreeAt, TreeStage, as_transformation

Moment: TypeAlias = Annotated[Any, Interval(0, 2**31, whole=True)]
"""A step in [0, 2³¹)."""


class Switch(TreeStage):
    """`first` at the steps before `at`, `second` from then on, which begins at its own step 0 with its own empty slots.

    Only one of the two is computed at a step, and nothing is compiled at the switch. The states of both stay readable
    in the state, under "first" and "second".

    Args:
        first: A transformation, also one of optax's.
        second: Another.
        at: A step; `tunable(step)`; or what gives one when a metric says so, `schedules.plateau` or `schedules.target`.

    As Keskar & Socher 2017, arXiv:1712.07628, who switch from Adam to SGD for the sake of generalisation, at a step and
    to a rate that they measure.

    >>> import gradtx as gx
    >>> gx.switch(gx.adam(1e-3), gx.sgd(0.1), at=1000)
    switch(chain(scale_by_adam(), scale_by_learning_rate(0.001)), scale_by_learning_rate(0.1), 1000)
    """

    first: Part
    second: Part
    at: Moment

    def parts(self) -> Mapping[str, Any]:
        return {"first": self.first, "second": self.second}

    def update(self, updates: Any, state: Any, at: TreeAt) -> tuple[Any, Any]:
        on = self._is_second(at)
        updates, state = self.run_part_if(~on, "first", updates, state, at)
        return self.run_part_if(on, "second", updates, state, at)

    def evaluated(self, params: Any, state: Any, at: TreeAt) -> Any:
        first, second = (lambda part=part: self.evaluated_by(part, params, state) for part in ("first", "second"))
        return jax.lax.cond(self._is_second(at), second, first)

    def _is_second(self, at: TreeAt) -> jax.Array:
        return at.step >= jnp.asarray(self.at, jnp.int32)


switch = as_transformation(Switch)
