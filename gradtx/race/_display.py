"""What a race shows: a live table on a terminal, plain lines anywhere else."""

import math
import sys

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from gradtx.race._train import Race


class Display:
    """A race's display, live for the length of a `with` block."""

    def __init__(self, race: Race):
        self._race = race
        # Told outright, as FORCE_COLOR would have rich write control codes into a pipe, and a small COLUMNS would
        # have it cut numbers short where no screen asks for it.
        terminal = sys.stdout.isatty()
        self._console = Console(force_terminal=terminal, width=None if terminal else 120, highlight=False)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(None),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        self._progress = Progress(*columns, console=self._console, expand=True)
        total = race.epochs * race.batches.steps_per_epoch * len(race.chains)
        self._steps = self._progress.add_task("", total=total)
        self._live = Live(console=self._console, transient=True, get_renderable=self._render)

    def __enter__(self) -> "Display":
        settings = self._race.settings
        kind = f"{self._race.problem.outputs} classes" if self._race.classification else "regression"
        network = "-".join(map(str, settings["network"])) + " with batch normalisation" * settings["batch_norm"]
        self._console.print(
            Text(
                f"{settings['data']}: {kind}, {settings['network'][0]} features, "
                f"{settings['training_examples']} training and {settings['test_examples']} test examples\n"
                f"network {network}, batches of {settings['batch_size']}, "
                f"seed {settings['seed']}, on {settings['device']}\nloss: {settings['loss']}"
            )
        )
        if self._console.is_interactive:
            self._live.start()
        return self

    def __exit__(self, *_) -> None:
        self._live.stop()

    def advance(self) -> None:
        """Count a step."""
        self._progress.advance(self._steps)

    def epoch(self) -> None:
        """Tell of an epoch done, unless the live table does."""
        race = self._race
        if not self._live.is_started:
            losses = "  ".join(f"{c.name} {_loss(c.history['test_loss'][-1])}" for c in race.chains)
            self.say(f"epoch {race.epochs_done}/{race.epochs}  test loss: {losses}")

    def say(self, line: str) -> None:
        """Print a line as it is, however long."""
        self._console.print(line, markup=False, soft_wrap=True)

    def final(self) -> None:
        """Print the table to stay."""
        self._console.print(self._table())

    def _render(self) -> Group:
        self._progress.update(self._steps, description=f"epoch {self._race.epochs_done}/{self._race.epochs}")
        return Group(self._table(), self._progress)

    def _table(self) -> Table:
        race = self._race
        score = "accuracy" if race.classification else "R²"
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        table.add_column("optimizer", no_wrap=True)
        for heading in ("learning\nrate", "train\nloss", "test\nloss", f"train\n{score}", f"test\n{score}"):
            table.add_column(heading, justify="right", no_wrap=True)
        table.add_column("ms per\nstep", justify="right", no_wrap=True)
        table.add_column("bytes of\nstate", justify="right", no_wrap=True)
        last = [{key: values[-1] for key, values in c.history.items() if values} or race.initial for c in race.chains]
        best = min((row["test_loss"] for row in last if math.isfinite(row["test_loss"])), default=None)
        for chain, row in zip(race.chains, last, strict=True):
            table.add_row(
                chain.name,
                f"{chain.learning_rate:g}",
                *(_loss(row[f"{part}_loss"]) for part in _PARTS),
                *(self._score(row[f"{part}_{race.score}"]) for part in _PARTS),
                "-" if chain.milliseconds is None else f"{chain.milliseconds:.3f}",
                f"{chain.state_bytes:,}",
                style="bold" if row["test_loss"] == best and race.epochs_done else None,
            )
        return table

    def _score(self, value: float) -> str:
        if not math.isfinite(value):
            return "-"
        if self._race.classification:
            return f"{value:.1%}"
        return f"{value:.3f}" if abs(value) < 100 else f"{value:.1e}"


_PARTS = ("train", "test")


def _loss(value: float) -> str:
    if not math.isfinite(value):
        return "diverged"
    return f"{value:.4f}" if 1e-3 <= value < 100 else f"{value:.1e}"
