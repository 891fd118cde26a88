"""The picture of a race."""

import textwrap
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from gradtx.inspection import styles
from gradtx.race._contestant import Result, seeds_as_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw(result: Result) -> Figure:
    """Draw the training loss and the test loss of every contestant over the epochs."""
    settings, initial, chains = result["settings"], result["initial"], result["chains"]
    several = len(settings["seeds"]) > 1
    figure = Figure(figsize=(10, 4.6), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 2)
    for panel, part in zip(panels, ("train", "test"), strict=True):
        key = f"{part}_loss"
        shown = []

        def curve(numbers: Result, start: Result, key: str = key, shown: list[float] = shown) -> np.ndarray:
            losses = np.array([start[key], *numbers[key]], dtype=float)
            shown.extend(losses[np.isfinite(losses) & (losses > 0)])
            return losses

        for chain, style in zip(chains.values(), styles(), strict=False):
            losses = curve(chain, initial)
            panel.plot(
                losses, color=style.colour, linestyle=style.dashes, marker=style.marker,
                linewidth=style.width, markersize=2 + 1.5 * style.width, markevery=max(1, len(losses) // 15),
            )  # fmt: skip
            if several:
                band = [curve(chain[side], initial[side]) for side in ("lowest", "highest")]
                panel.fill_between(range(len(losses)), *band, color=style.colour, alpha=0.18, linewidth=0)
        panel.set(title=f"{part} set", xlabel="epoch", ylabel=f"{part} {settings['loss']}", yscale="log")
        if shown:
            # A diverging contestant must not make the other curves flat.
            panel.set_ylim(min(shown) / 1.5, min(1.5 * max(shown), 20 * shown[0]))
        panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panel.yaxis.set_major_formatter("{x:g}")
        panel.yaxis.set_minor_formatter(NullFormatter())
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panel.grid(which="major", color="0.85")
        panel.spines[["top", "right"]].set_visible(False)
    _legend(figure, panels[0], chains, settings)
    norm = ", batch normalisation" * settings["batch_norm"]
    spread = ", mean and range" * several
    title = f"{settings['data']}: batches of {settings['batch_size']}{norm}, {seeds_as_text(settings['seeds'])}{spread}"
    figure.suptitle(title, parse_math=False)
    return figure


def _legend(figure: Figure, panel: "Axes", chains: Result, settings: Result) -> None:
    """Draw the legend in a panel, or below both panels if the labels are long."""
    several, schedule = len(settings["seeds"]) > 1, settings["schedule"]
    found, scheduled = " found" * settings["find_lr"], f", schedule {schedule}" * (schedule != "constant")
    labels = [f"optimizer (learning rate{found}{scheduled})"]
    for name, chain in chains.items():
        source = f": {chain['code']}" if chain["code"] else f" ({chain['learning_rate']:g})"
        count = f" for {len(chain['diverged_seeds'])} of {len(settings['seeds'])} seeds" * several
        labels.append(name + source + f" diverged{count}" * chain["diverged"])
    title, *labels = [textwrap.fill(label, 120, subsequent_indent="    ") for label in labels]
    if max(map(len, (title, *labels))) > 40:
        columns = max(1, 120 // (10 + max(map(len, labels))))
        lines = 1 + "\n".join((title, *labels[::columns])).count("\n")
        figure.set_figheight(figure.get_figheight() + 0.2 * lines)
        legend = figure.legend(
            panel.lines, labels, loc="outside lower left", alignment="left", handlelength=3.5, title=title,
            frameon=False, fontsize="small", ncols=columns,
        )  # fmt: skip
    else:
        legend = panel.legend(panel.lines, labels, title=title, frameon=False, fontsize="small")
    for text in (legend.get_title(), *legend.get_texts()):
        text.set_parse_math(False)
