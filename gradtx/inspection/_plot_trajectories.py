"""The ways of several chains over the contours of a function of two numbers, still and moving."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core import Interval, Transforms
from gradtx.inspection._axes import MARK, axes, legend, short
from gradtx.inspection._contours import around, contours, heights
from gradtx.inspection._styles import styles
from gradtx.inspection._trajectory import trajectory

if TYPE_CHECKING:
    from matplotlib.animation import FuncAnimation
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D


class _Way(NamedTuple):
    points: np.ndarray
    last: int  # the last point within the picture, if the way leads out of it for good
    line: "Line2D"

    def show(self, step: int) -> None:
        self.line.set_data(*self.points[: step + 1].T)
        self.line.set_markevery([min(step, self.last)])


def plot_trajectories(
    fn: Callable[[Any], Any],
    chains: Any,
    start: Any,
    steps: int,
    *,
    sample: Callable[[Any, jax.Array], Any] | None = None,
    key: Any = 0,
    xlim: tuple[float, float] | None = None,
    ylim: tuple[float, float] | None = None,
    minimum: Any = None,
    ax: "Axes | None" = None,
) -> "Figure":
    """A figure of the ways of several chains over the contours of f(x₀, x₁), as `trajectory` finds them.

    Contours are crowded near the least value, each so many times farther above it than the one below, that ravines are
    seen. A marker stands on the last point of a way; one that ends higher than it began and out of the picture has a
    cross where it left, and is said to have diverged.

    Args:
        fn: f, a vector of two numbers → a real scalar.
        chains: Transformations under labels in a dict, several in a list, or one.
        start: (x₀, x₁), where all of them begin.
        steps: How many.
        sample: The noisy f that the chains see; see `trajectory`.
        key: An integer seed, or a key made by `jax.random.key`; all chains see the same noise.
        xlim: The limits of x₀. By default all is shown that is about as low as the start, or lower.
        ylim: The limits of x₁.
        minimum: A point to be marked by a star, above whose value the contours rise.
        ax: Axes of matplotlib to draw into; otherwise a figure is made, which pyplot does not know of.

    Raises:
        ImportError: matplotlib is not installed.
        TypeError: what `trajectory` says.
        ValueError: there is no chain, `start` or `minimum` is not two finite numbers, limits are not two increasing
            numbers, or f is not finite at the start.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> ravine, chains = lambda x: x[0] ** 2 + 20 * x[1] ** 2, {"plain": gx.sgd(0.04), "Adam": gx.adam(0.3)}
    >>> figure = gx.inspection.plot_trajectories(ravine, chains, (-4, 1), 30, minimum=(0, 0))
    >>> [text.get_text() for text in figure.legends[0].get_texts()]
    ['plain', 'Adam', 'start', 'minimum']
    """
    ax, _ = _draw("plot_trajectories", fn, chains, start, steps, sample, key, xlim, ylim, minimum, ax)
    return ax.figure  # type: ignore[return-value]


def animate_trajectories(
    fn: Callable[[Any], Any],
    chains: Any,
    start: Any,
    steps: int,
    *,
    sample: Callable[[Any, jax.Array], Any] | None = None,
    key: Any = 0,
    xlim: tuple[float, float] | None = None,
    ylim: tuple[float, float] | None = None,
    minimum: Any = None,
    ax: "Axes | None" = None,
    frames: int = 40,
    fps: float = 15.0,
) -> "FuncAnimation":
    """The picture of `plot_trajectories`, drawn step by step; the last frame is that picture.

    In a notebook, `IPython.display.HTML(animation.to_jshtml())` shows it; `animation.save("x.gif", writer="pillow")`
    keeps it.

    The arguments are those of `plot_trajectories` and two more: `frames` is how many there are at most, the first and
    the last step among them, 2 or more; `fps` is how many are shown in a second.

    Raises:
        ImportError: As `plot_trajectories`.
        TypeError: As `plot_trajectories`.
        ValueError: As `plot_trajectories`; fewer than 2 frames, or an fps that is not positive.
    """
    where = "animate_trajectories"
    frames = Interval(2, hyper=False, whole=True).check(f"{where}: frames", frames)
    fps = Interval(0.0, above=True, hyper=False).check(f"{where}: fps", fps)
    own = ax is None
    ax, ways = _draw(where, fn, chains, start, steps, sample, key, xlim, ylim, minimum, ax)
    from matplotlib.animation import FuncAnimation

    figure: Any = ax.figure
    steps = len(ways[0].points) - 1
    shown = np.unique(np.linspace(0, steps, min(frames, steps + 1)).round().astype(int)).tolist()

    def show(step: int) -> list[Any]:
        for way in ways:
            way.show(step)
        return [ax.set_title(f"step {step:,}"), *(way.line for way in ways)]

    if own:
        show(steps)
        figure.set_dpi(80)
        figure.draw_without_rendering()  # the layout of the whole picture is that of each frame
        figure.set_layout_engine("none")
    return FuncAnimation(figure, show, shown, interval=1000 / fps)


def _draw(
    where: str,
    fn: Any,
    chains: Any,
    start: Any,
    steps: int,
    sample: Any,
    key: Any,
    xlim: Any,
    ylim: Any,
    minimum: Any,
    ax: "Axes | None",
) -> tuple["Axes", list[_Way]]:
    start = _pair(where, "start", start)
    marks = [("start", "o", start)]
    if minimum is not None:
        marks.append(("minimum", "*", _pair(where, "minimum", minimum)))
    given = [None if lim is None else _pair(where, name, lim, True) for name, lim in (("xlim", xlim), ("ylim", ylim))]
    labels, txs = zip(*_labelled(where, chains), strict=True)
    found = [trajectory(fn, tx, start, steps, sample=sample, key=key) for tx in txs]
    points, values = (np.stack([np.asarray(x, float) for x in part]) for part in zip(*found, strict=True))
    if not np.isfinite(values[0, 0]):
        raise ValueError(f"{where}: fn must be finite at the start, got {values[0, 0]}")
    limits = _limits(points, values, [at for _, _, at in marks])
    low, high = np.stack([mine if lim is None else lim for mine, lim in zip(limits, given, strict=True)], 1)

    x, y = np.linspace(low, high, 201).T
    z = heights(f"{where}: fn", fn, x, y, at_once=len(x) * len(y))
    inside = ((low <= points) & (points <= high)).all(-1)
    diverged = ~inside[:, -1] & ~(values[:, -1] <= values[:, 0])
    names = [name + " (diverged)" * bool(left) for name, left in zip(labels, diverged, strict=True)]
    names += [name for name, _, _ in marks]

    own = ax is None
    ax = axes(where, names, 4.6) if ax is None else ax
    ax.grid(visible=False)
    ax.set(xlabel="x₀", ylabel="x₁", xlim=(x[0], x[-1]), ylim=(y[0], y[-1]))
    floor = np.inf if minimum is None else float(fn(jnp.asarray(marks[-1][-1], float)))
    contours(ax, x, y, z, "f", floor)
    ways = []
    for way, seen, left, style in zip(points, inside, diverged, styles(), strict=False):
        (line,) = ax.plot(
            [], [], color=style.colour, linestyle=style.dashes, linewidth=style.width, markersize=9,
            marker="x" if left else style.marker, markeredgecolor=style.colour if left else "1",
            markeredgewidth=2.5 if left else 1.0,
        )  # fmt: skip
        last = int(np.flatnonzero(seen)[-1]) if left and seen.any() else len(way) - 1
        # Of a way that has left for good, the step that led out is seen and no other.
        way[last + 2 :] = np.nan
        ways.append(_Way(way, last, line))
        ways[-1].show(len(way) - 1)
    lines = [way.line for way in ways]
    for _, marker, at in marks:
        lines += ax.plot(*at[:, None], **MARK, marker=marker, markersize=8 if marker == "o" else 14)
    legend([ax], lines, names, own)
    return ax, ways


def _limits(points: np.ndarray, values: np.ndarray, marks: list[np.ndarray]) -> np.ndarray:
    """What holds the marks, and the points about as low as the start or lower: a way to infinity is not followed."""
    begin, finite = values[0, 0], np.isfinite(values)
    lowest = values[finite].min(initial=begin)
    # Where no chain descends, the first steps tell the scale.
    rise = (begin - lowest) / 4 or 4 * (np.median(values[:, :10][finite[:, :10]]) - begin)
    return around(np.vstack([points[finite & (values <= begin + rise)], *marks]))


def _labelled(where: str, chains: Any) -> list[tuple[str, Any]]:
    if isinstance(chains, Mapping | list) and not chains:
        raise ValueError(f"{where}: chains is empty")
    if isinstance(chains, Mapping):
        return [(str(name), Transforms().check(f"{where}: chains[{name!r}]", tx)) for name, tx in chains.items()]
    several = chains if isinstance(chains, list) else [chains]
    checked = [Transforms().check(f"{where}: chains", tx) for tx in several]
    return [(short(repr(tx)), tx) for tx in checked]


def _pair(where: str, name: str, value: Any, increasing: bool = False) -> np.ndarray:
    try:
        pair = np.asarray(value, float)
    except (TypeError, ValueError):
        pair = np.empty(0)
    if pair.shape != (2,) or not np.isfinite(pair).all() or (increasing and pair[0] >= pair[1]):
        kind = "increasing" if increasing else "finite"
        raise ValueError(f"{where}: {name} must be two {kind} numbers, got {value!r}")
    return pair
