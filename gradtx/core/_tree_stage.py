"""Stages that work on whole trees: wrappers around other transformations, and foreign ones.

A wrapper holds its transformations in `parts`, may keep `slots` of its own, and runs a part by `run_part`, or by
`run_part_if`, which costs nothing at the steps where the condition does not hold.
"""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar

import jax

from gradtx._tools import run_if
from gradtx.core._rule import Technique


@dataclasses.dataclass(frozen=True)
class TreeAt:
    """What a tree stage may know at this step.

    Attributes:
        step: Updates done before this one, int32.
        count: `step + 1`, int32.
        params: The parameters that reach the stage, None in the place of the others; None if `update` was given none.
        extra: The extra arguments of `update`.
    """

    step: jax.Array
    count: jax.Array
    params: Any
    extra: Mapping[str, Any]


class TreeStage(Technique):
    """A stage that works on whole trees. Subclasses declare fields, `parts` and `slots`, and define `update`.

    Updates come in the dtype of the arithmetic, None where there is nothing to train and for parameters that the stage
    does not see. The state is a dictionary: the states of the parts, and the slots.
    """

    keeps_state: ClassVar[bool] = True  # False for a stage whose `init` gives a state of a form of its own

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.keeps_state = cls.init is TreeStage.init

    def init(self, params: Any) -> Any:
        """The state of a stage whose state is no dictionary of parts and slots."""
        raise NotImplementedError

    def accepts(self) -> frozenset[str]:
        return frozenset[str]().union(*(part._lift.accepts() for part in self.parts().values()))

    def update(self, updates: Any, state: Any, at: TreeAt) -> tuple[Any, Any]:
        """(updates, state)."""
        raise NotImplementedError

    def evaluated(self, params: Any, state: Any, at: TreeAt) -> Any:
        """The parameters to evaluate the model with, given those that are trained; see `evaluation_params`.

        `at.count` is the number of updates done. By default the parts are asked, the last one first.
        """
        for part in reversed(list(self.parts())):
            params = self.evaluated_by(part, params, state)
        return params

    def evaluated_by(self, part: str, params: Any, state: Any) -> Any:
        """The parameters that a part would have the model evaluated with."""
        return self.parts()[part]._lift.evaluated(params, state[part])

    def run_part(self, part: str, updates: Any, state: Any, at: TreeAt) -> tuple[Any, Any]:
        """(updates, the stage's state) after one step of a part."""
        updates, after = self.parts()[part].update(updates, state[part], at.params, **at.extra)
        return updates, state | {part: after}

    def run_part_if(
        self, condition: jax.Array, part: str, updates: Any, state: Any, at: TreeAt, otherwise: Any = None
    ) -> tuple[Any, Any]:
        """`run_part` where the condition holds; elsewhere nothing is computed: (otherwise, state).

        Without `otherwise` the updates pass as they are. No state is copied, and derivatives of both directions exist.
        """
        functions = {name: value for name, value in at.extra.items() if callable(value)}
        arrays = {name: value for name, value in at.extra.items() if name not in functions}

        def step(updates: Any, state: Any, params: Any, arrays: Mapping[str, Any]) -> tuple[Any, Any]:
            return self.parts()[part].update(updates, state, params, **arrays, **functions)

        if otherwise is None:
            updates, after = run_if(condition, step, (updates, state[part]), at.params, arrays)
        else:
            kept = partial(_ignoring_first, step)
            updates, after = run_if(condition, kept, (otherwise, state[part]), updates, at.params, arrays)
        return updates, state | {part: after}


def _ignoring_first(step: Callable[..., Any], _: Any, state: Any, updates: Any, *rest: Any) -> Any:
    return step(updates, state, *rest)
