"""Stages that work on whole trees: wrappers around other transformations, and foreign ones.

A wrapper holds its transformations in `parts`, may keep `slots` of its own, and runs a part by `run_part`, or by
`run_part_if`, which costs nothing at the steps where the condition does not hold.
"""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from gradtx._tools import flatten, is_trainable
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
        for part, inner in reversed(list(self.parts().items())):
            params = inner._lift.evaluated(params, state[part])
        return params

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


def map_trained(f: Callable[..., Any], tree: Any, *rest: Any) -> Any:
    """The tree of `f` of the trained leaves of all trees, None in the place of what is not trained."""
    flat, others = flatten(tree), [flatten(other).leaves for other in rest]
    leaves = zip(flat.leaves, *others, strict=True)
    return flat.unflatten([f(*xs) if is_trainable(xs[0]) else None for xs in leaves])


def run_if(condition: jax.Array, run: Callable[..., Any], carry: Any, *given: Any) -> Any:
    """`run(*carry, *given)` where the condition holds, else `carry`, of the same structure, shapes and dtypes.

    The results of `lax.cond` are copied. A loop that turns once or not at all works in place, but has no reverse
    derivative. So the loop computes the value, and `lax.cond` the derivative.
    """
    # What hyperparameters are traced becomes an argument, for the sake of the derivative below.
    function, constants = jax.closure_convert(run, *carry, *given)

    def differentiable(on: jax.Array, constants: Any, carry: Any, given: Any) -> Any:
        return jax.lax.cond(on, lambda: tuple(function(*carry, *given, *constants)), lambda: tuple(carry))

    @jax.custom_jvp
    def apply(on: jax.Array, constants: Any, carry: Any, given: Any) -> Any:
        _, *after = jax.lax.while_loop(
            lambda c: c[0], lambda c: (jnp.zeros_like(on), *function(*c[1:], *given, *constants)), (on, *carry)
        )
        return tuple(after)

    apply.defjvp(lambda primals, tangents: jax.jvp(differentiable, primals, tangents))
    return apply(condition, constants, tuple(carry), given)
