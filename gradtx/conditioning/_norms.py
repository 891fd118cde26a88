"""Euclidean norms of gradients whose squares, or which themselves, may be out of the dtype's range."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core import abs_sq


def scaled_global_norm(arrays: Sequence[jax.Array]) -> tuple[jax.Array, jax.Array]:
    """(s·‖g‖, s) over all arrays: s is a power of two, less than 1 where ‖g‖ itself may overflow."""
    if not arrays:
        return jnp.zeros(()), jnp.ones(())
    dtype = max((jnp.finfo(x.dtype).dtype for x in arrays), key=lambda d: d.itemsize)
    # The same trace as the second pass: the compiler drops the factor.
    total = _sum_abs_sq(list(arrays), jnp.ones((), dtype), dtype)
    return _scaled_root(total, lambda scale: _sum_abs_sq(list(arrays), scale, dtype))


def scaled_norm(x: jax.Array, axes: tuple[int, ...] | None = None) -> tuple[jax.Array, jax.Array]:
    """(s·‖x‖, s), where the norm is taken over `axes`, which stay with length 1; None takes all, and keeps none."""
    total = jnp.sum(abs_sq(x), axes, keepdims=axes is not None)
    return _scaled_root(total, lambda scale: _leaf_sum_abs_sq(x, scale, axes))


def clip_to(g: jax.Array, norm: tuple[jax.Array, jax.Array], bound: Any, eps: Any = 0.0) -> jax.Array:
    """g·min(1, c / (‖g‖ + ε)) for a scaled norm."""
    return times(g, *clip_factors(norm, bound, eps))


def clip_factors(norm: tuple[jax.Array, jax.Array], bound: Any, eps: Any = 0.0) -> tuple[jax.Array, jax.Array]:
    """Two factors whose product is min(1, c / (‖g‖ + ε)): by itself, c / ‖g‖ may be too small a number.

    They are 1 where nothing is clipped, 0 / 0 included; a norm that is NaN compares false, and makes them NaN.
    """
    size, scale = norm
    one, size = jnp.ones_like(size), size + eps * scale
    passes = size <= bound * scale
    # The inner `where` keeps the derivative finite where the outer one does not take its branch.
    return jnp.where(passes, one, scale), jnp.where(passes, one, bound / jnp.where(passes, one, size))


def times(g: jax.Array, *factors: jax.Array) -> jax.Array:
    """The product of g and real factors: of a complex g by its parts, as 1+0j would make NaN of inf and 0 of -0."""
    if jnp.iscomplexobj(g):
        return jax.lax.complex(times(g.real, *factors), times(g.imag, *factors))
    return functools.reduce(lambda x, factor: x * factor, factors, g)


def _scaled_root(total: jax.Array, sum_abs_sq: Callable[[Any], jax.Array]) -> tuple[jax.Array, jax.Array]:
    """(s·√Σ|g|², s), given Σ|g|² and Σ|s·g|² as a function of s; the root may be an array of many."""
    limits, one = jnp.finfo(total.dtype), jnp.ones((), total.dtype)
    too_small, too_large = total < limits.tiny / limits.eps**2, ~(total < limits.max)
    power = 2.0 ** (limits.maxexp * 5 // 8)  # 2^80 in float32: a power of two loses no digits

    def again() -> tuple[jax.Array, jax.Array]:
        scale = jnp.where(too_small, one * power, jnp.where(too_large, one / power, one))
        norm = _root(sum_abs_sq(scale))
        return jnp.where(too_small, norm / power, norm), jnp.where(too_small, one, scale)

    # The arrays are read a second time only where it is needed.
    return jax.lax.cond(jnp.any(too_small | too_large), again, lambda: (_root(total), jnp.ones_like(total)))


def _root(x: jax.Array) -> jax.Array:
    """√x, with derivative 0 at 0."""
    positive = x > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, x, jnp.ones_like(x))), x)


@functools.partial(jax.jit, static_argnames="dtype")  # all arrays of one shape share a trace
def _sum_abs_sq(arrays: list[jax.Array], scale: jax.Array, dtype: Any) -> jax.Array:
    widened = [jnp.asarray(x, np.promote_types(x.dtype, dtype)) for x in arrays]  # one scale must do for all
    return functools.reduce(jax.lax.add, [_leaf_sum_abs_sq(x, scale) for x in widened])


@functools.partial(jax.jit, static_argnames="axes")
def _leaf_sum_abs_sq(x: jax.Array, scale: jax.Array, axes: tuple[int, ...] | None = None) -> jax.Array:
    x = _scaled(x, jnp.asarray(scale, jnp.finfo(x.dtype).dtype))
    return jnp.sum(abs_sq(x), axes, keepdims=axes is not None)


def _scaled(x: jax.Array, scale: jax.Array) -> jax.Array:
    """The product, which the minimum keeps in one: where gradients are constants, such as zeros, the compiler would
    make c²·x² of (c·x)·(c·x), which is inf·0. It changes no square, and unlike `where` or a barrier stores nothing.
    """
    if jnp.iscomplexobj(x):
        return jax.lax.complex(_scaled(x.real, scale), _scaled(x.imag, scale))
    return jnp.minimum(x * scale, jnp.finfo(x.dtype).max)
