"""The options of `gradtx`: their values, and the combinations that are allowed.

No heavy package is imported here.
"""

import argparse
import importlib.metadata
import math
from collections.abc import Callable
from typing import NoReturn

import gradtx as gx
from gradtx.race._chain import parse
from gradtx.race._errors import InputError, shorten, unknown
from gradtx.race._optimizers import OPTIMIZERS, SCHEDULES, ScheduleOption

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
        # argparse would print the usage too, over several lines.
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
        tx = parse(text, gx.Transformation)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    # The text is printed and drawn, in every encoding and font.
    return " ".join(text.encode("ascii", "backslashreplace").decode().split()), tx


def _schedule(text: str) -> ScheduleOption:
    if text in SCHEDULES:
        return ScheduleOption(text, SCHEDULES[text])
    if "(" not in text:
        raise argparse.ArgumentTypeError(unknown("schedule", text, SCHEDULES))
    try:
        factor = parse(text, gx.schedules.Schedule)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return ScheduleOption(text, lambda rate, _: gx.schedules.scaled(factor, rate))


def _text(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("must not be empty")
    return text


def parser() -> argparse.ArgumentParser:
    """Return the parser of `gradtx`."""
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
        help=f"the optimizers to race (default: {','.join(OPTIMIZERS)}; with --chain, none)")  # fmt: skip
    add("--chain", type=_chain, action="append", default=[], metavar="CODE",
        help="an optimizer to race, as code, such as 'chain(clip_by_global_norm(1.0), adamw(3e-4))'; the code is "
        "never evaluated by Python: only functions of gradtx and gradtx.schedules and literals are allowed; "
        "schedules that follow a metric follow the loss of the mini-batch; can be repeated")  # fmt: skip
    add("--data", type=_text, default="digits", metavar="NAME|PATH",
        help=f"a data set of scikit-learn's ({', '.join(BUNDLED)}), a CSV file with a header, or an NPZ file "
        "with arrays x and y (default: digits)")  # fmt: skip
    add("--target", type=_text, metavar="COLUMN", help="the column of a CSV file to predict")
    add("--task", choices=("classification", "regression"), help="the kind of target (default: see below)")
    add("--epochs", type=_whole(1, 10**6), default=15, metavar="N",
        help="passes over the training set (default: 15)")  # fmt: skip
    add("--batch-size", type=_whole(1, 10**9), metavar="N",
        help="examples in a step (default: 64, or all if there are fewer)")  # fmt: skip
    add("--batch-norm", action="store_true", help="normalise each hidden layer over the mini-batch before its ReLU")
    add("--learning-rate", type=_rate, metavar="RATE", help=f"the learning rate of all --optimizers (default: {rates})")
    add("--find-lr", action="store_true",
        help="find the learning rate of each of the --optimizers before the race, by a range test of 100 steps with "
        "the first seed, drawn in find_lr.png; a --chain has its learning rate in its code")  # fmt: skip
    add("--schedule", type=_schedule, default=_schedule("constant"), metavar="NAME|CODE",
        help="the schedule of the learning rates of all --optimizers over the whole race, with the learning rate as "
        f"its highest value: {', '.join(SCHEDULES)}; or the code of a schedule of factors, such as "
        "'cosine_decay(1.0, 300)' (default: constant)")  # fmt: skip
    add("--seed", type=_whole(0, _SEEDS - 1), default=0, metavar="N",
        help="the seed of the split, the initial parameters and the batches (default: 0)")  # fmt: skip
    add("--seeds", type=_whole(1, 100), default=1, metavar="N",
        help="race with N seeds at once, from --seed upwards, and report mean and spread (default: 1)")  # fmt: skip
    add("--out", type=_text, default="race", metavar="DIR",
        help="the folder of race.png and race.json; made if missing (default: race)")  # fmt: skip
    return top


def check(args: argparse.Namespace) -> None:
    """Check that the options can be combined, and fill in the default of --optimizers.

    Raises:
        InputError: an option would have no effect, or contradicts another one.
    """
    if args.optimizers is None:
        args.optimizers = [] if args.chain else list(OPTIMIZERS)
    chains = [tx for _, tx in args.chain]
    if twice := next((code for i, (code, tx) in enumerate(args.chain) if tx in chains[:i]), None):
        raise InputError(f"argument --chain: {shorten(twice)} is given twice; give it once")
    scheduled = args.schedule.text != "constant"
    for option, given in (("learning-rate", args.learning_rate), ("schedule", scheduled), ("find-lr", args.find_lr)):
        if given and not args.optimizers:
            raise InputError(f"argument --{option}: applies only to --optimizers, but only --chain was given")
    if args.find_lr and args.learning_rate:
        raise InputError("argument --find-lr: not allowed with argument --learning-rate; give one of them")
    if args.seed + args.seeds > _SEEDS:
        raise InputError(f"argument --seeds: {args.seeds} seeds from --seed {args.seed} upwards go beyond {_SEEDS - 1}")
