"""Batch normalisation."""

import math
from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, Self, TypeAlias

import jax
import jax.numpy as jnp

from gradtx.core import Fraction, Interval, Role, Slot, as_transformation, full_like
from gradtx.inputs._rule import InputAt, InputRule
from gradtx.inputs._sparse import SHIFTS

Axis: TypeAlias = Annotated[Any, Interval(hyper=False, whole=True)]
"""The number of an axis, negative from the last one on."""
Eps: TypeAlias = Annotated[Any, Interval(0.0, above=True, hyper=False)]
"""A finite number > 0."""


class MappedAxes:
    """The kind of a field that names axes which are mapped over."""

    def check(self, where: str, value: Any) -> Any:
        if not value or not all(isinstance(name, str) for name in (value if isinstance(value, tuple) else (value,))):
            raise TypeError(f"{where} must be the name of an axis, or a tuple of names, got {value!r}")
        return value


AxisName: TypeAlias = Annotated[Any, MappedAxes()]
"""A name or names of axes of `vmap` or `shard_map`."""


class BatchNorm(InputRule):
    """X̂ = (x - μ_B) / √(σ²_B + ε), y = γ·x̂ + β, for each feature.

    In training, μ_B and σ²_B are the mean and the variance over all axes but that of the features, and the slots "mean"
    and "var", at first 0 and 1, follow them: μ ← m·μ + (1-m)·μ_B, σ² ← m·σ² + (1-m)·σ²_B; "count" counts the batches.
    In inference, with `train=False`, μ and σ² take their place, and y is a fixed affine map. The variance is summed
    from squared differences to the mean, so that a mean far from 0 does not cancel it, and derivatives of any order,
    forward and reverse, go through the statistics.

    The parameters γ and β are "scale" and "bias", of one number per feature, as `parameters` gives them. What `update`
    is not given is 1 and 0. A `mask` has the axes of x without that of the features, or the first of them: one of shape
    (n,) masks examples, one of (n, length) masks their ends. What it masks is in no statistic, whatever it holds, and
    comes out as 0. Where it masks a whole batch, the statistics stay as they are.

    Args:
        axis: Where the features are.
        momentum: m in [0, 1], the weight of the old average; None for the mean of all batches so far.
        eps: ε > 0.
        unbiased: Whether σ² averages σ²_B·n / (n - 1), of n values per feature. x̂ has σ²_B in any case.
        scale: Whether there is a γ.
        bias: Whether there is a β.
        axis_name: The axis, or axes, of `vmap` or `shard_map` that the batch is spread over, whose parts then share
            their statistics. Under `jit`, sharded batches need none.

    Raises:
        ValueError: an axis that x lacks; fewer than 2 values per feature in training, whose x̂ would be 0 whatever x is,
            as in PyTorch.

    Source: Ioffe & Szegedy 2015, arXiv:1502.03167. The defaults are those of Flax. Keras has `eps=1e-3`. PyTorch has
    `axis=1, momentum=0.9, unbiased=True`, where its own momentum, the weight of the new, is 0.1.

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

    A network keeps a state per layer, and trains all parameters together:

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
    unbiased: bool = False
    scale: bool = True
    bias: bool = True
    axis_name: AxisName | None = None

    def accepts(self) -> frozenset[str]:
        return frozenset({"train", "mask"})

    def dense_because(self) -> str | None:
        return SHIFTS

    slots = {
        "mean": Slot(Role.STATISTIC, like="features"),
        "var": Slot(Role.STATISTIC, fill=1.0, like="features"),
        "count": Slot(Role.STATISTIC, like=lambda _: jnp.zeros((), jnp.int32)),
    }

    def features(self, x: jax.Array) -> jax.Array:
        """A number for each feature, sharded as the features are."""
        return jnp.sum(x, self._axes(x))

    def parameters(self, x: jax.Array) -> dict[str, jax.Array]:
        starts = {"scale": 1.0} if self.scale else {}
        starts |= {"bias": 0.0} if self.bias else {}
        features = self.features(x)
        return {name: full_like(features, start, features.dtype) for name, start in starts.items()}

    def run(self, x: jax.Array, slot: Any, at: InputAt) -> tuple[jax.Array, Mapping[str, jax.Array]]:
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

    def correction(self, mean: jax.Array, var: jax.Array, slot: Any) -> tuple[Any, Any]:
        """(r, d) of x̂·r + d, from the statistics of the batch and those of before."""
        return 1.0, 0.0

    def average(self, old: jax.Array, new: jax.Array, momentum: Any) -> jax.Array:
        """The variance that `momentum` and the old one leave of the new one."""
        return momentum * old + (1 - momentum) * new

    def affine(
        self, var: jax.Array, params: Mapping[str, jax.Array], ratio: Any = 1.0, shift: Any = 0.0
    ) -> tuple[jax.Array, jax.Array]:
        """(a, b) of y = (x - μ)·a + b."""
        scale, bias = params.get("scale", jnp.ones_like(var)), params.get("bias", jnp.zeros_like(var))
        return jax.lax.rsqrt(var + self.eps) * ratio * scale, shift * scale + bias

    def cumulative(self) -> Self:
        """The same, but for statistics that are means of those of all batches."""
        return self.replace({"momentum": None})

    def _axes(self, x: jax.Array) -> tuple[int, ...]:
        """All axes but that of the features."""
        if not -x.ndim <= self.axis < x.ndim:
            raise ValueError(f"{self.label}: axis {self.axis} is out of range for inputs of shape {x.shape}")
        return tuple(i for i in range(x.ndim) if i != self.axis % x.ndim)

    def _mask(self, x: jax.Array, mask: Any) -> jax.Array:
        """A boolean array of x's shape, but for one in the place of the features."""
        axis = self.axis % x.ndim
        shape = x.shape[:axis] + x.shape[axis + 1 :]
        mask = jnp.asarray(mask, bool)
        if mask.ndim > len(shape) or any(m not in (1, s) for m, s in zip(mask.shape, shape, strict=False)):
            raise ValueError(
                f"{self.label}: for inputs of shape {x.shape} the mask must have shape {shape}, or the first axes of "
                f"it, got {mask.shape}"
            )
        mask = jnp.reshape(mask, mask.shape + (1,) * (len(shape) - mask.ndim))
        return jnp.expand_dims(jnp.broadcast_to(mask, shape), axis)

    def _moments(self, x: jax.Array, mask: Any, axes: tuple[int, ...]) -> tuple[jax.Array, jax.Array, jax.Array]:
        """The mean and the variance of each feature, and how many values it has."""

        def total(values: Any) -> Any:
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

    def _averaged(self, mean: jax.Array, var: jax.Array, n: jax.Array, slot: Any) -> dict[str, jax.Array]:
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
    """(x - μ)², whose sum is least at the mean."""
    return (x - mean) ** 2


@_squares.defjvp
def _squares_jvp(primals: Any, tangents: Any) -> Any:
    # What the sum owes to the mean is 2·Σ(x - μ) = 0, which would take two more passes to find out.
    return _squares(*primals), 2.0 * (primals[0] - primals[1]) * tangents[0]


@jax.custom_jvp
def _affine(x: jax.Array, mean: jax.Array, factor: jax.Array, shift: jax.Array) -> jax.Array:
    return (x - mean) * factor + shift


@_affine.defjvp
def _affine_jvp(primals: Any, tangents: Any) -> Any:
    # Collected by feature, so that the reverse pass sums the gradient once, and not for mean and shift each.
    x, mean, factor, _ = primals
    dx, dmean, dfactor, dshift = tangents
    return _affine(*primals), (x - mean) * dfactor + (dshift - factor * dmean) + factor * dx


batch_norm = as_transformation(BatchNorm)
