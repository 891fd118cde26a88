"""Batch normalisation."""

import math
from collections.abc import Mapping
from dataclasses import KW_ONLY
from functools import partial
from typing import Annotated, Self, TypeAlias, TypeVar

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gradtx._tools import Number
from gradtx.core import Fraction, Interval, Role, Slot, as_transformation, full_like
from gradtx.inputs._rule import AxisName, InputAt, InputRule, Slots
from gradtx.inputs._sparse import SHIFTS

Axis: TypeAlias = Annotated[int, Interval(hyper=False, whole=True)]
"""The number of an axis. Negative numbers count from the last axis."""
Eps: TypeAlias = Annotated[float, Interval(0.0, above=True, hyper=False)]
"""A finite number > 0."""
Pair: TypeAlias = tuple[jax.Array, jax.Array]
T = TypeVar("T")


class BatchNorm(InputRule):
    """Normalises each feature by the mean and the variance of the batch, then scales and shifts it.

    For each feature, with a batch B of n values per feature,

        x̂ = (x - μ_B) / √(σ²_B + ε),  y = γ·x̂ + β.

    In training, μ_B and σ²_B are the mean and the variance over all axes except the axis of the features. The slots
    "mean" (initially 0) and "var" (initially 1) average them:

        μ ← m·μ + (1-m)·μ_B,  σ² ← m·σ² + (1-m)·σ²_B.

    The slot "count" counts the batches. In inference (`train=False`), μ and σ² replace μ_B and σ²_B, so y is a fixed
    affine map of x. The variance is the mean of squared differences from the mean: a mean far from 0 does not cancel
    it. Derivatives of every order, forward and reverse, include the derivatives of the statistics.

    γ and β are the parameters "scale" and "bias", of shape (features,), which `gx.inputs.parameters` makes. Without
    them, `update` takes γ = 1 and β = 0.

    The argument `mask` of `update` marks the values that count. Its shape is the shape of x without the axis of the
    features, or the first axes of that shape. For x of shape (examples, length, features), a mask of shape (examples,)
    masks examples, and one of shape (examples, length) masks the ends of sequences. Masked values do not influence the
    statistics, even if they are NaN, and their outputs are 0. If a batch is completely masked, the statistics do not
    change.

    Args:
        axis: The axis of the features.
        momentum: m in [0, 1], the weight of the old average. None averages all batches so far with equal weights.
        eps: ε > 0, finite.
        unbiased: Whether σ² averages σ²_B·n / (n - 1). x̂ always uses σ²_B.
        scale: Whether there is a γ.
        bias: Whether there is a β.
        axis_name: The name or names of the axes of `vmap` or `shard_map` that split the batch. The parts then share
            their statistics. Sharded batches under `jit` need no name.

    Raises:
        ValueError: x has no axis `axis`; or a training batch has fewer than 2 values per feature, as in PyTorch,
            because x̂ would then be 0 for every x.

    Source: Ioffe & Szegedy 2015, arXiv:1502.03167. The defaults are those of Flax. Keras has `eps=1e-3`. PyTorch has
    `axis=1, momentum=0.9, unbiased=True`; its argument `momentum=0.1` is the weight of the new batch.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> tx = gx.inputs.batch_norm(momentum=0.9)
    >>> x = jnp.array([[10.0, 100.0], [30.0, 300.0]])
    >>> y, state = tx.update(x, tx.init(x))
    >>> y.round(3)
    Array([[-1., -1.],
           [ 1.,  1.]], dtype=float32)
    >>> state.stages["batch_norm"]["mean"]
    Array([ 2., 20.], dtype=float32)
    >>> y, state = tx.update(x, state, train=False)

    A network has one state for each layer, and trains all parameters together:

    >>> import jax
    >>> def network(params, states, x, train):
    ...     states = dict(states)
    ...     for name in ("first", "second"):
    ...         layer = params[name]
    ...         x, states[name] = tx.update(x @ layer["kernel"], states[name], layer["norm"], train=train)
    ...         x = jax.nn.relu(x)
    ...     return x @ params["last"], states
    >>> def step(params, states, opt, x, y):
    ...     def loss(params):
    ...         out, after = network(params, states, x, train=True)
    ...         return jnp.mean((out[:, 0] - y) ** 2), after
    ...     (value, states), grads = jax.value_and_grad(loss, has_aux=True)(params)
    ...     params, opt = gx.apply_gradients(adam, grads, opt, params)
    ...     return params, states, opt, value
    >>> keys = iter(jax.random.split(jax.random.key(0), 4))
    >>> x = jax.random.normal(next(keys), (64, 3))
    >>> hidden, names = jnp.zeros((1, 8)), ("first", "second")
    >>> params = {name: {"kernel": jax.random.normal(next(keys), (size, 8)), "norm": gx.inputs.parameters(tx, hidden)}
    ...           for name, size in zip(names, (3, 8))} | {"last": jnp.zeros((8, 1))}
    >>> states, adam = {name: tx.init(hidden) for name in names}, gx.adam(0.01)
    >>> opt, step = adam.init(params), jax.jit(step)
    >>> for _ in range(200):
    ...     params, states, opt, value = step(params, states, opt, x, x[:, 0] * x[:, 1])
    >>> bool(value < 0.05)
    True
    """

    axis: Axis = -1
    momentum: Fraction | None = 0.99
    eps: Eps = 1e-5
    _: KW_ONLY
    unbiased: bool = False
    scale: bool = True
    bias: bool = True
    axis_name: AxisName | None = None

    slots = {
        "mean": Slot(Role.STATISTIC, like="features"),
        "var": Slot(Role.STATISTIC, fill=1.0, like="features"),
        "count": Slot(Role.STATISTIC, like=lambda _: jnp.zeros((), jnp.int32)),
    }

    def accepts(self) -> frozenset[str]:
        return frozenset({"train", "mask"})

    def used_in_inference(self) -> frozenset[str]:
        return frozenset({"mask"})

    def dense_because(self) -> str | None:
        return SHIFTS

    def features(self, x: jax.Array) -> jax.Array:
        """A number for each feature, sharded as the features are."""
        return jnp.sum(x, self._axes(x))

    def parameters(self, x: jax.Array) -> dict[str, jax.Array]:
        return self.initial(self.features(x))

    def initial(self, features: jax.Array) -> dict[str, jax.Array]:
        """The initial values of the parameters, for an array like the statistics."""
        fills = {"scale": 1.0} if self.scale else {}
        fills |= {"bias": 0.0} if self.bias else {}
        return {name: full_like(features, fill, features.dtype) for name, fill in fills.items()}

    def run(self, x: jax.Array, slot: Slots, at: InputAt) -> tuple[jax.Array, Slots]:
        axes = self._axes(x)
        spread = partial(jnp.expand_dims, axis=axes)
        mask = None if at.mask is None else self._mask(x, at.mask)
        if mask is not None:
            x = jnp.where(mask, x, 0.0)
        mean, var, ratio, shift, new = slot["mean"], slot["var"], 1.0, 0.0, {}
        if at.train:
            mean, var, n = self._moments(x, mask, axes)
            ratio, shift = self.correction(mean, var, slot)
            new = self._averaged(mean, var, n, slot)
        factor, shift = self.affine(var, at.params, ratio, shift)
        y = _affine(x, spread(mean), spread(factor), spread(shift))
        return y if mask is None else jnp.where(mask, y, 0.0), new

    def correction(self, mean: jax.Array, var: jax.Array, slot: Slots) -> tuple[Number, Number]:
        """(r, d) of x̂·r + d, from the statistics of the batch and the averages of earlier batches."""
        return 1.0, 0.0

    def average(self, old: jax.Array, new: jax.Array, momentum: Number) -> jax.Array:
        """The average variance after a batch."""
        return momentum * old + (1 - momentum) * new

    def affine(
        self, var: jax.Array, params: Mapping[str, jax.Array], ratio: Number = 1.0, shift: Number = 0.0
    ) -> tuple[jax.Array, jax.Array]:
        """(a, b) of y = (x - μ)·a + b."""
        scale, bias = params.get("scale", jnp.ones_like(var)), params.get("bias", jnp.zeros_like(var))
        return jax.lax.rsqrt(var + self.eps) * ratio * scale, shift * scale + bias

    def cumulative(self) -> Self:
        """The same rule, with averages that give all batches equal weights."""
        return self.replace({"momentum": None})

    def _axes(self, x: jax.Array) -> tuple[int, ...]:
        """All axes except the axis of the features."""
        if not -x.ndim <= self.axis < x.ndim:
            raise ValueError(f"{self.label}: axis {self.axis} is out of range for inputs of shape {x.shape}")
        return tuple(i for i in range(x.ndim) if i != self.axis % x.ndim)

    def _mask(self, x: jax.Array, mask: ArrayLike) -> jax.Array:
        """A boolean array with the shape of x, except that the axis of the features has size 1."""
        axis = self.axis % x.ndim
        shape = x.shape[:axis] + x.shape[axis + 1 :]
        mask = jnp.asarray(mask, bool)
        if mask.ndim > len(shape) or any(m not in (1, s) for m, s in zip(mask.shape, shape, strict=False)):
            raise ValueError(
                f"{self.label}: for inputs of shape {x.shape} the mask must have shape {shape}, or the first axes of "
                f"this shape, got {mask.shape}"
            )
        mask = jnp.reshape(mask, mask.shape + (1,) * (len(shape) - mask.ndim))
        return jnp.expand_dims(jnp.broadcast_to(mask, shape), axis)

    def _moments(
        self, x: jax.Array, mask: jax.Array | None, axes: tuple[int, ...]
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """The mean and the variance of each feature, and the number of values per feature."""

        def total(values: T) -> T:
            return values if self.axis_name is None else jax.lax.psum(values, self.axis_name)

        if mask is None:
            count = total(math.prod(x.shape[i] for i in axes))
            if count < 2:
                raise ValueError(
                    f"{self.label}: training needs at least 2 values per feature, but inputs of shape {x.shape} have "
                    f"{count}; use train=False, or a larger batch"
                )
            n = jnp.asarray(count, x.dtype)
        else:
            n = jnp.asarray(total(jnp.sum(mask, dtype=jnp.int32)), x.dtype)
        some = jnp.maximum(n, 1.0)
        mean = total(jnp.sum(x, axes)) / some
        squares = _squares(x, jnp.expand_dims(mean, axes))
        if mask is not None:
            squares = jnp.where(mask, squares, 0.0)
        return mean, total(jnp.sum(squares, axes)) / some, n

    def _averaged(self, mean: jax.Array, var: jax.Array, n: jax.Array, slot: Slots) -> Slots:
        """The slots after a batch of n values per feature."""
        momentum, count = self.momentum, slot["count"]
        if momentum is None:
            batches = jnp.asarray(count, mean.dtype)
            momentum = batches / (batches + 1.0)
        if self.unbiased:
            var = var * (n / jnp.maximum(n - 1.0, 1.0))
        new = {
            "mean": momentum * slot["mean"] + (1 - momentum) * mean,
            "var": self.average(slot["var"], var, momentum),
            "count": count + 1,
        }
        return {name: jnp.where(n > 0, value, slot[name]) for name, value in new.items()}


@jax.custom_jvp
def _squares(x: jax.Array, mean: jax.Array) -> jax.Array:
    """(x - μ)². The sum of these squares is least at the mean."""
    return (x - mean) ** 2


@_squares.defjvp
def _squares_jvp(primals: Pair, tangents: Pair) -> Pair:
    # The derivative of the sum with respect to the mean is -2·Σ(x - μ) = 0. To compute this 0 would take two passes.
    return _squares(*primals), 2.0 * (primals[0] - primals[1]) * tangents[0]


@jax.custom_jvp
def _affine(x: jax.Array, mean: jax.Array, factor: jax.Array, shift: jax.Array) -> jax.Array:
    return (x - mean) * factor + shift


@_affine.defjvp
def _affine_jvp(primals: tuple[jax.Array, ...], tangents: tuple[jax.Array, ...]) -> Pair:
    # The terms of each feature are collected, so the reverse pass sums the gradient only once for mean and shift.
    x, mean, factor, _ = primals
    dx, dmean, dfactor, dshift = tangents
    return _affine(*primals), (x - mean) * dfactor + (dshift - factor * dmean) + factor * dx


batch_norm = as_transformation(BatchNorm)
