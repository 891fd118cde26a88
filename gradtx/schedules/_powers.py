"""Powers of the step: polynomials, and decays with long tails."""

from typing import Annotated, Any

import jax
import jax.numpy as jnp

from gradtx.core import Interval
from gradtx.schedules._schedule import Number, Positive, Schedule, Steps, as_float, laps, progress, raised, since


class polynomial(Schedule):
    """η(t) = η₁ + (η₀ - η₁)·(1 - min(max(t - t₀, 0) / T, 1))ᵖ.

    With `cycle` T is stretched to the least multiple of itself that t - t₀ does not exceed, so that η rises again
    after every T-th step, to lower and lower peaks.

    Args:
        init_value: η₀.
        end_value: η₁.
        transition_steps: T > 0.
        power: p > 0.
        transition_begin: t₀ ≥ 0.
        cycle: Go on after T steps instead of staying at η₁.

    The same as `optax.polynomial_schedule`, which has `power` before `transition_steps`; as Keras's `PolynomialDecay`,
    where η₁ = 1e-4, p = 1 and t₀ = 0; as PyTorch's `PolynomialLR`, where η₁ = 0 and t₀ = 0.

    >>> import gradtx as gx
    >>> gx.schedules.polynomial(1.0, 0.0, 4, 2.0)(2)
    Array(0.25, dtype=float32)
    """

    init_value: Number
    end_value: Number
    transition_steps: Positive
    power: Positive
    transition_begin: Steps = 0
    cycle: bool = False

    def __call__(self, step: Any) -> jax.Array:
        if self.cycle:
            done, left = _stretched(step, self.transition_begin, self.transition_steps)
        else:
            done, left = progress(step, self.transition_begin, self.transition_steps)
        if isinstance(self.power, float | int) and self.power == 1:
            return self.init_value * left + self.end_value * done
        # 1 - leftᵖ would cancel near the beginning.
        early = done < 0.5
        log = jnp.where(early, jnp.log1p(-jnp.where(early, done, 0.0)), jnp.log(jnp.where(left > 0, left, 1.0)))
        rest = jnp.where(left > 0, -jnp.expm1(self.power * log), 1.0)
        return self.init_value * raised(left, self.power) + self.end_value * rest


class power_decay(Schedule):
    """η(t) = η₀·(1 + t / s)^-c.

    Args:
        init_value: η₀.
        transition_steps: s > 0, the steps until η = η₀·2^-c.
        exponent: c ≥ 0; 1/2 is the inverse square root, 1 is `inverse_time_decay`.

    None of optax, PyTorch and Keras has it. The exponents for which stochastic approximation converges are those in
    (1/2, 1], Robbins & Monro 1951, "A stochastic approximation method"; with an averaged iterate any in (1/2, 1),
    Polyak & Juditsky 1992, "Acceleration of stochastic approximation by averaging".

    >>> import gradtx as gx
    >>> gx.schedules.power_decay(1.0, 10, 0.5)(30)
    Array(0.5, dtype=float32)
    """

    init_value: Number
    transition_steps: Positive
    exponent: Annotated[Any, Interval(0.0, hyper=False)]

    def __call__(self, step: Any) -> jax.Array:
        steps = as_float(since(step, 0))
        return self.init_value / raised(1 + steps / self.transition_steps, self.exponent)


class inverse_sqrt(Schedule):
    """η(t) = η₀·√(k / max(t, k)): η₀ until step k, the step 0 included, then falling with the root of the step.

    Args:
        init_value: η₀.
        transition_steps: k > 0.

    The decay of T5, Raffel et al. 2020, arXiv:1910.10683. After a linear warm-up over the same k steps, as
    `product(linear(0.0, 1.0, k), inverse_sqrt(η₀, k))`, it is that of the transformer, Vaswani et al. 2017,
    arXiv:1706.03762, with η₀ = (d·k)^-1/2; t counts from 0 here, and from 1 there. None of optax, PyTorch and Keras
    has it. `power_decay(η₀, k, 0.5)` falls from step 0 on.

    >>> import gradtx as gx
    >>> schedule = gx.schedules.inverse_sqrt(0.01, 10_000)
    >>> schedule(0), schedule(10_000), schedule(40_000)
    (Array(0.01, dtype=float32), Array(0.01, dtype=float32), Array(0.005, dtype=float32))
    """

    init_value: Number
    transition_steps: Positive

    def __call__(self, step: Any) -> jax.Array:
        scale = as_float(self.transition_steps)
        return self.init_value * jnp.sqrt(scale / jnp.maximum(as_float(step), scale))


def _stretched(step: Any, begin: Any, length: Any) -> tuple[jax.Array, jax.Array]:
    """`progress` over the least multiple of `length`, at least one, that the steps since `begin` do not exceed."""
    steps = since(step, begin)
    whole, over, length = laps(steps, length)
    left = jnp.where((over > 0) | (whole == 0), length - over, jnp.zeros_like(over))
    total = as_float(steps) + as_float(left)
    return jnp.where(left > 0, as_float(steps) / total, 1.0), as_float(left) / total
