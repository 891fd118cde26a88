"""One row per technique: its constructor, its float64 reference, its counterpart in optax, and its properties.

A reference is `step(g, p, t, s, **hyperparameters) -> u` on float64 numpy arrays. The reference handles one leaf at a
time. t counts from 1. s is a dictionary that the reference updates. s["leaf"] is the number of the leaf in the tree,
where None leaves count. A reference for a rule that sees the whole tree takes lists of leaves instead.
"""

import dataclasses
import functools
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
        arguments: The arguments of `make`.
        reference: The same technique in float64 numpy.
        optax: The same transformation made by optax. None if optax has no such form.
        varying: The hyperparameter that laws replace by a schedule or a tunable. None if the technique has none.
        optimizer: Whether the technique is an optimizer, which descends without other stages.
        whole: Whether the reference takes all leaves at once.
        complex: Whether the technique accepts complex parameters.
        overwrites: Whether the update is the new parameter minus the old parameter. The update then has the rounding
            error of the parameter.
        stored: The number of intermediate arrays, in the shape of the parameters, that XLA's CPU backend stores. XLA
            stores an array if several results need an expensive value or a slot that the same step replaces, and if
            random numbers are drawn.
        reads_twice: Whether the update reads its gradient more than once, for example for a norm. XLA then stores the
            gradient that an earlier stage computes.
        skips: Whether the updates are zero at a first step with a gradient that is not finite.
        static: Arguments that are not hyperparameters. `optax.inject_hyperparams` must not inject them.
    """

    make: Callable[..., gx.Transformation]
    arguments: dict[str, Any]
    reference: Callable[..., Any]
    optax: Callable[..., optax.GradientTransformation] | None
    varying: str | None
    optimizer: bool = False
    whole: bool = False
    complex: bool = True
    overwrites: bool = False
    stored: int = 0
    reads_twice: bool = False
    skips: bool = False
    static: tuple[str, ...] = ()

    def __str__(self) -> str:
        arguments = (f"{k}={getattr(v, '__qualname__', v)}" for k, v in self.arguments.items())
        return f"{self.make.__name__}({', '.join(arguments)})"

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


def by_parts(reference):
    """Apply a reference for real arrays to the real and imaginary parts of complex arrays."""

    def pairs(g, p, t, s, **arguments):
        if not np.iscomplexobj(g):
            return reference(g, p, t, s, **arguments)
        g, p = (np.stack([x.real, x.imag]) for x in (g, p))
        real, imaginary = reference(g, p, t, s, **arguments)
        return real + 1j * imaginary

    return pairs


def trace(g, p, t, s, momentum, nesterov=False, momentum_form="heavy_ball", dampening=0.0):
    weight = 1 - momentum if momentum_form == "average" else 1 if t == 1 else 1 - dampening
    s["b"] = momentum * s.get("b", 0) + weight * g
    return weight * g + momentum * s["b"] if nesterov else s["b"]


def descent(direction):
    """Make an optimizer from `direction(g, p, t, s, ...)`: add momentum, weight decay and the learning rate."""

    def optimizer(
        g,
        p,
        t,
        s,
        learning_rate,
        momentum=None,
        nesterov=False,
        momentum_form="heavy_ball",
        dampening=0.0,
        weight_decay=0.0,
        weight_decay_mode="decoupled",
        mask=None,
        **arguments,
    ):
        g = g + weight_decay * p if weight_decay_mode == "coupled" else g
        d = direction(g, p, t, s, **arguments)
        if momentum is not None and momentum_form == "velocity":
            step = trace(-learning_rate * d, p, t, s, momentum, nesterov)
        elif momentum is not None:
            step = -learning_rate * trace(d, p, t, s, momentum, nesterov, momentum_form, dampening)
        else:
            step = -learning_rate * d
        if weight_decay_mode == "decoupled":
            return step - learning_rate * weight_decay * p
        if weight_decay_mode == "independent":
            return step - weight_decay * p
        if weight_decay_mode == "cautious":
            return step - learning_rate * weight_decay * np.where((step * np.conj(p)).real <= 0, p, 0)
        if weight_decay_mode == "after":
            return (1 - learning_rate * weight_decay) * (p + step) - p
        return step

    return optimizer


sgd = descent(lambda g, p, t, s: g)


def scale_by_rms(
    g, p, t, s, decay=0.9, eps=1e-8, initial_scale=0.0, eps_inside_sqrt=True, centered=False, bias_correction=False
):
    s["nu"] = decay * s.get("nu", initial_scale) + (1 - decay) * _abs_sq(g)
    s["mu"] = decay * s.get("mu", 0) + (1 - decay) * g
    c = 1 - decay**t if bias_correction else 1
    nu = np.maximum(s["nu"] / c - (_abs_sq(s["mu"] / c) if centered else 0), 0)
    return g / (np.sqrt(nu + eps) if eps_inside_sqrt else np.sqrt(nu) + eps)


rmsprop = descent(scale_by_rms)


def scale_by_adam(g, p, t, s, b1=0.9, b2=0.999, eps=1e-8, eps_root=0.0, eps_hat=False, amsgrad=None):
    s["mu"] = b1 * s.get("mu", 0) + (1 - b1) * g
    s["nu"] = b2 * s.get("nu", 0) + (1 - b2) * _abs_sq(g)
    c = 1 - b2**t
    nu = s["nu"] / c if amsgrad == "corrected" else s["nu"]
    s["max"] = np.maximum(s.get("max", 0), nu)
    nu_hat = {None: nu / c, "raw": s["max"] / c, "corrected": s["max"]}[amsgrad]
    return s["mu"] / (1 - b1**t) / (np.sqrt(nu_hat + eps_root) + eps / (np.sqrt(c) if eps_hat else 1))


adam = descent(scale_by_adam)
adamw = functools.partial(adam, weight_decay=1e-4)


def scale_by_nadam(g, p, t, s, b1=0.9, b2=0.999, eps=1e-8, momentum_decay=4e-3):
    def beta(t):
        return b1 if momentum_decay is None else b1 * (1 - 0.5 * 0.96 ** (t * momentum_decay))

    s["mu"] = b1 * s.get("mu", 0) + (1 - b1) * g
    s["nu"] = b2 * s.get("nu", 0) + (1 - b2) * _abs_sq(g)
    s["product"] = s.get("product", 1) * beta(t)
    ahead = (1 - beta(t)) / (1 - s["product"]) * g + beta(t + 1) / (1 - s["product"] * beta(t + 1)) * s["mu"]
    return ahead / (np.sqrt(s["nu"] / (1 - b2**t)) + eps)


nadam = descent(scale_by_nadam)


def scale_by_radam(g, p, t, s, b1=0.9, b2=0.999, eps=1e-8, threshold=5.0, eps_hat=False):
    s["mu"] = b1 * s.get("mu", 0) + (1 - b1) * g
    s["nu"] = b2 * s.get("nu", 0) + (1 - b2) * _abs_sq(g)
    c = 1 - b2**t
    limit = 2 / (1 - b2) - 1
    rho = limit - 2 * t * b2**t / c
    if rho <= threshold:
        return s["mu"] / (1 - b1**t)
    r = np.sqrt((rho - 4) * (rho - 2) * limit / ((limit - 4) * (limit - 2) * rho))
    return r * s["mu"] / (1 - b1**t) / (np.sqrt(s["nu"] / c) + eps / (np.sqrt(c) if eps_hat else 1))


radam = descent(scale_by_radam)


@by_parts
def rprop(g, p, t, s, learning_rate, eta_minus=0.5, eta_plus=1.2, min_step_size=1e-6, max_step_size=50.0):
    turned = np.sign(g * s.get("g", 0 * g))
    factor = np.select([turned > 0, turned < 0], [eta_plus, eta_minus], 1)
    s["step"] = np.clip(s.get("step", learning_rate) * factor, min_step_size, max_step_size)
    s["g"] = np.where(turned < 0, 0, g)
    return -np.sign(s["g"]) * s["step"]


@by_parts
def ftrl(
    g,
    p,
    t,
    s,
    learning_rate,
    learning_rate_power=-0.5,
    initial_accumulator_value=0.1,
    l1=0.0,
    l2=0.0,
    l2_shrinkage=0.0,
    beta=0.0,
    weight_decay=0.0,
):
    before, n = s.get("n", initial_accumulator_value), s.get("n", initial_accumulator_value) + g * g
    decayed = p * (1 - learning_rate * weight_decay)
    sigma = (n**-learning_rate_power - before**-learning_rate_power) / learning_rate
    s["n"], s["z"] = n, s.get("z", 0) + g + 2 * l2_shrinkage * decayed - sigma * decayed
    quadratic = n**-learning_rate_power / learning_rate + 2 * (l2 + beta / (2 * learning_rate))
    return (np.clip(s["z"], -l1, l1) - s["z"]) / quadratic - p


def asgd(g, p, t, s, learning_rate=1e-2, lambd=1e-4, alpha=0.75, t0=1e6):
    rate = s.get("rate", learning_rate)
    s["rate"] = learning_rate / (1 + lambd * learning_rate * t) ** alpha
    return -rate * (g + lambd * p)


def scale_by_rss(g, p, t, s, initial_accumulator_value=0.1, eps=1e-7, eps_inside_sqrt=True):
    s["nu"] = s.get("nu", initial_accumulator_value) + _abs_sq(g)
    root = np.sqrt(s["nu"] + eps) if eps_inside_sqrt else np.sqrt(s["nu"]) + eps
    return np.where(root > 0, g / np.where(root > 0, root, 1), 0)


def adagrad(g, p, t, s, learning_rate, learning_rate_decay=0.0, **arguments):
    return descent(scale_by_rss)(g, p, t, s, learning_rate / (1 + (t - 1) * learning_rate_decay), **arguments)


def scale_by_adadelta(g, p, t, s, decay=0.9, eps=1e-6):
    s["nu"] = decay * s.get("nu", 0) + (1 - decay) * _abs_sq(g)
    u = np.sqrt(s.get("delta", 0) + eps) / np.sqrt(s["nu"] + eps) * g
    s["delta"] = decay * s.get("delta", 0) + (1 - decay) * _abs_sq(u)
    return u


adadelta = descent(scale_by_adadelta)


def scale_by_lion(g, p, t, s, b1=0.9, b2=0.99):
    mu = s.get("mu", np.zeros_like(g))
    s["mu"] = b2 * mu + (1 - b2) * g
    return np.sign(b1 * mu + (1 - b1) * g)


lion = functools.partial(descent(scale_by_lion), weight_decay=1e-3)


def scale_by_adamax(g, p, t, s, b1=0.9, b2=0.999, eps=1e-8, eps_inside_max=True):
    s["mu"] = b1 * s.get("mu", 0) + (1 - b1) * g
    s["nu"] = np.maximum(b2 * s.get("nu", 0), np.abs(g) + (eps if eps_inside_max else 0))
    return s["mu"] / (1 - b1**t) / (s["nu"] if eps_inside_max else s["nu"] + eps)


adamax = descent(scale_by_adamax)


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


def add_decayed_weights(g, p, t, s, weight_decay, cautious=False):
    return g + weight_decay * (np.where((g * np.conj(p)).real >= 0, p, 0) if cautious else p)


def decay_weights(g, p, t, s, weight_decay, learning_rate=1.0, cautious=False, after=False):
    decayed = p + g if after else p
    decayed = np.where((g * np.conj(decayed)).real <= 0, decayed, 0) if cautious else decayed
    return g - learning_rate * weight_decay * decayed


def layerwise_decay(g, p, t, s, decay, depth):
    assert depth == LAYERS
    return g * decay ** {3: 2, 0: 1}.get(s["leaf"], 0)


LAYERS = ("w", "deep/*", "*")


def _optax_rms(decay=0.9, eps=1e-8, initial_scale=0.0, eps_inside_sqrt=True, centered=False, bias_correction=False):
    make = optax.scale_by_stddev if centered else optax.scale_by_rms
    return make(decay, eps, initial_scale, eps_inside_sqrt, bias_correction)


def _optax_rmsprop(learning_rate, momentum=None, nesterov=False, momentum_form="velocity", **arguments):
    assert momentum_form == "velocity"
    after = optax.identity() if momentum is None else optax.trace(momentum, nesterov)
    return optax.chain(_optax_rms(**arguments), optax.scale_by_learning_rate(learning_rate), after)


def _optax_trace(momentum, nesterov=False):
    return optax.trace(momentum, nesterov)


def _optax_nadam(momentum_decay, **arguments):
    assert momentum_decay is None
    return optax.nadam(**arguments)


def _optax_amsgrad(amsgrad, **arguments):
    assert amsgrad == "corrected"
    return optax.amsgrad(**arguments)


def _optax_layerwise(decay, depth):
    assert depth == LAYERS
    labels = {"w": 2, "deep": [1, None], "s": 0, "z": 0}
    return optax.partition({n: optax.scale(decay**n) for n in range(3)}, labels)


def _optax_adadelta(learning_rate, decay=0.9, eps=1e-6):
    return optax.adadelta(learning_rate, rho=decay, eps=eps)


def switch(g, p, t, s, first, second, at):
    """Step by heavy ball until t = at, then by Adam. Each part has its own step count and state."""
    if t <= at:
        return sgd(g, p, t, s.setdefault("first", {}), learning_rate=0.001, momentum=0.8)
    return adam(g, p, t - at, s.setdefault("second", {}), learning_rate=0.02)


def scale(g, p, t, s, step_size):
    return step_size * g


def conditionally_mask(g, p, t, s, inner, should_transform_fn):
    """Step by heavy ball at every second call. The other calls change nothing."""
    return sgd(g, p, t, s, learning_rate=0.001, momentum=0.8) if should_transform_fn(t - 1) else 0 * g


def every_second(step):
    return step % 2 == 1


def accumulate(g, p, t, s, inner, every):
    """Step by Adam with the mean of every window."""
    s["window"] = [*s.get("window", []), g]
    if len(s["window"]) < every:
        return 0 * g
    mean = sum(s.pop("window")) / every
    return adam(mean, p, t // every, s, learning_rate=0.02)


def skip_nonfinite(g, p, t, s, inner):
    return adam(g, p, t, s, learning_rate=0.02)


def unchanged(g, p, t, s, **arguments):
    return g


def outer_step(g, p, t, s, inner, outer, every):
    """Step by heavy ball, and at every few steps by SGD from the anchor."""
    anchor = s.setdefault("anchor", p)
    u = sgd(g, p, t, s.setdefault("inner", {}), learning_rate=0.001, momentum=0.8)
    if t % every:
        return u
    s["anchor"] = anchor + 0.5 * (p + u - anchor)
    return s["anchor"] - p


def lookahead(g, p, t, s, fast_optimizer, sync_period):
    return outer_step(g, p, t, s, None, None, sync_period)


CASES = [
    Case(gx.scale, {"step_size": -0.3}, scale, optax.scale, "step_size"),
    Case(
        gx.conditionally_mask,
        {"inner": gx.sgd(0.001, momentum=0.8), "should_transform_fn": every_second},
        conditionally_mask,
        None,
        None,
        optimizer=True,
        stored=3,
        skips=True,
        static=("should_transform_fn",),
    ),
    Case(
        gx.accumulate,
        {"inner": gx.adam(0.02), "every": 3},
        accumulate,
        None,
        None,
        optimizer=True,
        stored=3,
        skips=True,
        static=("every",),
    ),
    Case(
        gx.skip_nonfinite,
        {"inner": gx.adam(0.02)},
        skip_nonfinite,
        None,
        None,
        optimizer=True,
        stored=1,
        reads_twice=True,
        skips=True,
    ),
    Case(gx.ema_params, {"decay": 0.8, "warmup": True}, unchanged, None, "decay"),
    Case(
        gx.ema_params,
        {"decay": 0.8, "debias": True, "start": 2, "every": 2},
        unchanged,
        None,
        "decay",
        static=("start", "every"),
    ),
    Case(gx.swa_params, {"start": 3, "every": 2}, unchanged, None, None, static=("start", "every")),
    *(
        Case(make, arguments, reference, None, None, optimizer=True, overwrites=True, stored=3)
        for make, arguments, reference in (
            (gx.outer_step, {"inner": gx.sgd(0.001, momentum=0.8), "outer": gx.sgd(0.5), "every": 3}, outer_step),
            (gx.lookahead, {"fast_optimizer": gx.sgd(0.001, momentum=0.8), "sync_period": 3}, lookahead),
        )
    ),
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
    Case(gx.trace, {"momentum": 0.8, "dampening": 0.3}, trace, None, "dampening"),
    Case(gx.trace, {"momentum": 0.8, "momentum_form": "average"}, trace, None, "momentum"),
    Case(gx.trace, {"momentum": 0.8, "momentum_form": "average", "nesterov": True}, trace, None, "momentum"),
    Case(
        gx.sgd,
        {"learning_rate": 0.001, "momentum": 0.8, "momentum_form": "velocity", "nesterov": True, "weight_decay": 0.01},
        sgd,
        None,
        "momentum",
        optimizer=True,
    ),
    Case(
        gx.sgd,
        {"learning_rate": 0.005, "momentum": 0.8, "momentum_form": "average"},
        sgd,
        None,
        "learning_rate",
        optimizer=True,
    ),
    Case(
        gx.sgd,
        {
            "learning_rate": 0.001,
            "momentum": 0.8,
            "dampening": 0.5,
            "weight_decay": 0.01,
            "weight_decay_mode": "coupled",
        },
        sgd,
        None,
        "learning_rate",
        optimizer=True,
    ),
    Case(gx.scale_by_rms, {"centered": True, "eps": 1e-3}, scale_by_rms, _optax_rms, "eps", stored=1),
    Case(
        gx.scale_by_rms,
        {"centered": True, "eps": 0.01, "eps_inside_sqrt": False, "bias_correction": True},
        scale_by_rms,
        None,  # the variance in optax suffers from cancellation
        "eps",
        stored=1,
    ),
    Case(
        gx.rmsprop,
        {"learning_rate": 0.003, "momentum": 0.8, "momentum_form": "velocity", "nesterov": True},
        rmsprop,
        _optax_rmsprop,
        "momentum",
        optimizer=True,
        stored=2,
    ),
    Case(
        gx.rmsprop,
        {"learning_rate": 0.003, "momentum": 0.8, "centered": True, "eps": 1e-3, "eps_inside_sqrt": False},
        rmsprop,
        None,
        "learning_rate",
        optimizer=True,
        stored=1,
    ),
    Case(
        gx.adam,
        {"learning_rate": 0.01, "amsgrad": "corrected"},
        adam,
        _optax_amsgrad,
        "learning_rate",
        optimizer=True,
    ),
    Case(gx.adam, {"learning_rate": 0.01, "amsgrad": "raw"}, adam, None, "learning_rate", optimizer=True),
    Case(
        gx.adam,
        {"learning_rate": 0.01, "amsgrad": "raw", "eps": 1e-3, "eps_hat": True},
        adam,
        None,
        "eps",
        optimizer=True,
    ),
    *(
        Case(
            gx.adamw,
            {"learning_rate": 0.01, "weight_decay": 0.01, "weight_decay_mode": mode},
            adamw,
            None,
            "weight_decay",
            optimizer=True,
            stored=int(mode in ("coupled", "cautious")),
        )
        for mode in ("coupled", "independent", "cautious", "after")
    ),
    Case(gx.scale_by_nadam, {}, scale_by_nadam, None, "momentum_decay"),
    Case(
        gx.nadam,
        {"learning_rate": 0.01, "momentum_decay": None},
        nadam,
        _optax_nadam,
        "learning_rate",
        optimizer=True,
    ),
    Case(gx.nadam, {"learning_rate": 0.01, "momentum_decay": 1.0}, nadam, None, "b1", optimizer=True),
    Case(gx.scale_by_radam, {"b2": 0.9, "eps": 1e-3, "eps_hat": True}, scale_by_radam, None, "eps"),
    Case(gx.radam, {"learning_rate": 0.003, "b2": 0.99}, radam, optax.radam, "learning_rate", optimizer=True),
    Case(gx.rprop, {"learning_rate": 0.01}, rprop, None, "eta_minus", optimizer=True, stored=2),
    Case(gx.ftrl, {"learning_rate": 0.3}, ftrl, None, "learning_rate", optimizer=True, overwrites=True, stored=2),
    Case(
        gx.ftrl,
        {
            "learning_rate": 0.3,
            "learning_rate_power": -0.6,
            "l1": 0.01,
            "l2": 0.02,
            "l2_shrinkage": 0.03,
            "beta": 0.1,
            "weight_decay": 0.01,
        },
        ftrl,
        None,
        "l2",
        overwrites=True,
        stored=2,
    ),
    Case(gx.asgd, {"learning_rate": 0.002, "lambd": 0.01, "t0": 5}, asgd, None, "alpha", optimizer=True),
    Case(
        gx.adagrad,
        {"learning_rate": 0.3, "learning_rate_decay": 0.01, "weight_decay": 0.01},
        adagrad,
        None,
        "weight_decay",
        optimizer=True,
    ),
    Case(gx.add_decayed_weights, {"weight_decay": 0.1, "cautious": True}, add_decayed_weights, None, "weight_decay"),
    Case(gx.decay_weights, {"weight_decay": 0.1, "learning_rate": 0.3}, decay_weights, None, "learning_rate"),
    Case(gx.decay_weights, {"weight_decay": 0.1, "after": True, "cautious": True}, decay_weights, None, "weight_decay"),
    Case(
        gx.switch,
        {"first": gx.sgd(0.001, momentum=0.8), "second": gx.adam(0.02), "at": 8},
        switch,
        None,
        None,
        optimizer=True,
        stored=1,
    ),
    Case(
        gx.layerwise_decay,
        {"decay": 0.8, "depth": LAYERS},
        layerwise_decay,
        _optax_layerwise,
        "decay",
        static=("depth",),
    ),
]
