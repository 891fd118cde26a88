"""Objectives on trees of parameters, with their sources, starting points and minima."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


@dataclasses.dataclass(frozen=True)
class Problem:
    """An objective `value(params)` with minimum 0."""

    name: str
    value: Callable[[Any], jax.Array]
    start: Any
    complex: bool = False

    def __str__(self) -> str:
        return self.name


def _parabola(params):
    """Sum (p - 1)² over a tree with a matrix, a vector, a scalar, an empty leaf and None."""
    return sum(jnp.sum(jnp.square(p - jnp.ones_like(p))) for p in jax.tree.leaves(params))


def _ravine(params):
    """Evaluate a quadratic of condition number 100: a steep ravine."""
    return 0.5 * jnp.sum(jnp.asarray([1.0, 100.0]) * jnp.square(params["w"]))


def _rosenbrock(params):
    """Evaluate the curved valley of Rosenbrock 1960. The minimum is 0 at (1, 1)."""
    x, y = params
    return jnp.square(1 - x) + 100 * jnp.square(y - jnp.square(x))


def _logistic(params):
    """Compute the loss of softmax regression on 30 separable points of 3 classes. The infimum is 0."""
    x, labels = jnp.asarray(_POINTS), jnp.asarray(_LABELS)
    logits = x @ params["w"] + jnp.broadcast_to(params["b"], (30, 3))
    picked = jnp.take_along_axis(jax.nn.log_softmax(logits), jnp.expand_dims(labels, 1), 1)
    return -jnp.mean(picked)


def _complex_parabola(params):
    """Sum |z - (2 - i)|² over a complex vector."""
    z = params["z"] - jnp.asarray(2 - 1j, jnp.complex64)
    return jnp.sum(jnp.square(z.real) + jnp.square(z.imag))


_LABELS = np.arange(30, dtype=np.int32) % 3
_POINTS = (np.eye(3)[_LABELS] * 3 + np.random.RandomState(0).standard_normal((30, 3)) * 0.5).astype(np.float32)

PROBLEMS = [
    Problem(
        "parabola",
        _parabola,
        {"a": jnp.zeros((3, 2)), "b": (jnp.full(4, 0.5), None), "c": jnp.asarray(2.0), "d": jnp.zeros((0, 2))},
    ),
    Problem("ravine", _ravine, {"w": jnp.asarray([1.0, 0.5])}),
    Problem("rosenbrock", _rosenbrock, (jnp.asarray(-1.0), jnp.asarray(1.0))),
    Problem("logistic", _logistic, {"w": jnp.zeros((3, 3)), "b": jnp.zeros(3)}),
    Problem("complex parabola", _complex_parabola, {"z": jnp.zeros(3, jnp.complex64)}, complex=True),
]
