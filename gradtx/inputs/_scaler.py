"""What the scalers share: which elements count, whether the state is fitted, y = (x - center) / scale + offset."""

from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY
from functools import partial
from typing import Any, ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from gradtx.core import Interval, Role, Slot, full_like
from gradtx.inputs._rule import InputAt, InputRule
from gradtx.inputs._sparse import SHIFTS, Entries, entries, is_sparse, map_stored, unique_entries


class Affine(NamedTuple):
    """y = ((x - center) - center_low) / scale + offset."""

    center: jax.Array
    center_low: jax.Array
    scale: jax.Array
    offset: float = 0.0


class Ends:
    """The kind of a field that holds two numbers of an interval, the lower one first."""

    def __init__(self, interval: Interval):
        self.interval = interval

    def check(self, where: str, value: Any) -> tuple[float, float]:
        if not isinstance(value, tuple | list) or len(value) != 2:
            raise TypeError(f"{where} must be two numbers, got {value!r}")
        low, high = (float(self.interval.check(where, x)) for x in value)
        if not low < high:
            raise ValueError(f"{where} must be two numbers of which the first is less, got {value!r}")
        return low, high


class Scaler(InputRule):
    """A scaler of features. Subclasses declare slots, `count` among them, and define `learn` and `affine`."""

    _: KW_ONLY
    missing: Literal["ignore", "count", "refuse"] = "ignore"
    axis_name: Any = None

    weighted: ClassVar[bool] = True

    def features(self, x: jax.Array) -> jax.Array:
        """An array like one example, and sharded like it."""
        if x.ndim == 0:
            raise ValueError(f"{self.label}: axis 0 of the inputs is the examples', but they are a scalar")
        return jnp.zeros(x.shape[1:], x.dtype) if is_sparse(x) else jnp.sum(x, 0)

    def counts(self, x: jax.Array) -> jax.Array:
        """A count for each feature."""
        return full_like(self.features(x), 0, np.dtype(np.int32))

    def active_slots(self) -> Mapping[str, Slot]:
        missing = {} if self.missing == "ignore" else {"missing": Slot(Role.STATISTIC, like="counts")}
        return {**super().active_slots(), **missing}

    def learn(self, x: jax.Array, valid: jax.Array | None, weights: Any, slot: Any) -> dict[str, jax.Array]:
        """The new slots. `valid` says which elements count; None means all."""
        raise NotImplementedError

    def affine(self, slot: Any) -> Affine:
        """What the slots make of x."""
        raise NotImplementedError

    def learn_sparse(self, x: Entries, valid: jax.Array, slot: Any) -> dict[str, jax.Array]:
        """The new slots but `count`, of a scaler that takes sparse batches. `valid` says which entries count."""
        raise NotImplementedError

    def dense_because(self) -> str | None:
        return SHIFTS if getattr(self, "centering", True) else "its statistics are taken of dense arrays alone"

    def run(self, x: jax.Array, slot: Any, at: InputAt) -> tuple[jax.Array, dict[str, jax.Array]]:
        if self.missing == "refuse" and not any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(x)):
            with jax.ensure_compile_time_eval():  # a function under jit may have closed over them
                number = int(jnp.isnan(_elements(x)[0]).sum())
            if number:
                raise ValueError(f"{self.label}: {number} of the inputs are NaN, which missing='refuse' refuses")
        new = self._learn(x, slot, at.mask, at.weights) if at.train else {}
        a = self._fitted({**slot, **new}, at.train)
        stored, of = _elements(x)
        y = ((stored - of(a.center)) - of(a.center_low)) / of(a.scale) + a.offset
        return map_stored(lambda _: y, x), new

    def invert(self, y: jax.Array, slot: Any, at: InputAt) -> jax.Array:
        a, (stored, of) = self._fitted(slot, False), _elements(y)
        x = ((stored - a.offset) * of(a.scale) + of(a.center_low)) + of(a.center)
        return map_stored(lambda _: x, y)

    def total(self, x: jax.Array, dtype: Any = None) -> jax.Array:
        """The sum over all examples, those on other devices too; axis 0 stays."""
        x = jnp.sum(x, 0, dtype=dtype, keepdims=True)
        return x if self.axis_name is None else jax.lax.psum(x, self.axis_name)

    def least(self, x: jax.Array) -> jax.Array:
        x = jnp.min(x, 0, initial=jnp.inf, keepdims=True)
        return x if self.axis_name is None else jax.lax.pmin(x, self.axis_name)

    def counted(self, x: jax.Array, valid: jax.Array | None, slot: Any) -> jax.Array:
        """The slot `count` after the elements that count."""
        valid = jnp.ones(x.shape, bool) if valid is None else valid
        return _more(slot["count"], self.total(valid, jnp.int32)[0])

    @partial(jax.jit, static_argnums=0)
    def _learn(self, x: jax.Array, slot: Any, mask: Any, weights: Any) -> dict[str, jax.Array]:
        mask, weights = self._of_examples("mask", mask, x), self._of_examples("weights", weights, x)
        if weights is not None and not self.weighted:
            raise TypeError(f"{self.label}: takes no weights; leave examples out by mask=")
        offered = None if mask is None else jnp.asarray(mask, bool)
        if weights is not None:
            weights = jnp.asarray(weights, x.dtype)
            offered = weights > 0 if offered is None else offered & (weights > 0)
        if is_sparse(x):
            return self._learn_sparse(unique_entries(x), offered, slot)
        offered, weights = (None if a is None else jnp.broadcast_to(a, x.shape) for a in (offered, weights))

        def learn_some() -> dict[str, jax.Array]:
            lost = jnp.isnan(x) if offered is None else offered & jnp.isnan(x)
            new = self.learn(x, ~lost if offered is None else offered & ~lost, weights, slot)
            return new | self._missed(slot, self.total(lost, jnp.int32)[0])

        if offered is not None:
            return learn_some()
        # To look at each element takes ten times as long as a sum, which tells whether there is any NaN. It may also
        # be that of ∞ - ∞, or too large, and then both ways are right.
        unknown = jnp.isnan(self.total(x)).any()
        return jax.lax.cond(unknown, learn_some, lambda: {**slot, **self.learn(x, None, None, slot)})

    def _learn_sparse(self, x: Entries, offered: Any, slot: Any) -> dict[str, jax.Array]:
        offered = jnp.ones((x.shape[0],) + (1,) * (len(x.shape) - 1), bool) if offered is None else offered
        inside = x.of_batch(offered)
        lost = inside & jnp.isnan(x.values)
        number = self.total(x.sum(jnp.asarray(lost, jnp.int32))[None])[0]
        count = _more(slot["count"], self.total(offered, jnp.int32)[0] - number)
        return self.learn_sparse(x, inside & ~lost, slot) | {"count": count} | self._missed(slot, number)

    def _missed(self, slot: Any, number: jax.Array) -> dict[str, jax.Array]:
        """The slot that counts missing values, where there is one, after so many."""
        return {"missing": _more(slot["missing"], number)} if "missing" in slot else {}

    def _of_examples(self, name: str, value: Any, x: jax.Array) -> Any:
        """Something given for each example, or for each element, as an array like x, or with axes of 1."""
        if value is None:
            return None
        value, shape = jnp.asarray(value), x.shape if name == "mask" else x.shape[:1]
        if value.shape not in (x.shape[:1], shape):
            expected = " or ".join(map(str, dict.fromkeys([x.shape[:1], shape])))
            raise ValueError(f"{self.label}: {name} has shape {value.shape}; expected {expected}")
        return jnp.expand_dims(value, range(value.ndim, x.ndim))

    def _fitted(self, slot: Any, train: bool) -> Affine:
        """The statistics; NaN where NaN was refused."""
        count = slot["count"]
        # As NumPy's, so that a function under jit may have closed over it.
        if not train and not isinstance(count, Tracer) and np.size(count) and not np.asarray(count).any():
            raise ValueError(
                f"{self.label}: it has learnt from no examples yet; call update(x, state, train=True), or gx.inputs.fit"
            )
        a = self.affine(slot)
        return a._replace(scale=jnp.where(slot["missing"] > 0, jnp.nan, a.scale)) if self.missing == "refuse" else a


def _elements(x: Any) -> tuple[jax.Array, Callable[[jax.Array], jax.Array]]:
    """The stored elements of x, and what spreads a statistic of the features over them."""
    if not is_sparse(x):
        return x, lambda statistic: statistic[None]
    stored = entries(x)
    return jnp.where(stored.inside, stored.values, 0.0), stored.of_features


def _more(count: jax.Array, number: jax.Array) -> jax.Array:
    """The count after so many more; it saturates where it would wrap around."""
    return jnp.maximum(count, count + number)


def nonzero(scale: jax.Array) -> jax.Array:
    """1 in place of 0: a constant feature is not divided by what it does not vary."""
    return jnp.where(scale == 0, 1.0, scale)
