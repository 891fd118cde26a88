"""Lines that guides to deep learning give for Keras and PyTorch, each beside gradtx lines that do the same."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

import gradtx as gx
from tests.interop.trajectories import STEPS, gradients, keras_with, run_keras_optimizer, split

MAX_NORM = 1.0


@dataclasses.dataclass(frozen=True)
class Recipe:
    """One line for Keras.

    Args:
        code: The line; `optimizers` is Keras's module.
        ours: gradtx's lines. The first is the drop-in, and its `optimizers` is `gradtx.interop.keras`. The others call
            gradtx directly.
        scale: The factor of the gradients.
    """

    code: str
    ours: tuple[str, ...]
    scale: float = 1.0

    def run_keras(self, dtype: str = "float32") -> np.ndarray:
        with keras_with(dtype) as keras:
            optimizer = eval(self.code, {"optimizers": keras.optimizers})
            return run_keras_optimizer(keras, optimizer, gradients(self.scale), dtype)

    def transformation(self, line: str) -> gx.Transformation:
        import gradtx.interop.keras as optimizers

        return eval(line, {"optimizers": optimizers, "gx": gx})


def _drop_in(call: str, *own: str, scale: float = 1.0) -> Recipe:
    return Recipe(f"optimizers.{call}", (f"optimizers.{call}", *own), scale)


RECIPES = [
    # model.compile(optimizer=...) takes names.
    Recipe("optimizers.get('adam')", ("optimizers.Adam()", "gx.adam(0.001, eps=1e-7, eps_hat=True)")),
    Recipe("optimizers.get('sgd')", ("optimizers.SGD()", "gx.sgd(0.01)"), 1e-3),
    Recipe("optimizers.get('rmsprop')", ("optimizers.RMSprop()", "gx.rmsprop(0.001, decay=0.9, eps=1e-7)")),
    _drop_in("SGD(learning_rate=0.01, momentum=0.9, nesterov=False)", "gx.sgd(0.01, momentum=0.9)", scale=1e-3),
    _drop_in(
        "SGD(learning_rate=0.001, momentum=0.9, nesterov=True)",
        "gx.sgd(0.001, momentum=0.9, nesterov=True)",
        scale=1e-3,
    ),
    _drop_in("Adagrad()", "gx.adagrad(0.001)"),
    _drop_in("RMSprop(learning_rate=0.001, rho=0.9, epsilon=1e-07, centered=False)", "gx.rmsprop(0.001, eps=1e-7)"),
    _drop_in("Adam(learning_rate=0.001, beta_1=0.9, beta_2=0.999)", "gx.adam(0.001, eps=1e-7, eps_hat=True)"),
    _drop_in(
        "AdamW(learning_rate=3e-4, beta_1=0.9, beta_2=0.999, epsilon=1e-8, weight_decay=0.01)",
        "gx.adamw(3e-4, eps_hat=True, weight_decay=0.01)",
    ),
    _drop_in("Adamax()", "gx.adamax(0.001, eps=1e-7, eps_inside_max=False)"),
    _drop_in("Nadam()", "gx.nadam(0.001, eps=1e-7, momentum_decay=1.0)"),
    *(
        Recipe(
            f"optimizers.SGD(optimizers.schedules.ExponentialDecay(0.1, {steps}, 0.96, staircase=True))",
            (
                f"optimizers.SGD(gx.schedules.exponential_decay(0.1, {steps}, 0.96, staircase=True))",
                f"gx.sgd(gx.schedules.exponential_decay(0.1, {steps}, 0.96, staircase=True))",
            ),
            1e-3,
        )
        for steps in (1000, 10)
    ),
]


def clip_gradients(grads: Any, max_norm: float, sqrt: Callable[[Any], Any]) -> Any:
    """Clip by the global norm, c / (‖g‖ + 1e-6), as users of PyTorch often write it by hand."""
    norm = sqrt(sum((g**2).sum() for g in grads))
    return [g * min(max_norm / (norm + 1e-6), 1) for g in grads]


def run_clip_gradients(dtype: str = "float32") -> np.ndarray:
    """Each gradient, clipped by PyTorch."""
    import torch

    grads = [[torch.tensor(g) for g in split(row)] for row in gradients().astype(dtype)]
    out = [clip_gradients(g, MAX_NORM, torch.sqrt) for g in grads]
    return np.array([np.concatenate([x.numpy().ravel() for x in step]) for step in out]).reshape(STEPS, -1)
