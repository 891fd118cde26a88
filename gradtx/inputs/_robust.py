"""Feature scaling by quantiles."""

import math
from dataclasses import KW_ONLY
from statistics import NormalDist
from typing import Annotated, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from gradtx._tools import typed_key
from gradtx.core import Interval, Key, Role, Slot, as_transformation
from gradtx.inputs._rule import AxisName, Slots
from gradtx.inputs._scaler import Affine, Ends, Missing, Pair, Scaler, nonzero, two_sum

_LAST = np.uint32(2**32 - 1)
_QUARTILES = (25.0, 75.0)


class Robust(Scaler):
    """Scales each feature by its median and its quartiles over all examples so far, which outliers hardly change.

    For each feature,

        y = (x - median) / (q₃ - q₁).

    The quantiles are those of a sample of the examples so far, with linear interpolation. While all examples fit into
    the sample, the quantiles are exact. After that, the sample is a uniform random one of `sample_size` examples, and
    the standard error of a quantile p is √(p(1-p) / sample_size), as a fraction of the examples. The sample depends
    only on the key and on the order of the examples, not on their division into batches.

    If a feature's quartiles coincide, values equal to the quartile map to 0. The inputs have shape
    (examples, …features). Weights are refused.

    Args:
        quantile_range: (q₁, q₃) in percent, 0 ≤ q₁ < q₃ ≤ 100.
        centering: Whether to subtract the median.
        scaling: Whether to divide by q₃ - q₁.
        unit_variance: Whether to divide q₃ - q₁ by its value for a standard normal distribution, so that normal
            features get a variance of 1. This needs 0 < q₁ and q₃ < 100.
        sample_size: The number of examples in the state, in [1, 2²⁰].
        key: An integer seed in [0, 2³²), or a key made by `jax.random.key`. It decides which examples are sampled.
        missing: How to treat NaN among the inputs: "ignore", "count" or "refuse"; see `standardize`.
        axis_name: The axes of `vmap` or `shard_map` that split the examples; see `standardize`. The examples are
            gathered on each device.

    Raises:
        ValueError: `unit_variance` with a quantile of 0 or 100; or `quantile_range` or `unit_variance` with
            `scaling=False`, where they have no effect.

    The result is that of scikit-learn's `RobustScaler`, which takes only one batch. The sample has the least of random
    numbers: Fan, Muller & Rezucha 1962 (Journal of the American Statistical Association 57).

    >>> import gradtx as gx, jax.numpy as jnp
    >>> tx, x = gx.inputs.robust(), jnp.array([[1.0], [2.0], [3.0], [4.0], [1e6]])
    >>> tx.update(x, tx.init(x))[0].ravel()[:4]
    Array([-1. , -0.5,  0. ,  0.5], dtype=float32)
    """

    _: KW_ONLY
    quantile_range: Annotated[tuple[float, float], Ends(Interval(0.0, 100.0, closed=True, hyper=False))] = _QUARTILES
    centering: bool = True
    scaling: bool = True
    unit_variance: bool = False
    sample_size: Annotated[int, Interval(1, 2**20, closed=True, hyper=False, whole=True)] = 10_000
    key: Key = 0
    missing: Missing = "ignore"
    axis_name: AxisName | None = None

    slots = {
        "count": Slot(Role.STATISTIC, like=lambda _: jnp.zeros((), jnp.uint32)),
        "sample": Slot(Role.STATISTIC, fill=float("nan"), like="sample"),
        "priority": Slot(Role.STATISTIC, fill="param", like="priorities"),
    }
    weighted: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.scaling and self.quantile_range != _QUARTILES:
            raise ValueError(
                f"robust: quantile_range={self.quantile_range} has no effect with scaling=False; leave one of them out"
            )
        if not self.scaling and self.unit_variance:
            raise ValueError("robust: unit_variance=True has no effect with scaling=False; leave one of them out")
        if self.unit_variance and not 0 < self.quantile_range[0] < self.quantile_range[1] < 100:
            raise ValueError(f"robust: unit_variance needs a quantile_range within (0, 100), got {self.quantile_range}")

    def sample(self, x: jax.Array) -> jax.Array:
        """An empty sample."""
        features = self.features(x)
        return jnp.zeros((self.sample_size, *features.shape), features.dtype)

    def priorities(self, x: jax.Array) -> jax.Array:
        """A number for each example of the sample. The sample has the examples with the least numbers."""
        return jnp.full(self.sample_size, _LAST, jnp.uint32)

    def learn(self, x: jax.Array, valid: jax.Array | None, weights: jax.Array | None, slot: Slots) -> Slots:
        counts = jnp.ones(x.shape[0], bool) if valid is None else valid.any(tuple(range(1, x.ndim)))
        x = x if valid is None else jnp.where(valid, x, jnp.nan)
        x, counts = self._gathered(x), self._gathered(counts)
        number = slot["count"] + jnp.cumsum(counts, dtype=jnp.uint32)
        key = typed_key(self.key)
        draw = jax.vmap(lambda n: jax.random.bits(jax.random.fold_in(key, n)) // np.uint32(2))
        priority = jnp.concatenate([slot["priority"], jnp.where(counts, draw(number), _LAST)])
        order = jnp.arange(len(priority), dtype=jnp.int32)
        priority, order = (a[: self.sample_size] for a in jax.lax.sort((priority, order), num_keys=1))
        sample = jnp.concatenate([slot["sample"], x])[order]
        return {"count": slot["count"] + counts.sum(dtype=jnp.uint32), "sample": sample, "priority": priority}

    def affine(self, slot: Slots) -> Affine:
        ordered = jnp.sort(slot["sample"], 0)  # NaN comes last
        count = jnp.sum(~jnp.isnan(ordered), 0, keepdims=True)
        low, high = self.quantile_range
        first, median, third = (_quantile(ordered, count, q / 100) for q in (low, 50, high))
        spread = (third[0] - first[0]) + (third[1] - first[1])
        scale = nonzero(spread) / self.unit() if self.scaling else jnp.where(jnp.isnan(median[0]), median[0], 1.0)
        center, center_low = median if self.centering else (jnp.zeros_like(x) for x in median)
        return Affine(center, center_low, scale)

    def unit(self) -> float:
        """The number by which q₃ - q₁ is divided."""
        low, high = (NormalDist().inv_cdf(q / 100) if self.unit_variance else q for q in self.quantile_range)
        return high - low if self.unit_variance else 1.0

    def _gathered(self, x: jax.Array) -> jax.Array:
        """The examples of all devices, on each device."""
        if self.axis_name is None:
            # An explicitly sharded x is replicated first: JAX cannot index across shards without an out_sharding.
            sharding = jax.typeof(x).sharding
            return jax.sharding.reshard(x, NamedSharding(sharding.mesh, PartitionSpec())) if any(sharding.spec) else x
        index, number = jax.lax.axis_index(self.axis_name), jax.lax.axis_size(self.axis_name)
        places = jnp.zeros((number, *x.shape), x.dtype if x.dtype != bool else jnp.int32)
        # A sum, not all_gather: only for a sum does shard_map know that the result is the same on all devices.
        everyone = jax.lax.psum(places.at[index].set(jnp.asarray(x, places.dtype)), self.axis_name)
        return jnp.asarray(everyone, x.dtype).reshape(-1, *x.shape[1:])


def _quantile(ordered: jax.Array, count: jax.Array, q: float) -> Pair:
    """The quantile q of the first `count` numbers, as a sum of two numbers. NaN if there are none.

    The position q·(count - 1) is computed as an integer part and a remainder below 1e-3. In float32 the position would
    lose the digits that the interpolation needs.
    """
    last = jnp.maximum(count - 1, 0)
    parts = math.floor(q * 1024)
    position = last * parts
    fraction = jnp.asarray(position % 1024, ordered.dtype) / 1024 + jnp.asarray(last, ordered.dtype) * (
        q - parts / 1024
    )
    carry = jnp.floor(fraction)
    whole = position // 1024 + jnp.asarray(carry, position.dtype)
    here, there = (jnp.take_along_axis(ordered, jnp.minimum(i, last), 0)[0] for i in (whole, whole + 1))
    return two_sum(here, (there - here) * (fraction - carry)[0])


robust = as_transformation(Robust)
