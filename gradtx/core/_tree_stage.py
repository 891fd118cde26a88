"""Stages that work on whole trees: wrappers around other transformations, and transformations of other libraries.

A wrapper declares its transformations in `parts` and its arrays in `slots`. It runs a part by `run_part`, or by
`run_part_if`, which costs nothing at a step if the condition does not hold.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import jax

from gradtx._tools import Rounding, Tree, flatten, run_if
from gradtx.core._rule import Technique
from gradtx.core._state import State


@dataclasses.dataclass(frozen=True)
class TreeAt:
    """The inputs of a tree stage at one step, besides the updates and its state.

    Attributes:
        step: The number of updates done before this one, int32.
        count: `step + 1`, int32.
        params: The parameters that the stage sees, with None in the place of the others. None if `update` got none.
        extra: The extra arguments of `update`.
        final: How the last stage rounds new parameters, if it `applies` its updates; None if it returns updates.
    """

    step: jax.Array
    count: jax.Array
    params: Any
    extra: Mapping[str, Any]
    final: tuple[Rounding, jax.Array | None] | None = None


class TreeStage(Technique):
    """A technique for whole trees. Subclasses declare fields, `parts` and `slots`, and define `update`.

    Updates arrive in the dtype of the arithmetic. None is in the place of leaves that are not trained, and of
    parameters that the stage does not see. The state is a dictionary: the states of the parts, and the slots.

    Attributes:
        keeps_state: False if the class defines `init`, because its state is not such a dictionary.
        applies: Whether `update` returns new parameters in the place of updates if `at.final` is given. Such a stage
            can leave the parameters alone at a step, where an update of zeros would be added.
    """

    keeps_state: ClassVar[bool] = True
    applies: ClassVar[bool] = False

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        cls.keeps_state = cls.init is TreeStage.init

    def init(self, params: Tree) -> Tree:
        """The state before the first step, for a stage whose state is no dictionary of parts and slots."""
        raise NotImplementedError

    def accepts(self) -> frozenset[str]:
        return frozenset[str]().union(*(part._lift.accepts() for part in self.parts().values()))

    def update(self, updates: Tree, state: Any, at: TreeAt) -> tuple[Tree, Tree]:
        """Returns (updates, state)."""
        raise NotImplementedError

    def evaluated(self, params: Tree, state: Any, at: TreeAt) -> Tree:
        """The parameters for evaluating the model, given the trained ones; see `evaluation_params`.

        `at.count` is the number of updates done. By default the parts are asked, the last one first.
        """
        for part in reversed(list(self.parts())):
            params = self.evaluated_by(part, params, state)
        return params

    def evaluated_by(self, part: str, params: Tree, state: Mapping[str, Any]) -> Any:
        """The parameters for evaluating the model, according to one part."""
        return self.parts()[part]._lift.evaluated(params, state[part])

    def run_part(self, part: str, updates: Tree, state: Mapping[str, Any], at: TreeAt) -> tuple[Any, dict[str, Any]]:
        """Runs one step of a part. Returns (updates, the stage's state)."""
        updates, after = self.parts()[part]._lift.update(updates, state[part], at.params, **at.extra)
        return updates, dict(state) | {part: after}

    def run_part_if(
        self,
        condition: jax.Array,
        part: str,
        updates: Tree,
        state: Mapping[str, Tree],
        at: TreeAt,
        otherwise: Tree = None,
        make: Callable[[Any], Any] = lambda updates: updates,
    ) -> tuple[Any, dict[str, Any]]:
        """Runs one step of a part if the condition holds. Otherwise computes nothing, and returns (otherwise, state).

        Without `otherwise`, the updates pass unchanged. With `at.final`, the result is the new parameters, or the old
        ones. No state is copied, and derivatives of both directions exist. The part sees `make(updates)`, which exists
        only if the condition holds.
        """
        lift = self.parts()[part]._lift
        functions = {name: value for name, value in at.extra.items() if callable(value)}
        arrays = {name: value for name, value in at.extra.items() if name not in functions}
        rounding, key = at.final or ("nearest", None)

        def step(_: Tree, state: State, updates: Tree, params: Tree, arrays: Mapping[str, object]) -> Any:
            return lift.update(make(updates), state, params, **arrays, **functions)

        def passing(updates: Tree, state: State, params: Tree, arrays: Mapping[str, object]) -> Any:
            return lift.update(updates, state, params, **arrays, **functions)

        def applied(params: Tree, state: State, updates: Tree, arrays: Mapping[str, object]) -> Any:
            return lift.run(make(updates), state, params, {**arrays, **functions}, rounding, key)

        if at.final is not None:
            flat, given = flatten(at.params), flatten(jax.eval_shape(make, updates)).leaves
            trained = [None if u is None else p for p, u in zip(flat.leaves, given, strict=True)]
            updates, after = run_if(condition, applied, (flat.unflatten(trained), state[part]), updates, arrays)
        elif otherwise is None:
            updates, after = run_if(condition, passing, (updates, state[part]), at.params, arrays)
        else:
            updates, after = run_if(condition, step, (otherwise, state[part]), updates, at.params, arrays)
        return updates, dict(state) | {part: after}
