"""The optimizers that can be raced. Each is its plain self, unclipped: what is named is what is raced."""

from collections.abc import Callable
from typing import Any

import gradtx as gx

OPTIMIZERS: dict[str, tuple[float, Callable[[float], Any]]] = {
    "sgd": (0.1, lambda rate: gx.sgd(rate)),
    "momentum": (0.03, lambda rate: gx.sgd(rate, momentum=0.9)),
    "rmsprop": (0.001, lambda rate: gx.rmsprop(rate)),
    "adam": (0.003, lambda rate: gx.adam(rate)),
    "adamw": (0.003, lambda rate: gx.adamw(rate, weight_decay=0.1)),
}
"""Name -> (default learning rate, the chain for a learning rate)."""
