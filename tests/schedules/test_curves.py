"""Schedules equal their closed forms in float64, and optax's schedules."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gradtx as gx
from tests.helpers import relaxed, trials
from tests.schedules.common import check_is_data

S = gx.schedules
values = st.floats(1e-6, 10)
lengths = st.integers(1, 10_000_000)
begins = st.integers(0, 1_000_000)
rates = st.floats(1e-3, 1.5).filter(lambda r: r != 1)


def _done(step, begin, length):
    return np.clip((step - begin) / length, 0, 1)


def _wave(step, begin, length, exponent=1.0):
    return np.sin(np.pi / 2 * (1 - _done(step, begin, length))) ** (2 * exponent)


def _steps(*marks):
    """Return the steps around the marks, and many steps over the whole range."""
    near = {max(0, int(m) + d) for m in marks for d in (-1, 0, 1)}
    return np.array(sorted(near | {int(x) for x in np.linspace(0, max(marks) * 1.2, 100)}), np.int64)


def _check(schedule, expected, steps, atol=1e-37):
    found = jax.jit(schedule)(jnp.asarray(steps, jnp.int32))
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(np.asarray(found, np.float64), expected, rtol=1e-6, atol=atol)
    one = int(steps[len(steps) // 2])
    np.testing.assert_allclose(schedule(one), expected[len(steps) // 2], rtol=1e-6, atol=atol)


@trials(15)
@given(values, st.floats(0, 10), lengths, begins)
def test_linear(start, end, length, begin):
    steps = _steps(begin, begin + length)
    done = _done(steps, begin, length)
    _check(S.linear(start, end, length, begin), start * (1 - done) + end * done, steps)


@trials(25)
@given(values, lengths, rates, begins, st.booleans())
def test_exponential_decay(start, length, rate, begin, staircase):
    steps = _steps(begin, begin + length, begin + 3 * length)
    steps = steps[np.abs((steps - begin) / length * math.log(rate)) < 80]  # the range of float32
    exponent = np.maximum(steps - begin, 0) / length
    exponent = np.floor(exponent) if staircase else exponent
    schedule = S.exponential_decay(start, length, rate, begin, staircase=staircase)
    _check(schedule, start * np.exp(exponent * math.log(rate)), steps)


@pytest.mark.parametrize(("rate", "bound"), [(0.5, 0.2), (1.5, 3.0)])
def test_exponential_decay_stops_at_its_end_value(rate, bound):
    schedule = S.exponential_decay(1.0, 2, rate, end_value=bound)
    expected = rate ** (np.arange(20) / 2)
    expected = np.maximum(expected, bound) if rate < 1 else np.minimum(expected, bound)
    np.testing.assert_allclose(schedule(jnp.arange(20)), expected, rtol=1e-6)


def test_staircases_of_fractional_length():
    steps = np.arange(12)
    np.testing.assert_array_equal(S.exponential_decay(1.0, 2.5, 0.5, staircase=True)(steps), 0.5 ** (steps // 2.5))
    found = S.inverse_time_decay(1.0, 2.5, 1.0, staircase=True)(steps)
    np.testing.assert_allclose(found, 1 / (1 + steps // 2.5), rtol=1e-6)


def test_exponential_decay_over_a_million_steps():
    """There is one factor per step. Rounding the exponent to float32 would cause an error of 1e-4."""
    steps = np.arange(0, 20_000_000, 99_991)
    _check(S.exponential_decay(1.0, 1, 1 - 1e-6), np.exp(steps * math.log1p(-1e-6)), steps)


@trials(15)
@given(values, lengths, st.floats(0, 1), st.floats(0.5, 3))
def test_cosine_decay(start, length, alpha, exponent):
    steps = _steps(length)
    expected = start * ((1 - alpha) * _wave(steps, 0, length, exponent) + alpha)
    # A fractional power of a value near 0 loses digits in float32. The loss is negligible relative to the peak.
    _check(S.cosine_decay(start, length, alpha, exponent), expected, steps, atol=1e-9 * start)


@trials(15)
@given(st.floats(0, 10), values, st.integers(0, 10_000), lengths, st.floats(0, 10))
def test_warmup_cosine(start, peak, warmup, rest, end):
    steps = _steps(warmup, warmup + rest)
    done = _done(steps, 0, warmup) if warmup else np.ones(len(steps))
    wave = _wave(steps, warmup, rest)
    expected = np.where(steps < warmup, start * (1 - done) + peak * done, peak * wave + end * (1 - wave))
    _check(S.warmup_cosine(start, peak, warmup, warmup + rest, end), expected, steps)


def test_constant():
    np.testing.assert_array_equal(S.constant(0.1)(jnp.arange(3)), np.float32(0.1))
    assert S.constant(0.1)(5).shape == ()


PAIRS = [
    (S.linear(1.0, 0.1, 7, 2), optax.linear_schedule(1.0, 0.1, 7, 2)),
    (S.exponential_decay(1.0, 5, 0.7), optax.exponential_decay(1.0, 5, 0.7)),
    (S.exponential_decay(1.0, 5, 0.7, 3, True, 0.2), optax.exponential_decay(1.0, 5, 0.7, 3, True, 0.2)),
    (S.cosine_decay(0.3, 20, 0.1, 2.0), optax.cosine_decay_schedule(0.3, 20, 0.1, 2.0)),
    (S.warmup_cosine(0.1, 1.0, 5, 20, 0.05), optax.warmup_cosine_decay_schedule(0.1, 1.0, 5, 20, 0.05)),
    (S.constant(0.2), optax.constant_schedule(0.2)),
]
every_schedule = pytest.mark.parametrize("schedule", [ours for ours, _ in PAIRS], ids=repr)


@pytest.mark.parametrize(("ours", "theirs"), PAIRS, ids=lambda x: repr(x)[:40])
def test_equals_optax(ours, theirs):
    with relaxed():
        for step in range(30):
            np.testing.assert_allclose(ours(step), theirs(step), rtol=2e-5, atol=1e-7)


@every_schedule
def test_is_data_and_takes_every_kind_of_step(schedule):
    check_is_data(schedule)


def test_arguments_may_be_traced():
    def value(start, length):
        return (
            S.cosine_decay(start, length)(5)
            + S.exponential_decay(start, length, 0.5)(5)
            + S.linear(start, 0.0, length)(5)
        )

    expected = value(0.5, 20)
    np.testing.assert_allclose(jax.jit(value)(0.5, 20), expected, rtol=1e-6)
    np.testing.assert_allclose(jax.vmap(value)(jnp.asarray([0.5]), jnp.asarray([20])), expected, rtol=1e-6)
    assert np.isfinite(jax.grad(value)(0.5, 20.0))


def test_beyond_what_float32_counts():
    schedule, step = S.linear(0.0, 1.0, 10, 2**25), 2**25 + 3
    np.testing.assert_allclose(schedule(step), 0.3, rtol=1e-6)
    np.testing.assert_allclose(jax.jit(schedule)(step), 0.3, rtol=1e-6)


def test_in_double_precision():
    with jax.enable_x64(True):
        found = S.cosine_decay(1.0, 7)(jnp.asarray(3))
        assert found.dtype == jnp.float64
        np.testing.assert_allclose(found, (1 + math.cos(math.pi * 3 / 7)) / 2, rtol=1e-15)
