"""Keras's optimizers in float64 numpy, under Keras's names, in its order and with its defaults.

Each is `step(g, p, t, s, **arguments) -> p` for one array: t counts from 1, and s is a dictionary with
the state. `before` has the changes that Keras makes to all variables before the step of an optimizer.
"""

import numpy as np


def before(gs, ps, learning_rate, weight_decay=None, clipnorm=None, clipvalue=None, global_clipnorm=None):
    """All gradients and parameters as the step of an optimizer sees them.

    Clipping comes first, by one rule at most. A limit of 0 is no limit. Every optimizer decays in the same form: by
    the learning rate of the step, and outside of its moments.
    """
    norms = [np.sqrt((g**2).sum()) for g in gs]
    if clipnorm:
        gs = [g * clipnorm / max(norm, clipnorm) for g, norm in zip(gs, norms, strict=True)]
    if global_clipnorm:
        gs = [g * global_clipnorm / max(np.linalg.norm(norms), global_clipnorm) for g in gs]
    if clipvalue:
        gs = [np.clip(g, -clipvalue, clipvalue) for g in gs]
    return gs, [p - p * (weight_decay or 0) * learning_rate for p in ps]


def _moments(g, t, s, beta_1, beta_2):
    """The averages of g and g², and the factors that correct their bias."""
    s["m"] = beta_1 * s.get("m", 0) + (1 - beta_1) * g
    s["v"] = beta_2 * s.get("v", 0) + (1 - beta_2) * g**2
    return s["m"], s["v"], 1 - beta_1**t, 1 - beta_2**t


def SGD(g, p, t, s, learning_rate=0.01, momentum=0.0, nesterov=False):
    # The learning rate is inside the velocity.
    s["v"] = momentum * s.get("v", 0) - learning_rate * g
    return p + (momentum * s["v"] - learning_rate * g if nesterov and momentum else s["v"])


def Adagrad(g, p, t, s, learning_rate=0.001, initial_accumulator_value=0.1, epsilon=1e-7):
    s["a"] = s.get("a", initial_accumulator_value) + g**2
    return p - learning_rate * g / np.sqrt(s["a"] + epsilon)


def Adadelta(g, p, t, s, learning_rate=0.001, rho=0.95, epsilon=1e-7):
    s["g"] = rho * s.get("g", 0) + (1 - rho) * g**2
    d = np.sqrt(s.get("d", 0) + epsilon) / np.sqrt(s["g"] + epsilon) * g
    s["d"] = rho * s.get("d", 0) + (1 - rho) * d**2
    return p - learning_rate * d


def RMSprop(g, p, t, s, learning_rate=0.001, rho=0.9, momentum=0.0, epsilon=1e-7, centered=False):
    s["v"] = rho * s.get("v", 0) + (1 - rho) * g**2
    s["m"] = rho * s.get("m", 0) + (1 - rho) * g
    root = np.sqrt((s["v"] - s["m"] ** 2 if centered else s["v"]) + epsilon)
    s["b"] = momentum * s.get("b", 0) + learning_rate * g / root
    return p - s["b"]


def Adam(g, p, t, s, learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-7, amsgrad=False):
    m, v, c1, c2 = _moments(g, t, s, beta_1, beta_2)
    s["max"] = np.maximum(s.get("max", 0), v)  # of the biased averages
    # The paper's ε̂, beside the biased root.
    return p - learning_rate * np.sqrt(c2) / c1 * m / (np.sqrt(s["max"] if amsgrad else v) + epsilon)


def AdamW(g, p, t, s, learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-7, amsgrad=False):
    # trajectories.py adds the default decay of 0.004.
    return Adam(g, p, t, s, learning_rate, beta_1, beta_2, epsilon, amsgrad)


def Adamax(g, p, t, s, learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-7):
    m, _, c1, _ = _moments(g, t, s, beta_1, beta_2)
    s["u"] = np.maximum(beta_2 * s.get("u", 0), np.abs(g))
    return p - learning_rate * m / (c1 * (s["u"] + epsilon))


def Nadam(g, p, t, s, learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-7):
    m, v, _, c2 = _moments(g, t, s, beta_1, beta_2)
    now, coming = (beta_1 * (1 - 0.5 * 0.96**k) for k in (t, t + 1))
    s["product"] = s.get("product", 1) * now
    ahead = coming * m / (1 - s["product"] * coming) + (1 - now) * g / (1 - s["product"])
    return p - learning_rate * ahead / (np.sqrt(v / c2) + epsilon)


def Lion(g, p, t, s, learning_rate=0.001, beta_1=0.9, beta_2=0.99):
    m = s.get("m", 0)
    s["m"] = beta_2 * m + (1 - beta_2) * g
    return p - learning_rate * np.sign(beta_1 * m + (1 - beta_1) * g)


def Ftrl(
    g,
    p,
    t,
    s,
    learning_rate=0.001,
    learning_rate_power=-0.5,
    initial_accumulator_value=0.1,
    l1_regularization_strength=0.0,
    l2_regularization_strength=0.0,
    l2_shrinkage_regularization_strength=0.0,
    beta=0.0,
):
    n = s.get("n", initial_accumulator_value)
    s["n"] = n + g**2  # of the gradient without the shrinkage
    old, new = n ** (-learning_rate_power), s["n"] ** (-learning_rate_power)
    s["z"] = s.get("z", 0) + g + 2 * l2_shrinkage_regularization_strength * p - (new - old) / learning_rate * p
    quadratic = new / learning_rate + 2 * (l2_regularization_strength + beta / (2 * learning_rate))
    bounded = np.clip(s["z"], -l1_regularization_strength, l1_regularization_strength)
    return (bounded - s["z"]) / quadratic
