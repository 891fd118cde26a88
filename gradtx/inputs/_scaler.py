"""The part that all scalers share: which elements count, whether the state is fitted, and the affine map."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike

from gradtx.core import Interval, Role, Slot, full_like
from gradtx.inputs._rule import AxisName, InputAt, InputRule, Slots
from gradtx.inputs._sparse import SHIFTS, Entries, entries, is_sparse, map_stored, unique_entries

Missing: TypeAlias = Literal["ignore", "count", "refuse"]
"""What a scaler does with NaN among the inputs."""
Pair: TypeAlias = tuple[jax.Array, jax.Array]
"""A number as a sum of two: the rounded number, and the part that rounding took away."""


class Affine(NamedTuple):
    """y = ((x - center) - center_low) / scale + offset. The arrays have the shape of one example."""

    center: jax.Array
    center_low: jax.Array
    scale: jax.Array
    offset: float = 0.0


class Ends:
    """The kind of a field that holds the two ends of an interval, the lower one first."""

    def __init__(self, interval: Interval):
        self.interval = interval

    def check(self, where: str, value: object) -> tuple[float, float]:
        if not isinstance(value, tuple | list) or len(value) != 2:
            raise TypeError(f"{where} must be two numbers, got {value!r}")
        low, high = (float(self.interval.check(where, x)) for x in value)
        if not low < high:
            raise ValueError(f"{where} must be two numbers of which the first is less, got {value!r}")
        return low, high


class Scaler(InputRule):
    """A scaler of features. Subclasses declare slots, among them `count`, and define `learn` and `affine`."""

    # Each scaler declares these fields itself: a dataclass would put inherited fields before the scaler's special ones.
    if TYPE_CHECKING:
        missing: Missing
        axis_name: AxisName | None

    weighted: ClassVar[bool] = True

    def used_in_inference(self) -> frozenset[str]:
        return frozenset()

    def features(self, x: jax.Array) -> jax.Array:
        """An array with the shape and the sharding of one example."""
        if x.ndim == 0:
            raise ValueError(f"{self.label}: the inputs must have the examples on axis 0, but they are a scalar")
        return jnp.zeros(x.shape[1:], x.dtype) if is_sparse(x) else jnp.sum(x, 0)

    def counts(self, x: jax.Array) -> jax.Array:
        """A count of 0 for each feature."""
        return full_like(self.features(x), 0, np.dtype(np.int32))

    def active_slots(self) -> Mapping[str, Slot]:
        missing = {} if self.missing == "ignore" else {"missing": Slot(Role.STATISTIC, like="counts")}
        return {**super().active_slots(), **missing}

    def learn(self, x: jax.Array, valid: jax.Array | None, weights: jax.Array | None, slot: Slots) -> Slots:
        """The new slots. `valid` has the shape of x and marks the elements that count. None means all."""
        raise NotImplementedError

    def affine(self, slot: Slots) -> Affine:
        """The map from x to y, computed from the slots."""
        raise NotImplementedError

    def learn_sparse(self, x: Entries, valid: jax.Array, slot: Slots) -> Slots:
        """The new slots without `count`, for a scaler that takes sparse batches. `valid` marks entries that count."""
        raise NotImplementedError

    def dense_because(self) -> str | None:
        return SHIFTS if getattr(self, "centering", True) else "its statistics are computed only for dense arrays"

    def run(self, x: jax.Array, slot: Slots, at: InputAt) -> tuple[jax.Array, Slots]:
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

    def invert(self, y: jax.Array, slot: Slots, at: InputAt) -> jax.Array:
        a, (stored, of) = self._fitted(slot, False), _elements(y)
        x = ((stored - a.offset) * of(a.scale) + of(a.center_low)) + of(a.center)
        return map_stored(lambda _: x, y)

    def total(self, x: jax.Array, dtype: jax.typing.DTypeLike | None = None) -> jax.Array:
        """The sum over the examples of all devices. Axis 0 stays, with size 1."""
        x = jnp.sum(x, 0, dtype=dtype, keepdims=True)
        return x if self.axis_name is None else jax.lax.psum(x, self.axis_name)

    def least(self, x: jax.Array) -> jax.Array:
        """The minimum over the examples of all devices. Axis 0 stays, with size 1."""
        x = jnp.min(x, 0, initial=jnp.inf, keepdims=True)
        return x if self.axis_name is None else jax.lax.pmin(x, self.axis_name)

    def counted(self, x: jax.Array, valid: jax.Array | None, slot: Slots) -> jax.Array:
        """The slot `count` after a batch."""
        valid = jnp.ones(x.shape, bool) if valid is None else valid
        return _more(slot["count"], self.total(valid, jnp.int32)[0])

    @partial(jax.jit, static_argnums=0)
    def _learn(self, x: jax.Array, slot: Slots, mask: ArrayLike | None, weights: ArrayLike | None) -> Slots:
        offered, weight = self._of_examples("mask", mask, x), self._of_examples("weights", weights, x)
        if weight is not None and not self.weighted:
            raise TypeError(f"{self.label}: takes no weights; leave examples out with mask=")
        offered = None if offered is None else jnp.asarray(offered, bool)
        if weight is not None:
            weight = jnp.asarray(weight, x.dtype)
            offered = weight > 0 if offered is None else offered & (weight > 0)
        if is_sparse(x):
            return self._learn_sparse(unique_entries(x), offered, slot)
        offered, weight = (None if a is None else jnp.broadcast_to(a, x.shape) for a in (offered, weight))

        def learn_some() -> Slots:
            lost = jnp.isnan(x) if offered is None else offered & jnp.isnan(x)
            new = self.learn(x, ~lost if offered is None else offered & ~lost, weight, slot)
            return {**new, **self._missed(slot, self.total(lost, jnp.int32)[0])}

        if offered is not None:
            return learn_some()
        # A sum shows whether there is any NaN, ten times as fast as a look at each element. The sum can also be NaN
        # because of ∞ - ∞ or overflow. Then the slow branch is taken needlessly, with the same result.
        unknown = jnp.isnan(self.total(x)).any()
        return jax.lax.cond(unknown, learn_some, lambda: {**slot, **self.learn(x, None, None, slot)})

    def _learn_sparse(self, x: Entries, offered: jax.Array | None, slot: Slots) -> Slots:
        offered = jnp.ones((x.shape[0],) + (1,) * (len(x.shape) - 1), bool) if offered is None else offered
        inside = x.of_batch(offered)
        lost = inside & jnp.isnan(x.values)
        number = self.total(x.sum(jnp.asarray(lost, jnp.int32))[None])[0]
        count = _more(slot["count"], self.total(offered, jnp.int32)[0] - number)
        return {**self.learn_sparse(x, inside & ~lost, slot), "count": count, **self._missed(slot, number)}

    def _missed(self, slot: Slots, number: jax.Array) -> Slots:
        """The slot `missing` after `number` more missing values, if the slot exists."""
        return {"missing": _more(slot["missing"], number)} if "missing" in slot else {}

    def _of_examples(self, name: str, value: ArrayLike | None, x: jax.Array) -> jax.Array | None:
        """One value for each example, or for each element, as an array that broadcasts to the shape of x."""
        if value is None:
            return None
        array, shape = jnp.asarray(value), x.shape if name == "mask" else x.shape[:1]
        if array.shape not in (x.shape[:1], shape):
            expected = " or ".join(map(str, dict.fromkeys([x.shape[:1], shape])))
            raise ValueError(f"{self.label}: {name} has shape {array.shape}; expected {expected}")
        return jnp.expand_dims(array, range(array.ndim, x.ndim))

    def _fitted(self, slot: Slots, train: bool) -> Affine:
        """The affine map of a fitted state. With missing="refuse", NaN for features in which NaN was seen."""
        count = slot["count"]
        # NumPy's any, because a function under jit may have closed over the state.
        if not train and not isinstance(count, Tracer) and np.size(count) and not np.asarray(count).any():
            raise ValueError(
                f"{self.label}: it has learnt from no examples yet; call update(x, state, train=True), or gx.inputs.fit"
            )
        a = self.affine(slot)
        return a._replace(scale=jnp.where(slot["missing"] > 0, jnp.nan, a.scale)) if self.missing == "refuse" else a


def _elements(x: jax.Array) -> tuple[jax.Array, Callable[[jax.Array], jax.Array]]:
    """The stored elements of x, and a function that gives each of them a statistic of its feature."""
    if not is_sparse(x):
        return x, lambda statistic: statistic[None]
    stored = entries(x)
    return jnp.where(stored.inside, stored.values, 0.0), stored.of_features


def _more(count: jax.Array, number: jax.Array) -> jax.Array:
    """The count after `number` more. It saturates at the largest integer."""
    return jnp.maximum(count, count + number)


def nonzero(scale: jax.Array) -> jax.Array:
    """The scale, with 1 in the place of 0, so that a constant feature is not divided by 0."""
    return jnp.where(scale == 0, 1.0, scale)


def two_sum(a: jax.Array, b: jax.Array) -> Pair:
    """The rounded sum, and exactly the part that was rounded off.

    Source: Knuth, The Art of Computer Programming 2, section 4.2.2.
    """
    s = a + b
    t = s - a
    return s, (a - (s - t)) + (b - t)
