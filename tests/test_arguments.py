"""An argument without effect is an error, for every pair of arguments. The error names the argument and the remedy.

The float64 references decide whether an argument has an effect, so a constructor cannot grade itself.
"""

import inspect
import itertools

import jax.numpy as jnp
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


# A value of 0 is as legal as a learning rate of 0, whatever shape it is given.
# Of schedules: what is required, and other values of every argument, those that switch something off among them.
SCHEDULES = {
    "cosine_decay": (
        {"init_value": 0.7, "decay_steps": 20},
        {"init_value": [0.5], "decay_steps": [30], "alpha": [0.1], "exponent": [2.0], "end_value": [0.2]}
        | {"periodic": [True]},
    ),
    "cosine_restarts": (
        {"init_value": 0.7, "first_steps": 10},
        {"init_value": [0.5], "first_steps": [7], "t_mul": [2.0], "m_mul": [0.5], "alpha": [0.1]}
        | {"end_value": [0.2]},
    ),
    "cyclic": (
        {"init_value": 0.1, "peak_value": 0.5, "up_steps": 4},
        {"init_value": [0.0], "peak_value": [0.9], "up_steps": [3], "down_steps": [6], "decay_rate": [0.9]}
        | {"kind": ["triangular2", "exp_range"], "base_momentum": [0.0, 0.5], "max_momentum": [0.0, 0.8, 0.95]},
    ),
    "exponential_decay": (
        {"init_value": 0.7, "transition_steps": 10, "decay_rate": 0.5},
        {"init_value": [0.5], "transition_steps": [7], "decay_rate": [1.0, 0.8], "transition_begin": [3]}
        | {"staircase": [True], "end_value": [0.2]},
    ),
    "inverse_time_decay": (
        {"init_value": 0.7, "transition_steps": 10, "decay_rate": 0.5},
        {"init_value": [0.5], "transition_steps": [7], "decay_rate": [0.0, 0.8], "transition_begin": [3]}
        | {"staircase": [True]},
    ),
    "linear": (
        {"init_value": 0.7, "end_value": 0.1, "transition_steps": 20},
        {"init_value": [0.5], "end_value": [0.0], "transition_steps": [0, 30], "transition_begin": [3]},
    ),
    "polynomial": (
        {"init_value": 0.7, "end_value": 0.1, "transition_steps": 20, "power": 2.0},
        {"init_value": [0.5], "end_value": [0.0], "transition_steps": [30], "power": [1.0], "cycle": [True]}
        | {"transition_begin": [3]},
    ),
    "one_cycle": (
        {"peak_value": 0.5, "transition_steps": 40},
        {"peak_value": [0.9], "transition_steps": [30], "pct_start": [0.0, 0.2], "pct_final": [0.7]}
        | {"phases": [3], "kind": ["linear"], "div_factor": [1.0, 10.0], "final_div_factor": [1.0, 100.0]}
        | {"base_momentum": [0.0, 0.8], "max_momentum": [0.85, 0.9], "knots": ["optax"]},
    ),
    "per_epoch": (
        {"schedule": gx.schedules.linear(0.7, 0.1, 5), "steps_per_epoch": 7},
        {"steps_per_epoch": [5], "staircase": [False]},
    ),
    "piecewise_constant": (
        {"values": (0.7, 0.1), "boundaries": (9,)},
        {"values": [(0.7, 0.2)], "boundaries": [(20,)], "boundary": ["after"]},
    ),
    "piecewise_interpolate": (
        {"values": (0.7, 0.1), "boundaries": (9,)},
        {"values": [(0.7, 0.2)], "boundaries": [(20,)], "kind": ["cosine"]},
    ),
    "warmup": (
        {"schedule": gx.schedules.linear(0.7, 0.1, 30), "steps": 10},
        {"steps": [0, 5], "init_value": [0.2], "kind": ["exponential"]},
    ),
    "warmup_cosine": (
        {"init_value": 0.1, "peak_value": 0.7, "warmup_steps": 10, "decay_steps": 40},
        {"init_value": [0.3], "peak_value": [0.5], "warmup_steps": [0, 5], "decay_steps": [30], "end_value": [0.2]}
        | {"exponent": [2.0]},
    ),
    "warmup_stable_decay": (
        {"init_value": 0.1, "peak_value": 0.7, "warmup_steps": 10, "stable_steps": 10, "decay_steps": 20},
        {"init_value": [0.3], "peak_value": [0.5], "warmup_steps": [0, 5], "stable_steps": [0], "decay_steps": [0, 30]}
        | {"end_value": [0.2], "kind": ["cosine", "sqrt"]},
    ),
}


def values_of(schedule):
    steps = jnp.arange(60)
    momentum = getattr(schedule, "momentum", None)
    return np.asarray([schedule(steps), *([] if momentum is None else [momentum(steps)])])


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_argument_of_a_schedule_is_tried(name):
    tried = {n for arguments in SCHEDULES[name] for n in arguments}
    assert set(inspect.signature(getattr(gx.schedules, name)).parameters) - tried <= {"name"}


@pytest.mark.parametrize(("name", "b"), [(name, b) for name, (_, values) in SCHEDULES.items() for b in values])
def test_an_argument_of_a_schedule_without_effect_is_an_error(name, b):
    make, (required, values) = getattr(gx.schedules, name), SCHEDULES[name]
    if b in required:
        pytest.skip("it cannot be left out")
    others = [(a, va) for a in values if a != b for va in values[a]]
    for (a, va), vb in itertools.product(others, values[b]):
        arguments = required | {a: va}
        if complaint(make, arguments):
            continue
        error = complaint(make, arguments | {b: vb})
        if error:  # "has no effect", or what else is needed
            assert error.startswith(f"{name}: "), error
            assert f"{b}=" in error, error
        else:
            idle = np.array_equal(values_of(make(**arguments, **{b: vb})), values_of(make(**arguments)), equal_nan=True)
            assert not idle, f"{name}: {b}={vb!r} has no effect with {a}={va!r}, and is accepted"
