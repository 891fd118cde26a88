"""Running something under a condition that only the compiled program knows."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


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
