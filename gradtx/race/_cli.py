"""The console script `gradtx`: errors, signals and exit codes.

The arguments are checked before heavy packages are imported.
"""

import argparse
import importlib.util
import io
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import gradtx as gx
from gradtx.race._errors import InputError, shorten
from gradtx.race._optimizers import entries
from gradtx.race._options import BUNDLED, check, parser
from gradtx.race._signals import NOTHING, Signals

if TYPE_CHECKING:
    from gradtx.race._train import Race


def _race(args: argparse.Namespace, signals: Signals) -> None:
    """Run a race. Nothing is written before every option, the data and every contestant have been accepted."""
    missing = [m for m in ("flax", "matplotlib", "rich", "sklearn") if importlib.util.find_spec(m) is None]
    if missing:
        raise InputError(f"{', '.join(missing)} not installed; run: pip install 'gradtx[race]'")
    from gradtx.race._data import prepare
    from gradtx.race._read import load

    table = load(args.data, args.target, args.task != "regression", BUNDLED)
    problems = [prepare(table, args.task, args.seed + i) for i in range(args.seeds)]
    size = len(problems[0].x_train)
    args.batch_size = args.batch_size or min(64, size)
    if args.batch_size > size:
        raise InputError(f"argument --batch-size: {args.batch_size} is more than the {size} training examples")
    if args.batch_norm and args.batch_size == 1:
        raise InputError(
            "argument --batch-norm: batches need at least 2 examples, and --batch-size 1 gives one; give a larger size"
        )
    signals.check()
    from gradtx.race._results import Folder

    folder = Folder(Path(args.out))
    from gradtx.race._display import Display
    from gradtx.race._train import Race

    race = Race(problems, args)
    tests = _range_tests(race, args, signals)
    rates = {name: float(f"{test.suggested:.2g}") for name, test in tests.items()}
    race.enter(entries(args, race.steps, rates))
    signals.check()
    signals.saving = True
    folder.begin(race.result("running"))
    if tests:
        folder.write_range_tests(tests)
    with Display(race) as display:
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
        pictures = f", {folder.range_tests} and {folder.png}" if tests else f" and {folder.png}"
        display.say(f"wrote {folder.json}{pictures}")


def _range_tests(race: "Race", args: argparse.Namespace, signals: Signals) -> "dict[str, gx.inspection.RangeTest]":
    """Run a range test for each named optimizer if --find-lr is given."""
    tests = {}
    for name in args.optimizers if args.find_lr else ():
        signals.check()
        tests[name] = race.range_test(name)
        if math.isnan(tests[name].suggested):
            raise InputError(f"argument --find-lr: the loss never falls with {name}; give --learning-rate instead")
    return tests


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal may know ASCII only
    signals = Signals()
    try:
        top = parser()
        args, unrecognized = top.parse_known_args(argv)
        if unrecognized:
            program = f"gradtx {args.command}" if args.command else "gradtx"
            raise InputError(f"unrecognized arguments: {' '.join(unrecognized)}", program)
        if args.command is None:
            top.print_help()
            return 0
        check(args)
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
