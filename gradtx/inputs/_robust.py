"""Feature scaling by quantiles."""

import math
from statistics import NormalDist
from typing import Annotated, Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from gradtx._tools import typed_key
from gradtx.core import Interval, Key, Role, Slot, as_transformation
from gradtx.inputs._moments import two_sum
from gradtx.inputs._scaler import Affine, Ends, Scaler, nonzero

_LAST = np.uint32(2**32 - 1)


class Robust(Scaler):
    """y = (x - median) / (q₃ - q₁), feature by feature, which outliers hardly move.

    The quantiles are those of a sample of the examples so far, interpolated linearly: of all of them while they fit,
    which makes the quantiles exact, of a uniform random one of `sample_size` from then on. The standard error of a
    quantile p is then √(p(1-p) / sample_size) of the examples. Which are kept depends on the key and their numbers
    alone, not on how they come in batches. Features whose quartiles are one become 0 where they are it. Axis 0 is the
    examples'; weights are refused.

    Args:
        quantile_range: (q₁, q₃) in percent, 0 ≤ q₁ < q₃ ≤ 100.
        centering: Whether the median is subtracted.
        scaling: Whether to divide by q₃ - q₁.
        unit_variance: Whether q₃ - q₁ is divided by that of a standard normal distribution, so that normal features
            get a variance of 1; then 0 < q₁ and q₃ < 100.
        sample_size: Examples kept in the state, in [1, 2²⁰].
        key: An integer seed, or a key made by `jax.random.key`: which examples are kept.
        missing: What NaN among the inputs is; see `standardize`.
        axis_name: The axis over which the examples are spread; see `standardize`. They are gathered.

    The same as scikit-learn's `RobustScaler`, which takes one batch. Sampling by the least of random numbers: Fan,
    Muller and Rezucha 1962 (Journal of the American Statistical Association 57).

    >>> import gradtx as gx, jax.numpy as jnp
    >>> tx, x = gx.inputs.robust(), jnp.array([[1.0], [2.0], [3.0], [4.0], [1e6]])
    >>> tx.update(x, tx.init(x))[0].ravel()[:4]
    Array([-1. , -0.5,  0. ,  0.5], dtype=float32)
    """

    quantile_range: Annotated[tuple[float, float], Ends(Interval(0.0, 100.0, closed=True, hyper=False))] = (25.0, 75.0)
    centering: bool = True
    scaling: bool = True
    unit_variance: bool = False
    sample_size: Annotated[int, Interval(1, 2**20, closed=True, hyper=False, whole=True)] = 10_000
    key: Key = 0

    slots = {
        "count": Slot(Role.STATISTIC, like=lambda _: jnp.zeros((), jnp.uint32)),
        "sample": Slot(Role.STATISTIC, fill=float("nan"), like="sample"),
        "priority": Slot(Role.STATISTIC, fill="param", like="priorities"),
    }
    weighted: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.unit_variance and not 0 < self.quantile_range[0] < self.quantile_range[1] < 100:
            raise ValueError(f"robust: unit_variance needs a quantile_range within (0, 100), got {self.quantile_range}")

    def sample(self, x: jax.Array) -> jax.Array:
        """Room for the examples that are kept."""
        features = self.features(x)
        return jnp.zeros((self.sample_size, *features.shape), features.dtype)

    def priorities(self, x: jax.Array) -> jax.Array:
        """A number for each of them: those of the least numbers are kept."""
        return jnp.full(self.sample_size, _LAST, jnp.uint32)

    def learn(self, x: jax.Array, valid: jax.Array | None, weights: Any, slot: Any) -> dict[str, jax.Array]:
        kept = jnp.ones(x.shape[0], bool) if valid is None else valid.any(tuple(range(1, x.ndim)))
        x = x if valid is None else jnp.where(valid, x, jnp.nan)
        x, kept = self._gathered(x), self._gathered(kept)
        number = slot["count"] + jnp.cumsum(kept, dtype=jnp.uint32)
        key = typed_key(self.key)
        draw = jax.vmap(lambda n: jax.random.bits(jax.random.fold_in(key, n)) // np.uint32(2))
        priority = jnp.concatenate([slot["priority"], jnp.where(kept, draw(number), _LAST)])
        order = jnp.arange(len(priority), dtype=jnp.int32)
        priority, order = (a[: self.sample_size] for a in jax.lax.sort((priority, order), num_keys=1))
        sample = jnp.concatenate([slot["sample"], x])[order]
        return {"count": slot["count"] + kept.sum(dtype=jnp.uint32), "sample": sample, "priority": priority}

    def affine(self, slot: Any) -> Affine:
        ordered = jnp.sort(slot["sample"], 0)  # NaN comes last
        count = jnp.sum(~jnp.isnan(ordered), 0, keepdims=True)
        low, high = self.quantile_range
        first, median, third = (_quantile(ordered, count, q / 100) for q in (low, 50, high))
        spread = (third[0] - first[0]) + (third[1] - first[1])
        scale = nonzero(spread) / self.unit() if self.scaling else jnp.where(jnp.isnan(median[0]), median[0], 1.0)
        center, rest = median if self.centering else (jnp.zeros_like(x) for x in median)
        return Affine(center, rest, scale)

    def unit(self) -> float:
        """What q₃ - q₁ is divided by."""
        low, high = (NormalDist().inv_cdf(q / 100) if self.unit_variance else q for q in self.quantile_range)
        return high - low if self.unit_variance else 1.0

    def _gathered(self, x: jax.Array) -> jax.Array:
        """The examples of all devices, the same on each: a sum over them, of which the type says that it is."""
        if self.axis_name is None:
            sharding = jax.typeof(x).sharding  # what it says is what JAX would have to be told how to number
            return jax.sharding.reshard(x, NamedSharding(sharding.mesh, P())) if any(sharding.spec) else x
        index, number = jax.lax.axis_index(self.axis_name), jax.lax.axis_size(self.axis_name)
        places = jnp.zeros((number, *x.shape), x.dtype if x.dtype != bool else jnp.int32)
        everyone = jax.lax.psum(places.at[index].set(jnp.asarray(x, places.dtype)), self.axis_name)
        return jnp.asarray(everyone, x.dtype).reshape(-1, *x.shape[1:])


def _quantile(ordered: jax.Array, count: jax.Array, q: float) -> tuple[jax.Array, jax.Array]:
    """The quantile q of the first `count` numbers, as a sum of two; NaN for none.

    Its position q·(count - 1) is found in integers and a rest below 1e-3, where float32 would lose the digits that
    interpolate.
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
