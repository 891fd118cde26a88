"""Schedules as curves."""

import numbers
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from gradtx.core import chain, hyperparameters
from gradtx.inspection._axes import axes, legend, short
from gradtx.inspection._styles import Style, styles

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_EVALUATED, _STRETCHES = 2**20, 1024
_DASHES = ("-", "--", "-.", ":")


class _Curve(NamedTuple):
    label: str
    quantity: str
    schedule: Any
    style: Style


def plot_schedule(
    schedules: Any,
    steps: int | tuple[int, int],
    *,
    momentum: Any = None,
    log: bool = False,
    ax: "Axes | None" = None,
) -> "Figure":
    """A figure of one or several schedules over the steps, learning rates on the left axis and momentum on the right.

    Up to 2²⁰ steps each one is evaluated, and no peak or jump is left out; of more, as many as that, evenly spaced.
    What is constant but for jumps is drawn as stairs. Where a curve is not finite, it has a gap.

    Args:
        schedules: A function of the step (gradtx's, optax's or any other) or a number; several, in a list or under
            labels in a dict; or a transformation, whose scheduled hyperparameters are drawn as "stage.field", those of
            each kind on an axis of their own.
        steps: How many, from 0 on, or (start, stop).
        momentum: A function or a number for each of the schedules, in a list where they are several, None for one
            that has none. By default the attribute `momentum` of a schedule which has it.
        log: Whether the left axis is logarithmic. A value of 0 is a gap there.
        ax: Axes of matplotlib to draw into; otherwise a figure is made, which pyplot does not know of.

    Raises:
        ImportError: matplotlib is not installed.
        TypeError: something is no schedule, or gives no number.
        ValueError: there is no step, no schedule, no scheduled hyperparameter or no finite value to draw; a negative
            value on a logarithmic axis.

    >>> import gradtx as gx
    >>> figure = gx.inspection.plot_schedule(gx.schedules.cosine_decay(0.1, 100), 101, momentum=0.9)
    >>> [(ax.get_ylabel(), ax.get_lines()[0].get_label()) for ax in figure.axes]
    [('learning rate', 'cosine_decay(0.1, 100)'), ('momentum', 'cosine_decay(0.1, 100): momentum')]
    """
    start, stop = _span(steps)
    if isinstance(schedules, optax.GradientTransformation):
        if momentum is not None:
            raise ValueError("plot_schedule: momentum must be None for a transformation, which has its own")
        curves = list(_scheduled(schedules))
    else:
        curves = list(_paired(schedules, momentum))
    quantities = sorted(dict.fromkeys(c.quantity for c in curves), key=lambda q: q != "learning rate")
    at = np.linspace(start, stop - 1, min(stop - start, _EVALUATED)).round().astype(np.int32)
    values = [_values(c, at, log and c.quantity == quantities[0]) for c in curves]

    own, labels = ax is None, [c.label for c in curves]
    ax = axes("plot_schedule", labels, steps=True) if ax is None else ax
    panels = [ax, *(ax.twinx() for _ in quantities[1:])]
    for panel, quantity in zip(panels, quantities, strict=True):
        panel.set_ylabel(quantity)
    for i, panel in enumerate(panels[2:], start=1):
        panel.spines["right"].set_position(("outward", 60 * i))
    ax.set_xlabel("step")
    if log:
        ax.set_yscale("log")
    if len(at) == 1:
        ax.set_xlim(start - 1, start + 1)
    # Where dashes tell the axes apart, markers tell the curves of one apart.
    dots = len(curves) > len(panels) > 1 or len(at) == 1
    lines = []
    for i, (curve, y) in enumerate(zip(curves, values, strict=True)):
        where = quantities.index(curve.quantity)
        shown = _thinned(y)
        every = max(1, len(shown) // 12)
        dashes = _DASHES[where % 4] if len(panels) > 1 else curve.style.dashes
        marker = curve.style.marker if dots else ""
        lines += panels[where].plot(
            at[shown], y[shown], color=curve.style.colour, linewidth=curve.style.width, linestyle=dashes,
            marker=marker, markevery=(i * every // len(curves), every),
            drawstyle="steps-post" if _is_stairs(y) else "default",
        )  # fmt: skip
    legend(panels, lines, labels, own)
    return ax.figure  # type: ignore[return-value]


def _span(steps: Any) -> tuple[int, int]:
    pair = (0, steps) if isinstance(steps, numbers.Integral) else steps
    whole = isinstance(pair, tuple | list) and len(pair) == 2 and all(isinstance(n, numbers.Integral) for n in pair)
    if not whole or isinstance(steps, bool):
        raise TypeError(f"plot_schedule: steps must be an integer or a pair (start, stop), got {steps!r}")
    start, stop = map(int, pair)
    if not 0 <= start < stop < 2**31:
        raise ValueError(f"plot_schedule: steps must be in [1, 2**31), or 0 ≤ start < stop, got {steps!r}")
    return start, stop


def _scheduled(tx: Any) -> Iterator[_Curve]:
    found = [
        (name, field, getattr(stage, field))
        for name, stage in chain(tx).stages.items()
        for field in hyperparameters(type(stage))
        if callable(getattr(stage, field))
    ]
    if not found:
        raise ValueError(f"plot_schedule: no hyperparameter is a schedule in {tx}")
    for (name, field, schedule), style in zip(found, styles(), strict=False):
        yield _Curve(f"{name}.{field}", field.replace("_", " "), schedule, style)


def _paired(schedules: Any, momentum: Any) -> Iterator[_Curve]:
    if isinstance(schedules, Mapping):
        labelled = [(str(label), schedule) for label, schedule in schedules.items()]
    else:
        labelled = [(_label(schedule), schedule) for schedule in _several(schedules)]
    if not labelled:
        raise ValueError("plot_schedule: schedules is empty")
    momenta = [getattr(s, "momentum", None) for _, s in labelled] if momentum is None else _several(momentum)
    if len(momenta) != len(labelled):
        raise ValueError(
            f"plot_schedule: momentum must be one for each of the {len(labelled)} schedules, got {len(momenta)}"
        )
    for (label, schedule), beside, style in zip(labelled, momenta, styles(), strict=False):
        yield _Curve(label, "learning rate", schedule, style)
        if beside is not None:
            yield _Curve(f"{label}: momentum", "momentum", beside, style)


def _several(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _label(schedule: Any) -> str:
    return short(getattr(schedule, "__qualname__", None) or repr(schedule))


def _values(curve: _Curve, steps: np.ndarray, positive: bool) -> np.ndarray:
    """The value at every step as float64; NaN where there is nothing to draw."""
    where = f"plot_schedule: {curve.label}"
    schedule = curve.schedule if callable(curve.schedule) else lambda _: curve.schedule
    try:
        found = jax.vmap(schedule)(jnp.asarray(steps))
    except Exception:  # not a function of a traced step, or one that fails again, and tells why
        found = [schedule(step) for step in steps.tolist()]
    try:
        values = np.array(found, float)
    except (TypeError, ValueError):
        values = np.empty(())
    if values.shape != steps.shape:
        raise TypeError(f"{where} must give a number at every step, got {schedule(int(steps[0]))!r}")
    if positive and (values < 0).any():
        step = int(steps[np.argmax(values < 0)])
        raise ValueError(f"{where} is negative at step {step}, which a logarithmic axis cannot show")
    values[~np.isfinite(values) | (positive & (values == 0))] = np.nan
    if np.isnan(values).all():
        raise ValueError(f"{where} has no finite {'positive ' * positive}value at any of the steps")
    return values


def _thinned(values: np.ndarray) -> np.ndarray:
    """The places of the first, last, lowest, highest and a missing value of each of 1024 stretches, as pixels go."""
    width = -(-len(values) // _STRETCHES)
    if width <= 5:  # as many as would be kept
        return np.arange(len(values))
    rows = np.pad(values, (0, -len(values) % width), mode="edge").reshape(-1, width)
    missing = np.isnan(rows)
    low, high = (np.argmin(np.where(missing, np.inf, sign * rows), axis=1) for sign in (1, -1))
    places = np.stack([0 * low, low, high, missing.argmax(axis=1), 0 * low + width - 1], axis=1)
    return np.unique(np.minimum(places + np.arange(0, len(values), width)[:, None], len(values) - 1))


def _is_stairs(values: np.ndarray) -> bool:
    """Whether every change is a jump from one level that is kept to another."""
    changes = np.diff(values) != 0
    return bool(changes.any() and not changes.all() and not (changes[1:] & changes[:-1]).any())
