"""The optimizers that are compared with PyTorch and Keras: each one with each of its flags on and off.

The sizes of learning rates keep parameters of order one for 50 steps. Gradients span six orders of magnitude. If
the step is proportional to them, all gradients are 1000 times smaller (`Row.scale`): otherwise the largest would hide
the others.
"""

import dataclasses
import itertools
from typing import Any


@dataclasses.dataclass(frozen=True, eq=False)
class Row:
    """One optimizer with its arguments, with the names of the library."""

    name: str
    arguments: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.name}({', '.join(f'{k}={v}' for k, v in self.arguments.items())})"

    @property
    def scale(self) -> float:
        """The factor of the gradients."""
        return 1e-3 if self.name in ("SGD", "ASGD") else 1.0

    @property
    def varies(self) -> bool:
        """Whether the learning rate may vary. Rprop reads it once, as its first step size."""
        return self.name != "Rprop"


def crossed(name: str, *options: list[dict[str, Any]]) -> list[Row]:
    """A row for each choice of one option from each list."""
    return [Row(name, dict(itertools.chain(*(o.items() for o in chosen)))) for chosen in itertools.product(*options)]


NONE: dict[str, Any] = {}
DECAY = {"weight_decay": 0.1}
DECOUPLED = DECAY | {"decoupled_weight_decay": True}
UP = {"maximize": True}
SHORT = {"betas": (0.5, 0.9)}


def _adam(name: str, lr: float, *decays: dict[str, Any]) -> list[Row]:
    """Rows of a large ε, the maximum and the kinds of decay. The sign of the gradient matters only to the decay."""
    return [
        Row(name, NONE),
        *crossed(name, [{"lr": lr}], [NONE, {"eps": 0.01}], [NONE, {"amsgrad": True}], [NONE, *decays]),
        *crossed(name, [{"lr": lr} | UP], [NONE, {"amsgrad": True}], [NONE, *decays]),
        *crossed(name, [{"lr": lr} | SHORT], [NONE, {"amsgrad": True}]),
        Row(name, {"lr": lr, "betas": (0.0, 0.999)}),
    ]


TORCH = [
    Row("SGD", NONE),
    *crossed(
        "SGD",
        [{"lr": 0.05}],
        [
            NONE,
            {"momentum": 0.8},
            {"momentum": 0.8, "dampening": 0.3},
            {"momentum": 0.8, "nesterov": True},
            {"momentum": 1.0, "dampening": 0.1},
        ],
        [NONE, DECAY],
    ),
    *crossed("SGD", [{"lr": 0.05} | UP], [NONE, {"momentum": 0.8, "dampening": 0.3}], [NONE, DECAY]),
    Row("Adagrad", NONE),
    *crossed(
        "Adagrad",
        [{"lr": 0.1}],
        [NONE, {"lr_decay": 0.1}],
        [NONE, {"initial_accumulator_value": 0.5}],
        [NONE, {"eps": 0.1}],
        [NONE, DECAY],
    ),
    *crossed("Adagrad", [{"lr": 0.1} | UP], [NONE, {"lr_decay": 0.1}], [NONE, DECAY]),
    Row("Adadelta", NONE),
    *crossed("Adadelta", [{"lr": 2.0}], [NONE, {"rho": 0.5}], [NONE, {"eps": 1e-3}], [NONE, DECAY]),
    *crossed("Adadelta", [{"lr": 2.0} | UP], [NONE, DECAY]),
    Row("RMSprop", NONE),
    *crossed(
        "RMSprop",
        [{"lr": 0.01}],
        [NONE, {"alpha": 0.9, "eps": 0.01}],
        [NONE, {"centered": True}],
        [NONE, {"momentum": 0.8}],
        [NONE, DECAY],
    ),
    *crossed("RMSprop", [{"lr": 0.01} | UP], [NONE, {"centered": True, "momentum": 0.8}], [NONE, DECAY]),
    Row("Rprop", NONE),
    *crossed(
        "Rprop",
        [{"lr": 0.1}],
        [NONE, {"etas": (0.7, 1.5)}],
        [NONE, {"step_sizes": (0.05, 0.2)}],
        [NONE, UP],
    ),
    *_adam("Adam", 0.02, DECAY, DECOUPLED),
    *_adam("AdamW", 0.02, DECAY, {"weight_decay": 0.0}),
    Row("Adamax", NONE),
    *crossed("Adamax", [{"lr": 0.02}], [NONE, {"eps": 0.01}], [NONE, DECAY], [NONE, SHORT]),
    *crossed("Adamax", [{"lr": 0.02} | UP], [NONE, DECAY]),
    Row("NAdam", NONE),
    *crossed(
        "NAdam",
        [{"lr": 0.02}],
        [NONE, {"momentum_decay": 0.5}],
        [NONE, {"eps": 0.01}],
        [NONE, DECAY, DECOUPLED],
    ),
    *crossed("NAdam", [{"lr": 0.02} | UP], [NONE, DECAY, DECOUPLED]),
    Row("NAdam", {"lr": 0.02, "momentum_decay": 0.0} | SHORT),
    Row("RAdam", NONE),
    # The first five steps are plain for β₂ = 0.999 and 0.9. All steps are plain for 0.5, and then as large as g.
    *crossed(
        "RAdam",
        [{"lr": 0.02}],
        [{"betas": (0.9, 0.999)}, {"betas": (0.8, 0.9)}],
        [NONE, {"eps": 0.01}],
        [NONE, DECAY, DECOUPLED],
    ),
    *crossed("RAdam", [{"lr": 0.02} | UP], [NONE, DECAY, DECOUPLED]),
    Row("RAdam", {"lr": 1e-4, "betas": (0.9, 0.5)}),
    Row("ASGD", NONE),
    *crossed(
        "ASGD",
        [{"lr": 0.05}],
        [NONE, {"lambd": 0.5, "alpha": 0.9}],
        [NONE, {"t0": 10.0}],
        [NONE, DECAY],
    ),
    *crossed("ASGD", [{"lr": 0.05} | UP], [NONE, DECAY]),
]

LIMITS: list[dict[str, Any]] = [{"clipnorm": 0.5}, {"clipvalue": 0.3}, {"global_clipnorm": 0.5}]


def _limited(name: str, arguments: dict[str, Any]) -> list[Row]:
    """Rows of Keras's decay and its three kinds of clipping, which come before the step of every optimizer."""
    return [Row(name, NONE), *crossed(name, [arguments], [NONE, *LIMITS, DECAY, LIMITS[-1] | DECAY])]


def _keras_adam(name: str) -> list[Row]:
    return crossed(name, [{"learning_rate": 0.02}], [NONE, {"amsgrad": True}], [NONE, {"epsilon": 0.01}])[1:]


KERAS = [
    *_limited("SGD", {"learning_rate": 0.05}),
    *crossed("SGD", [{"learning_rate": 0.05, "momentum": 0.8}], [NONE, {"nesterov": True}], [NONE, DECAY, *LIMITS]),
    Row("SGD", {"learning_rate": 0.05, "momentum": 1.0}),
    *_limited("Adagrad", {"learning_rate": 0.1}),
    *crossed(
        "Adagrad", [{"learning_rate": 0.1}], [{"initial_accumulator_value": 0.0}, {"epsilon": 0.1}], [NONE, DECAY]
    ),
    *_limited("Adadelta", {"learning_rate": 2.0}),
    *crossed("Adadelta", [{"learning_rate": 2.0}], [{"rho": 0.5}, {"epsilon": 1e-3}], [NONE, DECAY]),
    *_limited("RMSprop", {"learning_rate": 0.01}),
    *crossed(
        "RMSprop",
        [{"learning_rate": 0.01}],
        [NONE, {"centered": True}],
        [NONE, {"momentum": 0.8}],
        [NONE, {"rho": 0.99, "epsilon": 0.01}],
        [NONE, DECAY],
    )[2:],
    *_limited("Adam", {"learning_rate": 0.02}),
    *_keras_adam("Adam"),
    *crossed("Adam", [{"learning_rate": 0.02, "beta_1": 0.5, "beta_2": 0.9}], [NONE, {"amsgrad": True}]),
    *_limited("AdamW", {"learning_rate": 0.02}),
    *_keras_adam("AdamW"),
    *_limited("Adamax", {"learning_rate": 0.02}),
    *crossed("Adamax", [{"learning_rate": 0.02}], [{"epsilon": 0.01}, {"beta_1": 0.5, "beta_2": 0.9}], [NONE, DECAY]),
    *_limited("Nadam", {"learning_rate": 0.02}),
    *crossed("Nadam", [{"learning_rate": 0.02}], [{"epsilon": 0.01}, {"beta_1": 0.5, "beta_2": 0.9}], [NONE, DECAY]),
    *_limited("Lion", {"learning_rate": 0.02}),
    *crossed("Lion", [{"learning_rate": 0.02}], [{"beta_1": 0.5, "beta_2": 0.9}, {"beta_1": 1.0}], [NONE, DECAY]),
    *_limited("Ftrl", {"learning_rate": 0.1}),
    *crossed(
        "Ftrl",
        [{"learning_rate": 0.1}],
        [
            {"l1_regularization_strength": 0.3},
            {"l2_regularization_strength": 0.2},
            {"l2_shrinkage_regularization_strength": 0.2},
            {"beta": 0.5},
            {"learning_rate_power": -0.3},
            {"initial_accumulator_value": 0.0, "l2_regularization_strength": 0.2},
            {
                "l1_regularization_strength": 0.3,
                "l2_regularization_strength": 0.2,
                "l2_shrinkage_regularization_strength": 0.2,
                "beta": 0.5,
            },
        ],
        [NONE, DECAY],
    ),
    Row("Ftrl", {"learning_rate": 2e-3, "learning_rate_power": 0.0}),  # its step is as large as the gradient
]
