"""Steps that are skipped because of bad gradients."""

from collections.abc import Mapping
from dataclasses import KW_ONLY
from typing import Annotated, Any, Literal, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from gradtx._tools import Count, CountFromZero, Interval, Record, Tree, flatten, is_trainable, map_trained
from gradtx.conditioning import scaled_norm
from gradtx.core import Part, Role, Slot, TreeAt, TreeStage, as_transformation

Of: TypeAlias = Literal["norm", "value", "both"]
"""What is watched: the norm of the gradients, the extra argument `value`, or both."""
Positive: TypeAlias = Annotated[float, Interval(0.0, above=True, hyper=False)]
"""A finite number > 0."""


class rolling(Record):
    """Says when a gradient norm or a loss is a spike: far above its mean over a window of steps.

    x is a spike if x > m + k·s, where m and s are the mean and the standard deviation of the values before it.

    Args:
        window: The number of values, a whole number ≥ 1.
        sigmas: k > 0.
        of: "norm" for the norm of the gradients; "value" for the argument `value` of `update`, such as the loss;
            "both" skips if either is a spike.
        min_steps: The number of values before which nothing is a spike; by default half of the window.
        floor: The least s ≥ 0, so that nearly constant values have no spikes by rounding.
        bessel: Whether s is divided by n - 1 in the place of n.
        keeps_spikes: Whether the value of a skipped step enters the window. Without it, a lasting change of level is
            skipped for ever.

    Values that are not finite never enter the window.

    OLMo-core, whose form this is, has window=128, sigmas=6, of="both" and bessel=True; so has maxtext. Levanter has
    floor=1e-6.

    >>> import gradtx as gx
    >>> gx.skip_nonfinite(gx.adam(1e-3), spike=gx.rolling(128, sigmas=6))
    skip_nonfinite(chain(scale_by_adam(), scale_by_learning_rate(0.001)), spike=rolling(128, sigmas=6))
    """

    window: Count
    _: KW_ONLY
    sigmas: Positive = 6.0
    of: Of = "norm"
    min_steps: Count | None = None
    floor: Annotated[float, Interval(0.0, hyper=False)] = 0.0
    bessel: bool = False
    keeps_spikes: bool = True

    def is_spike(self, values: jax.Array, seen: jax.Array, x: jax.Array) -> jax.Array:
        """Whether x is a spike after `seen` values, of which the last ones are in the window."""
        n = jnp.minimum(seen, self.window)
        there = jnp.arange(self.window) < n
        count = jnp.maximum(n, 1).astype(values.dtype)
        mean = jnp.sum(jnp.where(there, values, 0)) / count
        variance = jnp.sum(jnp.where(there, (values - mean) ** 2, 0)) / jnp.maximum(count - float(self.bessel), 1)
        deviation = jnp.maximum(jnp.sqrt(variance), self.floor)
        enough = n >= (self.min_steps if self.min_steps is not None else max(self.window // 2, 1))
        return enough & (x - mean > self.sigmas * deviation)


class SkipNonfinite(TreeStage):
    """Skips a step whose gradients have a NaN or an infinity, or are a spike.

    At such a step the updates are zero. The parameters, the slots, the step counter, schedules and weight decay are as
    if the step had not been. The state of the transformation is not copied.

    Args:
        inner: A transformation of gradtx or optax.
        max_consecutive: The number of skipped steps in a row after which one more makes "gave_up" in the state True for
            good; None for never. Steps are skipped all the same.
        spike: A `rolling` window, by which steps with large gradients or losses are skipped too.

    In the state: "skipped", the number of all skipped steps; "consecutive", the number of skipped steps in a row;
    "gave_up". `gradtx.metrics` shows them, and `checkify` can raise on them.

    Around `accumulate`, a bad micro-batch is left out of its window, which then waits for another one. Inside
    `accumulate`, a bad micro-batch spoils its window, and the step of the window is skipped.

    optax's `apply_if_finite` applies a bad update after too many errors in a row, and its condition copies the state.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> tx, params = gx.skip_nonfinite(gx.sgd(1.0)), jnp.zeros(2)
    >>> updates, state = tx.update(jnp.array([1.0, jnp.nan]), tx.init(params))
    >>> updates, state.stages["skip_nonfinite"]["skipped"]
    (Array([0., 0.], dtype=float32), Array(1, dtype=int32))
    """

    inner: Part
    _: KW_ONLY
    max_consecutive: CountFromZero | None = None
    spike: rolling | None = None

    applies = True

    def parts(self) -> Mapping[str, Any]:
        return {"inner": self.inner}

    def accepts(self) -> frozenset[str]:
        return super().accepts() | ({"value"} if self._watches("value") else frozenset())

    def shown(self) -> tuple[str, ...]:
        return ("skipped", "consecutive", "gave_up")

    def active_slots(self) -> Mapping[str, Slot]:
        number = Slot(Role.SCALAR, dtype=np.int32)
        slots = {"skipped": number, "consecutive": number, "gave_up": Slot(Role.SCALAR, dtype=np.bool_)}
        for of in self._watched():
            assert self.spike is not None
            slots |= {f"{of}s": Slot(Role.SCALAR, shape=(self.spike.window,)), f"{of}s_seen": number}
        return slots

    def update(self, updates: Tree, state: Mapping[str, Any], at: TreeAt) -> tuple[Any, Any]:
        size, scale = scaled_norm([g for g in flatten(updates).leaves if is_trainable(g)])
        finite = jnp.isfinite(size)
        watched = {"norm": size / scale, "value": at.extra.get("value")}
        spikes = {of: self._is_spike(of, watched[of], state) for of in self._watched()}
        good = finite
        for is_spike in spikes.values():
            good = good & ~is_spike
        zeros = map_trained(jnp.zeros_like, updates)
        updates, after = self.run_part_if(good, "inner", updates, state, at, zeros)
        after |= self._counted(state, good)
        for of in spikes:
            enters = finite if self.spike is not None and self.spike.keeps_spikes else good
            after |= self._entered(of, watched[of], state, enters)
        return updates, after

    def _watched(self) -> tuple[str, ...]:
        return tuple(of for of in ("norm", "value") if self._watches(of))

    def _watches(self, of: str) -> bool:
        return self.spike is not None and self.spike.of in (of, "both")

    def _is_spike(self, of: str, x: Any, state: Mapping[str, Any]) -> jax.Array:
        if x is None:
            raise TypeError("skip_nonfinite needs the argument value: call update(grads, state, params, value=loss)")
        assert self.spike is not None
        return self.spike.is_spike(state[f"{of}s"], state[f"{of}s_seen"], jnp.asarray(x, jnp.float32))

    def _entered(self, of: str, x: Any, state: Mapping[str, Any], enters: jax.Array) -> dict[str, jax.Array]:
        """The window after a value, in the place of the oldest one."""
        x, values, seen = jnp.asarray(x, jnp.float32), state[f"{of}s"], state[f"{of}s_seen"]
        enters = enters & jnp.isfinite(x)
        new = values.at[seen % values.shape[0]].set(jnp.where(enters, x, values[seen % values.shape[0]]))
        return {f"{of}s": new, f"{of}s_seen": seen + enters.astype(jnp.int32)}

    def _counted(self, state: Mapping[str, Any], good: jax.Array) -> dict[str, jax.Array]:
        skipped = state["skipped"] + jnp.where(good, 0, 1)
        consecutive = jnp.where(good, 0, state["consecutive"] + 1)
        gave_up = state["gave_up"]
        if self.max_consecutive is not None:
            gave_up = gave_up | (consecutive > self.max_consecutive)
        return {"skipped": skipped.astype(jnp.int32), "consecutive": consecutive.astype(jnp.int32), "gave_up": gave_up}


skip_nonfinite = as_transformation(SkipNonfinite)
