"""An argument without effect is an error, for every pair of arguments. The error names the argument and the remedy.

The float64 references decide whether an argument has an effect, so a constructor cannot grade itself.
"""

import inspect
import itertools

import numpy as np
import pytest

import gradtx as gx
from tests import cases

PARAMS = {"kernel": np.array([[0.4, -1.5], [2.0, 0.3]]), "bias": np.array([0.7, -0.2])}
LAYERS = {"kernel": 0, "bias": 1}
GRADS = [
    {
        name: size * np.sin(step * 1.7 + i + np.arange(p.size)).reshape(p.shape)
        for i, (name, p) in enumerate(PARAMS.items())
    }
    for step, size in enumerate([1.0] * 9 + [1e-3] * 4)
]
# Legal values of each argument, including values that switch something off. HERE has exceptions for some functions.
VALUES = {
    "learning_rate": [0.1],
    "b1": [0.0, 0.8],
    "b2": [0.0, 0.95],
    "eps": [0.0, 1e-2],
    "eps_root": [0.0, 1e-2],
    "eps_hat": [False, True],
    "amsgrad": [None, "raw", "corrected"],
    "weight_decay": [0.0, 0.9],
    "weight_decay_mode": ["decoupled", "coupled", "independent", "cautious", "after"],
    "mask": [None, "kernel"],
    "momentum": [None, 0.0, 0.8],
    "nesterov": [False, True],
    "momentum_form": ["heavy_ball", "average", "velocity"],
    "dampening": [0.0, 0.3],
    "decay": [0.0, 0.7],
    "initial_scale": [0.0, 1.0],
    "initial_accumulator_value": [0.0, 0.5],
    "eps_inside_sqrt": [True, False],
    "eps_inside_max": [True, False],
    "centered": [False, True],
    "bias_correction": [False, True],
    "learning_rate_decay": [0.0, 0.3],
    "momentum_decay": [None, 0.0, 0.5],
    "threshold": [4.0, 6.0],
    "eta_minus": [0.5, 0.6],
    "eta_plus": [1.2, 1.5],
    "min_step_size": [1e-6, 0.01],
    "max_step_size": [50.0, 0.11],
    "learning_rate_power": [-0.5, 0.0, -0.7],
    "l1": [0.0, 0.05],
    "l2": [0.0, 0.05],
    "l2_shrinkage": [0.0, 0.05],
    "beta": [0.0, 0.5],
    "lambd": [0.0, 0.1],
    "alpha": [0.0, 0.5],
    "t0": [3, 6],
    "max_norm": [0.0, 0.5, float("inf")],
    "clipping": [0.0, 0.1, float("inf")],
    "flip_sign": [True, False],
    "cautious": [False, True],
    "after": [False, True],
}
HERE = {  # (function, argument) → values, if the values in VALUES are illegal or too small to matter
    ("trace", "momentum"): [0.0, 0.8],
    ("trace", "momentum_form"): ["heavy_ball", "average"],
    ("adadelta", "eps"): [1e-2],
    ("scale_by_adadelta", "eps"): [1e-2],
    ("adaptive_grad_clip", "eps"): [5.0],
}
BASE = {"learning_rate": 0.1, "weight_decay": 0.9}  # these replace neutral defaults, such as η = 1
REFERENCES = {
    case.make.__name__: (case.make, case.reference, case.whole)
    for case in cases.CASES
    if len(inspect.signature(case.make).parameters) > 1
    and case.make not in (gx.switch, gx.add_noise, gx.layerwise_decay)  # their other arguments have no default
    and not {"inner", "fast_optimizer", "start"} & inspect.signature(case.make).parameters.keys()  # no one-step updates
}


def run(reference, whole, arguments):
    """Return the updates of a few steps, and the averages in the state of the reference."""
    params, states, shared = dict(PARAMS), {name: {"leaf": LAYERS[name]} for name in PARAMS}, {}
    mask, results = arguments.get("mask"), []
    arguments = {name: value for name, value in arguments.items() if name != "mask"}
    for t, grads in enumerate(GRADS, 1):
        if whole:
            updates = reference([*grads.values()], [*params.values()], t, shared, **arguments)
        else:
            here = {n: arguments | ({"weight_decay": 0.0} if mask and n != mask else {}) for n in params}
            updates = [reference(grads[n], p, t, states[n], **here[n]) for n, p in params.items()]
        params = {n: p + u for (n, p), u in zip(params.items(), updates, strict=True)}
        results += [*updates, *(np.asarray(state.get("average", 0.0)) for state in states.values())]
    return results


ROWS = [
    pytest.param(name, argument, id=f"{name}-{argument}")
    for name, (make, _, _) in REFERENCES.items()
    for argument, parameter in inspect.signature(make).parameters.items()
    if parameter.default is not parameter.empty  # required arguments cannot be left out
    and argument != "t0"  # affects only the averages of `asgd`
]


def values(name, argument):
    return HERE.get((name, argument), VALUES[argument])


def complaint(make, arguments):
    """Return the message of the ValueError that `make(**arguments)` raises, or an empty string."""
    try:
        make(**arguments)
    except ValueError as raised:
        return str(raised)
    return ""


@pytest.mark.parametrize(("name", "argument"), ROWS)
def test_an_argument_without_effect_is_an_error(name, argument):
    make, reference, whole = REFERENCES[name]
    signature = inspect.signature(make).parameters
    defaults = {n: p.default for n, p in signature.items() if p.default is not p.empty}
    required = {n: values(name, n)[-1] for n, p in signature.items() if p.default is p.empty}
    base = required | {n: x for n, x in BASE.items() if defaults.get(n) and n != argument}
    others = [(n, x) for n in signature if n != argument for x in values(name, n)]
    for (other, other_value), value in itertools.product(others, values(name, argument)):
        arguments = base | {other: other_value}
        if value == defaults[argument] or {value, defaults[argument]} <= {None, 0.0} or complaint(make, arguments):
            continue  # a default counts as left out
        with np.errstate(all="ignore"):
            updates = run(reference, whole, defaults | arguments | {argument: value})
            without = run(reference, whole, defaults | arguments)
        idle = all(np.array_equal(x, y, equal_nan=True) for x, y in zip(updates, without, strict=True))
        error = complaint(make, arguments | {argument: value})
        accepted = f"{name}: {argument}={value!r} has no effect with {other}={other_value!r}, and is accepted"
        assert idle <= bool(error), accepted
        if error:  # the argument is without effect, or the two arguments exclude each other
            assert error.startswith(f"{name}: "), error
            assert f"{argument}=" in error, error
            assert "leave out" in error, error
