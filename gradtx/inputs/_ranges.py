"""Feature scaling by extremes."""

from typing import Annotated, Any

import jax
import jax.numpy as jnp

from gradtx.core import Interval, Role, Slot, as_transformation
from gradtx.inputs._rule import InputAt
from gradtx.inputs._scaler import Affine, Ends, Scaler, nonzero
from gradtx.inputs._sparse import Entries


class MinMax(Scaler):
    """y = (x - min) / (max - min)·(b - a) + a, feature by feature, with the extremes of all examples so far.

    Features that do not vary become a. Axis 0 is the examples'; those of weight 0 do not count, other weights change
    nothing.

    Args:
        feature_range: (a, b), a < b: where the least and the greatest go.
        clip: Whether inputs beyond the extremes are held to a and b.
        missing: What NaN among the inputs is; see `standardize`.
        axis_name: The axis over which the examples are spread; see `standardize`.

    The same as scikit-learn's `MinMaxScaler`.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> tx, x = gx.inputs.min_max((-1, 1)), jnp.array([[0.0], [1.0], [4.0]])
    >>> tx.update(x, tx.init(x))[0].ravel()
    Array([-1. , -0.5,  1. ], dtype=float32)
    """

    feature_range: Annotated[tuple[float, float], Ends(Interval(above=True, hyper=False))] = (0.0, 1.0)
    clip: bool = False

    slots = {
        "count": Slot(Role.STATISTIC, like="counts"),
        "min": Slot(Role.STATISTIC, fill=float("inf"), like="features"),
        "max": Slot(Role.STATISTIC, fill=-float("inf"), like="features"),
    }

    def learn(self, x: jax.Array, valid: jax.Array | None, weights: Any, slot: Any) -> dict[str, jax.Array]:
        low, high = (x, -x) if valid is None else (jnp.where(valid, x, jnp.inf), jnp.where(valid, -x, jnp.inf))
        low, high = jnp.minimum(slot["min"], self.least(low)[0]), jnp.maximum(slot["max"], -self.least(high)[0])
        return {"count": self.counted(x, valid, slot), "min": low, "max": high}

    def affine(self, slot: Any) -> Affine:
        a, b = self.feature_range
        low, high = slot["min"], slot["max"]
        return Affine(low, jnp.zeros_like(low), nonzero(high - low) / (b - a), a)

    def run(self, x: jax.Array, slot: Any, at: InputAt) -> tuple[jax.Array, dict[str, jax.Array]]:
        y, new = super().run(x, slot, at)
        return jnp.clip(y, *self.feature_range) if self.clip else y, new


class MaxAbs(Scaler):
    """y = x / max|x|, feature by feature, over all examples so far: zeros stay zeros, and signs stay.

    Features that are 0 everywhere stay 0. Axis 0 is the examples'; those of weight 0 do not count, other weights
    change nothing.

    A sparse batch, a `jax.experimental.sparse.BCOO` without batch and dense axes, comes out sparse, with the indices
    that it has, and the state is that of `x.todense()`. Entries of one place count as their sum, for which they are
    sorted unless they are in order, by rows or by columns, or `x.unique_indices` says that there are no such. Another
    number of entries is another shape: pad them with the `nse` of `BCOO.fromdense`, or by `x.sum_duplicates(nse=...)`,
    so that nothing is compiled again.

    Args:
        missing: What NaN among the inputs is; see `standardize`.
        axis_name: The axis over which the examples are spread; see `standardize`.

    The same as scikit-learn's `MaxAbsScaler`, which keeps sparse matrices sparse as well.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> tx, x = gx.inputs.max_abs(), jnp.array([[0.0], [1.0], [-4.0]])
    >>> tx.update(x, tx.init(x))[0].ravel()
    Array([ 0.  ,  0.25, -1.  ], dtype=float32)
    >>> from jax.experimental.sparse import BCOO
    >>> tx.update(BCOO.fromdense(x), tx.init(x))[0].data
    Array([ 0.25, -1.  ], dtype=float32)
    """

    slots = {"count": Slot(Role.STATISTIC, like="counts"), "max_abs": Slot(Role.STATISTIC, like="features")}

    def learn(self, x: jax.Array, valid: jax.Array | None, weights: Any, slot: Any) -> dict[str, jax.Array]:
        size = jnp.abs(x) if valid is None else jnp.where(valid, jnp.abs(x), 0.0)
        largest = jnp.maximum(slot["max_abs"], jnp.maximum(-self.least(-size)[0], 0.0))
        return {"count": self.counted(x, valid, slot), "max_abs": largest}

    def learn_sparse(self, x: Entries, valid: jax.Array, slot: Any) -> dict[str, jax.Array]:
        size = x.max(jnp.where(valid, jnp.abs(x.values), 0.0))
        return {"max_abs": jnp.maximum(slot["max_abs"], -self.least(-size[None])[0])}

    def dense_because(self) -> str | None:
        return None

    def affine(self, slot: Any) -> Affine:
        zero = jnp.zeros_like(slot["max_abs"])
        return Affine(zero, zero, jnp.where(slot["count"] == 0, jnp.nan, nonzero(slot["max_abs"])))


min_max = as_transformation(MinMax)
max_abs = as_transformation(MaxAbs)
