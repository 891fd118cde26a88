"""The trajectories of several transformations over the contours of a function of two numbers, still and moving."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.typing import ArrayLike

from gradtx._tools import Interval, Key, Number, checked
from gradtx.core import Transformation, Transforms
from gradtx.inspection._axes import MARK, Axes, Figure, FuncAnimation, Line2D, OptionalAxes, add_legend, new_axes, short
from gradtx.inspection._contours import draw_contours, limits_around, values_on_grid
from gradtx.inspection._styles import Style, styles
from gradtx.inspection._trajectory import follow

Chains: TypeAlias = (
    Mapping[str, optax.GradientTransformation] | Sequence[optax.GradientTransformation] | optax.GradientTransformation
)
"""Transformations under labels in a dict, several in a list, or one."""


@dataclasses.dataclass(frozen=True)
class Pair:
    """The kind of an argument that holds two finite numbers, such as a point or limits."""

    increasing: bool = False

    def check(self, where: str, value: ArrayLike | Sequence[Number]) -> np.ndarray:
        try:
            pair = np.asarray(value, float)
        except (TypeError, ValueError):
            pair = np.empty(0)
        if pair.shape != (2,) or not np.isfinite(pair).all() or (self.increasing and pair[0] >= pair[1]):
            raise ValueError(
                f"{where} must be two {'increasing' if self.increasing else 'finite'} numbers, got {value!r}"
            )
        return pair


Point: TypeAlias = Annotated[ArrayLike | Sequence[Number], Pair()]
"""(x₀, x₁): two finite numbers."""
Limits: TypeAlias = Annotated[tuple[float, float], Pair(increasing=True)]
"""(low, high): two increasing finite numbers."""


@dataclasses.dataclass(frozen=True)
class _Picture:
    """The arguments that `plot_trajectories` and `animate_trajectories` share, and the public function."""

    function: str
    fn: Callable[[jax.Array], Number]
    chains: Chains
    start: ArrayLike | Sequence[Number]
    steps: int
    sample: Callable[[jax.Array, jax.Array], Number] | None
    key: int | jax.Array
    xlim: tuple[float, float] | None
    ylim: tuple[float, float] | None
    minimum: ArrayLike | Sequence[Number] | None

    @property
    def marks(self) -> dict[str, np.ndarray]:
        """The marked points."""
        marks = {"start": np.asarray(self.start, float)}
        return marks if self.minimum is None else marks | {"minimum": np.asarray(self.minimum, float)}

    @property
    def floor(self) -> float:
        """The value at the minimum, above which the contours rise; infinity if the minimum is not given."""
        return np.inf if self.minimum is None else float(self.fn(jnp.asarray(self.minimum, float)))


class _Drawn(NamedTuple):
    """A trajectory and its line."""

    points: np.ndarray
    last: int  # the last point within the picture, if the trajectory diverged
    line: "Line2D"

    def show(self, step: int) -> None:
        """Draws the trajectory up to a step."""
        self.line.set_data(*self.points[: step + 1].T)
        self.line.set_markevery([min(step, self.last)])


@checked
def plot_trajectories(
    fn: Callable[[jax.Array], Number],
    chains: Chains,
    start: Point,
    steps: Annotated[int, Interval(1, hyper=False, whole=True)],
    *,
    sample: Callable[[jax.Array, jax.Array], Number] | None = None,
    key: Key = 0,
    xlim: Limits | None = None,
    ylim: Limits | None = None,
    minimum: Point | None = None,
    ax: OptionalAxes = None,
) -> "Figure":
    """Draws the trajectories of several transformations over the contours of f(x₀, x₁).

    `trajectory` computes the trajectories. The levels of the contours are spaced geometrically above the least value,
    so that ravines stay visible. A marker stands on the last point of each trajectory. A trajectory has diverged if it
    ends outside of the picture and above its start, or if it moves away ever faster. Its label then says "(diverged)",
    and a cross marks its last point in the picture.

    By default the picture holds the start, the minimum and all trajectories that have not diverged. A detour that is
    much larger than all else is not shown in full.

    Args:
        fn: f, a function from a vector of two numbers to a real scalar. It runs under `jax.vmap`.
        chains: Transformations under labels in a dict, several in a list, or one.
        start: (x₀, x₁), the first point of all trajectories.
        steps: The number of steps, at least 1.
        sample: The noisy f that the transformations see, (x, key) → a real scalar; see `trajectory`.
        key: An integer seed, or a key made by `jax.random.key`. Only `sample` uses it, and all transformations see the
            same noise.
        xlim: The limits of x₀, (low, high). By default they follow the data.
        ylim: The limits of x₁, (low, high). By default they follow the data within `xlim`.
        minimum: (x₀, x₁), a point that is marked by a star. The contours rise above the value there.
        ax: Matplotlib's axes to draw into. By default a new figure is made that pyplot does not manage.

    Raises:
        ImportError: matplotlib is not installed.
        TypeError: `fn` or `sample` does not return a real scalar, or `chains` holds something else than a
            transformation.
        ValueError: `chains` is empty, `start` or `minimum` is not two finite numbers, limits are not two increasing
            numbers, f is not finite at the start, or `key` is given without `sample`.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> ravine, chains = lambda x: x[0] ** 2 + 20 * x[1] ** 2, {"plain": gx.sgd(0.04), "Adam": gx.adam(0.3)}
    >>> figure = gx.inspection.plot_trajectories(ravine, chains, (-4, 1), 30, minimum=(0, 0))
    >>> [text.get_text() for text in figure.legends[0].get_texts()]
    ['plain', 'Adam', 'start', 'minimum']
    """
    picture = _Picture("plot_trajectories", fn, chains, start, steps, sample, key, xlim, ylim, minimum)
    ax, _ = _draw(picture, ax)
    return ax.figure  # type: ignore[return-value]


@checked
def animate_trajectories(
    fn: Callable[[jax.Array], Number],
    chains: Chains,
    start: Point,
    steps: Annotated[int, Interval(1, hyper=False, whole=True)],
    *,
    sample: Callable[[jax.Array, jax.Array], Number] | None = None,
    key: Key = 0,
    xlim: Limits | None = None,
    ylim: Limits | None = None,
    minimum: Point | None = None,
    ax: OptionalAxes = None,
    frames: Annotated[int, Interval(2, hyper=False, whole=True)] = 40,
    fps: Annotated[float, Interval(0.0, above=True, hyper=False)] = 15.0,
) -> "FuncAnimation":
    """Animates the picture of `plot_trajectories` step by step; the last frame is that picture.

    `IPython.display.HTML(animation.to_jshtml())` shows the animation in a notebook.
    `animation.save("x.gif", writer="pillow")` writes it to a file.

    All arguments but the last two are those of `plot_trajectories`.

    Args:
        fn: f, a function from a vector of two numbers to a real scalar.
        chains: Transformations under labels in a dict, several in a list, or one.
        start: (x₀, x₁), the first point of all trajectories.
        steps: The number of steps, at least 1.
        sample: The noisy f that the transformations see, (x, key) → a real scalar.
        key: An integer seed, or a key made by `jax.random.key`. Only `sample` uses it.
        xlim: The limits of x₀, (low, high).
        ylim: The limits of x₁, (low, high).
        minimum: (x₀, x₁), a point that is marked by a star.
        ax: Matplotlib's axes to draw into.
        frames: The largest number of frames, at least 2. The first and the last step are among them.
        fps: The number of frames that are shown in a second, > 0.

    Raises:
        ImportError: As `plot_trajectories`.
        TypeError: As `plot_trajectories`.
        ValueError: As `plot_trajectories`; or `frames` or `fps` is out of its range.
    """
    picture = _Picture("animate_trajectories", fn, chains, start, steps, sample, key, xlim, ylim, minimum)
    new_figure = ax is None
    ax, trajectories = _draw(picture, ax)
    from matplotlib.animation import FuncAnimation

    figure: Figure = ax.figure  # type: ignore[assignment]
    shown = np.unique(np.linspace(0, steps, min(frames, steps + 1)).round().astype(int)).tolist()

    def show(step: int) -> list[object]:
        for drawn in trajectories:
            drawn.show(step)
        return [ax.set_title(f"step {step:,}"), *(drawn.line for drawn in trajectories)]

    if new_figure:
        show(steps)
        figure.set_dpi(80)
        figure.draw_without_rendering()  # all frames keep the layout of the whole picture
        figure.set_layout_engine("none")
    return FuncAnimation(figure, show, shown, interval=1000 / fps)  # type: ignore[arg-type]


def _draw(picture: _Picture, ax: "Axes | None") -> tuple["Axes", list[_Drawn]]:
    function, marks = picture.function, picture.marks
    labels, points, values = _followed(picture)
    escaping = _escaping(points)
    low, high = _limits(picture, points, values, escaping).T
    x, y = np.linspace(low, high, 201).T
    z = values_on_grid(f"{function}: fn", picture.fn, x, y, at_once=len(x) * len(y))

    inside = ((low <= points) & (points <= high)).all(-1)
    diverged = ~inside[:, -1] & (~(values[:, -1] <= values[:, 0]) | escaping.any(1))
    names = [f"{label} (diverged)" if gone else label for label, gone in zip(labels, diverged, strict=True)]
    names += marks
    above = ax is None
    ax = new_axes(function, names, height=4.6) if ax is None else ax
    ax.grid(visible=False)
    ax.set(xlabel="x₀", ylabel="x₁", xlim=(x[0], x[-1]), ylim=(y[0], y[-1]))
    draw_contours(ax, x, y, z, "f", picture.floor)
    curves = zip(points, inside, diverged, styles(), strict=False)
    trajectories = [_drawn(ax, *curve) for curve in curves]
    lines = [drawn.line for drawn in trajectories]
    for name, point in marks.items():
        marker, size = ("o", 8) if name == "start" else ("*", 14)
        lines += ax.plot(*point[:, None], **MARK, marker=marker, markersize=size)
    add_legend([ax], lines, names, above=above)
    return ax, trajectories


def _followed(picture: _Picture) -> tuple[list[str], np.ndarray, np.ndarray]:
    """The labels, the points (trajectories, steps + 1, 2) and the values (trajectories, steps + 1)."""
    named = _labelled(picture.function, picture.chains)
    paths = [
        follow(
            picture.function, picture.fn, tx, picture.marks["start"], picture.steps,
            sample=picture.sample, key=picture.key,
        )
        for _, tx in named
    ]  # fmt: skip
    points = np.stack([np.asarray(path.points, float) for path in paths])
    values = np.stack([np.asarray(path.values, float) for path in paths])
    if not np.isfinite(values[0, 0]):
        raise ValueError(f"{picture.function}: fn must be finite at the start, got {values[0, 0]}")
    return [label for label, _ in named], points, values


def _drawn(ax: "Axes", points: np.ndarray, inside: np.ndarray, diverged: bool, style: Style) -> _Drawn:
    (line,) = ax.plot(
        [], [], color=style.colour, linestyle=style.dashes, linewidth=style.width, markersize=9,
        marker="x" if diverged else style.marker, markeredgecolor=style.colour if diverged else "1",
        markeredgewidth=2.5 if diverged else 1.0,
    )  # fmt: skip
    last = int(np.flatnonzero(inside)[-1]) if diverged and inside.any() else len(points) - 1
    # The step that leads out of the picture is drawn, and no later step: distant points overflow the renderer.
    points = np.where(np.arange(len(points))[:, None] < last + 2, points, np.nan)
    drawn = _Drawn(points, last, line)
    drawn.show(len(points) - 1)
    return drawn


def _limits(picture: _Picture, points: np.ndarray, values: np.ndarray, escaping: np.ndarray) -> np.ndarray:
    """The limits of both axes, (2, 2): those that are given, and others that hold what should be seen."""
    given = [picture.xlim, picture.ylim]
    shown = _to_show(points, values, escaping, np.stack(list(picture.marks.values())))
    for axis, limits in enumerate(given):
        if limits is not None:
            within = (limits[0] <= shown[:, axis]) & (shown[:, axis] <= limits[1])
            shown = shown[within] if within.any() else shown
    automatic = limits_around(shown, narrow=_change(picture.fn, shown))
    return np.stack([mine if limits is None else limits for mine, limits in zip(automatic, given, strict=True)])


def _to_show(points: np.ndarray, values: np.ndarray, escaping: np.ndarray, marks: np.ndarray) -> np.ndarray:
    """The points that the picture should hold, (points, 2)."""
    start = values[0, 0]
    finite = np.isfinite(values) & np.isfinite(points).all(-1)
    lowest = values[finite].min()
    if not lowest < start:
        # No trajectory descends, so that only the steps tell the scale: the shortest first step, unless marks tell it.
        first = points[finite[:, 1], 1]
        nearest = first[np.abs(first - points[0, 0]).max(-1).argsort()[:1]]
        return marks if (marks != marks[0]).any() else np.vstack([marks, nearest])
    low = finite & ~escaping & (values <= start + (start - lowest) / 4)
    settled = low & ~escaping.any(1, keepdims=True)
    if (points[settled] != points[0, 0]).any():
        low = settled  # a trajectory that moves away ever faster sets the scale only if no other trajectory does
    core = np.vstack([marks, points[low]])
    # A trajectory that ends low is shown with its detours, unless these would make all else small.
    detours = points[finite & ~low & np.take(low, [-1], axis=1)]
    middle, extent = (core.min(0) + core.max(0)) / 2, np.ptp(core, axis=0)
    return np.vstack([core, detours[(np.abs(detours - middle) <= 1.5 * extent).all(-1)]])


def _escaping(points: np.ndarray) -> np.ndarray:
    """Which points, (trajectories, steps + 1), are far out on a trajectory that moves away ever faster.

    On an unbounded function even a descent may grow geometrically. Then the last step is a large part of all movement,
    and the last points are many times farther from the start than those of the first quarter.
    """
    distances = np.abs(points - points[:, :1]).max(-1)
    steps = points.shape[1] - 1
    if steps < 20:  # too few to tell a geometric growth from a large step
        return np.zeros(distances.shape, bool)
    with np.errstate(invalid="ignore", over="ignore"):
        last = np.abs(points[:, -1] - points[:, -2]).max(-1)
        grows = ~(last * steps <= 4 * distances.max(-1))
        near = np.quantile(np.where(np.isfinite(distances), distances, np.inf)[:, 1:], 0.25, axis=-1, method="lower")
        return grows[:, None] & ~(distances <= 20 * near[:, None])


def _change(fn: Callable[[jax.Array], Number], points: np.ndarray) -> tuple[bool, bool]:
    """Whether f changes along each axis of the points' box by at least a hundredth of its change along the other."""
    low, high = points.min(0), points.max(0)
    middle = (low + high) / 2
    cross = [(low[0], middle[1]), middle, (high[0], middle[1]), (middle[0], low[1]), middle, (middle[0], high[1])]
    values = np.asarray(jax.vmap(fn)(jnp.asarray(np.stack(cross), float)), float).reshape(2, 3)
    along = np.nan_to_num(values.max(1) - values.min(1), nan=0.0, posinf=0.0)
    return bool(along[0] >= along[1] / 100 > 0), bool(along[1] >= along[0] / 100 > 0)


def _labelled(function: str, chains: Chains) -> list[tuple[str, Transformation]]:
    """The transformations with their labels."""
    if not chains:
        raise ValueError(f"{function}: chains is empty; give at least one transformation")
    if isinstance(chains, Mapping):
        items = chains.items()
        return [(str(name), Transforms().check(f"{function}: chains[{name!r}]", tx)) for name, tx in items]
    several = [chains] if isinstance(chains, optax.GradientTransformation) else list(chains)
    transformations = [Transforms().check(f"{function}: chains", tx) for tx in several]
    return [(short(repr(tx)), tx) for tx in transformations]
