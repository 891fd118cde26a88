"""The axes and the legend of every picture."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from gradtx._tools import summary

if TYPE_CHECKING:
    from matplotlib.animation import FuncAnimation as FuncAnimation
    from matplotlib.axes import Axes as Axes
    from matplotlib.figure import Figure as Figure
    from matplotlib.lines import Line2D as Line2D
else:  # `checked` evaluates annotations, and matplotlib is not imported before a picture is drawn
    Axes = Figure = FuncAnimation = Line2D = object

# A point whose colour is no curve's colour.
MARK: dict[str, Any] = {"linestyle": "", "color": "1", "markeredgecolor": "0", "markeredgewidth": 1.5}


class Drawable:
    """The kind of the argument `ax`: matplotlib's axes, or None for a new figure."""

    def check(self, where: str, value: "Axes | None") -> "Axes | None":
        if value is not None and not (hasattr(value, "plot") and hasattr(value, "figure")):
            raise TypeError(f"{where} must be the axes of a matplotlib figure, or None, got {summary(value)}")
        return value


OptionalAxes: TypeAlias = Annotated[Axes | None, Drawable()]
"""Matplotlib's axes to draw into, or None for a new figure."""


def new_axes(function: str, labels: Sequence[str], *, height: float = 4.0, counts_steps: bool = False) -> "Axes":
    """The axes of a new figure that pyplot does not manage, with room for a legend above the axes.

    Args:
        function: The public function, for the error message.
        labels: The entries of the legend.
        height: The height of the figure without its legend, in inches.
        counts_steps: Whether the x axis shows numbers of steps.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(f"{function} needs matplotlib; run: pip install 'gradtx[plot]'") from error
    rows = -(-len(labels) // _columns(labels))
    ax = Figure(figsize=(8, height + 0.2 * rows), dpi=150, layout="constrained").subplots()
    ax.grid(color="0.85")
    if counts_steps:
        ax.locator_params(axis="x", integer=True)
        ax.xaxis.set_major_formatter("{x:,.0f}")
    return ax


def add_legend(panels: Sequence["Axes"], lines: Sequence["Line2D"], labels: Sequence[str], *, above: bool) -> None:
    """Adds the legend above all axes of the figure, or within the last axes."""
    numbers = [str(i) for i in range(len(lines))]
    if above:
        place, where, columns = panels[0].figure.legend, "outside upper left", _columns(labels)
    else:
        place, where, columns = panels[-1].legend, "best", 1
    legend = place(lines, numbers, loc=where, frameon=False, fontsize="small", handlelength=3.5, ncols=columns)
    for line, text, label in zip(lines, legend.get_texts(), labels, strict=True):
        line.set_label(label)
        # `legend` leaves out a label that begins with _, so each label is set afterwards.
        text.set(text=label, parse_math=False)


def short(label: str) -> str:
    return label if len(label) <= 80 else f"{label[:79]}…"


def _columns(labels: Sequence[str]) -> int:
    """The number of columns of a legend that fit into the width of a figure."""
    return max(1, 96 // (12 + max(map(len, labels))))
