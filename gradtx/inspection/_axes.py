"""The axes and the legend of every picture."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# A point in no curve's colour.
MARK: Any = {"linestyle": "", "color": "1", "markeredgecolor": "0", "markeredgewidth": 1.5}


def axes(function: str, labels: list[str], height: float = 4.0, steps: bool = False) -> "Axes":
    """Those of a new figure, which pyplot does not know of, with room for a legend; of steps, if x is their number."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(f"{function} needs matplotlib; run: pip install 'gradtx[plot]'") from error
    ax = Figure(
        figsize=(8, height + 0.2 * -(-len(labels) // _columns(labels))), dpi=150, layout="constrained"
    ).subplots()
    ax.grid(color="0.85")
    if steps:
        ax.locator_params(axis="x", integer=True)
        ax.xaxis.set_major_formatter("{x:,.0f}")
    return ax


def legend(panels: list[Any], lines: list[Any], labels: list[str], own: bool) -> None:
    """Above the axes of a figure of one's own, otherwise within them."""
    place = panels[0].figure.legend if own else panels[-1].legend
    legend = place(
        lines, [str(i) for i in range(len(lines))], loc="outside upper left" if own else "best", frameon=False,
        fontsize="small", handlelength=3.5, ncols=_columns(labels) if own else 1,
    )  # fmt: skip
    for line, text, label in zip(lines, legend.get_texts(), labels, strict=True):
        line.set_label(label)
        text.set(text=label, parse_math=False)  # given to `legend`, one that begins with _ would be left out


def short(label: str) -> str:
    return label if len(label) <= 80 else f"{label[:79]}…"


def _columns(labels: list[str]) -> int:
    """How many columns of a legend the width of a figure holds."""
    return max(1, 96 // (12 + max(map(len, labels))))
