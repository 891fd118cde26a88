"""The optimizers and the schedules that a race knows by name, and the list of contestants."""

import argparse
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import gradtx as gx

OPTIMIZERS: dict[str, tuple[float, Callable[[float | Callable[[Any], Any]], gx.Transformation]]] = {
    "sgd": (0.1, lambda rate: gx.sgd(rate)),
    "momentum": (0.03, lambda rate: gx.sgd(rate, momentum=0.9)),
    "rmsprop": (0.001, lambda rate: gx.rmsprop(rate)),
    "adam": (0.003, lambda rate: gx.adam(rate)),
    "adamw": (0.003, lambda rate: gx.adamw(rate, weight_decay=0.1)),
}
"""Name → (default learning rate, function from a learning rate to the optimizer). No optimizer clips its gradients."""

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
"""Name → function from the highest learning rate and the number of steps to the schedule of the whole race."""


class ScheduleOption(NamedTuple):
    """A schedule from the command line: its text, and a function from a learning rate and the number of steps to it."""

    text: str
    at: Callable[[float, int], Any]


class Entry(NamedTuple):
    """A contestant: its name and transformation, and its learning rate (if named) or its code (if a chain)."""

    name: str
    tx: gx.Transformation
    rate: float | None = None
    code: str | None = None


def entries(args: argparse.Namespace, steps: int, rates: Mapping[str, float] = {}) -> Iterator[Entry]:
    """Yield the named optimizers and then the chains.

    The learning rate of a named optimizer is the one in `rates`, or else --learning-rate, or else its default.
    """
    for name in args.optimizers:
        default, make = OPTIMIZERS[name]
        rate = rates.get(name) or args.learning_rate or default
        yield Entry(name, make(args.schedule.at(rate, steps)), rate)
    for number, (code, tx) in enumerate(args.chain, start=1):
        yield Entry(f"chain {number}", tx, code=code)
