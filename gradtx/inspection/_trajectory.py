"""The trajectory of a transformation over a function."""

from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from gradtx._tools import (
    Interval,
    Key,
    Number,
    Tree,
    check_real_scalar,
    checked,
    dtype_of,
    is_trainable,
    summary,
    typed_key,
)
from gradtx.core import Transforms
from gradtx.states import apply_gradients


class Trajectory(NamedTuple):
    """The points that a transformation visits, and the values there.

    Attributes:
        points: x₀, …, x_T: a tree like x₀, with an axis of length T + 1 in front of each array.
        values: f(x₀), …, f(x_T), (T + 1,).
    """

    points: Any
    values: jax.Array


@checked
def trajectory(
    fn: Callable[..., Number],
    tx: Annotated[optax.GradientTransformation, Transforms()],
    start: Tree,
    steps: Annotated[int, Interval(1, hyper=False, whole=True)],
    *,
    sample: Callable[..., Number] | None = None,
    key: Key = 0,
) -> Trajectory:
    """Runs a transformation on a function, and returns all points and the values there.

    The points are xₜ₊₁ = xₜ + u(∇fₜ(xₜ)) for t < T, and the values are f(x₀), …, f(x_T). All steps are one compiled
    loop. Without `sample`, fₜ is f. With `sample`, fₜ is a noisy f that differs in each step. The transformation is
    given the value of fₜ, its gradient and fₜ itself, so that transformations that follow the loss or search along a
    line work. A diverging trajectory is not cut off: its points become inf or NaN.

    Under `jax.vmap` over `key`, over `start`, or over a learning rate in `tx`, many trajectories run at once.

    Args:
        fn: f, a function from a tree like `start` to a real scalar.
        tx: A transformation of gradtx or optax, with updates u.
        start: x₀, a tree of numbers and arrays. Whole numbers become floating-point numbers.
        steps: T ≥ 1.
        sample: A function (x, key) → a real scalar, fₜ(x). The key is `fold_in(key, t)`.
        key: An integer seed, or a key made by `jax.random.key`. Only `sample` uses it.

    Raises:
        TypeError: `fn` or `sample` does not return a real scalar, `tx` is not a transformation, or `start` has a leaf
            that is not a number.
        ValueError: `steps` is less than 1, `start` has no numbers, or `key` is given without `sample`.

    >>> import gradtx as gx
    >>> path = gx.inspection.trajectory(lambda x: x**2, gx.sgd(0.25), 1.0, 3)
    >>> path.points, path.values
    (Array([1.   , 0.5  , 0.25 , 0.125], dtype=float32),
     Array([1.      , 0.25    , 0.0625  , 0.015625], dtype=float32))
    """
    return follow("trajectory", fn, tx, start, steps, sample=sample, key=key)


def follow(
    function: str,
    fn: Callable[..., Number],
    tx: optax.GradientTransformation,
    start: Tree,
    steps: int,
    *,
    sample: Callable[..., Number] | None,
    key: int | jax.Array,
) -> Trajectory:
    """`trajectory`, with errors that name the public function that was called."""
    if sample is None and not (isinstance(key, int) and key == 0):
        raise ValueError(f"{function}: key has no effect without sample; give sample, or leave key out")
    start, key = jax.tree.map(lambda x: _floating(function, x), start), typed_key(key)
    if not jax.tree.leaves(start):
        raise ValueError(f"{function}: start must have at least one number, got {start!r}")
    check_real_scalar(f"{function}: fn", jax.eval_shape(fn, start))
    if sample is not None:
        check_real_scalar(f"{function}: sample", jax.eval_shape(sample, start, key))

    @jax.jit  # compiled again for each call: the variables that `fn` closes over may have changed since the last call
    def run(start: Tree, key: jax.Array) -> Trajectory:
        def step(carry: tuple[Tree, Tree], t: jax.Array) -> tuple[tuple[Tree, Tree], Tree]:
            def noisy(x: Tree) -> Number:
                return fn(x) if sample is None else sample(x, jax.random.fold_in(key, t))

            x, state = carry
            x, state, _ = informed_step(noisy, tx, x, state)
            return (x, state), x

        _, points = jax.lax.scan(step, (start, tx.init(start)), jnp.arange(steps))  # type: ignore[arg-type]
        points = jax.tree.map(lambda x, xs: jnp.concatenate([x[None], xs]), start, points)
        return Trajectory(points, jax.lax.map(fn, points))

    return run(start, key)


def informed_step(
    fn: Callable[..., Number], tx: optax.GradientTransformation, x: Tree, state: Tree
) -> tuple[Tree, Tree, jax.Array]:
    """One step of a transformation that is given every extra argument: (x, state, the value before the step)."""
    value, grads = jax.value_and_grad(fn)(x)
    x, state = apply_gradients(tx, grads, state, x, value=value, grad=grads, value_fn=fn)
    return x, state, value


def _floating(function: str, x: Tree) -> jax.Array:
    if dtype_of(x) is None:
        raise TypeError(f"{function}: start must be a tree of numbers and arrays, got {summary(x)} in it")
    return jnp.asarray(x, dtype_of(x) if is_trainable(x) else float)
