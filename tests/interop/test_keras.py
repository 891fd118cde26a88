"""`gradtx.interop.keras` is Keras: its trajectories, its signatures and its errors."""

import functools
import importlib.util
import inspect
import os

import numpy as np
import pytest

import gradtx.interop.keras as gk
from tests.helpers import relaxed
from tests.interop.references import keras as reference
from tests.interop.rows import KERAS, Row
from tests.interop.trajectories import assert_equal, golden, named, run_gradtx, run_keras, run_keras_reference

NAMES = ("SGD", "Adagrad", "Adadelta", "RMSprop", "Adam", "AdamW", "Adamax", "Nadam", "Lion", "Ftrl")
live = pytest.mark.skipif(importlib.util.find_spec("keras") is None, reason="needs Keras")
every_name = pytest.mark.parametrize("name", NAMES)

# Errors of float32 over 50 steps, relative to the largest element of the array at that step. gradtx differs from
# Keras's float64 by 6.5e-7 at most, and by 1.2e-6 for Lion and Ftrl. Keras's float32 differs by 1.7e-6: Keras rounds
# 1 - β₂ᵗ.
RTOL, RTOL_FLOAT32 = 1e-6, 3e-6
# gradtx and Keras agree to the bit or nearly so for these two, and share a larger error. Lion's steps have one size,
# and all are rounded in one direction. Ftrl takes a difference of powers.
ALIKE = {"Lion": 2e-6, "Ftrl": 2e-6}


def _keras():
    os.environ["KERAS_BACKEND"] = "jax"
    with relaxed():
        import keras
    return keras


@functools.lru_cache(4)
def ours(row: Row, varies: bool) -> np.ndarray:
    return run_gradtx(getattr(gk, row.name), getattr(reference, row.name), row, varies)


def trajectories():
    """Neighbours share the trajectory of gradtx. Keras is slow: only rows with a varying learning rate run live."""
    for name, row, varies in named(KERAS):
        for against in ("golden", "reference"):
            yield pytest.param(name, row, varies, against, id=f"{name}, {against}")
        if varies or not row.arguments:
            yield pytest.param(name, row, varies, "keras", id=f"{name}, keras", marks=live)


@pytest.mark.parametrize(("name", "row", "varies", "against"), list(trajectories()))
def test_trajectory(name, row, varies, against):
    got, rtol = ours(row, varies), ALIKE.get(row.name, RTOL)
    if against == "golden":
        steps, expected = golden("keras")
        assert_equal(got[steps - 1], expected[name], rtol)
    elif against == "reference":
        assert_equal(got, run_keras_reference(row, varies), rtol)
    else:
        assert_equal(got, run_keras(row, varies), RTOL_FLOAT32)


BAD = [
    *((name, {"clipnorm": 1.0, "clipvalue": 1.0}, "clipnorm.*clipvalue") for name in NAMES),
    *((name, {"clipnorm": 1.0, "global_clipnorm": 1.0}, "clipnorm.*global_clipnorm") for name in NAMES),
    *((name, {"learning_rate": "fast"}, "learning_rate") for name in NAMES),
    *((name, {"gradient_accumulation_steps": 1}, "gradient_accumulation_steps") for name in NAMES),
    *((name, {"use_ema": True, "ema_momentum": 1.1}, "use_ema|ema_momentum") for name in NAMES),
    ("SGD", {"momentum": -0.1}, "momentum"),
    ("SGD", {"momentum": 1.1}, "momentum"),
    ("AdamW", {"weight_decay": None}, "weight_decay"),
    ("Lion", {"beta_1": 0.0}, "beta_1"),
    ("Lion", {"beta_1": -0.1}, "beta_1"),
    ("Lion", {"beta_1": 1.1}, "beta_1"),
    ("Ftrl", {"initial_accumulator_value": -0.1}, "initial_accumulator_value"),
    ("Ftrl", {"learning_rate_power": 0.1}, "learning_rate_power"),
    ("Ftrl", {"l1_regularization_strength": -0.1}, "l1_regularization_strength"),
    ("Ftrl", {"l2_regularization_strength": -0.1}, "l2_regularization_strength"),
    ("Ftrl", {"l2_shrinkage_regularization_strength": -0.1}, "l2_shrinkage_regularization_strength"),
]
every_bad = pytest.mark.parametrize(("name", "arguments", "named"), BAD, ids=[f"{n}({a})" for n, a, _ in BAD])


@every_bad
def test_names_the_argument_that_is_wrong(name, arguments, named):
    with pytest.raises((ValueError, TypeError, NotImplementedError), match=rf"\b{name}\b.*\b({named})\b"):
        getattr(gk, name)(**arguments)


@live
@every_bad
def test_keras_refuses_the_same(name, arguments, named):
    keras = _keras()
    with relaxed(), pytest.raises(ValueError, match=named):
        getattr(keras.optimizers, name)(**arguments)


@every_name
@pytest.mark.parametrize(
    "refused", [{"use_ema": True}, {"gradient_accumulation_steps": 2}, {"loss_scale_factor": 2.0}], ids=str
)
def test_refuses_by_name_what_is_no_transformation(name, refused):
    with pytest.raises(NotImplementedError, match=rf"\b{name}\b.*\b{next(iter(refused))}\b"):
        getattr(gk, name)(**refused)


@every_name
def test_refuses_unknown_arguments(name):
    with pytest.raises(ValueError, match=rf"{name}: unknown argument speed; the arguments are learning_rate, .*name$"):
        getattr(gk, name)(speed=2.0)
    with pytest.raises(ValueError, match=rf"{name}: unknown argument learning_rat; did you mean learning_rate\?"):
        getattr(gk, name)(learning_rat=2.0)


@live
@every_name
def test_has_kerass_signature(name):
    keras = _keras()
    ours = inspect.signature(getattr(gk, name)).parameters.values()
    theirs = inspect.signature(getattr(keras.optimizers, name)).parameters.values()
    assert [(p.name, p.kind, p.default) for p in ours] == [(p.name, p.kind, p.default) for p in theirs]


@every_name
def test_accepts_what_keras_writes_into_every_configuration(name):
    make = getattr(gk, name)
    for ignored in ({"name": "mine"}, {"jit_compile": True}):
        assert make(**ignored) == make()
    defaults = {"use_ema": False, "ema_momentum": 0.99, "ema_overwrite_frequency": None, "clipnorm": None}
    assert make(**defaults, loss_scale_factor=None, gradient_accumulation_steps=None) == make()
    with pytest.warns(UserWarning, match=rf"{name}: decay is ignored, as Keras ignores it"):
        assert make(decay=1e-6) == make()


@every_name
@pytest.mark.parametrize(("argument", "value"), [("ema_momentum", 0.5), ("ema_overwrite_frequency", 2)])
def test_refuses_what_has_no_effect_without_an_average(name, argument, value):
    with pytest.raises(ValueError, match=rf"^{name}: {argument}={value} has no effect without use_ema"):
        getattr(gk, name)(**{argument: value})


def test_refuses_nesterov_without_momentum():
    message = r"^SGD: nesterov=True has no effect without momentum; give momentum, or leave nesterov out$"
    for arguments in ({}, {"momentum": 0}, {"momentum": 0.0}):
        with pytest.raises(ValueError, match=message):
            gk.SGD(nesterov=True, **arguments)
    assert gk.SGD(momentum=0.9, nesterov=True) != gk.SGD(momentum=0.9)
    assert gk.SGD(nesterov=False) == gk.SGD()


@every_name
def test_shows_types_without_ranges(name):
    shown = str(inspect.signature(getattr(gk, name)))
    assert "learning_rate: 'Hyper' = 0.0" in shown
    assert "Annotated" not in shown
    assert "Interval" not in shown
