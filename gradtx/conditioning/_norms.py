"""Euclidean norms of gradients, also if their squares or their norms are out of the dtype's range."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from gradtx._tools import Number, abs_sq, ratio, times

T = TypeVar("T")
Axes: TypeAlias = tuple[int, ...] | None
TOGETHER = 8  # arrays of one shape that share a trace; fewer cost more calls to compile, more cost more to trace
Factors: TypeAlias = tuple[jax.Array, jax.Array]


def clip_factors(arrays: Sequence[jax.Array], bound: Number, eps: Number = 0.0, axes: Axes = None) -> Factors:
    """Two factors whose product is min(1, c / (‖g‖ + ε)), for the bound c and the norm of all arrays together.

    The single factor c / ‖g‖ could be too small for the dtype. Both factors are 1 if nothing is clipped, also for
    0 / 0. A norm of NaN compares false, and makes them NaN. With `axes`, the norm of one array is over these axes,
    which keep the length 1.
    """
    if not arrays:
        return jnp.ones(()), jnp.ones(())
    dtype = max((jnp.finfo(x.dtype).dtype for x in arrays), key=lambda d: d.itemsize)
    # One scale serves all arrays, so they need one dtype.
    return _of_norm(_factors, axes, [jnp.asarray(x, np.promote_types(x.dtype, dtype)) for x in arrays], bound, eps)


def clip_to(g: jax.Array, bound: Number, eps: Number = 0.0, axes: Axes = None) -> jax.Array:
    """Clips the norm of an array to a bound c: g·min(1, c / (‖g‖ + ε))."""
    return times(g, *clip_factors([g], bound, eps, axes))


def scaled_norm(arrays: Sequence[jax.Array]) -> tuple[jax.Array, jax.Array]:
    """Returns (s·‖g‖, s) for the common norm of several arrays, where s·‖g‖ is finite if all elements are.

    The power of two s is 1 unless ‖g‖ itself could overflow.
    """
    if not arrays:
        return jnp.zeros(()), jnp.ones(())
    dtype = max((jnp.finfo(x.dtype).dtype for x in arrays), key=lambda d: d.itemsize)
    arrays = [jnp.asarray(x, np.promote_types(x.dtype, dtype)) for x in arrays]
    return _of_norm(lambda size, scale: (size, scale), None, arrays)


def norm(x: jax.Array, axes: Axes = None) -> jax.Array:
    """The norm ‖x‖ over `axes`, which keep the length 1. None takes all axes, and keeps none of them."""
    return _of_norm(jnp.divide, axes, [x])


def _factors(size: jax.Array, scale: jax.Array, bound: Number, eps: Number) -> Factors:
    one, size = jnp.ones_like(size), size + eps * scale
    passes = size <= bound * scale
    # The inner `where` keeps the derivative finite where the outer one does not take its branch.
    return jnp.where(passes, one, scale), jnp.where(passes, one, bound / jnp.where(passes, one, size))


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _of_norm(function: Callable[..., T], axes: Axes, arrays: list[jax.Array], *args: Number) -> T:
    """Returns function(s·‖g‖, s, *args) for a power of two s, which is less than 1 if ‖g‖ itself can overflow.

    The function runs inside the branches. After them, the compiler would fuse it into every place of its use, and
    compile and compute it again for each array.
    """
    total = _sum_abs_sq(arrays, axes)
    limits, one = jnp.finfo(total.dtype), jnp.ones_like(total)
    too_small, too_large = total < limits.tiny / limits.eps**2, ~(total < limits.max)
    power = 2.0 ** (limits.maxexp * 5 // 8)  # 2^80 in float32: a power of two loses no digits
    scale = jnp.where(too_small, one * power, jnp.where(too_large, one / power, one))
    # Under `vmap` over an explicitly sharded axis, JAX needs all inputs of a condition to be mapped. These are.
    one = jnp.where(too_small, one, one)
    mapped = [one * x for x in args]

    def again() -> T:
        # Without the barrier, the compiler would turn constant gradients into s²·g², which is inf·0 for zeros.
        size = jnp.sqrt(_sum_abs_sq(jax.lax.optimization_barrier(arrays), axes, scale))
        return function(jnp.where(too_small, size / power, size), jnp.where(too_small, one, scale), *mapped)

    # The arrays are read a second time only if the first sum is out of range.
    return jax.lax.cond(jnp.any(too_small | too_large), again, lambda: function(jnp.sqrt(total), one, *mapped))


@_of_norm.defjvp
def _of_norm_jvp(
    function: Callable[..., T], axes: Axes, primals: tuple[Any, ...], tangents: tuple[Any, ...]
) -> tuple[T, T]:
    """The derivative d‖g‖ = Re Σ conj(g)/‖g‖·dg, and 0 at 0."""
    (arrays, *args), (directions, *args_directions) = primals, tangents
    size, scale = _of_norm(lambda *size_and_scale: size_and_scale, axes, arrays)
    along = [_along(ratio(times(x, scale), size), dx, axes) for x, dx in zip(arrays, directions, strict=True)]
    moved = scale * functools.reduce(jax.lax.add, along), jnp.zeros_like(scale)
    return jax.jvp(function, (size, scale, *args), (*moved, *args_directions))


def _along(unit: jax.Array, x: jax.Array, axes: Axes) -> jax.Array:
    product = unit.real * x.real + unit.imag * x.imag if jnp.iscomplexobj(x) else unit * x
    return jnp.sum(product, axes, keepdims=axes is not None)


def _sum_abs_sq(arrays: list[jax.Array], axes: Axes, *scale: jax.Array) -> jax.Array:
    by_type: dict[object, list[jax.Array]] = {}
    for x in arrays:
        by_type.setdefault(jax.typeof(x), []).append(x)
    batches = [alike[i : i + TOGETHER] for alike in by_type.values() for i in range(0, len(alike), TOGETHER)]
    return functools.reduce(jax.lax.add, [_sum_of_alike(batch, axes, *scale) for batch in batches])


@functools.partial(jax.jit, static_argnums=1)
def _sum_of_alike(arrays: list[jax.Array], axes: Axes, *scale: jax.Array) -> jax.Array:
    """The sum of squares of a few arrays. Each array is reduced by itself, because its sharding can differ.

    Scaled squares are added first and summed once, because that compiles fast and almost never runs.
    """
    squares = [abs_sq(times(x, *scale)) for x in arrays]
    squares = [functools.reduce(jax.lax.add, squares)] if scale else squares
    return functools.reduce(jax.lax.add, [jnp.sum(x, axes, keepdims=axes is not None) for x in squares])
