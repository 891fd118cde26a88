"""Feature scaling by mean and standard deviation."""

from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core import Role, Slot, as_transformation, full_like
from gradtx.inputs._moments import Moments, merge, moments
from gradtx.inputs._scaler import Affine, Scaler, nonzero

_PAIRS = ("count", "count_low", "mean", "mean_low", "m2", "m2_low")


class Standardize(Scaler):
    """y = (x - μ) / σ, feature by feature, with the mean and the standard deviation of all examples so far.

    σ² = Σw(x - μ)² / Σw, where w are the `weights` that `update` may be given, one for each example. Features that do
    not vary become 0. Axis 0 is the examples'.

    Args:
        centering: Whether μ is subtracted.
        scaling: Whether to divide by σ.
        missing: What NaN among the inputs is: "ignore", left out of the statistics; "count", the same, and counted in
            the state's `missing`; "refuse", a ValueError, or if traced NaN for all of the feature. It stays NaN.
        axis_name: The axis, or axes, of `vmap` or `shard_map` over which the examples are spread. Under `jit` sharded
            arrays need none.

    Batches are merged by Chan, Golub and LeVeque's formula (The American Statistician 37, 1983), and their sums are
    held as two numbers, so that a float32 feature whose mean is 1e5 times its spread comes out right. The same as
    scikit-learn's `StandardScaler`, and as `tf.keras.layers.Normalization`.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> tx, x = gx.inputs.standardize(), jnp.array([[1.0, 7.0], [3.0, 7.0]])
    >>> y, state = tx.update(x, tx.init(x))
    >>> y
    Array([[-1.,  0.],
           [ 1.,  0.]], dtype=float32)
    >>> tx.update(jnp.array([[5.0, 8.0]]), state, train=False)[0]
    Array([[3., 1.]], dtype=float32)
    """

    centering: bool = True
    scaling: bool = True

    slots = {
        **{name: Slot(Role.STATISTIC, like="features") for name in _PAIRS},
        "scale": Slot(Role.STATISTIC, fill="param", like="least_scale"),
    }

    def least_scale(self, x: jax.Array) -> jax.Array:
        """The scale of no values: the least normal number, for each feature."""
        return full_like(features := self.features(x), jnp.finfo(x.dtype).tiny, features.dtype)

    def learn(self, x: jax.Array, valid: jax.Array | None, weights: Any, slot: Any) -> dict[str, jax.Array]:
        return _slots(merge(_moments(slot), moments(x, valid, weights, self.total, self.least)))

    def affine(self, slot: Any) -> Affine:
        m = _moments(slot)
        nothing, varies = m.weight[0] == 0, m.m2[0] > 0
        # A root of 0 would have an infinite derivative.
        root = jnp.sqrt(jnp.where(varies, m.m2[0], 1.0) / jnp.where(nothing, 1.0, m.weight[0]))
        std = jnp.where(nothing, jnp.nan, jnp.where(varies, m.scale * root, 0.0))
        zero = jnp.zeros_like(std)
        mean, low = m.mean if self.centering else (zero, zero)
        return Affine(mean, low, nonzero(std) if self.scaling else jnp.where(nothing, std, 1.0))


def _slots(m: Moments) -> dict[str, jax.Array]:
    pairs = {"count": m.weight, "mean": m.mean, "m2": m.m2}
    parts = {name: part for n, pair in pairs.items() for name, part in zip((n, f"{n}_low"), pair, strict=True)}
    return parts | {"scale": m.scale}


def _moments(slot: Any) -> Moments:
    weight, mean, m2 = ((slot[name], slot[f"{name}_low"]) for name in ("count", "mean", "m2"))
    return Moments(weight, mean, m2, slot["scale"])


standardize = as_transformation(Standardize)
