"""The way of a chain over a function."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from gradtx._tools import Seed, check_real_scalar, dtype_of, is_trainable, summary, typed_key
from gradtx.core import Interval, Transforms, apply_gradients


class Trajectory(NamedTuple):
    """Where a chain has been.

    Attributes:
        points: x₀, …, x_T: a tree like x₀, with an axis of length T + 1 in front of each array.
        values: f(x₀), …, f(x_T).
    """

    points: Any
    values: jax.Array


def trajectory(
    fn: Callable[[Any], Any],
    tx: optax.GradientTransformation,
    start: Any,
    steps: int,
    *,
    sample: Callable[[Any, jax.Array], Any] | None = None,
    key: Any = 0,
) -> Trajectory:
    """x₀, …, x_T with xₜ₊₁ = xₜ + u(∇fₜ(xₜ)), and f(x₀), …, f(x_T), as one compiled loop.

    fₜ is f, or with `sample` a noisy f, other in each step. The chain is given its value, its gradient and fₜ itself,
    for what follows the loss or searches along a line. A way that leads to infinity is followed there.

    Under `jax.vmap` it is many ways at once: over `key`, over `start`, or over a learning rate in `tx`.

    Args:
        fn: f, x → a real scalar.
        tx: A transformation, gradtx's or optax's, whose update is u.
        start: x₀, a tree of numbers and arrays; whole numbers count as floating ones.
        steps: T ≥ 1.
        sample: (x, key) → a real scalar, fₜ(x), with `fold_in(key, t)`.
        key: An integer seed, or a key made by `jax.random.key`.

    Raises:
        TypeError: `fn` or `sample` gives no real scalar, `tx` is no transformation, `start` has anything but numbers.
        ValueError: `steps` is less than 1, or there is no number in `start`.

    >>> import gradtx as gx
    >>> way = gx.inspection.trajectory(lambda x: x**2, gx.sgd(0.25), 1.0, 3)
    >>> way.points, way.values
    (Array([1.   , 0.5  , 0.25 , 0.125], dtype=float32),
     Array([1.      , 0.25    , 0.0625  , 0.015625], dtype=float32))
    """
    steps = int(Interval(1, hyper=False, whole=True).check("trajectory: steps", steps))
    tx, key = Transforms().check("trajectory: tx", tx), typed_key(Seed().check("trajectory: key", key))
    start = jax.tree.map(_floating, start)
    if not jax.tree.leaves(start):
        raise ValueError(f"trajectory: start must have at least one number, got {start!r}")
    check_real_scalar("trajectory: fn", jax.eval_shape(fn, start))
    if sample is not None:
        check_real_scalar("trajectory: sample", jax.eval_shape(sample, start, key))

    @jax.jit  # of its own for each call: what `fn` closes over may have changed since the last one
    def way(start: Any, key: Any) -> Trajectory:
        def step(carry: Any, t: Any) -> tuple[Any, Any]:
            def noisy(x: Any) -> Any:
                return fn(x) if sample is None else sample(x, jax.random.fold_in(key, t))

            x, state = carry
            x, state, _ = descend(noisy, tx, x, state)
            return (x, state), x

        _, points = jax.lax.scan(step, (start, tx.init(start)), jnp.arange(steps))
        points = jax.tree.map(lambda x, xs: jnp.concatenate([x[None], xs]), start, points)
        return Trajectory(points, jax.lax.map(fn, points))

    return way(start, key)


def descend(fn: Callable[[Any], Any], tx: Any, x: Any, state: Any) -> tuple[Any, Any, Any]:
    """(x, state, the value before) after a step of a chain that is told all there is to tell."""
    value, grads = jax.value_and_grad(fn)(x)
    return *apply_gradients(tx, grads, state, x, value=value, grad=grads, value_fn=fn), value


def _floating(x: Any) -> jax.Array:
    if dtype_of(x) is None:
        raise TypeError(f"trajectory: start must be a tree of numbers and arrays, got {summary(x)} in it")
    return jnp.asarray(x, dtype_of(x) if is_trainable(x) else float)
