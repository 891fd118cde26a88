"""The picture of a race."""

from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

# Okabe and Ito's colours, which the colour-blind can tell apart, less the yellow that vanishes on white.
# Dashes and markers tell the curves apart without any colour, and the widths where one curve hides another.
_STYLES = [
    ("#000000", "-", "o", 2.4),
    ("#E69F00", "--", "s", 2.2),
    ("#0072B2", "-.", "^", 2.0),
    ("#009E73", ":", "D", 2.8),
    ("#D55E00", (0, (5, 1, 1, 1, 1, 1)), "v", 1.3),
]


def draw(result: dict[str, Any]) -> Figure:
    """Draw the loss of every chain over the epochs, on the training and on the test set."""
    settings, initial = result["settings"], result["initial"]
    figure = Figure(figsize=(10, 4.6), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 2)
    for panel, part in zip(panels, ("train", "test"), strict=True):
        key = f"{part}_loss"
        shown = []
        for (name, chain), (colour, dashes, marker, width) in zip(result["chains"].items(), cycle(_STYLES)):
            losses = np.array([initial[key], *chain[key]], dtype=float)
            shown.extend(losses[np.isfinite(losses) & (losses > 0)])
            label = f"{name} ({chain['learning_rate']:g})" + (" diverged" if chain["diverged"] else "")
            panel.plot(
                losses, color=colour, linestyle=dashes, marker=marker, label=label,
                linewidth=width, markersize=2 + 1.5 * width, markevery=max(1, len(losses) // 15),
            )  # fmt: skip
        panel.set(title=f"{part} set", xlabel="epoch", ylabel=f"{part} {settings['loss']}", yscale="log")
        if shown:
            # A chain on its way to infinity leaves the picture to the others.
            panel.set_ylim(min(shown) / 1.5, min(1.5 * max(shown), 20 * shown[0]))
        panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panel.yaxis.set_major_formatter("{x:g}")
        panel.yaxis.set_minor_formatter(NullFormatter())
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panel.grid(which="major", color="0.85")
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].legend(title="optimizer (learning rate)", frameon=False, fontsize="small")
    figure.suptitle(
        f"{settings['data']}: batches of {settings['batch_size']}, seed {settings['seed']}", parse_math=False
    )
    return figure
