"""The output of a race: a live table on a terminal, and plain lines everywhere else."""

import math
import sys
from collections.abc import Callable

import numpy as np
from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from gradtx.race._contestant import Contestant, Measures, deviation, seeds_as_text
from gradtx.race._train import Race


class Display:
    """The display of a race. Its table is live within a `with` block."""

    def __init__(self, race: Race):
        self._race = race
        # Both are given explicitly: FORCE_COLOR would make rich write control codes into a pipe, and a small COLUMNS
        # would make it cut numbers although no screen is small.
        terminal = sys.stdout.isatty()
        self._console = Console(force_terminal=terminal, width=None if terminal else 120, highlight=False)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(None),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        self._progress = Progress(*columns, console=self._console, expand=True)
        total = race.steps * len(race.contestants)
        self._steps = self._progress.add_task("", total=total)
        self._live = Live(console=self._console, transient=True, get_renderable=self._render)

    def __enter__(self) -> "Display":
        settings = self._race.settings
        kind = f"{self._race.problem.outputs} classes" if self._race.classification else "regression"
        network = "-".join(map(str, settings["network"])) + " with batch normalisation" * settings["batch_norm"]
        rates = "learning rates: found by range tests\n" * settings["find_lr"]
        schedule = f"schedule of the learning rates: {settings['schedule']}\n"
        self._console.print(
            Text(
                f"{settings['data']}: {kind}, {settings['network'][0]} features, "
                f"{settings['training_examples']} training and {settings['test_examples']} test examples\n"
                f"network {network}, batches of {settings['batch_size']}, "
                f"{seeds_as_text(settings['seeds'])}, on {settings['device']}\n"
                f"{rates}{schedule * (settings['schedule'] != 'constant')}loss: {settings['loss']}"
            )
        )
        for contestant in filter(lambda c: c.code, self._race.contestants):
            self.say(f"{contestant.name}: {contestant.code}")
        if self._console.is_interactive:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def advance(self) -> None:
        """Count one step in the progress bar."""
        self._progress.advance(self._steps)

    def epoch(self) -> None:
        """Print the test losses after an epoch, unless the live table shows them."""
        race = self._race
        if not self._live.is_started:
            mean = "mean " * (len(race.seeds) > 1)
            losses = "  ".join(f"{c.name} {_loss(c.history['test_loss'][-1].mean())}" for c in race.contestants)
            self.say(f"epoch {race.epochs_done}/{race.epochs}  {mean}test loss: {losses}")

    def say(self, line: str) -> None:
        """Print a line without wrapping it."""
        self._console.print(line, markup=False, soft_wrap=True)

    def final(self) -> None:
        """Print the final table."""
        self._console.print(self._table())
        if len(self._race.seeds) > 1:
            self.say(_SEVERAL.format(seeds_as_text(self._race.seeds)))

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
        last = [self._last(contestant) for contestant in race.contestants]
        losses = [row["test_loss"].mean() for row in last]
        best = min(filter(math.isfinite, losses), default=None)
        for contestant, row in zip(race.contestants, last, strict=True):
            table.add_row(
                contestant.name,
                "-" if contestant.learning_rate is None else f"{contestant.learning_rate:g}",
                *(_losses(row[f"{part}_loss"]) for part in _PARTS),
                *(_cell(row[f"{part}_{race.score}"], self._score) for part in _PARTS),
                "-" if contestant.milliseconds is None else f"{contestant.milliseconds:.3f}",
                f"{contestant.state_bytes:,}",
                style="bold" if row["test_loss"].mean() == best and race.epochs_done else None,
            )
        return table

    def _last(self, contestant: Contestant) -> Measures:
        """Return the last measures of a contestant, or the initial ones before its first epoch."""
        return {name: values[-1] for name, values in contestant.history.items() if values} or self._race.initial

    def _score(self, value: float) -> str:
        if not math.isfinite(value):
            return "-"
        if self._race.classification:
            return f"{value:.1%}"
        return f"{value:.3f}" if abs(value) < 100 else f"{value:.1e}"


_PARTS = ("train", "test")
_SEVERAL = "mean ± standard deviation over {}; a step trains all seeds together; the state is of one seed"


def _losses(values: np.ndarray) -> str:
    diverged = int((~np.isfinite(values)).sum())
    return f"{diverged} of {len(values)}\ndiverged" if diverged and len(values) > 1 else _cell(values, _loss)


def _cell(values: np.ndarray, form: Callable[[float], str]) -> str:
    """Return the mean as text and, for several values, the standard deviation below it."""
    if len(values) == 1 or not np.isfinite(values).all():
        return form(values.mean())
    return f"{form(values.mean())}\n±{form(float(deviation(values)))}"


def _loss(value: float) -> str:
    if not math.isfinite(value):
        return "diverged"
    return f"{value:.4f}" if 1e-3 <= value < 100 else f"{value:.1e}"
