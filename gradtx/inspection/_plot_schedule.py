"""Schedules as curves."""

import numbers
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import optax

from gradtx._tools import Number, by_label, checked, hyperparameters, is_real_scalar
from gradtx.core import ScheduleLike, chain
from gradtx.inspection._axes import Axes, Figure, Line2D, OptionalAxes, add_legend, new_axes, short
from gradtx.inspection._styles import Style, styles

_EVALUATED, _STRETCHES = 2**20, 1024
_DASHES = ("-", "--", "-.", ":")

ScheduleOrNumber: TypeAlias = ScheduleLike | Number
"""A function of the step, or a number for a constant."""


class Steps:
    """The kind of an argument that holds a number of steps or a range of steps."""

    def check(self, where: str, value: int | tuple[int, int]) -> tuple[int, int]:
        """(start, stop)."""
        pair = (0, value) if isinstance(value, numbers.Integral) else value
        whole = isinstance(pair, tuple | list) and len(pair) == 2 and all(isinstance(n, numbers.Integral) for n in pair)
        if not whole or isinstance(value, bool):
            raise TypeError(f"{where} must be an integer or a pair (start, stop), got {value!r}")
        start, stop = map(int, pair)  # type: ignore[arg-type]
        if not 0 <= start < stop < 2**31:
            raise ValueError(f"{where} must be in [1, 2**31), or (start, stop) with 0 ≤ start < stop, got {value!r}")
        return start, stop


class _Curve(NamedTuple):
    """One schedule and its look."""

    label: str
    quantity: str
    schedule: ScheduleOrNumber
    style: Style


@checked
def plot_schedule(
    schedules: ScheduleOrNumber
    | Sequence[ScheduleOrNumber]
    | Mapping[str, ScheduleOrNumber]
    | optax.GradientTransformation,
    steps: Annotated[int | tuple[int, int], Steps()],
    *,
    momentum: ScheduleOrNumber | Sequence[ScheduleOrNumber | None] | None = None,
    log: bool = False,
    ax: OptionalAxes = None,
) -> "Figure":
    """Draws schedules over the steps, learning rates on the left axis and momentum on the right axis.

    Up to 2²⁰ steps are all evaluated, and every peak and jump is drawn. If there are more steps, 2²⁰ evenly spaced
    steps are evaluated. A schedule that is constant between jumps is drawn as stairs. A curve has a gap at each step
    whose value is not finite.

    Args:
        schedules: A function of the step (of gradtx, of optax or any other) or a number; several, in a list or under
            labels in a dict; or a transformation. All scheduled hyperparameters of a transformation are drawn, under
            labels such as "stage.field", with one axis for each kind of hyperparameter.
        steps: The number of steps, counted from 0, or (start, stop) with 0 ≤ start < stop < 2³¹.
        momentum: A function or a number for each of the schedules, in a list if there are several. None in the list
            stands for no momentum. By default the attribute `momentum` of each schedule that has this attribute.
        log: Whether the left axis is logarithmic. A curve on this axis has a gap at each step whose value is 0.
        ax: Matplotlib's axes to draw into. By default a new figure is made that pyplot does not manage.

    Raises:
        ImportError: matplotlib is not installed.
        TypeError: `steps` is not an integer or a pair of integers, or a schedule does not return a number.
        ValueError: There is no step, no schedule, no scheduled hyperparameter or no finite value to draw; a value on a
            logarithmic axis is negative; or `momentum` is given with a transformation, or does not have one entry for
            each schedule.

    >>> import gradtx as gx
    >>> figure = gx.inspection.plot_schedule(gx.schedules.cosine_decay(0.1, 100), 101, momentum=0.9)
    >>> [(ax.get_ylabel(), ax.get_lines()[0].get_label()) for ax in figure.axes]
    [('learning rate', 'cosine_decay(0.1, 100)'), ('momentum', 'cosine_decay(0.1, 100): momentum')]
    """
    start, stop = steps  # type: ignore[misc]
    if isinstance(schedules, optax.GradientTransformation):
        if momentum is not None:
            raise ValueError(
                "plot_schedule: momentum has no effect with a transformation, which has its own momentum; "
                "leave momentum out"
            )
        curves = list(_scheduled(schedules))
    else:
        curves = list(_paired(schedules, momentum))
    quantities = sorted(dict.fromkeys(curve.quantity for curve in curves), key=lambda name: name != "learning rate")
    at = np.linspace(start, stop - 1, min(stop - start, _EVALUATED)).round().astype(np.int32)
    values = [_values(curve, at, positive=log and curve.quantity == quantities[0]) for curve in curves]

    above, labels = ax is None, [curve.label for curve in curves]
    ax = new_axes("plot_schedule", labels, counts_steps=True) if ax is None else ax
    panels = _panels(ax, quantities)
    if log:
        ax.set_yscale("log")
    if len(at) == 1:
        ax.set_xlim(start - 1, start + 1)
    add_legend(list(panels.values()), _lines(panels, curves, at, values), labels, above=above)
    return ax.figure  # type: ignore[return-value]


def _panels(ax: "Axes", quantities: Sequence[str]) -> dict[str, "Axes"]:
    """The axes of each quantity, which share the x axis."""
    panels = [ax, *(ax.twinx() for _ in quantities[1:])]
    for panel, quantity in zip(panels, quantities, strict=True):
        panel.set_ylabel(quantity)
    for i, panel in enumerate(panels[2:], start=1):
        panel.spines["right"].set_position(("outward", 60 * i))
    ax.set_xlabel("step")
    return dict(zip(quantities, panels, strict=True))


def _lines(
    panels: Mapping[str, "Axes"], curves: Sequence[_Curve], steps: np.ndarray, values: Sequence[np.ndarray]
) -> list["Line2D"]:
    quantities = list(panels)
    # If dashes tell the axes apart, markers tell apart the curves of one axis.
    dots = len(curves) > len(panels) > 1 or len(steps) == 1
    lines = []
    for i, (curve, y) in enumerate(zip(curves, values, strict=True)):
        shown = _thinned(y)
        every = max(1, len(shown) // 12)
        dashes = _DASHES[quantities.index(curve.quantity) % 4] if len(panels) > 1 else curve.style.dashes
        lines += panels[curve.quantity].plot(
            steps[shown], y[shown], color=curve.style.colour, linewidth=curve.style.width, linestyle=dashes,
            marker=curve.style.marker if dots else "", markevery=(i * every // len(curves), every),
            drawstyle="steps-post" if _is_stairs(y) else "default",
        )  # fmt: skip
    return lines


def _scheduled(tx: optax.GradientTransformation) -> Iterator[_Curve]:
    """The curves of all scheduled hyperparameters."""
    scheduled = [
        (label, field, value)
        for name, stage in chain(tx).stages.items()
        for field in hyperparameters(type(stage))
        for label, value in _schedules_of(f"{name}.{field}", getattr(stage, field))
    ]
    if not scheduled:
        raise ValueError(f"plot_schedule: no hyperparameter is a schedule in {tx}")
    for (label, field, schedule), style in zip(scheduled, styles(), strict=False):
        yield _Curve(label, field.replace("_", " "), schedule, style)


def _schedules_of(label: str, value: Any) -> list[tuple[str, ScheduleLike]]:
    """The schedules of a hyperparameter with their labels: none, one, or those of the groups of parameters."""
    return [pair for pair in by_label(label, value).items() if callable(pair[1])]


def _paired(
    schedules: ScheduleOrNumber | Sequence[ScheduleOrNumber] | Mapping[str, ScheduleOrNumber],
    momentum: ScheduleOrNumber | Sequence[ScheduleOrNumber | None] | None,
) -> Iterator[_Curve]:
    """The curves of learning rates, each followed by the curve of its momentum."""
    if isinstance(schedules, Mapping):
        labelled = [(str(label), schedule) for label, schedule in schedules.items()]
    else:
        labelled = [(_name(schedule), schedule) for schedule in _several(schedules)]
    if not labelled:
        raise ValueError("plot_schedule: schedules is empty; give at least one schedule")
    momenta = [getattr(s, "momentum", None) for _, s in labelled] if momentum is None else _several(momentum)
    if len(momenta) != len(labelled):
        raise ValueError(
            f"plot_schedule: momentum must have one entry for each of the {len(labelled)} schedules, got {len(momenta)}"
        )
    for (label, schedule), beside, style in zip(labelled, momenta, styles(), strict=False):
        yield _Curve(label, "learning rate", schedule, style)
        if beside is not None:
            yield _Curve(f"{label}: momentum", "momentum", beside, style)


def _several(value: ScheduleOrNumber | Sequence[ScheduleOrNumber | None]) -> list:
    return list(value) if isinstance(value, list | tuple) else [value]


def _name(schedule: ScheduleOrNumber) -> str:
    return short(getattr(schedule, "__qualname__", None) or repr(schedule))


def _values(curve: _Curve, steps: np.ndarray, positive: bool) -> np.ndarray:
    """The values at the steps as float64, NaN if there is nothing to draw."""
    where = f"plot_schedule: {curve.label}"
    values = _evaluated(where, curve.schedule, steps)
    if positive and (values < 0).any():
        step = int(steps[np.argmax(values < 0)])
        raise ValueError(f"{where} is negative at step {step}, which a logarithmic axis cannot show")
    values[~np.isfinite(values) | (positive & (values == 0))] = np.nan
    if np.isnan(values).all():
        raise ValueError(f"{where} has no finite {'positive ' if positive else ''}value at any of the steps")
    return values


def _evaluated(where: str, schedule: ScheduleOrNumber, steps: np.ndarray) -> np.ndarray:
    """The values of a schedule at the steps, as float64."""
    if callable(schedule):
        values = _at_all(schedule, steps)
    else:
        values = np.full(steps.shape, schedule) if is_real_scalar(schedule) else None
    try:
        row = np.array(values, float)
    except (TypeError, ValueError):  # a tuple, a string, rows of different lengths
        row = np.empty(())
    if row.shape != steps.shape:
        first = schedule(int(steps[0])) if callable(schedule) else schedule
        raise TypeError(f"{where} must give a number at every step, got {first!r}")
    return row


def _at_all(schedule: ScheduleLike, steps: np.ndarray) -> object:
    """What a schedule returns at all steps, of one vectorised call if JAX can trace the schedule."""
    try:
        return jax.vmap(schedule)(jnp.asarray(steps))
    except (TypeError, jax.dtypes.TypePromotionError):
        # JAX raises TypeErrors at branches on traced numbers and at their conversions. Strict promotion of dtypes
        # refuses traced numbers in expressions that take Python's numbers.
        return [schedule(step) for step in steps.tolist()]


def _thinned(values: np.ndarray) -> np.ndarray:
    """The indices of the first, last, lowest, highest and a missing value in each of 1024 stretches.

    A pixel shows no more of a curve than these values.
    """
    width = -(-len(values) // _STRETCHES)
    if width <= 5:  # five indices of each stretch would be all of them
        return np.arange(len(values))
    rows = np.pad(values, (0, -len(values) % width), mode="edge").reshape(-1, width)
    missing = np.isnan(rows)
    low, high = (np.argmin(np.where(missing, np.inf, sign * rows), axis=1) for sign in (1, -1))
    places = np.stack([0 * low, low, high, missing.argmax(axis=1), 0 * low + width - 1], axis=1)
    return np.unique(np.minimum(places + np.arange(0, len(values), width)[:, None], len(values) - 1))


def _is_stairs(values: np.ndarray) -> bool:
    """Whether every change is a jump between two levels that last longer than one step."""
    changes = np.diff(values) != 0
    return bool(changes.any() and not changes.all() and not (changes[1:] & changes[:-1]).any())
