"""Mean and spread of what has been seen so far, merged without cancellation.

A sum that must outlast many batches is held as two numbers, the rounded sum and what rounding took from it: float32
alone cannot hold a mean of 1e4 to the accuracy that a spread of 0.1 needs, nor count beyond 2²⁴.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

Pair: TypeAlias = tuple[jax.Array, jax.Array]
Reduce: TypeAlias = Callable[[jax.Array], jax.Array]


class Moments(NamedTuple):
    """Σw, the weighted mean, and Σw(x - mean)² in units of scale², a power of two, so that no square overflows."""

    weight: Pair
    mean: Pair
    m2: Pair
    scale: jax.Array


def two_sum(a: jax.Array, b: jax.Array) -> Pair:
    """The rounded sum, and exactly what was rounded off (Knuth, The Art of Computer Programming 2, 4.2.2)."""
    s = a + b
    t = s - a
    return s, (a - (s - t)) + (b - t)


def add(a: Pair, b: Pair) -> Pair:
    s, rest = two_sum(a[0], b[0])
    return two_sum(s, rest + (a[1] + b[1]))


def moments(x: jax.Array, valid: jax.Array | None, weights: jax.Array | None, total: Reduce, least: Reduce) -> Moments:
    """The moments of a batch over axis 0.

    Every sum is taken twice, the second time of what is left of the terms after the first sum's mean is subtracted:
    these are of both signs, so that the sum stays small and so do its roundings. The values come shifted by one that
    is near their mean, and for a constant feature is the constant itself.

    Args:
        x: The examples.
        valid: Which elements count; None for all, and then there are no weights.
        weights: Of the elements; None for ones.
        total: Sum over axis 0, which stays, and over devices.
        least: Minimum likewise.
    """
    ones = None if valid is None else jnp.asarray(valid, x.dtype)
    whole = jnp.full((1,) * x.ndim, x.shape[0], jnp.int32)
    rows = jnp.asarray(total(whole if valid is None else jnp.asarray(valid, jnp.int32)), x.dtype)
    some = rows > 0
    share = jnp.where(some, 1 / jnp.where(some, rows, 1.0), 0.0)
    count = rows, jnp.zeros_like(rows)
    if weights is not None and valid is not None:
        each = total(jnp.where(valid, share * weights, 0.0))
        count = two_sum(rows * each, total(jnp.where(valid, weights - each, 0.0)))
        share = weights / jnp.where(some, count[0], 1.0)

    def average(terms: Callable[..., jax.Array], *known: jax.Array) -> jax.Array:
        # Of numbers of its own, each sum is one loop over x; what sums have in common would be stored, and is as large.
        summand = terms(*jax.lax.optimization_barrier(known))
        return total(summand) * share if ones is None else total(ones * share * summand)

    low = least(x if valid is None else jnp.where(valid, x, jnp.inf))
    low = jnp.where(some, low, 0.0)
    x = x if valid is None else jnp.where(valid, x, low)
    scale = below(-least(jax.lax.optimization_barrier(low) - x), some)
    unit = 1 / scale  # exact, and faster than to divide each
    shift = low + scale * average(lambda low, unit: (x - low) * unit, low, unit)
    rest = scale * average(lambda shift, unit: (x - shift) * unit, shift, unit)
    m2 = average(lambda *known: _squares(x, *known), shift, rest, unit)
    m2 = m2 + average(lambda m2, *known: _squares(x, *known) - m2, m2, shift, rest, unit)
    found = Moments(count, two_sum(shift, rest), (count[0] * m2, jnp.zeros_like(m2)), scale)
    like = jnp.zeros_like(low[0])  # sharded as the features are, which broadcast_to would not see
    return jax.tree.map(lambda a: a[0] + like, found)


def _squares(x: jax.Array, shift: jax.Array, rest: jax.Array, unit: jax.Array) -> jax.Array:
    return (((x - shift) - rest) * unit) ** 2


def merge(a: Moments, b: Moments) -> Moments:
    """The moments of both samples together, by Chan, Golub and LeVeque's parallel formula, from the heavier one."""
    swap = b.weight[0] > a.weight[0]
    a, b = (jax.tree.map(lambda x, y: jnp.where(swap, y, x), *pair) for pair in ((a, b), (b, a)))
    count = add(a.weight, b.weight)
    share = jnp.where(b.weight[0] > 0, b.weight[0] / count[0], 0.0)
    delta = jnp.where(share > 0, (b.mean[0] - a.mean[0]) + (b.mean[1] - a.mean[1]), 0.0)
    scale = jnp.maximum(jnp.maximum(a.scale, b.scale), below(jnp.abs(delta), True))
    zero = jnp.zeros_like(delta)
    between = (a.weight[0] * share * (delta / scale) ** 2, zero)
    within = [(m.m2[0] * (m.scale / scale) ** 2, m.m2[1] * (m.scale / scale) ** 2) for m in (a, b)]
    return Moments(count, add(a.mean, (delta * share, zero)), add(add(*within), between), scale)


def below(x: jax.Array, some: jax.Array | bool) -> jax.Array:
    """The greatest power of two that is at most x ≥ 0; the least normal number if x is less, or there is none."""
    x = jnp.where(some, x, 0.0)
    tiny = jnp.finfo(x.dtype).tiny
    return jnp.where(x > tiny, jnp.ldexp(jnp.ones_like(x), jnp.frexp(x)[1] - 1), tiny)
