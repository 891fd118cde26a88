"""What follows a metric: rates that fall when it stops improving."""

import dataclasses
from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core import Interval, Name, Stateful, times_plus
from gradtx.schedules._schedule import Number, as_float
from gradtx.schedules._several import Part, value_at

Mode: TypeAlias = Literal["min", "max"]
"""Whether the metric is to fall or to rise."""
Counting: TypeAlias = Literal["pytorch", "keras"]
"""How evaluations are counted, see `plateau`."""
Reference: TypeAlias = Literal["magnitude", "value"]
"""What a relative threshold is relative to, see `plateau`."""
Evaluations: TypeAlias = Annotated[Any, Interval(0, hyper=False, whole=True)]
"""A number of evaluations ≥ 0."""
Accumulated: TypeAlias = Annotated[Any, Interval(1, hyper=False, whole=True)]
"""A number of evaluations ≥ 1."""
Threshold: TypeAlias = Annotated[Any, Interval(0.0, hyper=False)]
"""A finite number ≥ 0."""


NEVER = np.int32(np.iinfo(np.int32).max)


class plateau(Stateful):
    """The step at which a metric first stops improving; before, the last that an int32 holds, 2³¹ - 1.

    An evaluation m is better than the best so far, b, if b - m > rtol·|b| + atol, or for mode "max" m - b. A NaN is not
    better. There is a plateau when more than `patience` evaluations in a row were not. The `cooldown` evaluations after
    it are not held against the metric.

    Args:
        patience: Evaluations to bear with.
        rtol: Relative threshold ≥ 0.
        atol: Absolute threshold ≥ 0.
        cooldown: Evaluations after a plateau that do not count.
        accumulation_size: Metrics averaged for one evaluation.
        mode: "min" for a loss, "max" for an accuracy.
        counting: "pytorch" as above. "keras" has the plateau at the `patience`-th evaluation that is not better, one
            earlier, and its cooldown is one evaluation shorter.
        relative_to: rtol·|b| for "magnitude", rtol·b for "value", where a negative loss counts as better although it
            rises a little.
        name: A name of its own in the state's hyperparameters.

    In the state: "best"; "bad" evaluations in a row; "cooldown" left; "plateaus", how many there were, and "first", the
    step of the first; of averages "total" and "seen".

    >>> import gradtx as gx
    >>> tx = gx.switch(gx.adam(1e-3), gx.sgd(1e-2), at=gx.schedules.plateau(patience=5))
    """

    follows_metric = True

    patience: Evaluations = 10
    rtol: Threshold = 1e-4
    atol: Threshold = 0.0
    cooldown: Evaluations = 0
    accumulation_size: Accumulated = 1
    mode: Mode = "min"
    counting: Counting = "pytorch"
    relative_to: Reference = "magnitude"
    name: Name = None

    def init(self) -> dict[str, jax.Array]:
        state = {"best": as_float(_sign(self.mode) * jnp.inf), "first": jnp.asarray(NEVER)}
        counts = ["bad", "cooldown", "plateaus"]
        if self.accumulation_size > 1:
            state["total"] = as_float(0.0)
            counts.append("seen")
        return state | {name: jnp.zeros((), jnp.int32) for name in counts}  # each of its own, as states are donated

    def observe(self, state: Any, metric: Any, step: jax.Array) -> dict[str, jax.Array]:
        metric = jnp.asarray(metric, state["best"].dtype)
        if self.accumulation_size == 1:
            return self._evaluated(state, metric, step)
        total, seen = state["total"] + metric, state["seen"] + 1
        full = seen >= self.accumulation_size
        after = self._evaluated(state, total / self.accumulation_size, step)
        kept = {name: jnp.where(full, new, state[name]) for name, new in after.items()}
        return kept | {"total": jnp.where(full, 0.0, total), "seen": jnp.where(full, 0, seen)}

    def now(self, state: Any, step: jax.Array) -> jax.Array:
        return state["first"]

    def _evaluated(self, state: Any, metric: jax.Array, step: Any) -> dict[str, jax.Array]:
        best, cooling = state["best"], state["cooldown"] > 0
        left = jnp.where(cooling, state["cooldown"] - 1, 0)
        size = jnp.abs(best) if self.relative_to == "magnitude" else best
        # Against the difference, which is exact for close numbers. Where nothing was seen, the threshold is no number.
        better = _sign(self.mode) * (best - metric) > jnp.where(jnp.isinf(best), 0.0, self.rtol * size + self.atol)
        excused = better | (left > 0 if self.counting == "keras" else cooling)
        bad = jnp.where(excused, 0, jnp.where(cooling, 0, state["bad"]) + 1)
        flat = bad >= (max(self.patience, 1) if self.counting == "keras" else self.patience + 1)
        return {
            "best": jnp.where(better, metric, best),
            "bad": jnp.where(flat, 0, bad),
            "cooldown": jnp.where(flat, self.cooldown, left),
            "plateaus": jnp.where(flat, state["plateaus"] + 1, state["plateaus"]),
            "first": jnp.where(flat, jnp.minimum(state["first"], step), state["first"]),
        }


class reduce_on_plateau(Stateful):
    """η(t) = a(t)·s, where s starts at 1 and is multiplied by `factor` whenever a metric has stopped improving.

    It goes wherever a hyperparameter goes. The metric is the argument `value` of `update`, needed at every step; None
    says that there is none at this step. A reduction works in the step whose metric caused it.

    Args:
        value: a, a number or a schedule.
        factor: In [0, 1).
        patience: Evaluations to bear with; see `plateau` for these, and for what counts as better.
        rtol: Relative threshold ≥ 0.
        atol: Absolute threshold ≥ 0.
        cooldown: Evaluations after a reduction that do not count.
        accumulation_size: Metrics averaged for one evaluation.
        min_value: η falls no lower: max(a·s, min(a, `min_value`)).
        min_change: A reduction by no more than this is not made.
        mode: "min" for a loss, "max" for an accuracy.
        counting: "pytorch" or "keras".
        relative_to: "magnitude" or "value".
        name: A name of its own in the state's hyperparameters.

    In the state: "scale", which is s, and under "plateau" what `plateau` keeps.

    PyTorch's `ReduceLROnPlateau` has a `min_change` of 1e-8, and its relative thresholds are relative to the "value".
    So are optax's, which therefore never reduces on a constant negative metric; its patience is one more than
    PyTorch's. Keras has an absolute threshold and its own counting.

    >>> import gradtx as gx
    >>> tx = gx.sgd(gx.schedules.reduce_on_plateau(0.5, factor=0.1, patience=1))
    >>> state = tx.init(jnp.ones(2))
    >>> for loss in (3.0, 2.0, 2.0, None, 2.0):
    ...     _, state = tx.update(jnp.ones(2), state, value=loss)
    ...     print(gx.hyperparams(tx, state)["scale_by_learning_rate.learning_rate"])
    0.5
    0.5
    0.5
    0.5
    0.05
    """

    follows_metric = True

    value: Part
    factor: Annotated[Any, Interval(0.0, 1.0, hyper=False)] = 0.1
    patience: Evaluations = 10
    rtol: Threshold = 1e-4
    atol: Threshold = 0.0
    cooldown: Evaluations = 0
    accumulation_size: Accumulated = 1
    min_value: Threshold = 0.0
    min_change: Threshold = 0.0
    mode: Mode = "min"
    counting: Counting = "pytorch"
    relative_to: Reference = "magnitude"
    name: Name = None

    @property
    def _plateau(self) -> plateau:
        shared = (field.name for field in dataclasses.fields(plateau) if field.name != "name")  # type: ignore[arg-type]
        return plateau(**{name: getattr(self, name) for name in shared})

    def init(self) -> dict[str, Any]:
        return {"scale": as_float(1.0), "plateau": self._plateau.init()}

    def observe(self, state: Any, metric: Any, step: jax.Array) -> dict[str, Any]:
        seen = self._plateau.observe(state["plateau"], metric, step)
        lower = times_plus(self.factor, state["scale"], jnp.zeros_like(state["scale"]))
        change = self._at(state["scale"], step) - self._at(lower, step)
        reduces = (seen["plateaus"] > state["plateau"]["plateaus"]) & (change > self.min_change)
        return {"scale": jnp.where(reduces, lower, state["scale"]), "plateau": seen}

    def now(self, state: Any, step: jax.Array) -> jax.Array:
        return self._at(state["scale"], step)

    def starting(self, change: Callable[[Any], Any]) -> "reduce_on_plateau":
        return self.replace({"value": change(self.value)})

    def _at(self, scale: jax.Array, step: jax.Array) -> jax.Array:
        value = value_at(self.value, step)
        return jnp.maximum(value * scale, jnp.minimum(value, as_float(self.min_value)))


class target(Stateful):
    """The step at which a metric is first at `value` or better; before, the last that an int32 holds, 2³¹ - 1.

    Args:
        value: The target.
        mode: "min" for a loss, which is to fall to `value` or below, "max" for an accuracy, which is to rise.
        name: A name of its own in the state's hyperparameters.

    >>> import gradtx as gx
    >>> tx = gx.switch(gx.adam(1e-3), gx.sgd(1e-2), at=gx.schedules.target(0.95, mode="max"))
    """

    follows_metric = True

    value: Number
    mode: Mode = "min"
    name: Name = None

    def init(self) -> jax.Array:
        return jnp.asarray(NEVER)

    def observe(self, state: Any, metric: Any, step: jax.Array) -> jax.Array:
        return jnp.where(_sign(self.mode) * (self.value - as_float(metric)) >= 0, jnp.minimum(state, step), state)

    def now(self, state: Any, step: jax.Array) -> jax.Array:
        return state


def _sign(mode: str) -> int:
    return 1 if mode == "min" else -1
