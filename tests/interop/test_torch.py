"""`gradtx.interop.torch` is PyTorch: its trajectories, its tables of tests, its signatures and its errors."""

import functools
import importlib.util
import inspect
import warnings

import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx
import gradtx.interop.torch as gt
from tests.interop.references import torch as reference
from tests.interop.rows import TORCH, Row
from tests.interop.trajectories import (
    assert_equal,
    golden,
    gradients,
    named,
    run_gradtx,
    run_torch,
    run_torch_reference,
    run_transformation,
    start,
)

NAMES = ("SGD", "Adagrad", "Adadelta", "RMSprop", "Rprop", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "ASGD")
IGNORED = ("foreach", "fused", "capturable", "differentiable")
live = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs PyTorch")
every_name = pytest.mark.parametrize("name", NAMES)

# Errors of float32 over 50 steps, relative to the largest element of the array at that step. gradtx differs from
# PyTorch's float64 by 9.0e-7 at most (the median of all rows is 2.7e-7). PyTorch's float32 differs by 2.0e-6: PyTorch
# multiplies parameters by the rounded 1 - lr·weight_decay. The worst error of one element, relative to this element, is
# 2.8e-4, for a parameter that passes 0.
RTOL, RTOL_FLOAT32 = 1e-6, 3e-6


@functools.lru_cache(4)
def ours(row: Row, varies: bool) -> np.ndarray:
    return run_gradtx(getattr(gt, row.name), getattr(reference, row.name), row, varies)


def trajectories():
    """Neighbours share the trajectory of gradtx. Only rows with a varying learning rate run live."""
    for name, row, varies in named(TORCH):
        for against in ("golden", "reference"):
            yield pytest.param(name, row, varies, against, id=f"{name}, {against}")
        if varies or not row.arguments or not row.varies:
            yield pytest.param(name, row, varies, "torch", id=f"{name}, torch", marks=live)


@pytest.mark.parametrize(("name", "row", "varies", "against"), list(trajectories()))
def test_trajectory(name, row, varies, against):
    got = ours(row, varies)
    if against == "golden":
        steps, expected = golden("torch")
        assert_equal(got[steps - 1], expected[name], RTOL)
    elif against == "reference":
        assert_equal(got, run_torch_reference(row, varies), RTOL)
    else:
        assert_equal(got, run_torch(row, varies, "float64"), RTOL)
        assert_equal(got, run_torch(row, varies, "float32"), RTOL_FLOAT32)


def _plain(value):
    """Tensors as numbers and arrays, also those in tuples."""
    if isinstance(value, tuple):
        return tuple(map(_plain, value))
    if not hasattr(value, "detach"):
        return value
    return value.item() if value.numel() == 1 else value.numpy()


def _info(name):
    """PyTorch's description of an optimizer, from which PyTorch makes its tests."""
    pytest.importorskip("expecttest")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch.testing._internal.common_optimizers import optim_db
    return next(info for info in optim_db if info.name == name)


@live
@every_name
def test_takes_every_input_of_pytorchs_tests(name):
    inputs = _info(name).optim_inputs_func(device="cpu")
    assert inputs
    for each in inputs:
        row = Row(name, {k: _plain(v) for k, v in each.kwargs.items()})
        assert_equal(ours(row, False), run_torch(row, False, "float64"), RTOL)


@live
@every_name
def test_steps_complex_parameters_as_pytorch(name):
    import torch

    arguments = {} if name == "Rprop" else {"weight_decay": 0.1}
    real = gradients(Row(name, {}).scale)
    p, grads = start() * (1 - 0.5j), real + 1j * real[:, ::-1]
    param, expected = torch.nn.Parameter(torch.tensor(p, dtype=torch.complex128)), []
    optimizer = getattr(torch.optim, name)([param], **arguments)
    for g in grads:
        param.grad = torch.tensor(g, dtype=torch.complex128)
        optimizer.step()
        expected.append(param.detach().numpy().copy())
    got = run_transformation(getattr(gt, name)(**arguments), grads.astype(np.complex64), p.astype(np.complex64))
    assert_equal(got, np.array(expected), RTOL)


def test_asgd_keeps_pytorchs_average():
    arguments = {"lr": 0.05, "lambd": 0.5, "t0": 10.0}
    tx, params, state, expected = gt.ASGD(**arguments), jnp.asarray(start()), None, {}
    state, p = tx.init(params), start().astype(np.float64)
    for t, g in enumerate(gradients(1e-3), 1):
        params, state = gx.apply_gradients(tx, jnp.asarray(g), state, params)
        p = reference.ASGD(g.astype(np.float64), p, t, expected, **arguments)
    np.testing.assert_allclose(state.stages["asgd"]["average"], expected["average"], rtol=RTOL)


# Errors about PyTorch's tensors and parameters, which gradtx never sees.
NOT_OURS = (
    "invalid param type",
    "a param group cannot have duplicate parameters",
    "all optimizer params should be with/without names",
    "lr as Tensor doesn't work with foreach & not capturable",
    "betas must be either both floats or both Tensors",
    r"betas\[0\] as a Tensor is not supported for capturable=False and foreach=True",
)


@live
@every_name
def test_refuses_every_error_of_pytorchs_tests(name):
    import torch

    errors = _info(name).optim_error_inputs_func(device="cpu", dtype=torch.float32)
    checked = [e for e in errors if e.optimizer_error_input.desc not in NOT_OURS]
    assert len(checked) >= 4
    for error in checked:
        given = error.optimizer_error_input
        with pytest.raises(error.error_type):
            getattr(torch.optim, name)(given.params or [torch.zeros(2, requires_grad=True)], **given.kwargs)
        # gradtx refuses all parameter groups, and an array that is no scalar is no number.
        ours = NotImplementedError if given.params else TypeError if "1-element" in given.desc else error.error_type
        with pytest.raises(ours, match=name):
            getattr(gt, name)(given.params, **{k: _plain(v) for k, v in given.kwargs.items()})


MOMENTS = ("Adam", "AdamW", "Adamax", "NAdam", "RAdam")
BAD = [
    *((name, {"lr": -1.0}, "lr") for name in NAMES),
    *((name, {"weight_decay": -0.5}, "weight_decay") for name in NAMES if name != "Rprop"),
    *((name, {"eps": -1e-3}, "eps") for name in ("Adagrad", "Adadelta", "RMSprop", *MOMENTS)),
    *((name, {"betas": betas}, "betas") for name in MOMENTS for betas in [(1.0, 0.9), (-0.1, 0.9), (0.9, 1.0)]),
    ("SGD", {"momentum": -0.1}, "momentum"),
    ("SGD", {"nesterov": True}, "nesterov"),
    ("SGD", {"nesterov": True, "momentum": 0.9, "dampening": 0.1}, "nesterov"),
    ("Adagrad", {"lr_decay": -0.5}, "lr_decay"),
    ("Adagrad", {"initial_accumulator_value": -0.1}, "initial_accumulator_value"),
    ("Adadelta", {"rho": 1.1}, "rho"),
    ("Adadelta", {"rho": -0.1}, "rho"),
    ("RMSprop", {"momentum": -1.0}, "momentum"),
    ("RMSprop", {"alpha": -0.1}, "alpha"),
    ("Rprop", {"etas": (1.0, 1.2)}, "etas"),
    ("Rprop", {"etas": (0.5, 1.0)}, "etas"),
    ("Rprop", {"etas": (0.0, 1.2)}, "etas"),
    ("NAdam", {"momentum_decay": -0.2}, "momentum_decay"),
]
PAIRS = [("Adam", "betas"), ("RAdam", "betas"), ("Rprop", "etas"), ("Rprop", "step_sizes")]
every_bad = pytest.mark.parametrize(("name", "arguments", "named"), BAD, ids=[f"{n}({a})" for n, a, _ in BAD])


@every_bad
def test_names_the_argument_that_is_out_of_range(name, arguments, named):
    with pytest.raises(ValueError, match=rf"\b{name}\b.*\b{named}\b"):
        getattr(gt, name)(**arguments)


@pytest.mark.parametrize(("name", "argument"), PAIRS)
def test_a_pair_is_a_pair(name, argument):
    for bad in ((0.5,), (0.5, 0.6, 0.7), ()):
        with pytest.raises(ValueError, match=rf"{name}: {argument} must be a pair of numbers"):
            getattr(gt, name)(**{argument: bad})


@live
@every_bad
def test_pytorch_refuses_the_same(name, arguments, named):
    import torch

    with pytest.raises(ValueError, match=r"Invalid|Nesterov"):
        getattr(torch.optim, name)([torch.zeros(2)], **arguments)


@live
@every_name
def test_has_pytorchs_signature(name):
    import torch

    ours, theirs = (inspect.signature(getattr(m, name)).parameters.values() for m in (gt, torch.optim))
    assert [(p.name, p.kind) for p in ours] == [(p.name, p.kind) for p in theirs]
    assert [p.default for p in ours][1:] == [p.default for p in theirs][1:]


@every_name
def test_ignores_how_pytorch_runs(name):
    make = getattr(gt, name)
    ignored = [i for i in IGNORED if i in inspect.signature(make).parameters]
    assert ignored
    for argument in ignored:
        assert make(**{argument: True}) == make()


NO_EFFECT = [
    ("SGD", {"dampening": 0.5}, "momentum"),
    ("SGD", {"dampening": 0.5, "momentum": 0}, "momentum"),
    ("ASGD", {"alpha": 0.5, "lambd": 0}, "lambd"),
    *((name, {"decoupled_weight_decay": True}, "weight_decay") for name in ("Adam", "NAdam", "RAdam")),
]


@pytest.mark.parametrize(("name", "arguments", "needed"), NO_EFFECT, ids=[f"{n}({a})" for n, a, _ in NO_EFFECT])
def test_refuses_what_has_no_effect(name, arguments, needed):
    argument = next(iter(arguments))
    message = rf"^{name}: {argument}=\w.* has no effect without {needed}; give {needed}, or leave {argument} out$"
    with pytest.raises(ValueError, match=message):
        getattr(gt, name)(**arguments)
    assert getattr(gt, name)(**arguments | {needed: 0.1}) != getattr(gt, name)(**{needed: 0.1})


def test_accepts_a_default_that_has_no_effect():
    assert gt.SGD(momentum=0, dampening=0.0, nesterov=False) == gt.SGD()
    assert gt.ASGD(lambd=0, alpha=0.75) == gt.ASGD(lambd=0)
    assert gt.Adam(weight_decay=0, decoupled_weight_decay=False) == gt.Adam()
    assert gt.SGD(dampening=0.5, momentum=lambda step: 0.9) is not None  # a schedule may be above 0


def test_names_the_drop_in_where_a_rate_cannot_decay():
    with pytest.raises(ValueError, match=r"^Adagrad: lr_decay=0.1 needs an lr that is a number or a schedule"):
        gt.Adagrad(lr=gx.tunable(0.1), lr_decay=0.1)
    with pytest.raises(TypeError, match=r"^Rprop: lr must be a number, got"):
        gt.Rprop(lr=lambda step: 0.1)


@every_name
def test_shows_types_without_ranges(name):
    shown = str(inspect.signature(getattr(gt, name)))
    assert f"lr: {'float' if name == 'Rprop' else repr('Hyper')} = " in shown
    assert "Annotated" not in shown
    assert "Interval" not in shown


@every_name
def test_takes_parameters_and_needs_none(name):
    make = getattr(gt, name)
    assert make({"w": np.zeros(3)}, lr=0.5) == make(lr=0.5) == make(None, 0.5)
    with pytest.raises(NotImplementedError, match=f"{name}.*group"):
        make([{"params": [np.zeros(3)], "lr": 0.1}])
    for first in (0.1, lambda step: 0.1, gx.schedules.constant(0.1)):
        with pytest.raises(TypeError, match=f"{name}: the first argument is params, as in PyTorch"):
            make(first)
