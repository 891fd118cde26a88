"""PyTorch's optimizers in float64 numpy, under PyTorch's names, in its order and with its defaults.

Each is `step(g, p, t, s, **arguments) -> p` for one array: t counts from 1, and s is a dictionary with
the state.
"""

import numpy as np


def _gradient(g, p, weight_decay, maximize):
    """PyTorch's decay is a part of the gradient. It pulls towards zero also if the objective is maximized."""
    return (-g if maximize else g) + weight_decay * p


def _moments(g, t, s, betas):
    """The averages of g and g², and the factors that correct their bias."""
    b1, b2 = betas
    s["m"] = b1 * s.get("m", 0) + (1 - b1) * g
    s["v"] = b2 * s.get("v", 0) + (1 - b2) * g**2
    return s["m"], s["v"], 1 - b1**t, 1 - b2**t


def _decayed(g, p, lr, weight_decay, decoupled, maximize):
    """(gradient, parameter) after the decay, coupled or decoupled."""
    if decoupled:
        return _gradient(g, p, 0, maximize), p * (1 - lr * weight_decay)
    return _gradient(g, p, weight_decay, maximize), p


def SGD(g, p, t, s, lr=1e-3, momentum=0, dampening=0, weight_decay=0, nesterov=False, maximize=False):
    g = _gradient(g, p, weight_decay, maximize)
    # The first gradient enters undamped.
    s["b"] = momentum * s["b"] + (1 - dampening) * g if t > 1 else g
    return p - lr * (g + momentum * s["b"] if nesterov else s["b"] if momentum else g)


def Adagrad(g, p, t, s, lr=1e-2, lr_decay=0, weight_decay=0, initial_accumulator_value=0, eps=1e-10, *, maximize=False):
    g = _gradient(g, p, weight_decay, maximize)
    s["a"] = s.get("a", initial_accumulator_value) + g**2
    return p - lr / (1 + (t - 1) * lr_decay) * g / (np.sqrt(s["a"]) + eps)


def Adadelta(g, p, t, s, lr=1.0, rho=0.9, eps=1e-6, weight_decay=0, maximize=False):
    g = _gradient(g, p, weight_decay, maximize)
    s["g"] = rho * s.get("g", 0) + (1 - rho) * g**2
    d = np.sqrt(s.get("d", 0) + eps) / np.sqrt(s["g"] + eps) * g
    s["d"] = rho * s.get("d", 0) + (1 - rho) * d**2
    return p - lr * d


def RMSprop(g, p, t, s, lr=1e-2, alpha=0.99, eps=1e-8, weight_decay=0, momentum=0, centered=False, *, maximize=False):
    g = _gradient(g, p, weight_decay, maximize)
    s["v"] = alpha * s.get("v", 0) + (1 - alpha) * g**2
    s["m"] = alpha * s.get("m", 0) + (1 - alpha) * g
    root = np.sqrt(s["v"] - s["m"] ** 2 if centered else s["v"])
    s["b"] = momentum * s.get("b", 0) + g / (root + eps)
    return p - lr * s["b"]


def Rprop(g, p, t, s, lr=1e-2, etas=(0.5, 1.2), step_sizes=(1e-6, 50), maximize=False):
    g = -g if maximize else g
    turn = np.sign(g * s.get("g", 0))
    size = s.get("size", lr) * np.select([turn > 0, turn < 0], [etas[1], etas[0]], 1.0)
    s["size"] = np.clip(size, *step_sizes)
    s["g"] = np.where(turn < 0, 0, g)
    return p - np.sign(s["g"]) * s["size"]


def Adam(
    g,
    p,
    t,
    s,
    lr=1e-3,
    betas=(0.9, 0.999),
    eps=1e-8,
    weight_decay=0,
    amsgrad=False,
    maximize=False,
    decoupled_weight_decay=False,
):
    g, p = _decayed(g, p, lr, weight_decay, decoupled_weight_decay, maximize)
    m, v, c1, c2 = _moments(g, t, s, betas)
    s["max"] = np.maximum(s.get("max", 0), v)  # of the biased averages
    return p - lr * (m / c1) / (np.sqrt((s["max"] if amsgrad else v) / c2) + eps)


def AdamW(g, p, t, s, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2, amsgrad=False, maximize=False):
    return Adam(g, p, t, s, lr, betas, eps, weight_decay, amsgrad, maximize, decoupled_weight_decay=True)


def Adamax(g, p, t, s, lr=2e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0, maximize=False):
    m, _, c1, _ = _moments(g := _gradient(g, p, weight_decay, maximize), t, s, betas)
    s["u"] = np.maximum(betas[1] * s.get("u", 0), np.abs(g) + eps)
    return p - lr * (m / c1) / s["u"]


def NAdam(
    g,
    p,
    t,
    s,
    lr=2e-3,
    betas=(0.9, 0.999),
    eps=1e-8,
    weight_decay=0,
    momentum_decay=4e-3,
    decoupled_weight_decay=False,
    maximize=False,
):
    g, p = _decayed(g, p, lr, weight_decay, decoupled_weight_decay, maximize)
    m, v, _, c2 = _moments(g, t, s, betas)
    now, coming = (betas[0] * (1 - 0.5 * 0.96 ** (k * momentum_decay)) for k in (t, t + 1))
    s["product"] = s.get("product", 1) * now
    ahead = coming * m / (1 - s["product"] * coming) + (1 - now) * g / (1 - s["product"])
    return p - lr * ahead / (np.sqrt(v / c2) + eps)


def RAdam(
    g,
    p,
    t,
    s,
    lr=1e-3,
    betas=(0.9, 0.999),
    eps=1e-8,
    weight_decay=0,
    decoupled_weight_decay=False,
    maximize=False,
):
    g, p = _decayed(g, p, lr, weight_decay, decoupled_weight_decay, maximize)
    m, v, c1, c2 = _moments(g, t, s, betas)
    end = 2 / (1 - betas[1]) - 1
    length = end - 2 * t * betas[1] ** t / c2
    if length <= 5:
        return p - lr * m / c1
    rectified = np.sqrt((length - 4) * (length - 2) * end / ((end - 4) * (end - 2) * length))
    return p - lr * m / c1 * rectified * np.sqrt(c2) / (np.sqrt(v) + eps)


def ASGD(g, p, t, s, lr=1e-2, lambd=1e-4, alpha=0.75, t0=1e6, weight_decay=0, maximize=False):
    eta = s.get("eta", lr)
    s["eta"] = lr / (1 + lambd * lr * t) ** alpha
    p = p * (1 - lambd * eta) - eta * _gradient(g, p, weight_decay, maximize)
    # PyTorch's `ax`, an average that does not change the parameters.
    s["average"] = s.get("average", 0) + (p - s.get("average", 0)) * s.get("share", 1)
    s["share"] = 1 / max(1, t - t0)
    return p
