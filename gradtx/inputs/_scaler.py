"""What the scalers share: which elements count, whether the state is fitted, y = (x - center) / scale + offset."""

from dataclasses import KW_ONLY
from functools import partial
from typing import Any, ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from gradtx.core import InputAt, InputRule, Interval


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
    """A scaler of features. Subclasses define `start`, `learn` and `affine`, each with a slot `count`."""

    _: KW_ONLY
    missing: Literal["ignore", "count", "refuse"] = "ignore"
    axis_name: Any = None

    weighted: ClassVar[bool] = True

    def start(self, shape: tuple[int, ...], dtype: Any) -> dict[str, jax.Array]:
        """The slots before the first batch, for features of that shape."""
        raise NotImplementedError

    def learn(self, x: jax.Array, valid: jax.Array | None, weights: Any, slot: Any) -> dict[str, jax.Array]:
        """The new slots. `valid` says which elements count; None means all."""
        raise NotImplementedError

    def affine(self, slot: Any) -> Affine:
        """What the slots make of x."""
        raise NotImplementedError

    def begin(self, x: jax.Array) -> dict[str, jax.Array]:
        if x.ndim == 0:
            raise ValueError(f"{self.label}: axis 0 of the inputs is the examples', but they are a scalar")
        slots = self.start(x.shape[1:], x.dtype)
        return slots if self.missing == "ignore" else slots | {"missing": jnp.zeros(x.shape[1:], jnp.int32)}

    def run(self, x: jax.Array, slot: Any, at: InputAt) -> tuple[jax.Array, dict[str, jax.Array]]:
        if self.missing == "refuse" and not isinstance(x, Tracer):
            with jax.ensure_compile_time_eval():  # a function under jit may have closed over them
                number = int(jnp.isnan(x).sum())
            if number:
                raise ValueError(f"{self.label}: {number} of the inputs are NaN, which missing='refuse' refuses")
        new = self._learn(x, slot, at.mask, at.weights) if at.train else {}
        a = self._fitted({**slot, **new}, at.train)
        return ((x - a.center[None]) - a.center_low[None]) / a.scale[None] + a.offset, new

    def invert(self, y: jax.Array, slot: Any, at: InputAt) -> jax.Array:
        a = self._fitted(slot, False)
        return ((y - a.offset) * a.scale[None] + a.center_low[None]) + a.center[None]

    def total(self, x: jax.Array, dtype: Any = None) -> jax.Array:
        """The sum over all examples, those on other devices too; axis 0 stays."""
        x = jnp.sum(x, 0, dtype=dtype, keepdims=True)
        return x if self.axis_name is None else jax.lax.psum(x, self.axis_name)

    def least(self, x: jax.Array) -> jax.Array:
        x = jnp.min(x, 0, initial=jnp.inf, keepdims=True)
        return x if self.axis_name is None else jax.lax.pmin(x, self.axis_name)

    def counted(self, x: jax.Array, valid: jax.Array | None, slot: Any) -> jax.Array:
        """The slot `count` after the elements that count, saturating."""
        valid = jnp.ones(x.shape, bool) if valid is None else valid
        return jnp.maximum(slot["count"], slot["count"] + self.total(valid, jnp.int32)[0])

    @partial(jax.jit, static_argnums=0)
    def _learn(self, x: jax.Array, slot: Any, mask: Any, weights: Any) -> dict[str, jax.Array]:
        mask, weights = self._of_examples("mask", mask, x), self._of_examples("weights", weights, x)
        if weights is not None and not self.weighted:
            raise TypeError(f"{self.label}: takes no weights; leave examples out by mask=")
        offered = None if mask is None else jnp.asarray(mask, bool)
        if weights is not None:
            weights = jnp.asarray(weights, x.dtype)
            offered = weights > 0 if offered is None else offered & (weights > 0)

        def learn_some() -> dict[str, jax.Array]:
            lost = jnp.isnan(x) if offered is None else offered & jnp.isnan(x)
            new = self.learn(x, ~lost if offered is None else offered & ~lost, weights, slot)
            if self.missing == "ignore":
                return new
            return new | {"missing": jnp.maximum(slot["missing"], slot["missing"] + self.total(lost, jnp.int32)[0])}

        if offered is not None:
            return learn_some()
        # To look at each element takes ten times as long as a sum, which tells whether there is any NaN. It may also
        # be that of ∞ - ∞, or too large, and then both ways are right.
        unknown = jnp.isnan(self.total(x)).any()
        return jax.lax.cond(unknown, learn_some, lambda: {**slot, **self.learn(x, None, None, slot)})

    def _of_examples(self, name: str, value: Any, x: jax.Array) -> Any:
        """Something given for each example, or for each element, as an array like x."""
        if value is None:
            return None
        value, shape = jnp.asarray(value), x.shape if name == "mask" else x.shape[:1]
        if value.shape not in (x.shape[:1], shape):
            expected = " or ".join(map(str, dict.fromkeys([x.shape[:1], shape])))
            raise ValueError(f"{self.label}: {name} has shape {value.shape}; expected {expected}")
        return jnp.broadcast_to(jnp.expand_dims(value, range(value.ndim, x.ndim)), x.shape)

    def _fitted(self, slot: Any, train: bool) -> Affine:
        """The statistics; NaN where NaN was refused."""
        count = slot["count"]
        with jax.ensure_compile_time_eval():
            unfitted = not train and not isinstance(count, Tracer) and np.size(count) and not np.any(count)
        if unfitted:
            raise ValueError(
                f"{self.label}: it has learnt from no examples yet; call update(x, state, train=True), or gx.inputs.fit"
            )
        a = self.affine(slot)
        return a._replace(scale=jnp.where(slot["missing"] > 0, jnp.nan, a.scale)) if self.missing == "refuse" else a


def nonzero(scale: jax.Array) -> jax.Array:
    """1 in place of 0: a constant feature is not divided by what it does not vary."""
    return jnp.where(scale == 0, 1.0, scale)
