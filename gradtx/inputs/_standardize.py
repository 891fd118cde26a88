"""Feature scaling by mean and standard deviation, and how both are merged over batches without cancellation.

A sum over many batches is stored as two numbers: the rounded sum, and the part that rounding took away. float32 alone
is not enough. It cannot hold a mean of 1e4 to the accuracy that a spread of 0.1 needs, and cannot count beyond 2²⁴.
"""

from collections.abc import Callable
from dataclasses import KW_ONLY
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from gradtx.core import Role, Slot, as_transformation, full_like
from gradtx.inputs._rule import AxisName, Slots
from gradtx.inputs._scaler import Affine, Missing, Pair, Scaler, nonzero, two_sum

_PAIRS = ("count", "count_low", "mean", "mean_low", "m2", "m2_low")

Reduce: TypeAlias = Callable[[jax.Array], jax.Array]
"""Reduces axis 0 to size 1, over all devices."""


class Standardize(Scaler):
    """Shifts and scales each feature to mean 0 and standard deviation 1 over all examples so far.

    For each feature,

        y = (x - μ) / σ,  μ = Σw·x / Σw,  σ² = Σw·(x - μ)² / Σw,

    where w is the weight of an example: `update(x, state, weights=...)` takes weights of shape (examples,), and the
    default is 1. A feature that does not vary maps to 0. The inputs have shape (examples, …features).

    Args:
        centering: Whether to subtract μ.
        scaling: Whether to divide by σ.
        missing: How to treat NaN among the inputs. "ignore" leaves NaN out of the statistics. "count" does the same,
            and counts NaN in the slot "missing". "refuse" raises a ValueError; if the inputs are traced, all outputs
            of the feature become NaN instead. Otherwise only the NaN itself stays NaN.
        axis_name: The name or names of the axes of `vmap` or `shard_map` that split the examples. The parts then share
            their statistics. Sharded arrays under `jit` need no name.

    Raises:
        ValueError: `missing="refuse"` and an input is NaN; or `train=False` before anything was learnt.

    Batches are merged with the formula of Chan, Golub and LeVeque (The American Statistician 37, 1983). Sums are stored
    as two numbers, so a float32 feature is standardised correctly even if its mean is 1e5 times its spread. The result
    is that of scikit-learn's `StandardScaler` (`with_mean`, `with_std`) and of Keras's `Normalization` layer.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> tx, x = gx.inputs.standardize(), jnp.array([[1.0, 7.0], [3.0, 7.0]])
    >>> y, state = tx.update(x, tx.init(x))
    >>> y
    Array([[-1.,  0.],
           [ 1.,  0.]], dtype=float32)
    >>> tx.update(jnp.array([[5.0, 8.0]]), state, train=False)[0]
    Array([[3., 1.]], dtype=float32)
    """

    _: KW_ONLY
    centering: bool = True
    scaling: bool = True
    missing: Missing = "ignore"
    axis_name: AxisName | None = None

    slots = {
        **{name: Slot(Role.STATISTIC, like="features") for name in _PAIRS},
        "scale": Slot(Role.STATISTIC, fill="param", like="least_scale"),
    }

    def least_scale(self, x: jax.Array) -> jax.Array:
        """The scale before any example: the least normal number, for each feature."""
        return full_like(features := self.features(x), jnp.finfo(x.dtype).tiny, features.dtype)

    def learn(self, x: jax.Array, valid: jax.Array | None, weights: jax.Array | None, slot: Slots) -> Slots:
        return _slots(merge(_moments(slot), moments(x, valid, weights, self.total, self.least)))

    def affine(self, slot: Slots) -> Affine:
        m = _moments(slot)
        nothing, varies = m.weight[0] == 0, m.m2[0] > 0
        # The derivative of a root at 0 is infinite.
        root = jnp.sqrt(jnp.where(varies, m.m2[0], 1.0) / jnp.where(nothing, 1.0, m.weight[0]))
        std = jnp.where(nothing, jnp.nan, jnp.where(varies, m.scale * root, 0.0))
        zero = jnp.zeros_like(std)
        mean, low = m.mean if self.centering else (zero, zero)
        return Affine(mean, low, nonzero(std) if self.scaling else jnp.where(nothing, std, 1.0))


class Moments(NamedTuple):
    """The moments of a sample, for each feature.

    Attributes:
        weight: Σw.
        mean: The weighted mean.
        m2: Σw·(x - mean)², in units of scale².
        scale: A power of two, so large that no square overflows.
    """

    weight: Pair
    mean: Pair
    m2: Pair
    scale: jax.Array


def moments(x: jax.Array, valid: jax.Array | None, weights: jax.Array | None, total: Reduce, least: Reduce) -> Moments:
    """Computes the moments of a batch over axis 0.

    Every sum is computed in two passes. The second pass sums the differences between the terms and the mean of the
    first pass. These differences have both signs, so their sum and its roundings stay small. All values are shifted by
    a number near their mean. For a constant feature this number is the constant.

    Args:
        x: The examples, shape (examples, …features).
        valid: bool, the shape of x; False marks elements that do not count. None means that all count; `weights` must
            then be None.
        weights: The weights of the elements, the shape of x. None means ones.
        total: The sum over axis 0 and all devices.
        least: The minimum over axis 0 and all devices.
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
        # Behind a barrier, each sum is one loop over x. Otherwise XLA would store the terms that the sums share, in an
        # array as large as x.
        summand = terms(*jax.lax.optimization_barrier(known))
        return total(summand) * share if ones is None else total(ones * share * summand)

    low = least(x if valid is None else jnp.where(valid, x, jnp.inf))
    low = jnp.where(some, low, 0.0)
    x = x if valid is None else jnp.where(valid, x, low)
    scale = below(-least(jax.lax.optimization_barrier(low) - x), some)
    unit = 1 / scale  # exact, and a product is faster than a quotient
    shift = low + scale * average(lambda low, unit: (x - low) * unit, low, unit)
    rest = scale * average(lambda shift, unit: (x - shift) * unit, shift, unit)
    m2 = average(lambda *known: _squares(x, *known), shift, rest, unit)
    m2 = m2 + average(lambda m2, *known: _squares(x, *known) - m2, m2, shift, rest, unit)
    batch = Moments(count, two_sum(shift, rest), (count[0] * m2, jnp.zeros_like(m2)), scale)
    like = jnp.zeros_like(low[0])  # sharded as the features are; broadcast_to would lose the sharding
    return jax.tree.map(lambda a: a[0] + like, batch)


def _squares(x: jax.Array, shift: jax.Array, rest: jax.Array, unit: jax.Array) -> jax.Array:
    return (((x - shift) - rest) * unit) ** 2


def merge(a: Moments, b: Moments) -> Moments:
    """The moments of both samples together, by the formula of Chan, Golub and LeVeque, from the heavier sample."""
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


def add(a: Pair, b: Pair) -> Pair:
    """The sum of two numbers that are stored as two numbers each."""
    s, rest = two_sum(a[0], b[0])
    return two_sum(s, rest + (a[1] + b[1]))


def below(x: jax.Array, some: jax.Array | bool) -> jax.Array:
    """The greatest power of two that is at most x ≥ 0, but at least the least normal number.

    The least normal number also stands for features without examples, for which `some` is False.
    """
    x = jnp.where(some, x, 0.0)
    tiny = jnp.finfo(x.dtype).tiny
    return jnp.where(x > tiny, jnp.ldexp(jnp.ones_like(x), jnp.frexp(x)[1] - 1), tiny)


def _slots(m: Moments) -> Slots:
    pairs = {"count": m.weight, "mean": m.mean, "m2": m.m2}
    parts = {name: part for n, pair in pairs.items() for name, part in zip((n, f"{n}_low"), pair, strict=True)}
    return parts | {"scale": m.scale}


def _moments(slot: Slots) -> Moments:
    weight, mean, m2 = ((slot[name], slot[f"{name}_low"]) for name in ("count", "mean", "m2"))
    return Moments(weight, mean, m2, slot["scale"])


standardize = as_transformation(Standardize)
