"""The state of a chain."""

from typing import Any, NamedTuple

import jax


class State(NamedTuple):
    """What a transformation remembers: one counter, its tunable hyperparameters, and its stages' slots by name.

    Attributes:
        step: Updates done so far, int32, saturating at 2³¹ - 1.
        hyperparams: What is kept of hyperparameters, by name or "stage.field": a float32 scalar of a tunable one, and
            a dictionary of scalars of one that follows a metric.
        stages: Stage name → slot name → a tree like the parameters (or a scalar). Stages without slots are absent.
    """

    step: jax.Array
    hyperparams: dict[str, Any]
    stages: dict[str, Any]


def from_state(state: State, part: str, name: str) -> Any:
    """`state.stages[name]` or `state.hyperparams[name]`."""
    entries = getattr(state, part)
    if name not in entries:
        raise ValueError(
            f"{name}: the state has no entry of that name in its {part}, only {sorted(entries)}; "
            "it was made by another chain"
        )
    return entries[name]
