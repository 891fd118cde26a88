"""Hyperparameters that follow a metric: steps at which it stops improving, and values that fall then."""

from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY
from typing import Annotated, Any, Literal, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from gradtx._tools import Number, code_of
from gradtx.core import Interval, Name, Stateful, times_plus
from gradtx.schedules._schedule import Finite, as_float, is_number, refuse_without_effect
from gradtx.schedules._values import NumberOrSchedule, StepFunction, value_at

Mode: TypeAlias = Literal["min", "max"]
"""Whether a better metric is a lower or a higher one."""
Counting: TypeAlias = Literal["pytorch", "keras"]
"""How evaluations are counted, see `plateau`."""
Reference: TypeAlias = Literal["magnitude", "value"]
"""What a relative threshold is relative to, see `plateau`."""
FromZero: TypeAlias = Annotated[int | jax.Array, Interval(0, hyper=False, whole=True)]
"""A whole number ≥ 0."""
FromOne: TypeAlias = Annotated[int | jax.Array, Interval(1, hyper=False, whole=True)]
"""A whole number ≥ 1."""
NonNegative: TypeAlias = Annotated[Number, Interval(0.0, hyper=False)]
"""A finite number ≥ 0."""

NEVER = np.int32(np.iinfo(np.int32).max)


class plateau(Stateful):
    """The value is the step at which a metric first stops improving, for `switch(first, second, at=plateau())`.

    Before that step the value is 2³¹ - 1, the last step that an int32 holds.

    An evaluation m is better than the best so far, b, if b - m > rtol·|b| + atol; for mode "max", if
    m - b > rtol·|b| + atol. A NaN is not better. The metric has stopped improving when more than `patience`
    evaluations in a row were not better.

    Args:
        patience: A whole number ≥ 0 of evaluations that may be not better.
        rtol: The relative threshold ≥ 0.
        atol: The absolute threshold ≥ 0.
        accumulation_size: A whole number ≥ 1. The average of so many metrics is one evaluation.
        mode: "min" for a metric that should fall, such as a loss; "max" for one that should rise, such as an accuracy.
        counting: "pytorch" as above. With "keras", the metric has stopped improving at the `patience`-th evaluation
            that is not better, one evaluation earlier, and a cooldown of `reduce_on_plateau` is one evaluation shorter.
        relative_to: "magnitude" for rtol·|b|. "value" for rtol·b: a negative loss that rises a little is then better.
        name: A name in the state's hyperparameters. By default the name of its stage and argument.

    Raises:
        ValueError: `relative_to` is given although rtol is 0; or `counting` is given although patience is 0, for which
            both countings are the same.

    In the state: "best", the best evaluation; "bad", the number of evaluations in a row that were not better;
    "plateaus", how often the metric has stopped improving; "first", the step of the first time; for averages "total"
    and "seen".

    >>> import gradtx as gx
    >>> tx = gx.switch(gx.adam(1e-3), gx.sgd(1e-2), at=gx.schedules.plateau(patience=5))
    """

    follows_metric = True
    idle = {"relative_to": "rtol", "counting": "patience"}

    _: KW_ONLY
    patience: FromZero = 10
    rtol: NonNegative = 1e-4
    atol: NonNegative = 0.0
    accumulation_size: FromOne = 1
    mode: Mode = "min"
    counting: Counting = "pytorch"
    relative_to: Reference = "magnitude"
    name: Name = None

    def init(self) -> dict[str, jax.Array]:
        return _no_evaluation(self)

    def observe(self, state: Mapping[str, jax.Array], metric: ArrayLike, step: jax.Array) -> dict[str, jax.Array]:
        return _observed(self, state, metric, step, cooldown=0)

    def now(self, state: Mapping[str, jax.Array], step: jax.Array) -> jax.Array:
        return state["first"]


class reduce_on_plateau(Stateful):
    """The value is multiplied by `factor` whenever a metric has stopped improving.

    η(t) = max(a(t)·s, min(a(t), `min_value`)), where s starts at 1 and is multiplied by `factor`.

    It goes wherever a hyperparameter goes. The metric is the argument `value` of `update`, which is needed at every
    step; `value=None` means that there is no metric at this step. A reduction takes effect in the step whose metric
    caused it. `plateau` explains when a metric has stopped improving.

    Args:
        value: a, a schedule or a finite number.
        factor: A number in [0, 1).
        patience: A whole number ≥ 0 of evaluations that may be not better.
        rtol: The relative threshold ≥ 0.
        atol: The absolute threshold ≥ 0.
        cooldown: A whole number ≥ 0 of evaluations after a reduction that do not count.
        accumulation_size: A whole number ≥ 1. The average of so many metrics is one evaluation.
        min_value: The least value ≥ 0 of η. It must be less than a, if a is a number.
        min_change: A reduction by no more than this number ≥ 0 is not made.
        mode: "min" for a metric that should fall, such as a loss; "max" for one that should rise, such as an accuracy.
        counting: "pytorch" or "keras", see `plateau`.
        relative_to: "magnitude" or "value", see `plateau`.
        name: A name in the state's hyperparameters. By default the name of its stage and argument.

    Raises:
        ValueError: `relative_to` is given although rtol is 0; `counting` is given although patience and cooldown are 0,
            for which both countings are the same; or a is a number, and `min_value` is not less than a, so that
            nothing would ever be reduced.

    In the state: "scale", which is s, and in "plateau" the state of `plateau` with "cooldown", the number of
    evaluations that will not count.

    PyTorch's `ReduceLROnPlateau` has a `min_change` of 1e-8, and its relative thresholds are relative to the "value".
    The thresholds of `optax.contrib.reduce_on_plateau` are, too, and it therefore never reduces on a constant negative
    metric. The patience of optax is one more than PyTorch's. Keras has an absolute threshold and its own counting.

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
    idle = {"relative_to": "rtol"}

    value: NumberOrSchedule
    factor: Annotated[Number, Interval(0.0, 1.0, hyper=False)] = 0.1
    _: KW_ONLY
    patience: FromZero = 10
    rtol: NonNegative = 1e-4
    atol: NonNegative = 0.0
    cooldown: FromZero = 0
    accumulation_size: FromOne = 1
    min_value: NonNegative = 0.0
    min_change: NonNegative = 0.0
    mode: Mode = "min"
    counting: Counting = "pytorch"
    relative_to: Reference = "magnitude"
    name: Name = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if is_number(self.patience, 0) and is_number(self.cooldown, 0):
            refuse_without_effect(self, ["counting"], "with patience=0 and cooldown=0")
        value, least = self.value, self.min_value
        if isinstance(value, int | float) and isinstance(least, int | float) and value <= least and least > 0:
            raise ValueError(
                f"{self.label}: min_value must be less than value={code_of(value)}, got {code_of(least)}; "
                "otherwise nothing is ever reduced"
            )

    def init(self) -> dict[str, Any]:
        return {"scale": as_float(1.0), "plateau": _no_evaluation(self)}

    def observe(self, state: Mapping[str, Any], metric: ArrayLike, step: jax.Array) -> dict[str, Any]:
        evaluated = _observed(self, state["plateau"], metric, step, self.cooldown)
        lower = times_plus(self.factor, state["scale"], jnp.zeros_like(state["scale"]))
        change = self._at(state["scale"], step) - self._at(lower, step)
        reduces = (evaluated["plateaus"] > state["plateau"]["plateaus"]) & (change > self.min_change)
        return {"scale": jnp.where(reduces, lower, state["scale"]), "plateau": evaluated}

    def now(self, state: Mapping[str, Any], step: jax.Array) -> jax.Array:
        return self._at(state["scale"], step)

    def starting(self, change: Callable[[Number | StepFunction], Number | StepFunction]) -> "reduce_on_plateau":
        return self.replace({"value": change(self.value)})

    def _at(self, scale: jax.Array, step: jax.Array) -> jax.Array:
        value = value_at(self.value, step)
        return jnp.maximum(value * scale, jnp.minimum(value, as_float(self.min_value)))


class target(Stateful):
    """The value is the step at which a metric first reaches a target, for `switch(first, second, at=target(0.95))`.

    Before that step the value is 2³¹ - 1, the last step that an int32 holds.

    Args:
        value: The target, a finite number.
        mode: "min" for a metric that should fall to `value` or below, such as a loss; "max" for one that should rise to
            `value` or above, such as an accuracy.
        name: A name in the state's hyperparameters. By default the name of its stage and argument.

    >>> import gradtx as gx
    >>> tx = gx.switch(gx.adam(1e-3), gx.sgd(1e-2), at=gx.schedules.target(0.95, mode="max"))
    """

    follows_metric = True

    value: Finite
    _: KW_ONLY
    mode: Mode = "min"
    name: Name = None

    def init(self) -> jax.Array:
        return jnp.asarray(NEVER)

    def observe(self, state: jax.Array, metric: ArrayLike, step: jax.Array) -> jax.Array:
        return jnp.where(_sign(self.mode) * (self.value - as_float(metric)) >= 0, jnp.minimum(state, step), state)

    def now(self, state: jax.Array, step: jax.Array) -> jax.Array:
        return state


# The two follow a metric by the same arguments. A shared base class would put them before `value` and `factor`.
Follower: TypeAlias = plateau | reduce_on_plateau


def _no_evaluation(follower: Follower) -> dict[str, jax.Array]:
    """The state before the first evaluation."""
    state = {"best": as_float(_sign(follower.mode) * jnp.inf), "first": jnp.asarray(NEVER)}
    counts = ["bad", "cooldown", "plateaus"]
    if follower.accumulation_size > 1:
        state["total"] = as_float(0.0)
        counts.append("seen")
    # Each count is an array of its own, because states are donated.
    return state | {name: jnp.zeros((), jnp.int32) for name in counts}


def _observed(
    follower: Follower, state: Mapping[str, jax.Array], metric: ArrayLike, step: jax.Array, cooldown: ArrayLike
) -> dict[str, jax.Array]:
    """The state after a metric, which is an evaluation or a part of one."""
    metric = jnp.asarray(metric, state["best"].dtype)
    if follower.accumulation_size == 1:
        return _evaluated(follower, state, metric, step, cooldown)
    total, seen = state["total"] + metric, state["seen"] + 1
    full = seen >= follower.accumulation_size
    after = _evaluated(follower, state, total / follower.accumulation_size, step, cooldown)
    chosen = {name: jnp.where(full, new, state[name]) for name, new in after.items()}
    return chosen | {"total": jnp.where(full, 0.0, total), "seen": jnp.where(full, 0, seen)}


def _evaluated(
    follower: Follower, state: Mapping[str, jax.Array], metric: jax.Array, step: jax.Array, cooldown: ArrayLike
) -> dict[str, jax.Array]:
    """The state after an evaluation. A `plateau` needs no cooldown: only the first time counts."""
    best, cooling = state["best"], state["cooldown"] > 0
    left = jnp.where(cooling, state["cooldown"] - 1, 0)
    size = jnp.abs(best) if follower.relative_to == "magnitude" else best
    # The difference is exact for close numbers. Before the first evaluation the threshold would be ∞ or NaN.
    threshold = jnp.where(jnp.isinf(best), 0.0, follower.rtol * size + follower.atol)
    better = _sign(follower.mode) * (best - metric) > threshold
    keras = follower.counting == "keras"
    excused = better | (left > 0 if keras else cooling)
    bad = jnp.where(excused, 0, jnp.where(cooling, 0, state["bad"]) + 1)
    stopped = bad >= (jnp.maximum(follower.patience, 1) if keras else follower.patience + 1)
    return {
        "best": jnp.where(better, metric, best),
        "bad": jnp.where(stopped, 0, bad),
        "cooldown": jnp.where(stopped, cooldown, left),
        "plateaus": jnp.where(stopped, state["plateaus"] + 1, state["plateaus"]),
        "first": jnp.where(stopped, jnp.minimum(state["first"], step), state["first"]),
    }


def _sign(mode: Mode) -> int:
    return 1 if mode == "min" else -1
