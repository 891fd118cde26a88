"""Feature scaling by extremes."""

from dataclasses import KW_ONLY
from typing import Annotated

import jax
import jax.numpy as jnp

from gradtx.core import Interval, Role, Slot, as_transformation
from gradtx.inputs._rule import AxisName, InputAt, Slots
from gradtx.inputs._scaler import Affine, Ends, Missing, Scaler, nonzero
from gradtx.inputs._sparse import Entries


class MinMax(Scaler):
    """Maps the range of each feature over all examples so far to the interval [a, b].

    For each feature,

        y = (x - min) / (max - min)·(b - a) + a.

    A feature that does not vary maps to a. The inputs have shape (examples, …features). Examples of weight 0 do not
    count. Other weights have no influence on the extremes.

    Args:
        feature_range: (a, b) with a < b, both finite: the images of the least and of the greatest value.
        clip: Whether to clip the outputs to [a, b]. Inputs outside the range of the learnt examples need it.
        missing: How to treat NaN among the inputs: "ignore", "count" or "refuse"; see `standardize`.
        axis_name: The axes of `vmap` or `shard_map` that split the examples; see `standardize`.

    The result is that of scikit-learn's `MinMaxScaler`.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> tx, x = gx.inputs.min_max((-1, 1)), jnp.array([[0.0], [1.0], [4.0]])
    >>> tx.update(x, tx.init(x))[0].ravel()
    Array([-1. , -0.5,  1. ], dtype=float32)
    """

    feature_range: Annotated[tuple[float, float], Ends(Interval(above=True, hyper=False))] = (0.0, 1.0)
    _: KW_ONLY
    clip: bool = False
    missing: Missing = "ignore"
    axis_name: AxisName | None = None

    slots = {
        "count": Slot(Role.STATISTIC, like="counts"),
        "min": Slot(Role.STATISTIC, fill=float("inf"), like="features"),
        "max": Slot(Role.STATISTIC, fill=-float("inf"), like="features"),
    }

    def learn(self, x: jax.Array, valid: jax.Array | None, weights: jax.Array | None, slot: Slots) -> Slots:
        low, high = (x, -x) if valid is None else (jnp.where(valid, x, jnp.inf), jnp.where(valid, -x, jnp.inf))
        low, high = jnp.minimum(slot["min"], self.least(low)[0]), jnp.maximum(slot["max"], -self.least(high)[0])
        return {"count": self.counted(x, valid, slot), "min": low, "max": high}

    def affine(self, slot: Slots) -> Affine:
        a, b = self.feature_range
        low, high = slot["min"], slot["max"]
        return Affine(low, jnp.zeros_like(low), nonzero(high - low) / (b - a), a)

    def run(self, x: jax.Array, slot: Slots, at: InputAt) -> tuple[jax.Array, Slots]:
        y, new = super().run(x, slot, at)
        return jnp.clip(y, *self.feature_range) if self.clip else y, new


class MaxAbs(Scaler):
    """Divides each feature by its largest absolute value over all examples so far. Zeros stay zeros.

    For each feature,

        y = x / max|x|.

    A feature that is 0 everywhere stays 0. The inputs have shape (examples, …features). Examples of weight 0 do not
    count. Other weights have no influence on the maximum.

    A sparse batch is a `jax.experimental.sparse.BCOO` without batch axes and dense axes. The output is sparse and has
    the indices of the input. The state is that of `x.todense()`. Entries of one place count as their sum. To find them,
    the entries are sorted, unless they are in order by rows or by columns, or `x.unique_indices` is True. A batch with
    another number of entries has another shape and needs a new compilation. To avoid this, pad all batches to one
    number of entries, with the `nse` of `BCOO.fromdense` or with `x.sum_duplicates(nse=...)`.

    Args:
        missing: How to treat NaN among the inputs: "ignore", "count" or "refuse"; see `standardize`.
        axis_name: The axes of `vmap` or `shard_map` that split the examples; see `standardize`.

    The result is that of scikit-learn's `MaxAbsScaler`, which also gives sparse matrices for sparse matrices.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> tx, x = gx.inputs.max_abs(), jnp.array([[0.0], [1.0], [-4.0]])
    >>> tx.update(x, tx.init(x))[0].ravel()
    Array([ 0.  ,  0.25, -1.  ], dtype=float32)
    >>> from jax.experimental.sparse import BCOO
    >>> tx.update(BCOO.fromdense(x), tx.init(x))[0].data
    Array([ 0.25, -1.  ], dtype=float32)
    """

    _: KW_ONLY
    missing: Missing = "ignore"
    axis_name: AxisName | None = None

    slots = {"count": Slot(Role.STATISTIC, like="counts"), "max_abs": Slot(Role.STATISTIC, like="features")}

    def learn(self, x: jax.Array, valid: jax.Array | None, weights: jax.Array | None, slot: Slots) -> Slots:
        size = jnp.abs(x) if valid is None else jnp.where(valid, jnp.abs(x), 0.0)
        largest = jnp.maximum(slot["max_abs"], jnp.maximum(-self.least(-size)[0], 0.0))
        return {"count": self.counted(x, valid, slot), "max_abs": largest}

    def learn_sparse(self, x: Entries, valid: jax.Array, slot: Slots) -> Slots:
        size = x.max(jnp.where(valid, jnp.abs(x.values), 0.0))
        return {"max_abs": jnp.maximum(slot["max_abs"], -self.least(-size[None])[0])}

    def dense_because(self) -> str | None:
        return None

    def affine(self, slot: Slots) -> Affine:
        zero = jnp.zeros_like(slot["max_abs"])
        return Affine(zero, zero, jnp.where(slot["count"] == 0, jnp.nan, nonzero(slot["max_abs"])))


min_max = as_transformation(MinMax)
max_abs = as_transformation(MaxAbs)
