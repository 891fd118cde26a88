"""Write the results of PyTorch, Keras and optax to files, so that tests can run without these libraries.

python -m tests.golden.make [torch] [keras] [optax] [torch_schedules] [keras_schedules]

PyTorch and Keras run in float64, and their results are rounded to float32 at the end. Otherwise their float32 rounding
errors would be as large as the errors of gradtx that the tests measure. Each file has one row per name: the parameters
after a few steps, or a schedule's value for each update. The file also lists the versions that made it.
"""

import platform
import sys
from collections.abc import Sequence
from importlib.metadata import version

import jax
import numpy as np

from tests.cases import CASES
from tests.helpers import gradients, optax_trajectory, tree
from tests.interop.recipes import RECIPES, run_clip_gradients
from tests.interop.rows import KERAS, TORCH
from tests.interop.schedules import (
    KERAS_SCHEDULES,
    STEPS,
    TORCH_SCHEDULERS,
    curves,
    run_schedule,
    run_scheduler,
)
from tests.interop.trajectories import GOLDEN, KEPT, named, run_keras, run_torch

OPTAX_KEPT = (1, 2, 3, 5, 10, 20)


def save(file: str, steps: Sequence[int], trajectories: dict[str, np.ndarray]) -> None:
    """Write one file: the versions, the steps, the names and the parameters after these steps."""
    versions = [f"python {platform.python_version()}"]
    versions += [f"{name} {version(name)}" for name in sorted({file.partition("_")[0], "jax", "numpy"})]
    np.savez_compressed(
        GOLDEN / f"{file}.npz",
        versions=np.array(versions),
        steps=np.array(steps),
        names=np.array(list(trajectories)),
        parameters=np.array([t[[s - 1 for s in steps]] for t in trajectories.values()], np.float32),
    )


def run_optax(case) -> np.ndarray:
    """Return all parameters after each step, one row per step."""
    params, grads = tree(1), gradients(max(OPTAX_KEPT))
    updates, _, _ = optax_trajectory(case.peer(), params, grads)
    rows = [np.concatenate([np.ravel(x) for x in jax.tree.leaves(u)]) for u in [params, *updates]]
    return np.cumsum(np.array(rows, np.float64), 0)[1:]


def torch() -> dict[str, np.ndarray]:
    rows = {name: run_torch(row, varies, "float64") for name, row, varies in named(TORCH)}
    return rows | {"clip_gradients": run_clip_gradients("float64")}


def keras() -> dict[str, np.ndarray]:
    rows = {name: run_keras(row, varies, "float64") for name, row, varies in named(KERAS)}
    return rows | {recipe.code: recipe.run_keras("float64") for recipe in RECIPES}


def optax() -> dict[str, np.ndarray]:
    return {str(case): run_optax(case) for case in CASES if case.optax}


def torch_schedules() -> dict[str, np.ndarray]:
    return {name: run_scheduler(row, key) for name, row, key in curves(TORCH_SCHEDULERS)}


def keras_schedules() -> dict[str, np.ndarray]:
    return {name: run_schedule(row) for name, row, _ in curves(KERAS_SCHEDULES)}


FILES = {
    "torch": (torch, KEPT),
    "keras": (keras, KEPT),
    "optax": (optax, OPTAX_KEPT),
    "torch_schedules": (torch_schedules, STEPS + 1),
    "keras_schedules": (keras_schedules, STEPS + 1),
}

if __name__ == "__main__":
    for file in sys.argv[1:] or FILES:
        run, steps = FILES[file]
        save(file, steps, run())
