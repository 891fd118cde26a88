"""Powers of the step: polynomials, and decays with long tails."""

from dataclasses import KW_ONLY
from typing import Annotated

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gradtx._tools import Number
from gradtx.core import Interval
from gradtx.schedules._schedule import (
    Finite,
    Length,
    Positive,
    Schedule,
    Steps,
    as_float,
    is_number,
    laps,
    progress,
    raised,
    since,
)


class polynomial(Schedule):
    """The value goes from `init_value` to `end_value` with a power of the remaining steps, and stays there.

    η(t) = η₁ + (η₀ - η₁)·(1 - min(max(t - t₀, 0) / T, 1))ᵖ.

    With `cycle`, T is replaced by its least multiple that is not less than t - t₀. The value then rises again after
    every T-th step, to lower and lower peaks.

    Args:
        init_value: η₀, a finite number.
        end_value: η₁, a finite number.
        power: p > 0.
        transition_steps: T, a number of steps > 0.
        transition_begin: t₀, a step ≥ 0. Before it the value is η₀.
        cycle: Continue after T steps instead of staying at η₁.

    Raises:
        ValueError: T is 0, for which `optax.polynomial_schedule` stays at η₀; see `linear`.

    Otherwise the same as `optax.polynomial_schedule`. The same as Keras's `PolynomialDecay`, which has η₁ = 1e-4, p = 1
    and t₀ = 0 by default, and as PyTorch's `PolynomialLR`, which has η₁ = 0 and t₀ = 0.

    >>> import gradtx as gx
    >>> gx.schedules.polynomial(1.0, 0.0, 2.0, 4)(2)
    Array(0.25, dtype=float32)
    """

    init_value: Finite
    end_value: Finite
    power: Positive
    transition_steps: Length
    transition_begin: Steps = 0
    _: KW_ONLY
    cycle: bool = False

    def __call__(self, step: ArrayLike) -> jax.Array:
        if self.cycle:
            done, left = _stretched(step, self.transition_begin, self.transition_steps)
        else:
            done, left = progress(step, self.transition_begin, self.transition_steps)
        if is_number(self.power, 1):
            return self.init_value * left + self.end_value * done
        # 1 - leftᵖ would cancel near the beginning.
        early = done < 0.5
        log = jnp.where(early, jnp.log1p(-jnp.where(early, done, 0.0)), jnp.log(jnp.where(left > 0, left, 1.0)))
        weight_of_end = jnp.where(left > 0, -jnp.expm1(self.power * log), 1.0)
        return self.init_value * raised(left, self.power) + self.end_value * weight_of_end


class power_decay(Schedule):
    """The value falls with a power of the step.

    η(t) = η₀·(1 + t / s)^-c.

    Args:
        init_value: η₀, a finite number.
        transition_steps: s > 0, the number of steps until η = η₀·2^-c.
        exponent: c ≥ 0. 1/2 gives an inverse square root, 1 gives `inverse_time_decay`.

    None of optax, PyTorch and Keras has it. Stochastic approximation converges for an exponent in (1/2, 1], Robbins &
    Monro 1951, "A stochastic approximation method"; with an averaged iterate for any in (1/2, 1), Polyak & Juditsky
    1992, "Acceleration of stochastic approximation by averaging".

    >>> import gradtx as gx
    >>> gx.schedules.power_decay(1.0, 10, 0.5)(30)
    Array(0.5, dtype=float32)
    """

    init_value: Finite
    transition_steps: Length
    exponent: Annotated[Number, Interval(0.0, hyper=False)]

    def __call__(self, step: ArrayLike) -> jax.Array:
        steps = as_float(since(step, 0))
        return self.init_value / raised(1 + steps / self.transition_steps, self.exponent)


class inverse_sqrt(Schedule):
    """The value stays at `init_value` for `transition_steps` steps, and then falls with the root of the step.

    η(t) = η₀·√(k / max(t, k)).

    Args:
        init_value: η₀, a finite number.
        transition_steps: k, a number of steps > 0.

    Source: the decay of T5, Raffel et al. 2020, arXiv:1910.10683. After a linear warm-up over the same k steps, as
    `product(linear(0.0, 1.0, k), inverse_sqrt(η₀, k))`, it is the decay of the transformer, Vaswani et al. 2017,
    arXiv:1706.03762, with η₀ = (d·k)^-1/2. Here t counts from 0, there from 1. None of optax, PyTorch and Keras has
    it. `power_decay(η₀, k, 0.5)` falls from step 0 on.

    >>> import gradtx as gx
    >>> schedule = gx.schedules.inverse_sqrt(0.01, 10_000)
    >>> schedule(0), schedule(10_000), schedule(40_000)
    (Array(0.01, dtype=float32), Array(0.01, dtype=float32), Array(0.005, dtype=float32))
    """

    init_value: Finite
    transition_steps: Length

    def __call__(self, step: ArrayLike) -> jax.Array:
        scale = as_float(self.transition_steps)
        return self.init_value * jnp.sqrt(scale / jnp.maximum(as_float(step), scale))


def _stretched(step: ArrayLike, begin: ArrayLike, length: ArrayLike) -> tuple[jax.Array, jax.Array]:
    """`progress` over the least multiple of `length`, at least one, that the steps since `begin` do not exceed."""
    steps = since(step, begin)
    whole, over, length = laps(steps, length)
    left = jnp.where((over > 0) | (whole == 0), length - over, jnp.zeros_like(over))
    total = as_float(steps) + as_float(left)
    return jnp.where(left > 0, as_float(steps) / total, 1.0), as_float(left) / total
