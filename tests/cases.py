"""A row per technique: how it is made, its float64 reference, its counterpart in optax, and what it can do.

A reference is `step(g, p, t, s, **hyperparameters) -> u` on float64 numpy arrays, one leaf at a time: t counts from 1
and s is a dictionary that the reference keeps, in which "leaf" is the number of the leaf in the tree, None leaves
counted. References of rules that see the whole tree take lists instead.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import optax

import gradtx as gx
from tests.helpers import noise


@dataclasses.dataclass(frozen=True)
class Case:
    """A technique under test.

    Args:
        make: The public function.
        arguments: Its arguments.
        reference: float64 numpy.
        optax: The same transformation made by optax; None where optax has no such form.
        varying: The hyperparameter that takes a schedule or lives in the state in the laws about that; None where the
            technique has none.
        optimizer: Whether it descends by itself.
        whole: Whether the reference takes all leaves at once.
        complex: Whether it takes complex parameters.
        stored: Arrays like the parameters that XLA's CPU backend stores in between, because the update reads a slot
            that the same step replaces, or because it draws random numbers.
        reads_twice: Whether the update reads its gradient more than once, as a norm of it does, so that what a stage
            before it makes of the gradient is stored.
        static: Arguments that are no hyperparameters, so that `optax.inject_hyperparams` must leave them alone.
    """

    make: Callable[..., gx.Transformation]
    arguments: dict[str, Any]
    reference: Callable[..., Any]
    optax: Callable[..., optax.GradientTransformation] | None
    varying: str | None
    optimizer: bool = False
    whole: bool = False
    complex: bool = True
    stored: int = 0
    reads_twice: bool = False
    static: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.make.__name__}({', '.join(f'{k}={v}' for k, v in self.arguments.items())})"

    def tx(self, **changed: Any) -> gx.Transformation:
        return self.make(**(self.arguments | changed))

    def peer(self, **changed: Any) -> optax.GradientTransformation:
        assert self.optax is not None
        return self.optax(**(self.arguments | changed))


def _abs_sq(g):
    return (g * np.conj(g)).real


def scale_by_learning_rate(g, p, t, s, learning_rate, flip_sign=True):
    return (-learning_rate if flip_sign else learning_rate) * g


def scale_by_schedule(g, p, t, s, schedule):
    return schedule * g


def trace(g, p, t, s, momentum, nesterov=False):
    s["b"] = momentum * s.get("b", 0) + g
    return g + momentum * s["b"] if nesterov else s["b"]


def sgd(g, p, t, s, learning_rate, momentum=None, nesterov=False):
    return -learning_rate * (g if momentum is None else trace(g, p, t, s, momentum, nesterov))


def scale_by_rms(g, p, t, s, decay=0.9, eps=1e-8, initial_scale=0.0, eps_inside_sqrt=True, bias_correction=False):
    s["nu"] = decay * s.get("nu", initial_scale) + (1 - decay) * _abs_sq(g)
    nu = s["nu"] / (1 - decay**t) if bias_correction else s["nu"]
    return g / (np.sqrt(nu + eps) if eps_inside_sqrt else np.sqrt(nu) + eps)


def rmsprop(g, p, t, s, learning_rate, **arguments):
    return -learning_rate * scale_by_rms(g, p, t, s, **arguments)


def scale_by_adam(g, p, t, s, b1=0.9, b2=0.999, eps=1e-8, eps_root=0.0):
    s["mu"] = b1 * s.get("mu", 0) + (1 - b1) * g
    s["nu"] = b2 * s.get("nu", 0) + (1 - b2) * _abs_sq(g)
    return s["mu"] / (1 - b1**t) / (np.sqrt(s["nu"] / (1 - b2**t) + eps_root) + eps)


def adam(g, p, t, s, learning_rate, **arguments):
    return -learning_rate * scale_by_adam(g, p, t, s, **arguments)


def adamw(g, p, t, s, learning_rate, weight_decay=1e-4, **arguments):
    return -learning_rate * (scale_by_adam(g, p, t, s, **arguments) + weight_decay * p)


def scale_by_rss(g, p, t, s, initial_accumulator_value=0.1, eps=1e-7, eps_inside_sqrt=True):
    s["nu"] = s.get("nu", initial_accumulator_value) + _abs_sq(g)
    root = np.sqrt(s["nu"] + eps) if eps_inside_sqrt else np.sqrt(s["nu"]) + eps
    return np.where(root > 0, g / np.where(root > 0, root, 1), 0)


def adagrad(g, p, t, s, learning_rate, **arguments):
    return -learning_rate * scale_by_rss(g, p, t, s, **arguments)


def scale_by_adadelta(g, p, t, s, decay=0.9, eps=1e-6):
    s["nu"] = decay * s.get("nu", 0) + (1 - decay) * _abs_sq(g)
    u = np.sqrt(s.get("delta", 0) + eps) / np.sqrt(s["nu"] + eps) * g
    s["delta"] = decay * s.get("delta", 0) + (1 - decay) * _abs_sq(u)
    return u


def adadelta(g, p, t, s, learning_rate=1.0, **arguments):
    return -learning_rate * scale_by_adadelta(g, p, t, s, **arguments)


def scale_by_lion(g, p, t, s, b1=0.9, b2=0.99):
    mu = s.get("mu", np.zeros_like(g))
    s["mu"] = b2 * mu + (1 - b2) * g
    return np.sign(b1 * mu + (1 - b1) * g)


def lion(g, p, t, s, learning_rate, weight_decay=1e-3, **arguments):
    return -learning_rate * (scale_by_lion(g, p, t, s, **arguments) + weight_decay * p)


def scale_by_adamax(g, p, t, s, b1=0.9, b2=0.999, eps=1e-8, eps_inside_max=True):
    s["mu"] = b1 * s.get("mu", 0) + (1 - b1) * g
    s["nu"] = np.maximum(b2 * s.get("nu", 0), np.abs(g) + (eps if eps_inside_max else 0))
    return s["mu"] / (1 - b1**t) / (s["nu"] if eps_inside_max else s["nu"] + eps)


def adamax(g, p, t, s, learning_rate, **arguments):
    return -learning_rate * scale_by_adamax(g, p, t, s, **arguments)


def clip(g, p, t, s, max_delta):
    if np.iscomplexobj(g):
        return np.clip(g.real, -max_delta, max_delta) + 1j * np.clip(g.imag, -max_delta, max_delta)
    return np.clip(g, -max_delta, max_delta)


def clip_by_global_norm(gs, ps, t, s, max_norm, eps=0.0):
    norm = np.sqrt(sum(_abs_sq(g).sum() for g in gs)) + eps
    return [g * (max_norm / norm if norm > max_norm else 1.0) for g in gs]


def clip_by_norm(g, p, t, s, max_norm, eps=0.0):
    return clip_by_global_norm([g], [p], t, s, max_norm, eps)[0]


def adaptive_grad_clip(g, p, t, s, clipping, eps=1e-3):
    axis = {0: (), 1: 0, 2: 0, 3: 0}.get(g.ndim, tuple(range(g.ndim - 1)))
    p_norm, g_norm = (np.sqrt(_abs_sq(x).sum(axis, keepdims=True)) for x in (p, g))
    bound = clipping * np.maximum(p_norm, eps)
    return g * np.where(g_norm > bound, bound / np.where(g_norm > bound, g_norm, 1), 1)


def centralize(g, p, t, s, output_last=False):
    if g.ndim < 2 or not g.size:
        return g
    return g - g.mean(tuple(range(g.ndim - 1) if output_last else range(1, g.ndim)), keepdims=True)


def add_noise(g, p, t, s, eta, gamma, key):
    return g + np.sqrt(eta / t**gamma) * noise(key, "add_noise", t - 1, s["leaf"], g)


def add_decayed_weights(g, p, t, s, weight_decay):
    return g + weight_decay * p


def _optax_rms(decay=0.9, eps=1e-8, initial_scale=0.0, eps_inside_sqrt=True, bias_correction=False):
    return optax.scale_by_rms(decay, eps, initial_scale, eps_inside_sqrt, bias_correction)


def _optax_rmsprop(learning_rate, **arguments):
    return optax.chain(_optax_rms(**arguments), optax.scale_by_learning_rate(learning_rate))


def _optax_trace(momentum, nesterov=False):
    return optax.trace(momentum, nesterov)


def _optax_adadelta(learning_rate, decay=0.9, eps=1e-6):
    return optax.adadelta(learning_rate, rho=decay, eps=eps)


CASES = [
    Case(
        gx.scale_by_learning_rate,
        {"learning_rate": 0.3},
        scale_by_learning_rate,
        optax.scale_by_learning_rate,
        "learning_rate",
    ),
    Case(
        gx.scale_by_learning_rate,
        {"learning_rate": 0.3, "flip_sign": False},
        scale_by_learning_rate,
        lambda learning_rate, flip_sign: optax.scale_by_learning_rate(learning_rate, flip_sign=flip_sign),
        "learning_rate",
    ),
    Case(gx.scale_by_schedule, {"schedule": -0.7}, scale_by_schedule, None, "schedule"),
    Case(gx.trace, {"momentum": 0.8}, trace, _optax_trace, "momentum"),
    Case(gx.trace, {"momentum": 0.8, "nesterov": True}, trace, _optax_trace, "momentum"),
    Case(gx.sgd, {"learning_rate": 0.002}, sgd, optax.sgd, "learning_rate", optimizer=True),
    Case(gx.sgd, {"learning_rate": 0.001, "momentum": 0.8}, sgd, optax.sgd, "learning_rate", optimizer=True),
    Case(
        gx.sgd,
        {"learning_rate": 0.001, "momentum": 0.8, "nesterov": True},
        sgd,
        optax.sgd,
        "learning_rate",
        optimizer=True,
    ),
    Case(gx.scale_by_rms, {}, scale_by_rms, _optax_rms, "eps"),
    Case(gx.scale_by_rms, {"eps": 0.01, "initial_scale": 1.0}, scale_by_rms, _optax_rms, "decay"),
    Case(gx.rmsprop, {"learning_rate": 0.01}, rmsprop, _optax_rmsprop, "learning_rate", optimizer=True),
    Case(
        gx.rmsprop,
        {"learning_rate": 0.01, "decay": 0.99, "eps": 1e-3, "eps_inside_sqrt": False, "bias_correction": True},
        rmsprop,
        _optax_rmsprop,
        "learning_rate",
        optimizer=True,
    ),
    Case(gx.scale_by_adam, {}, scale_by_adam, optax.scale_by_adam, "b1"),
    Case(
        gx.scale_by_adam,
        {"b1": 0.0, "b2": 0.9, "eps": 1e-3, "eps_root": 1e-6},
        scale_by_adam,
        optax.scale_by_adam,
        "eps",
    ),
    Case(gx.adam, {"learning_rate": 0.01}, adam, optax.adam, "learning_rate", optimizer=True),
    Case(
        gx.adamw,
        {"learning_rate": 0.01, "weight_decay": 0.01},
        adamw,
        optax.adamw,
        "weight_decay",
        optimizer=True,
    ),
    Case(gx.scale_by_rss, {}, scale_by_rss, optax.scale_by_rss, "eps"),
    Case(gx.scale_by_rss, {"initial_accumulator_value": 0.0, "eps": 0.0}, scale_by_rss, optax.scale_by_rss, "eps"),
    Case(gx.adagrad, {"learning_rate": 0.3}, adagrad, optax.adagrad, "learning_rate", optimizer=True),
    Case(
        gx.adagrad,
        {"learning_rate": 0.3, "initial_accumulator_value": 0.0, "eps": 1e-10, "eps_inside_sqrt": False},
        adagrad,
        None,
        "learning_rate",
        optimizer=True,
    ),
    Case(gx.scale_by_adadelta, {}, scale_by_adadelta, None, "decay", stored=2),
    Case(
        gx.adadelta,
        {"learning_rate": 1.0, "eps": 1e-4},
        adadelta,
        _optax_adadelta,
        "learning_rate",
        optimizer=True,
        stored=2,
    ),
    Case(gx.scale_by_lion, {}, scale_by_lion, optax.scale_by_lion, "b2", stored=1),
    Case(
        gx.lion,
        {"learning_rate": 0.01, "weight_decay": 0.01},
        lion,
        optax.lion,
        "learning_rate",
        optimizer=True,
        stored=1,
    ),
    Case(gx.scale_by_adamax, {}, scale_by_adamax, optax.scale_by_adamax, "b1"),
    Case(gx.scale_by_adamax, {"eps": 1e-3, "eps_inside_max": False}, scale_by_adamax, None, "eps"),
    Case(gx.adamax, {"learning_rate": 0.01}, adamax, optax.adamax, "learning_rate", optimizer=True),
    Case(gx.clip, {"max_delta": 0.5}, clip, None, "max_delta"),
    Case(
        gx.clip_by_global_norm,
        {"max_norm": 1.0},
        clip_by_global_norm,
        optax.clip_by_global_norm,
        "max_norm",
        whole=True,
    ),
    Case(gx.clip_by_global_norm, {"max_norm": 1.0, "eps": 0.5}, clip_by_global_norm, None, "eps", whole=True),
    Case(gx.clip_by_norm, {"max_norm": 1.0}, clip_by_norm, None, "max_norm", reads_twice=True),
    Case(gx.clip_by_norm, {"max_norm": 1.0, "eps": 0.5}, clip_by_norm, None, "eps", reads_twice=True),
    Case(
        gx.adaptive_grad_clip,
        {"clipping": 0.1},
        adaptive_grad_clip,
        optax.adaptive_grad_clip,
        "clipping",
        reads_twice=True,
    ),
    Case(
        gx.adaptive_grad_clip,
        {"clipping": 0.1, "eps": 1.0},
        adaptive_grad_clip,
        optax.adaptive_grad_clip,
        "eps",
        reads_twice=True,
    ),
    Case(gx.centralize, {}, centralize, optax.centralize, None),
    Case(gx.centralize, {"output_last": True}, centralize, None, None),
    Case(gx.add_noise, {"eta": 0.3, "gamma": 0.55, "key": 0}, add_noise, None, "eta", stored=4, static=("key",)),
    Case(
        gx.add_decayed_weights,
        {"weight_decay": 0.1},
        add_decayed_weights,
        optax.add_decayed_weights,
        "weight_decay",
    ),
]
