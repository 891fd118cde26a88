"""The options of `gradtx`: what each may be, and which go together.

Nothing heavy is imported here.
"""

import argparse
import importlib.metadata
import math
from collections.abc import Callable
from typing import NoReturn

import gradtx as gx
from gradtx.race._chain import parse_chain, parse_schedule
from gradtx.race._errors import InputError, shorten, unknown
from gradtx.race._optimizers import OPTIMIZERS, SCHEDULES, Schedule

BUNDLED = ("digits", "iris", "wine", "breast_cancer", "diabetes")
_SEEDS = 2**32

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


def _chain(text: str) -> tuple[str, gx.Transformation]:
    try:
        tx = parse_chain(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    # What it prints and draws must be printable, in every encoding and font.
    return " ".join(text.encode("ascii", "backslashreplace").decode().split()), tx


def _schedule(text: str) -> Schedule:
    if text in SCHEDULES:
        return Schedule(text, SCHEDULES[text])
    if "(" not in text:
        raise argparse.ArgumentTypeError(unknown("schedule", text, SCHEDULES))
    try:
        factor = parse_schedule(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return Schedule(text, lambda rate, _: gx.schedules.scale(factor, rate))


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
    add("--optimizers", type=_names, metavar="A,B,...",
        help=f"which to race (default: {','.join(OPTIMIZERS)}; with --chain, none)")  # fmt: skip
    add("--chain", type=_chain, action="append", default=[], metavar="CODE",
        help="another to race, as code, such as 'chain(clip_by_global_norm(1.0), adamw(3e-4))': functions of gradtx "
        "and gradtx.schedules, numbers and other literals; what follows a metric follows the loss of the "
        "mini-batch; may be repeated")  # fmt: skip
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
    add("--learning-rate", type=_rate, metavar="RATE", help=f"one for all that are named (default: {rates})")
    add("--find-lr", action="store_true",
        help="find the learning rate of each that is named before the race, by a range test of 100 steps with the "
        "first seed, drawn in find_lr.png; a --chain keeps its own")  # fmt: skip
    add("--schedule", type=_schedule, default=_schedule("constant"), metavar="NAME|CODE",
        help="of the learning rates of all that are named, which are its highest values, over the whole race: "
        f"{', '.join(SCHEDULES)}; or code for a factor to them, such as 'cosine_decay(1.0, 300)' "
        "(default: constant)")  # fmt: skip
    add("--seed", type=_whole(0, _SEEDS - 1), default=0, metavar="N",
        help="of the split, the initial parameters and the batches (default: 0)")  # fmt: skip
    add("--seeds", type=_whole(1, 100), default=1, metavar="N",
        help="race with N seeds at once, --seed and those after it; tells the mean and the spread "
        "(default: 1)")  # fmt: skip
    add("--out", type=_text, default="race", metavar="DIR",
        help="where race.png and race.json go; made if missing (default: race)")  # fmt: skip
    return top


def check(args: argparse.Namespace) -> None:
    """Whether the options go together; fills in which optimizers race."""
    if args.optimizers is None:
        args.optimizers = [] if args.chain else list(OPTIMIZERS)
    chains = [tx for _, tx in args.chain]
    if twice := next((code for i, (code, tx) in enumerate(args.chain) if tx in chains[:i]), None):
        raise InputError(f"argument --chain: {shorten(twice)} is given twice")
    scheduled = args.schedule.text != "constant"
    for option, given in (("learning-rate", args.learning_rate), ("schedule", scheduled), ("find-lr", args.find_lr)):
        if given and not args.optimizers:
            raise InputError(f"argument --{option}: is for --optimizers, and there are none; a --chain says its own")
    if args.find_lr and args.learning_rate:
        raise InputError("argument --find-lr: not allowed with argument --learning-rate")
    if args.seed + args.seeds > _SEEDS:
        raise InputError(f"argument --seeds: {args.seeds} from --seed {args.seed} on go beyond {_SEEDS - 1}")
