"""What several chapters use: tables, the look of the pictures, and the network on handwritten digits."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Markdown

from gradtx.inspection._styles import styles

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
from _digits import Network as Network
from _digits import train as train

_looks = [style for style, _ in zip(styles(), range(14), strict=False)]
plt.rcParams.update(
    {
        "figure.figsize": (8, 4),
        "figure.dpi": 110,
        "figure.constrained_layout.use": True,
        "axes.grid": True,
        "grid.color": "0.85",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "legend.frameon": False,
        # Colours that the colour-blind can tell apart, and dashes for those who see none.
        "axes.prop_cycle": plt.cycler(
            color=[style.colour for style in _looks],
            linestyle=[style.dashes for style in _looks],
            linewidth=[style.width for style in _looks],
        ),
    }
)


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Markdown:
    """A table to look at; numbers are given three significant digits."""
    lines = [header, ["---", *["--:"] * (len(header) - 1)], *([_text(cell) for cell in row] for row in rows)]
    return Markdown("\n".join(f"| {' | '.join(line)} |" for line in lines))


def spread(values: Any, form: str = ".3g") -> str:
    """The mean, the least and the largest of several seeds."""
    values = np.asarray(values, float)
    return f"{values.mean():{form}} ({values.min():{form}} – {values.max():{form}})"


def _text(cell: Any) -> str:
    if isinstance(cell, str):
        return cell
    return f"{cell:,}" if isinstance(cell, int | np.integer) else f"{float(cell):.3g}"
