"""The picture of a race."""

from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from gradtx.inspection._styles import styles


def draw(result: dict[str, Any]) -> Figure:
    """Draw the loss of every chain over the epochs, on the training and on the test set."""
    settings, initial = result["settings"], result["initial"]
    figure = Figure(figsize=(10, 4.6), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 2)
    for panel, part in zip(panels, ("train", "test"), strict=True):
        key = f"{part}_loss"
        shown = []
        for (name, chain), style in zip(result["chains"].items(), styles(), strict=False):
            losses = np.array([initial[key], *chain[key]], dtype=float)
            shown.extend(losses[np.isfinite(losses) & (losses > 0)])
            label = f"{name} ({chain['learning_rate']:g})" + (" diverged" if chain["diverged"] else "")
            panel.plot(
                losses, color=style.colour, linestyle=style.dashes, marker=style.marker, label=label,
                linewidth=style.width, markersize=2 + 1.5 * style.width, markevery=max(1, len(losses) // 15),
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
    norm = ", batch normalisation" * settings["batch_norm"]
    title = f"{settings['data']}: batches of {settings['batch_size']}{norm}, seed {settings['seed']}"
    figure.suptitle(title, parse_math=False)
    return figure
