"""What can be raced: optimizers by name, with a schedule of their learning rate, and chains."""

import argparse
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import gradtx as gx

OPTIMIZERS: dict[str, tuple[float, Callable[[Any], gx.Transformation]]] = {
    "sgd": (0.1, lambda rate: gx.sgd(rate)),
    "momentum": (0.03, lambda rate: gx.sgd(rate, momentum=0.9)),
    "rmsprop": (0.001, lambda rate: gx.rmsprop(rate)),
    "adam": (0.003, lambda rate: gx.adam(rate)),
    "adamw": (0.003, lambda rate: gx.adamw(rate, weight_decay=0.1)),
}
"""Name -> (default learning rate, the chain for a learning rate). Each is its plain self, unclipped: what is named is
what is raced."""

SCHEDULES: dict[str, Callable[[float, int], Any]] = {
    "constant": lambda rate, _: rate,
    "linear": lambda rate, steps: gx.schedules.linear(rate, 0.0, steps),
    "cosine": lambda rate, steps: gx.schedules.cosine_decay(rate, steps),
    "exponential": lambda rate, steps: gx.schedules.exponential_decay(rate, steps, 0.01),
    "one_cycle": lambda rate, steps: gx.schedules.one_cycle(rate, steps),
    "warmup_cosine": lambda rate, steps: gx.schedules.warmup_cosine(0.0, rate, steps // 10, steps),
    "warmup_stable_decay": lambda rate, steps: gx.schedules.warmup_stable_decay(
        0.0, rate, steps // 10, steps - steps // 10 + -steps // 5, steps
    ),
}
"""Name -> the schedule over the whole race, for the highest learning rate and the number of steps."""


class Schedule(NamedTuple):
    """A schedule as it was told: its text, and what it makes of a learning rate and the number of steps."""

    text: str
    at: Callable[[float, int], Any]


class Entry(NamedTuple):
    """A transformation that races under a name, with the learning rate that the race has given it or its own code."""

    name: str
    tx: gx.Transformation
    rate: float | None = None
    code: str | None = None


def entries(args: argparse.Namespace, steps: int, found: Mapping[str, float] = {}) -> Iterator[Entry]:
    """The named optimizers, at the learning rates that were found, given or by default, and the chains."""
    for name in args.optimizers:
        default, make = OPTIMIZERS[name]
        rate = found.get(name) or args.learning_rate or default
        yield Entry(name, make(args.schedule.at(rate, steps)), rate)
    for number, (code, tx) in enumerate(args.chain, start=1):
        yield Entry(f"chain {number}", tx, code=code)
