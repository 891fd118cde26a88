"""PyTorch's and Keras's schedules with each of their arguments, and the values of these schedules."""

from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from tests.interop.rows import NONE, Row, crossed
from tests.interop.trajectories import keras_with
from tests.schedules.common import torch_values

COUNT = 220
STEPS = np.arange(COUNT)
RATE: dict[str, Any] = {"lr": 0.1}
MOMENTA = {"base_momentum": 0.7, "max_momentum": 0.99}
DIVISORS = {"div_factor": 10.0, "final_div_factor": 50.0}

TORCH_SCHEDULERS = [
    *crossed("StepLR", [RATE], [{"step_size": 30}, {"step_size": 1}, {"step_size": 7}], [NONE, {"gamma": 0.9}]),
    *crossed(
        "MultiStepLR",
        [RATE],
        [{"milestones": (50, 120)}, {"milestones": (120, 50, 0, 50)}, {"milestones": ()}],
        [NONE, {"gamma": 0.5}],
    ),
    *crossed("ConstantLR", [RATE], [NONE, {"factor": 0.7}], [NONE, {"total_iters": 100}]),
    *crossed(
        "LinearLR",
        [RATE],
        [NONE, {"start_factor": 0.01}, {"start_factor": 1.0, "end_factor": 0.0}],
        [NONE, {"total_iters": 100}, {"total_iters": 1}],
    ),
    *crossed("ExponentialLR", [RATE], [{"gamma": 0.9}, {"gamma": 1.01}, {"gamma": 1.0}]),
    *crossed("PolynomialLR", [RATE], [NONE, {"total_iters": 150}], [NONE, {"power": 2.0}, {"power": 0.5}]),
    *crossed("CosineAnnealingLR", [RATE], [{"T_max": 40}, {"T_max": 1}, {"T_max": 300}], [NONE, {"eta_min": 0.01}]),
    *crossed(
        "CosineAnnealingWarmRestarts",
        [RATE],
        [{"T_0": 25}, {"T_0": 1}],
        [NONE, {"T_mult": 2}, {"T_mult": 3}],
        [NONE, {"eta_min": 0.01}],
    ),
    Row("CyclicLR", {"base_lr": 0.01, "max_lr": 0.1}),
    *crossed(
        "CyclicLR",
        [{"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 20}],
        [NONE, {"step_size_down": 33}],
        [NONE, {"mode": "triangular2"}, {"mode": "exp_range", "gamma": 0.99}],
        [NONE, MOMENTA],
    ),
    *crossed(
        "OneCycleLR",
        [{"max_lr": 0.1}],
        [{"total_steps": 223}, {"epochs": 25, "steps_per_epoch": 10}],
        # Knots between steps, before the first, beyond the last, and at it.
        [NONE, {"pct_start": 0.003}, {"pct_start": 0.8}, {"pct_start": 1.0}],
        [NONE, {"anneal_strategy": "linear"}],
        [NONE, {"three_phase": True}],
    ),
    *crossed("OneCycleLR", [{"max_lr": 0.1, "total_steps": 220} | MOMENTA | DIVISORS], [NONE, {"three_phase": True}]),
    Row("SequentialLR", {"schedulers": (Row("ExponentialLR", RATE | {"gamma": 0.9}),), "milestones": ()}),
    *(
        Row("SequentialLR", {"schedulers": schedulers, "milestones": milestones})
        for schedulers in [
            (
                Row("LinearLR", RATE | {"total_iters": 60}),
                Row("CosineAnnealingLR", RATE | {"T_max": 50}),
                Row("StepLR", RATE | {"step_size": 9}),
            ),
            (
                Row("ConstantLR", RATE),
                Row("CosineAnnealingWarmRestarts", RATE | {"T_0": 20}),
                Row("PolynomialLR", RATE | {"total_iters": 70, "power": 2.0}),
            ),
        ]
        for milestones in [(60, 150), (30, 31), (20, 20), (0, 100)]
    ),
]

INITIAL: dict[str, Any] = {"initial_learning_rate": 0.1}
STAIRCASE = {"staircase": True}
KERAS_SCHEDULES = [
    *crossed("ExponentialDecay", [INITIAL | {"decay_steps": 30, "decay_rate": 0.7}], [NONE, STAIRCASE]),
    *crossed("ExponentialDecay", [INITIAL | {"decay_steps": 2.5, "decay_rate": 1.02}], [NONE, STAIRCASE]),
    *crossed("InverseTimeDecay", [INITIAL | {"decay_steps": 30, "decay_rate": 0.7}], [NONE, STAIRCASE]),
    *crossed("InverseTimeDecay", [INITIAL | {"decay_steps": 2.5, "decay_rate": 1.5}], [NONE, STAIRCASE]),
    *crossed(
        "PolynomialDecay",
        [INITIAL | {"decay_steps": 64}],
        [NONE, {"end_learning_rate": 0.02}],
        [NONE, {"power": 2.0}, {"power": 0.5}],
        [NONE, {"cycle": True}],
    ),
    Row("PiecewiseConstantDecay", {"boundaries": [50], "values": [0.1, 0.01]}),
    Row("PiecewiseConstantDecay", {"boundaries": [0, 50, 51, 120], "values": [1.0, 0.1, 0.05, 0.3, 0.01]}),
    *crossed(
        "CosineDecay",
        [INITIAL],
        [{"decay_steps": 100}, {"decay_steps": 300}],
        [NONE, {"alpha": 0.1}],
        [
            NONE,
            {"warmup_target": 0.5, "warmup_steps": 40},
            {"warmup_target": 0.05, "warmup_steps": 40},
        ],
    ),
    *crossed(
        "CosineDecayRestarts",
        [INITIAL | {"first_decay_steps": 25}],
        [NONE, {"t_mul": 1.0}, {"t_mul": 1.3}],
        [NONE, {"m_mul": 0.8}],
        [NONE, {"alpha": 0.1}],
    ),
]


def curves(rows: list[Row]) -> list[tuple[str, Row, str]]:
    """(name, row, "lr" or "momentum") for each schedule of a row."""
    keys = {row: ("lr", "momentum") if row.name in ("CyclicLR", "OneCycleLR") else ("lr",) for row in rows}
    return [(f"{row}{'.momentum' * (key == 'momentum')}", row, key) for row in rows for key in keys[row]]


def schedule(module: Any, row: Row, key: str = "lr") -> Any:
    """gradtx's schedule of a row."""
    inner = {k: [schedule(module, r) for r in v] for k, v in row.arguments.items() if k == "schedulers"}
    made = getattr(module, row.name)(**row.arguments | inner)
    return made.momentum if key == "momentum" else made


def scheduler(optimizer: Any, row: Row, **more: Any) -> Any:
    """PyTorch's scheduler of a row."""
    import torch

    arguments = {k: v for k, v in row.arguments.items() if k != "lr"}
    inner = {k: [scheduler(optimizer, r) for r in v] for k, v in arguments.items() if k == "schedulers"}
    return getattr(torch.optim.lr_scheduler, row.name)(optimizer, **arguments | inner | more)


def run_scheduler(row: Row, key: str = "lr") -> np.ndarray:
    return torch_values(lambda optimizer: scheduler(optimizer, row), COUNT, key, RATE["lr"])


def run_schedule(row: Row) -> np.ndarray:
    """Keras's values in float64. Keras itself computes cosines in float32, with an error of 5e-5 near the end."""
    # Not compiled: XLA multiplies by 1 / n instead of dividing by n, and misses the end.
    with keras_with("float64") as keras, mock.patch("keras.src.ops.cos", jnp.cos):
        first = {k: np.asarray(v) for k, v in row.arguments.items() if k in ("initial_learning_rate", "values")}
        theirs = getattr(keras.optimizers.schedules, row.name)(**row.arguments | first)
        return np.asarray(jax.vmap(theirs)(STEPS))
