"""Powers of the step equal their closed forms in float64, optax, Keras and PyTorch."""

import math
import os

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gradtx as gx
from tests.helpers import relaxed, trials
from tests.schedules.common import END, begins, check, lengths, marks, torch_values, values

S = gx.schedules
os.environ.setdefault("KERAS_BACKEND", "jax")


def _polynomial(start, end, left, done, power):
    log = np.where(done < 0.5, np.log1p(-np.minimum(done, 0.5)), np.log(np.maximum(left, 1e-300)))
    return start * left**power + end * -np.expm1(power * log)


@trials(20)
@given(values, st.floats(0, 10), lengths, st.floats(0.3, 3), begins)
def test_polynomial(start, end, length, power, begin):
    steps = marks(begin, begin + length)
    since = np.clip(steps - begin, 0, length)
    expected = _polynomial(start, end, (length - since) / length, since / length, power)
    check(S.polynomial(start, end, power, length, begin), expected, steps)


@trials(20)
@given(values, st.floats(0, 10), st.integers(1, 10_000_000), st.floats(0.3, 3))
def test_polynomial_with_cycles(start, end, length, power):
    steps = marks(length, 2 * length, 3 * length, 40 * length)
    total = length * np.maximum(1, -(-steps // length))
    expected = _polynomial(start, end, (total - steps) / total, steps / total, power)
    check(S.polynomial(start, end, power, length, cycle=True), expected, steps)


@trials(20)
@given(values, st.floats(1, 1e7), st.floats(0, 2.5))
def test_power_decay(start, scale, exponent):
    steps = marks(int(scale), END)
    check(S.power_decay(start, scale, exponent), start * np.exp(-exponent * np.log1p(steps / scale)), steps)


@trials(20)
@given(values, lengths)
def test_inverse_sqrt(start, length):
    steps = marks(length, END)
    expected = start * np.sqrt(length / np.maximum(steps, length))
    check(S.inverse_sqrt(start, length), expected, steps)
    warm = S.product(S.linear(0.0, 1.0, length), S.inverse_sqrt(start, length))
    check(warm, expected * np.minimum(steps / length, 1), steps)


def test_exponential_of_a_rate():
    """The docstring of `exponential_decay` states this identity."""
    steps = marks(1000, END)
    for rate in (1e-9, 3e-8):
        check(S.exponential_decay(0.5, 1 / rate, 1 / math.e), 0.5 * np.exp(-rate * steps), steps)


def test_polynomial_equals_optax():
    with relaxed():
        theirs = optax.polynomial_schedule(1.0, 0.1, 2.5, 150, 20)(jnp.arange(220))
    np.testing.assert_allclose(S.polynomial(1.0, 0.1, 2.5, 150, 20)(jnp.arange(220)), theirs, rtol=1e-6)


@pytest.mark.parametrize("cycle", [False, True])
def test_polynomial_equals_keras(cycle):
    with relaxed():
        keras = pytest.importorskip("keras")
        theirs = keras.optimizers.schedules.PolynomialDecay(1.0, 64, 0.1, 2.0, cycle)
        expected = [float(theirs(i)) for i in range(200)]
    np.testing.assert_allclose(S.polynomial(1.0, 0.1, 2.0, 64, cycle=cycle)(jnp.arange(200)), expected, rtol=2e-6)


def test_polynomial_equals_torch():
    torch = pytest.importorskip("torch")
    expected = torch_values(lambda o: torch.optim.lr_scheduler.PolynomialLR(o, 150, 2.0), 200)
    found = S.polynomial(1.0, 0.0, 2.0, 150)(jnp.arange(200))
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: S.polynomial(1.0, 0.0, 1.0, 0),
            r"polynomial: transition_steps must be in \(0, inf\), got 0; write constant",
        ),
        (lambda: S.polynomial(1.0, 0.0, 0.0, 5), r"polynomial: power must be in \(0, inf\), got 0"),
        (lambda: S.polynomial(1.0, 0.0, 1.0, 5, -1), "transition_begin must be in .* got -1"),
        (lambda: S.power_decay(1.0, -2, 1.0), "transition_steps must be in .* got -2"),
        (lambda: S.power_decay(1.0, 2, -1.0), "exponent must be in .* got -1"),
        (lambda: S.inverse_sqrt(1.0, 0), "transition_steps must be in .* got 0"),
    ],
)
def test_errors(make, words):
    with pytest.raises(ValueError, match=words):
        make()
