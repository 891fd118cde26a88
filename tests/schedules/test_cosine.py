"""Periodic and restarting cosines equal their closed forms in float64, Keras and PyTorch."""

import bisect
import os
from fractions import Fraction

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import gradtx as gx
from tests.helpers import relaxed, trials
from tests.schedules.common import END, check, check_is_data, lengths, marks, torch_values, values

S = gx.schedules
os.environ.setdefault("KERAS_BACKEND", "jax")
STEPS = np.arange(220)


def _periods(first, factor, end=END):
    """Return the start and the length of each period, as exact fractions."""
    begin, length, found = Fraction(0), Fraction(repr(first)), []
    while begin <= end:
        found.append((begin, length))
        begin, length = begin + length, length * Fraction(repr(factor))
    return found


@trials(15)
@given(values, lengths, st.floats(0, 10))
def test_periodic(start, length, end):
    steps = marks(length, 2 * length, 3 * length, 41 * length)
    turns, over = steps // length, steps % length
    done, left = np.where(turns % 2 == 1, (length - over, over), (over, length - over)) / length
    expected = start * np.sin(np.pi / 2 * left) ** 2 + end * np.sin(np.pi / 2 * done) ** 2
    check(S.cosine_decay(start, length, end_value=end, periodic=True), expected, steps)


@trials(6)
@example(9.0, 1, 1.1, 0.701171875, 0.0)
@given(
    values,
    st.sampled_from([1, 10, 7, 2.5, 1000, 10_000_000]),
    st.sampled_from([1.1, 1.5, 2, 2.0, 3.7, 1.05]),
    st.floats(0.7, 1.2),
    st.floats(0, 1),
)
def test_restarts(start, first, factor, height, alpha):
    periods = _periods(first, factor)
    steps = marks(*(p[0] for p in periods), min(END, 5 * first))
    expected = []
    for step in map(int, steps):
        k = bisect.bisect_right(periods, step, key=lambda period: period[0]) - 1
        left = float((periods[k][0] + periods[k][1] - step) / periods[k][1])
        expected.append(start * ((1 - alpha) * height**k * np.sin(np.pi / 2 * left) ** 2 + alpha))
    schedule = S.cosine_restarts(start, first, factor, height, alpha)
    # If height^k > 1, the schedule subtracts the minimum from a larger number, which costs digits. Numbers below
    # 1.2e-38 underflow in float32, before the schedule multiplies them by `start`.
    check(schedule, np.array(expected), steps, atol=1e-6 * alpha * start * max(1, height ** len(periods)) + 1.2e-37)


def test_equal_periods():
    steps = marks(1000, 2000, 999_000, END)
    expected = 0.1 + 0.9 * np.sin(np.pi / 2 * (1000 - steps % 1000) / 1000) ** 2
    check(S.cosine_restarts(1.0, 1000, end_value=0.1), expected, steps)


def test_restart_at_whole_steps_of_decimals():
    schedule = S.cosine_restarts(1.0, 10, 1.1)
    assert float(schedule(20)) < 0.1
    assert float(schedule(21)) == 1.0
    np.testing.assert_allclose(schedule(jnp.float32(20.5)), schedule(jnp.asarray(20)) / 4, rtol=0.05)


def test_equals_keras():
    with relaxed():
        keras = pytest.importorskip("keras").optimizers.schedules
        theirs = keras.CosineDecayRestarts(1.0, 25, 2.0, 0.5, 0.1)
        expected = [float(theirs(int(i))) for i in STEPS]
    found = S.cosine_restarts(1.0, 25, 2.0, 0.5, 0.1)(STEPS)
    np.testing.assert_allclose(found, np.array(expected), rtol=1e-5)
    np.testing.assert_allclose(found[np.isin(STEPS, [25, 75, 175])], [0.55, 0.325, 0.2125], rtol=1e-6)
    with relaxed():
        theirs = keras.CosineDecay(0.2, 50, 0.1, warmup_target=1.0, warmup_steps=20)
        expected = [float(theirs(int(i))) for i in STEPS]
    ours = S.warmup(S.cosine_decay(1.0, 50, alpha=0.1), 20, init_value=0.2)(STEPS)
    np.testing.assert_allclose(ours, np.array(expected), rtol=2e-6)


@pytest.mark.parametrize("factor", [1, 2])
def test_equals_torch(factor):
    torch = pytest.importorskip("torch")
    rates = torch.optim.lr_scheduler
    restarts = torch_values(lambda o: rates.CosineAnnealingWarmRestarts(o, 25, factor, 0.1), len(STEPS))
    np.testing.assert_allclose(S.cosine_restarts(1.0, 25, factor, end_value=0.1)(STEPS), restarts, rtol=1e-6)
    periodic = torch_values(lambda o: rates.CosineAnnealingLR(o, 40, 0.1), len(STEPS))
    ours = S.cosine_decay(1.0, 40, end_value=0.1, periodic=True)(STEPS)
    np.testing.assert_allclose(ours, periodic, rtol=1e-6)


@pytest.mark.parametrize(
    "schedule", [S.cosine_restarts(1.0, 5, 1.5, 0.9, 0.1), S.cosine_decay(1.0, 5, end_value=0.1, periodic=True)]
)
def test_is_data_and_takes_every_kind_of_step(schedule):
    check_is_data(schedule, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: S.cosine_decay(1.0, 5, 0.1, end_value=0.2),
            "cosine_decay: alpha=0.1 has no effect with end_value=0.2",
        ),
        (lambda: S.cosine_restarts(1.0, 5, alpha=0.1, end_value=0.2), "cosine_restarts: alpha=0.1 has no effect"),
        (lambda: S.cosine_restarts(1.0, 0), "first_steps must be in .* got 0"),
        (lambda: S.cosine_restarts(1.0, 5, 0.5), "t_mul must be in .* got 0.5"),
        (lambda: S.cosine_restarts(1.0, 1, 1.00001), "t_mul must be 1 or in .* got 1.00001"),
        (lambda: S.cosine_restarts(1.0, 5, m_mul=0), "m_mul must be in .* got 0"),
    ],
)
def test_errors(make, words):
    with pytest.raises(ValueError, match=words):
        make()
