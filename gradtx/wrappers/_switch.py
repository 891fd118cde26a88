"""One transformation until a step, and another from that step on."""

from collections.abc import Mapping
from dataclasses import KW_ONLY
from functools import partial
from typing import Annotated, Any, TypeAlias

import jax
import jax.numpy as jnp

from gradtx._tools import Tree
from gradtx.core import Interval, Part, TreeAt, TreeStage, as_transformation

# Inside `update` it is always a plain value, hence Any for the type checker.
SwitchStep: TypeAlias = Annotated[Any, Interval(0, 2**31, whole=True)]
"""A step in [0, 2³¹)."""


class Switch(TreeStage):
    """The transformation `first` runs before the step `at`, and `second` from that step on.

    `second` begins at its step 0 with empty slots. Only one of the two is computed at a step, and the switch needs no
    new compilation. The state has the states of both, under "first" and "second".

    Args:
        first: A transformation of gradtx or optax.
        second: Another one.
        at: A whole number in [0, 2³¹), or `tunable(step)`, or `schedules.plateau` or `schedules.target`, which give the
            step when a metric is reached.

    The idea is from Keskar & Socher 2017, arXiv:1712.07628, who switch from Adam to SGD because SGD generalises better.
    They measure the step and the learning rate of SGD; here both are given.

    >>> import gradtx as gx
    >>> gx.switch(gx.adam(1e-3), gx.sgd(0.1), at=1000)
    switch(chain(scale_by_adam(), scale_by_learning_rate(0.001)), scale_by_learning_rate(0.1), at=1000)
    """

    first: Part
    second: Part
    _: KW_ONLY
    at: SwitchStep

    def parts(self) -> Mapping[str, Any]:
        return {"first": self.first, "second": self.second}

    def update(self, updates: Tree, state: Mapping[str, Tree], at: TreeAt) -> tuple[Any, Any]:
        on = self._is_second(at)
        updates, state = self.run_part_if(~on, "first", updates, state, at)
        return self.run_part_if(on, "second", updates, state, at)

    def evaluated(self, params: Tree, state: Mapping[str, Tree], at: TreeAt) -> Any:
        first, second = (partial(self.evaluated_by, part, params, state) for part in ("first", "second"))
        return jax.lax.cond(self._is_second(at), second, first)

    def _is_second(self, at: TreeAt) -> jax.Array:
        return at.step >= jnp.asarray(self.at, jnp.int32)


switch = as_transformation(Switch)
