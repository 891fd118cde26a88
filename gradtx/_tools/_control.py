"""A computation that runs only if a traced condition holds."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp


def run_if(condition: jax.Array, run: Callable[..., Any], carry: Sequence[object], *arguments: object) -> Any:
    """Returns `run(*carry, *arguments)` if the condition holds, else `carry`, as a tuple.

    The results of `lax.cond` are copied. A loop that turns once or not at all works in place, but has no reverse-mode
    derivative. The loop therefore computes the value, and `lax.cond` the derivative.

    Args:
        condition: A boolean scalar.
        run: A function whose results have the structure, the shapes and the dtypes of `carry`.
        carry: The first arguments of `run`, and the result if the condition does not hold.
        arguments: Further arguments of `run`.
    """
    # The tracers that `run` closes over become arguments, because a custom derivative sees only its arguments.
    function, constants = jax.closure_convert(run, *carry, *arguments)

    def differentiable(
        on: jax.Array, constants: Sequence[object], carry: Sequence[object], arguments: Sequence[object]
    ) -> tuple[object, ...]:
        return jax.lax.cond(on, lambda: tuple(function(*carry, *arguments, *constants)), lambda: tuple(carry))

    @jax.custom_jvp
    def apply(
        on: jax.Array, constants: Sequence[object], carry: Sequence[object], arguments: Sequence[object]
    ) -> tuple[object, ...]:
        _, *after = jax.lax.while_loop(
            lambda c: c[0], lambda c: (jnp.zeros_like(on), *function(*c[1:], *arguments, *constants)), (on, *carry)
        )
        return tuple(after)

    apply.defjvp(lambda primals, tangents: jax.jvp(differentiable, primals, tangents))
    return apply(condition, constants, tuple(carry), arguments)
