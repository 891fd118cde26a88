"""The schedulers of `gradtx.interop.torch` and `.keras` are PyTorch's and Keras's, value by value."""

import importlib.util
import inspect

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gradtx as gx
import gradtx.interop.keras as gk
import gradtx.interop.torch as gt
from tests.helpers import relaxed, trials
from tests.interop.rows import Row
from tests.interop.schedules import (
    COUNT,
    KERAS_SCHEDULES,
    STEPS,
    TORCH_SCHEDULERS,
    curves,
    run_schedule,
    run_scheduler,
    schedule,
    scheduler,
)
from tests.interop.trajectories import assert_equal, golden, keras_with, run_transformation, start
from tests.schedules.common import torch_values

FIRST = {row.name: row for row in reversed(TORCH_SCHEDULERS + KERAS_SCHEDULES)}
WITHOUT_RATE = ("CyclicLR", "OneCycleLR", "SequentialLR")
TORCH_NAMES = sorted({row.name for row in TORCH_SCHEDULERS})
KERAS_NAMES = sorted({row.name for row in KERAS_SCHEDULES})


def live(library):
    return pytest.mark.skipif(importlib.util.find_spec(library) is None, reason=f"needs {library}")


def _module(name):
    return gt if name in TORCH_NAMES else gk


def _equal(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-12)


def _cases():
    for library, rows in (("torch", TORCH_SCHEDULERS), ("keras", KERAS_SCHEDULES)):
        for name, row, key in curves(rows):
            yield pytest.param(name, row, key, library, False, id=f"{name}, golden")
            yield pytest.param(name, row, key, library, True, id=f"{name}, {library}", marks=live(library))


@pytest.mark.parametrize(("name", "row", "key", "library", "alive"), list(_cases()))
def test_values(name, row, key, library, alive):
    found = jax.jit(schedule(_module(row.name), row, key))(STEPS)
    if not alive:
        expected = golden(f"{library}_schedules")[1][name]
    elif library == "torch":
        with relaxed():  # SequentialLR warns about calls that it makes itself
            expected = run_scheduler(row, key)
    else:
        expected = run_schedule(row)
    _equal(found, expected)


rates, parts = st.floats(1e-4, 1), st.floats(0.01, 1)
lengths, momenta = st.integers(1, 300), st.floats(0.1, 0.95)
DRAWN = {
    "StepLR": {"lr": rates, "step_size": lengths, "gamma": st.floats(0.5, 1.05)},
    "MultiStepLR": {"lr": rates, "milestones": st.lists(st.integers(0, 250), max_size=4), "gamma": parts},
    "ConstantLR": {"lr": rates, "factor": parts, "total_iters": lengths},
    "LinearLR": {"lr": rates, "start_factor": parts, "end_factor": parts, "total_iters": lengths},
    "ExponentialLR": {"lr": rates, "gamma": st.floats(0.9, 1.02)},
    "PolynomialLR": {"lr": rates, "total_iters": lengths, "power": st.floats(0.3, 3)},
    "CosineAnnealingLR": {"lr": rates, "T_max": lengths, "eta_min": rates},
    "CosineAnnealingWarmRestarts": {"lr": rates, "T_0": lengths, "T_mult": st.integers(1, 3), "eta_min": rates},
    "CyclicLR": {
        "base_lr": rates,
        "max_lr": rates,
        "step_size_up": lengths,
        "step_size_down": st.none() | lengths,
        "mode": st.sampled_from(["triangular", "triangular2", "exp_range"]),
        "gamma": st.floats(0.9, 1),
    },
    "OneCycleLR": {
        "max_lr": rates,
        "total_steps": st.integers(COUNT, 500),
        "pct_start": parts,
        "anneal_strategy": st.sampled_from(["cos", "linear"]),
        "three_phase": st.booleans(),
        "div_factor": st.floats(1, 100),
        "final_div_factor": st.floats(1, 1000),
    },
    "ExponentialDecay": {
        "initial_learning_rate": rates,
        "decay_steps": lengths,
        "decay_rate": st.floats(0.5, 1.2),
        "staircase": st.booleans(),
    },
    "InverseTimeDecay": {
        "initial_learning_rate": rates,
        "decay_steps": lengths,
        "decay_rate": st.floats(0, 3),
        "staircase": st.booleans(),
    },
    "PolynomialDecay": {
        "initial_learning_rate": rates,
        "decay_steps": lengths,
        "end_learning_rate": rates,
        "power": st.floats(0.3, 3),
        "cycle": st.booleans(),
    },
    "CosineDecay": {
        "initial_learning_rate": rates,
        "decay_steps": lengths,
        "alpha": parts,
        "warmup_target": st.none() | rates,
        "warmup_steps": lengths,
    },
}


def _effective(arguments):
    """The drawn arguments without those that have no effect: gradtx refuses them."""
    idle = {"warmup_steps"} if arguments.get("warmup_target", 0) is None else set()
    idle |= {"gamma"} if arguments.get("mode", "exp_range") != "exp_range" else set()
    return {name: value for name, value in arguments.items() if name not in idle}


@pytest.mark.parametrize("name", [pytest.param(n, marks=live("torch" if n in TORCH_NAMES else "keras")) for n in DRAWN])
@trials(8)
@given(data=st.data())
def test_values_with_drawn_arguments(name, data):
    row = Row(name, _effective(data.draw(st.fixed_dictionaries(DRAWN[name]))))
    if name in KERAS_NAMES:
        expected = run_schedule(row)
    else:
        expected = torch_values(lambda o: scheduler(o, row), COUNT, rate=row.arguments.get("lr", 0.1))
    _equal(schedule(_module(name), row)(STEPS), expected)


@live("torch")
@pytest.mark.parametrize("name", TORCH_NAMES)
def test_has_pytorchs_signature(name):
    from torch.optim import lr_scheduler

    ours, theirs = (list(inspect.signature(getattr(m, name)).parameters.values()) for m in (gt, lr_scheduler))
    assert theirs.pop(0).name == "optimizer"
    assert name in WITHOUT_RATE or ours.pop(0).name == "lr"
    assert [(p.name, p.kind, p.default) for p in ours] == [(p.name, p.kind, p.default) for p in theirs]


@live("keras")
@pytest.mark.parametrize("name", KERAS_NAMES)
def test_has_kerass_signature(name):
    with keras_with("float32") as keras:
        theirs = inspect.signature(getattr(keras.optimizers.schedules, name)).parameters.values()
    ours = inspect.signature(getattr(gk, name)).parameters.values()
    assert [(p.name, p.kind, p.default) for p in ours] == [(p.name, p.kind, p.default) for p in theirs]


@pytest.mark.parametrize("name", KERAS_NAMES)
def test_ignores_names(name):
    assert schedule(gk, Row(name, FIRST[name].arguments | {"name": "mine"})) == schedule(gk, FIRST[name])


@pytest.mark.parametrize("name", [*TORCH_NAMES, *KERAS_NAMES])
def test_goes_wherever_a_learning_rate_does(name):
    made = schedule(_module(name), FIRST[name])
    assert isinstance(made, gx.schedules.Schedule)
    for optimizer in ("SGD", "Adagrad", "Adadelta", "RMSprop", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "ASGD"):
        assert repr(made) in repr(getattr(gt, optimizer)(lr=made))
    for optimizer in ("SGD", "Adagrad", "Adadelta", "RMSprop", "Adam", "AdamW", "Adamax", "Nadam", "Lion", "Ftrl"):
        assert repr(made) in repr(getattr(gk, optimizer)(learning_rate=made))
    tx = gt.SGD(lr=made)
    assert gx.hyperparams(tx, tx.init(np.ones(2, np.float32))) == {"scale_by_learning_rate.learning_rate": made(0)}


@live("torch")
@pytest.mark.parametrize("name", sorted(set(TORCH_NAMES) - set(WITHOUT_RATE)))
def test_goes_on_after_the_last_epoch(name):
    """PyTorch's scheduler reads the learning rate of the next step from the optimizer that the user restored."""
    row, whole, done = FIRST[name], run_scheduler(FIRST[name]), 7

    def resume(optimizer):
        optimizer.param_groups[0].update(lr=whole[done], initial_lr=row.arguments["lr"])
        return scheduler(optimizer, row, last_epoch=done - 1)

    found = schedule(gt, Row(name, row.arguments | {"last_epoch": done - 1}))(STEPS[: COUNT - done])
    _equal(found, torch_values(resume, COUNT - done))
    _equal(found, whole[done:])


@pytest.mark.parametrize("name", WITHOUT_RATE)
def test_refuses_to_go_on_by_name(name):
    with pytest.raises(NotImplementedError, match=rf"{name}: last_epoch .*gradtx\.schedules\.offset"):
        schedule(gt, Row(name, FIRST[name].arguments | {"last_epoch": 3}))


CYCLES = [
    Row("OneCycleLR", {"max_lr": 0.05, "total_steps": COUNT}),
    Row("OneCycleLR", {"max_lr": 0.05, "total_steps": COUNT, "three_phase": True, "anneal_strategy": "linear"}),
    Row("CyclicLR", {"base_lr": 0.002, "max_lr": 0.05, "step_size_up": 30, "step_size_down": 41}),
    Row("CyclicLR", {"base_lr": 0.002, "max_lr": 0.05, "step_size_up": 30, "mode": "exp_range", "gamma": 0.99}),
]


@live("torch")
@pytest.mark.parametrize("row", CYCLES, ids=str)
@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_trains_as_pytorch_does(name, row):
    """The momentum cycles too. Adam's is b1, and PyTorch corrects the bias by 1 - b1ᵗ with the present b1."""
    import torch

    cycle = schedule(gt, row)
    arguments = {"momentum": cycle.momentum} if name == "SGD" else {"betas": (cycle.momentum, 0.99)}
    tx = getattr(gt, name)(lr=cycle, **arguments)
    grads = np.random.RandomState(5).standard_normal((COUNT, 10)).astype(np.float32)
    first = start().astype(np.float64)
    params = torch.nn.Parameter(torch.tensor(first))
    settings = {"momentum": 0.9} if name == "SGD" else {"betas": (0.9, 0.99)}
    optimizer = getattr(torch.optim, name)([params], lr=0.1, **settings)
    rates, theirs = scheduler(optimizer, row), []
    for g in grads.astype(np.float64):
        params.grad = torch.tensor(g)
        optimizer.step()
        rates.step()
        theirs.append(params.detach().numpy().copy())
    assert_equal(run_transformation(tx, grads), np.array(theirs), 3e-6)  # 220 roundings of float32 parameters
    with jax.enable_x64(True):
        assert_equal(run_transformation(tx, grads.astype(np.float64), first), np.array(theirs), 1e-12)


def test_one_cycle_stays_where_pytorch_stops():
    cycle = gt.OneCycleLR(max_lr=0.1, total_steps=50)
    _equal(cycle(np.array([49, 50, 1000])), 4e-7)
    _equal(cycle.momentum(np.array([49, 50, 1000])), 0.95)


NO_EFFECT = [
    *(("CyclicLR", {"gamma": 0.9, "mode": mode}, "mode") for mode in ("triangular", "triangular2")),
    ("CyclicLR", {"scale_mode": "iterations"}, "scale_fn"),
    ("OneCycleLR", {"epochs": 3, "total_steps": 50}, "total_steps"),
    ("OneCycleLR", {"steps_per_epoch": 3, "total_steps": 50}, "total_steps"),
    *(
        (name, {argument: 0.5, "cycle_momentum": False}, "cycle_momentum")
        for name in ("CyclicLR", "OneCycleLR")
        for argument in ("base_momentum", "max_momentum")
    ),
    ("CosineDecay", {"warmup_steps": 5}, "warmup_target"),
    ("CosineDecay", {"initial_learning_rate": 0.1, "warmup_target": 0.5}, "warmup_target=0.5 and no warmup_steps"),
]


@pytest.mark.parametrize(("name", "arguments", "needed"), NO_EFFECT, ids=[f"{n}({a})" for n, a, _ in NO_EFFECT])
def test_refuses_what_has_no_effect(name, arguments, needed):
    with pytest.raises(ValueError, match=rf"^{name}: {next(iter(arguments))}=.* has no effect with(out)? {needed}\b"):
        getattr(_module(name), name)(**FIRST[name].arguments | arguments)


def test_accepts_a_default_that_has_no_effect():
    cycle = gt.CyclicLR(0.1, 0.2)
    assert gt.CyclicLR(0.1, 0.2, gamma=1, scale_mode="cycle", cycle_momentum=False, max_momentum=0.9) == cycle
    assert gt.CyclicLR(0.1, 0.2, mode="exp_range", gamma=0.9) != gt.CyclicLR(0.1, 0.2, mode="exp_range")
    exact = gt.ReduceLROnPlateau(0.1, threshold=0, threshold_mode="abs")
    assert (exact.rtol, exact.atol) == (0, 0)
    assert gk.CosineDecay(0.1, 10, warmup_steps=0.0) == gk.CosineDecay(0.1, 10)


def test_a_rate_that_follows_a_metric_starts_from_a_number_or_a_schedule():
    with pytest.raises(TypeError, match=r"^ReduceLROnPlateau: lr must be a number or a schedule, got tunable"):
        gt.ReduceLROnPlateau(gx.tunable(0.1))


BAD = [
    *((name, {"lr": -0.1}, "lr") for name in TORCH_NAMES if name not in WITHOUT_RATE),
    *((name, {"last_epoch": -2}, "last_epoch") for name in TORCH_NAMES),
    *(("StepLR", {"step_size": size}, "step_size") for size in (0, -1, 2.5, None, "a")),
    *((name, {"gamma": 0.0}, "gamma") for name in ("StepLR", "MultiStepLR", "ExponentialLR")),
    *(("MultiStepLR", {"milestones": bad}, "milestones") for bad in ([-1], [2.5], "ab", 5)),
    *(("ConstantLR", {"factor": bad}, "factor") for bad in (-0.1, 1.1)),
    *(
        (name, {"total_iters": bad}, "total_iters")
        for name in ("ConstantLR", "LinearLR", "PolynomialLR")
        for bad in (0, -5)
    ),
    *(("LinearLR", {"start_factor": bad}, "start_factor") for bad in (0.0, 1.1)),
    *(("LinearLR", {"end_factor": bad}, "end_factor") for bad in (-0.1, 1.1)),
    ("PolynomialLR", {"power": 0.0}, "power"),
    ("CosineAnnealingLR", {"T_max": 0}, "T_max"),
    *(("CosineAnnealingWarmRestarts", {"T_0": bad}, "T_0") for bad in (0, 2.5)),
    *(("CosineAnnealingWarmRestarts", {"T_mult": bad}, "T_mult") for bad in (0, 1.5)),
    *((name, {"eta_min": "a"}, "eta_min") for name in ("CosineAnnealingLR", "CosineAnnealingWarmRestarts")),
    *(("CyclicLR", {argument: -0.1}, argument) for argument in ("base_lr", "max_lr", "base_momentum", "max_momentum")),
    *(("CyclicLR", {argument: 0}, argument) for argument in ("step_size_up", "step_size_down")),
    *(("CyclicLR", {"mode": "exp_range", "gamma": bad}, "gamma") for bad in (0, 1.1)),
    ("CyclicLR", {"mode": "square"}, "mode"),
    ("CyclicLR", {"max_momentum": 1.0}, "max_momentum"),
    ("CyclicLR", {"scale_fn": abs}, "scale_fn"),
    ("CyclicLR", {"max_lr": [0.1, 0.2]}, "max_lr"),
    ("OneCycleLR", {"max_lr": [0.1, 0.2]}, "max_lr"),
    *(("OneCycleLR", {"total_steps": bad}, "total_steps") for bad in (0, 2.5, None)),
    *(("OneCycleLR", {"total_steps": None, "epochs": bad, "steps_per_epoch": 5}, "epochs") for bad in (0, None)),
    *(("OneCycleLR", {"total_steps": None, "epochs": 5, "steps_per_epoch": n}, "steps_per_epoch") for n in (0, None)),
    *(("OneCycleLR", {"pct_start": bad}, "pct_start") for bad in (-0.1, 1.1)),
    *(("OneCycleLR", {argument: 0.0}, argument) for argument in ("div_factor", "final_div_factor")),
    *(("OneCycleLR", {argument: 1.0}, argument) for argument in ("base_momentum", "max_momentum")),
    ("OneCycleLR", {"anneal_strategy": "cosine"}, "anneal_strategy"),
    *(("SequentialLR", {"schedulers": bad}, "schedulers") for bad in ([], ["a"], [gt.ReduceLROnPlateau(0.1)], 5)),
    ("SequentialLR", {"milestones": [3]}, "schedulers"),
    ("SequentialLR", {"schedulers": [abs, abs, abs], "milestones": [5, 3]}, "milestones"),
    *(
        (name, {"initial_learning_rate": -0.1}, "initial_learning_rate")
        for name in KERAS_NAMES
        if name != "PiecewiseConstantDecay"
    ),
    *((name, {"speed": 1}, "speed") for name in (*TORCH_NAMES, *KERAS_NAMES)),
    *((name, {"decay_steps": 0}, "decay_steps") for name in ("ExponentialDecay", "InverseTimeDecay", "CosineDecay")),
    ("PolynomialDecay", {"decay_steps": -3}, "decay_steps"),
    ("PolynomialDecay", {"end_learning_rate": -3}, "end_learning_rate"),
    ("PolynomialDecay", {"power": 0}, "power"),
    ("ExponentialDecay", {"decay_rate": 0}, "decay_rate"),
    ("InverseTimeDecay", {"decay_rate": -0.1}, "decay_rate"),
    ("CosineDecay", {"alpha": None}, "alpha"),
    ("CosineDecay", {"warmup_target": -1}, "warmup_target"),
    ("CosineDecay", {"warmup_target": 1.0, "warmup_steps": -1}, "warmup_steps"),
    ("CosineDecayRestarts", {"first_decay_steps": 0}, "first_decay_steps"),
    ("CosineDecayRestarts", {"t_mul": 0.5}, "t_mul"),
    ("CosineDecayRestarts", {"m_mul": 0.0}, "m_mul"),
    ("PiecewiseConstantDecay", {"boundaries": [5, 3], "values": [1.0, 2.0, 3.0]}, "boundaries"),
    ("PiecewiseConstantDecay", {"boundaries": [-1]}, "boundaries"),
    ("PiecewiseConstantDecay", {"values": [1.0]}, "values"),
    ("PiecewiseConstantDecay", {"values": [1.0, -1.0]}, "values"),
]


@pytest.mark.parametrize(("name", "bad", "named"), BAD, ids=[f"{n}({b})" for n, b, _ in BAD])
def test_names_the_argument_that_is_wrong(name, bad, named):
    inner = {"schedulers": [abs]} if name == "SequentialLR" else {}
    with pytest.raises((ValueError, TypeError, NotImplementedError), match=rf"^{name}: .*\b{named}\b"):
        getattr(_module(name), name)(**FIRST[name].arguments | inner | bad)
