"""One transformation until a moment, another from then on."""

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, TypeAlias

import jax
import jax.numpy as jnp

from gradtx.core import Interval, Part, TreeStage, as_transformation

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

    def update(self, updates: Any, state: Any, params: Any, step: Any, extra: Mapping[str, Any]) -> tuple[Any, Any]:
        functions = {name: value for name, value in extra.items() if callable(value)}
        given = (updates, state, params, {name: value for name, value in extra.items() if name not in functions})

        def run(name: str, updates: Any, state: Any, params: Any, arrays: Mapping[str, Any]) -> tuple[Any, Any]:
            updates, after = self.parts()[name].update(updates, state[name], params, **arrays, **functions)
            return updates, state | {name: after}

        # What hyperparameters are traced becomes an argument, for the sake of the derivative below.
        (first, of_first), (second, of_second) = (jax.closure_convert(partial(run, n), *given) for n in self.parts())

        def differentiable(on: jax.Array, a: Any, b: Any, *given: Any) -> tuple[Any, Any]:
            return jax.lax.cond(on, lambda: second(*given, *b), lambda: first(*given, *a))

        # The results of a conditional are copied, both states among them, which takes three times as long as a loop
        # that turns once or not at all, and works in place. But such loops have no reverse derivative.
        @jax.custom_jvp
        def apply(on: jax.Array, a: Any, b: Any, *given: Any) -> tuple[Any, Any]:
            carry, rest = given[:2], given[2:]
            for part, constants, active in ((first, a, ~on), (second, b, on)):
                _, *carry = jax.lax.while_loop(
                    lambda c: c[0],
                    lambda c, part=part, constants=constants: (jnp.zeros_like(on), *part(*c[1:], *rest, *constants)),
                    (active, *carry),
                )
            return tuple(carry)  # type: ignore[return-value]

        apply.defjvp(lambda primals, tangents: jax.jvp(differentiable, primals, tangents))
        return apply(step >= jnp.asarray(self.at, jnp.int32), of_first, of_second, *given)


switch = as_transformation(Switch)
