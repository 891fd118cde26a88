"""The console script `gradtx`: arguments, errors, signals and exit codes.

Nothing heavy is imported here before the arguments are known to be good.
"""

import argparse
import importlib.metadata
import importlib.util
import io
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from gradtx.race._errors import InputError, shorten, unknown
from gradtx.race._optimizers import OPTIMIZERS
from gradtx.race._signals import NOTHING, Signals

BUNDLED = ("digits", "iris", "wine", "breast_cancer", "diabetes")

_DESCRIPTION = """\
Train one small Flax network with several optimizers side by side: the same initial parameters, the same
batches, epoch by epoch. Ends with a table and writes race.png (loss curves) and race.json (all numbers)."""

_EPILOG = """\
A fifth of the examples, drawn by the seed (stratified for classification), is the test set. Inputs, and the
target of a regression, are standardised by the training set's statistics; a regression's loss is in those
standardised units. Without --task, a target of text is classification, and so is one of whole numbers with
at most 20 distinct values that each occur at least twice; any other target is regression."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        # argparse's own way prints the usage over several lines.
        raise InputError(message, self.prog)


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{shorten(text)} is not a whole number") from None
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{shorten(text)} is not between {low} and {high}")
        return value

    return parse


def _rate(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{shorten(text)} is not a number") from None
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"{shorten(text)} is not positive and finite")
    return value


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    for position, name in enumerate(names):
        if name not in OPTIMIZERS:
            raise argparse.ArgumentTypeError(unknown("optimizer", name, OPTIMIZERS))
        if name in names[:position]:
            raise argparse.ArgumentTypeError(f"{name!r} is named twice")
    return names


def _text(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("must not be empty")
    return text


def parser() -> argparse.ArgumentParser:
    """Build the parser of `gradtx`."""
    top = _Parser(prog="gradtx", description="Gradient transformations for JAX.", allow_abbrev=False)
    version = importlib.metadata.version("gradtx")
    top.add_argument("--version", action="version", version=f"gradtx {version}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    race = commands.add_parser(
        "race",
        help="train a small network with several optimizers side by side",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        allow_abbrev=False,
    )
    rates = ", ".join(f"{name} {rate:g}" for name, (rate, _) in OPTIMIZERS.items())
    add = race.add_argument
    add("--optimizers", type=_names, default=list(OPTIMIZERS), metavar="A,B,...",
        help=f"which to race (default: {','.join(OPTIMIZERS)})")  # fmt: skip
    add("--data", type=_text, default="digits", metavar="NAME|PATH",
        help=f"a data set of scikit-learn's ({', '.join(BUNDLED)}), a CSV file with a header, or an NPZ file "
        "with arrays x and y (default: digits)")  # fmt: skip
    add("--target", type=_text, metavar="COLUMN", help="the column of a CSV file that is to be predicted")
    add("--task", choices=("classification", "regression"), help="what the target is (default: see below)")
    add("--epochs", type=_whole(1, 10**6), default=15, metavar="N",
        help="passes over the training set (default: 15)")  # fmt: skip
    add("--batch-size", type=_whole(1, 10**9), metavar="N",
        help="examples in a step (default: 64, or all where there are fewer)")  # fmt: skip
    add("--batch-norm", action="store_true", help="normalise each hidden layer over the mini-batch before its ReLU")
    add("--learning-rate", type=_rate, metavar="RATE", help=f"one for all (default: {rates})")
    add("--seed", type=_whole(0, 2**32 - 1), default=0, metavar="N",
        help="of the split, the initial parameters and the batches (default: 0)")  # fmt: skip
    add("--out", type=_text, default="race", metavar="DIR",
        help="where race.png and race.json go; made if missing (default: race)")  # fmt: skip
    return top


def _race(args: argparse.Namespace, signals: Signals) -> None:
    missing = [m for m in ("flax", "matplotlib", "rich", "sklearn") if importlib.util.find_spec(m) is None]
    if missing:
        raise InputError(f"{', '.join(missing)} not installed; run: pip install 'gradtx[race]'")
    from gradtx.race._data import prepare
    from gradtx.race._read import load

    table = load(args.data, args.target, args.task != "regression", BUNDLED)
    problem = prepare(table, args.task, args.seed)
    size = len(problem.x_train)
    args.batch_size = args.batch_size or min(64, size)
    if args.batch_size > size:
        raise InputError(f"argument --batch-size: {args.batch_size} is more than the {size} training examples")
    if args.batch_norm and args.batch_size == 1:
        raise InputError("argument --batch-norm: needs batches of at least 2 examples, not --batch-size 1")
    signals.check()
    from gradtx.race._results import Folder

    folder = Folder(Path(args.out))
    from gradtx.race._display import Display
    from gradtx.race._train import Race

    race = Race(problem, args)
    signals.saving = True
    with Display(race) as display:
        folder.begin(race.result("running"))
        for _ in race.run(lambda: signals.received is not None, display.advance):
            folder.write_json(race.result("running"))
            display.epoch()
    display.final()
    result = race.result("interrupted" if signals.received else "finished")
    folder.write_json(result)
    folder.write_png(result)
    if signals.received:
        done = f"{race.epochs_done} of {args.epochs} epochs"
        print(f"gradtx race: interrupted after {done}; their results are in {shorten(args.out)}", file=sys.stderr)
    else:
        display.say(f"wrote {folder.json} and {folder.png}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # an ASCII-only terminal is no reason to fail
    signals = Signals()
    try:
        top = parser()
        args, rest = top.parse_known_args(argv)
        if rest:
            program = f"gradtx {args.command}" if args.command else "gradtx"
            raise InputError(f"unrecognized arguments: {' '.join(rest)}", program)
        if args.command is None:
            top.print_help()
            return 0
        with signals:
            _race(args, signals)
    except InputError as error:
        print(error.line(), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(NOTHING, file=sys.stderr)
    return 128 + signals.received if signals.received else 0


if __name__ == "__main__":
    sys.exit(main())
