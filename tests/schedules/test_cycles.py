"""Cycles of learning rate and momentum equal their closed forms in float64, PyTorch and optax."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import gradtx as gx
from tests.helpers import relaxed, trials
from tests.schedules.common import check, check_is_data, lengths, marks, torch_values, values

S = gx.schedules
STEPS = np.arange(220)
fractions = st.floats(0, 1)
factors = st.floats(0.5, 1e4)
momenta = st.floats(0.05, 0.99)
few = st.integers(1, 60)


def _cyclic(steps, first, second, up, down, kind, rate):
    number, passed = steps // (up + down), steps % (up + down)
    rising = passed < up
    high = np.where(rising, passed / up, (up + down - passed) / down)
    low = np.where(rising, (up - passed) / up, (passed - up) / down)
    scale = {"triangular": 1.0, "triangular2": 0.5**number, "exp_range": np.exp(steps * math.log(rate))}[kind]
    return first * (low + high * (1 - scale)) + second * high * scale


kinds = st.sampled_from(["triangular", "triangular2", "exp_range"])


@trials(20)
@given(values, values, lengths, lengths, kinds, st.floats(1e-7, 1e-2), momenta, momenta)
def test_cyclic(low, height, up, down, kind, decay, base, top):
    rate = 1 - decay if kind == "exp_range" else 1.0
    total = up + down
    steps = marks(up, total, total + up, 2 * total, 41 * total)
    schedule = S.cyclic(low, low + height, up, down, kind, rate, base_momentum=base, max_momentum=top)
    check(schedule, _cyclic(steps, low, low + height, up, down, kind, rate), steps)
    check(schedule.momentum, _cyclic(steps, top, base, up, down, kind, rate), steps)


def _one_cycle(steps, values, ends, kind, last_is_in):
    """Compute a one-cycle schedule. A step at the end of a phase is in this phase (PyTorch) or in the next (optax)."""
    found = []
    for step in np.minimum(steps, ends[-1]).tolist():
        k = next((k for k, end in enumerate(ends) if (step <= end if last_is_in else step < end)), len(ends) - 1)
        start, end = ([0.0, *ends][k], ends[k])
        done, left = ((step - start) / (end - start), (end - step) / (end - start)) if step != end else (1.0, 0.0)
        if kind == "cosine":
            done, left = np.sin(np.pi / 2 * done) ** 2, np.sin(np.pi / 2 * left) ** 2
        found.append(values[k] * left + values[k + 1] * done)
    return np.array(found)


@trials(25)
@given(
    st.data(),
    values,
    st.integers(1, 100) | lengths | st.just(2**31 - 1),
    fractions,
    st.sampled_from([2, 3]),
    st.sampled_from(["cosine", "linear"]),
    st.sampled_from(["pytorch", "optax"]),
    st.tuples(factors, factors),
    st.tuples(momenta, momenta),
)
def test_one_cycle(data, peak, total, start, phases, kind, knots, factors, momenta):
    three, final = phases == 3, None
    if knots == "pytorch":
        ends = [start * total - 1, *([2 * start * total - 2] if three else []), total - 1]
    else:
        final = data.draw(st.floats(start, 1)) if three else None
        ends = [int(start * total), *([int(final * total)] if three else []), total]
    low = peak / factors[0]
    rates = [low, peak, *([low] if three else []), low / factors[1]]
    schedule = S.one_cycle(
        peak,
        total,
        pct_start=start,
        pct_final=final,
        phases=phases,
        kind=kind,
        div_factor=factors[0],
        final_div_factor=factors[1],
        base_momentum=momenta[0],
        max_momentum=momenta[1],
        knots=knots,
    )
    steps = marks(0, *(max(0, int(min(end, total))) for end in ends), total)
    # If float32 cannot distinguish a step from a knot with a jump, the value on either side is correct.
    assume(all(abs(end - round(end)) > 1e-6 or float(end).is_integer() for end in ends))
    check(schedule, _one_cycle(steps, rates, ends, kind, knots == "pytorch"), steps)
    base, top = momenta
    expected = _one_cycle(steps, [top, base, top, top][: phases + 1], ends, kind, knots == "pytorch")
    check(schedule.momentum, expected, steps)


def test_one_cycle_ends_with_annihilation_and_stays():
    for schedule, last in ((S.one_cycle(1.0, 50), 49), (S.one_cycle(1.0, 50, phases=3, knots="optax"), 50)):
        np.testing.assert_allclose(schedule(np.array([last, last + 1, 10_000])), 4e-6, rtol=1e-6)
        assert schedule(last - 1) > 5e-6


@trials(25)
@given(values, st.integers(2, 400), fractions, st.booleans(), st.sampled_from(["cos", "linear"]))
def test_one_cycle_equals_torch(peak, total, start, three, anneal):
    rates = pytest.importorskip("torch").optim.lr_scheduler
    assume(start * total != 1)  # see test_one_cycle_where_pytorch_divides_by_zero
    count = min(total, 220)
    names = {"pct_start": start, "three_phase": three, "anneal_strategy": anneal}
    kind = "cosine" if anneal == "cos" else "linear"
    ours = S.one_cycle(peak, total, pct_start=start, phases=3 if three else 2, kind=kind)
    for schedule, key in ((ours, "lr"), (ours.momentum, "momentum")):
        expected = torch_values(lambda o: rates.OneCycleLR(o, peak, total, **names), count, key)
        np.testing.assert_allclose(schedule(np.arange(count)), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("total", "start", "three", "expected"),
    [
        (2, 1.0, False, [0.04, 1.0, 1.0, 1.0]),  # the second phase is empty: the rate stays at the peak
        (5, 1.0, False, [0.04, 0.28, 0.52, 0.76, 1.0, 1.0]),
        (2, 0.75, True, [0.04, 0.04, 0.04]),  # the third phase is empty: 0.04, the peak at 1/2, 0.04
        (4, 0.25, False, [1.0, 0.666668, 0.333336, 4e-6, 4e-6]),  # the first phase is empty
    ],
)
def test_one_cycle_where_pytorch_divides_by_zero(total, start, three, expected):
    """PyTorch divides by zero at the first step or after the last. gradtx skips an empty phase and reaches its end."""
    ours = S.one_cycle(1.0, total, pct_start=start, phases=3 if three else 2, kind="linear")
    np.testing.assert_allclose(ours(np.arange(len(expected))), expected, rtol=1e-6)
    rates = pytest.importorskip("torch").optim.lr_scheduler
    names = {"pct_start": start, "three_phase": three, "anneal_strategy": "linear"}
    with pytest.raises(ZeroDivisionError):
        torch_values(lambda o: rates.OneCycleLR(o, 1.0, total, **names), total + 1)


@trials(25)
@given(values, values, few, few | st.none(), kinds, st.floats(0.9, 1), momenta, momenta)
def test_cyclic_equals_torch(low, height, up, down, kind, rate, base, top):
    rates = pytest.importorskip("torch").optim.lr_scheduler
    assume(kind != "exp_range" or rate < 1)
    rate = rate if kind == "exp_range" else 1.0
    ours = S.cyclic(low, low + height, up, down, kind, rate, base_momentum=base, max_momentum=top)
    arguments = {"mode": kind, "gamma": rate, "base_momentum": base, "max_momentum": top}
    for schedule, key in ((ours, "lr"), (ours.momentum, "momentum")):
        expected = torch_values(lambda o: rates.CyclicLR(o, low, low + height, up, down, **arguments), 220, key)
        np.testing.assert_allclose(schedule(STEPS), expected, rtol=1e-6)


@pytest.mark.parametrize("start", [0.0, 0.004, 0.3, 0.8])  # optax loses the peak if two knots coincide
def test_one_cycle_equals_optax(start):
    with relaxed():
        cosine = jax.vmap(optax.cosine_onecycle_schedule(200, 0.5, start))(STEPS)
        linear = jax.vmap(optax.linear_onecycle_schedule(200, 0.5, start))(STEPS)
    np.testing.assert_allclose(
        S.one_cycle(0.5, 200, pct_start=start, knots="optax")(STEPS), cosine, rtol=1e-5, atol=1e-8
    )
    ours = S.one_cycle(0.5, 200, pct_start=start, phases=3, kind="linear", knots="optax")
    np.testing.assert_allclose(ours(STEPS), linear, rtol=1e-5, atol=1e-8)


ALL = [
    S.cyclic(0.1, 0.5, 7),
    S.cyclic(0.1, 0.5, 7, 12, "exp_range", 0.95, base_momentum=0.7, max_momentum=0.99),
    S.one_cycle(0.1, 50),
    S.one_cycle(
        0.1,
        50,
        pct_start=0.25,
        pct_final=0.7,
        phases=3,
        kind="linear",
        div_factor=10.0,
        final_div_factor=100.0,
        base_momentum=0.8,
        max_momentum=0.9,
        knots="optax",
    ),
]


@pytest.mark.parametrize("schedule", [each for cycle in ALL for each in (cycle, cycle.momentum)], ids=repr)
def test_is_data_and_takes_every_kind_of_step(schedule):
    check_is_data(schedule)


@pytest.mark.parametrize("cycle", ALL, ids=repr)
def test_momentum_is_low_where_the_rate_is_high(cycle):
    assert cycle.learning_rate is cycle
    assert cycle.momentum != cycle
    assert repr(cycle.momentum) == f"{cycle!r}.momentum"
    rates, momenta = cycle(STEPS), cycle.momentum(STEPS)
    assert np.argmax(rates) == np.argmin(momenta)
    assert momenta[0] == np.float32(cycle.max_momentum)


def test_arguments_may_be_traced():
    def value(rate, length):
        up = S.cyclic(rate, 2 * rate, length)
        one = S.one_cycle(rate, length, phases=3, knots="optax")
        return up(5) + up.momentum(5) + one(5) + S.one_cycle(rate, length)(5) + one.momentum(5)

    expected = value(0.5, 20)
    np.testing.assert_allclose(jax.jit(value)(0.5, 20), expected, rtol=1e-6)
    np.testing.assert_allclose(jax.vmap(value)(jnp.asarray([0.5]), jnp.asarray([20])), expected, rtol=1e-6)
    assert np.isfinite(jax.grad(value)(0.5, 20.0))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: S.cyclic(0.1, 0.5, 0), "cyclic: up_steps must be in .* got 0"),
        (lambda: S.cyclic(0.1, 0.5, 5, -1), "cyclic: down_steps must be in .* got -1"),
        (lambda: S.cyclic(0.1, 0.5, 5, kind="square"), "cyclic: kind must be one of 'triangular', .* got 'square'"),
        (lambda: S.cyclic(0.1, 0.5, 5, kind="exp_range", decay_rate=1.1), r"cyclic: decay_rate .* \(0, 1\], got 1.1"),
        (lambda: S.cyclic(0.1, 0.5, 5, kind="exp_range", decay_rate=0), r"cyclic: decay_rate .* \(0, 1\], got 0"),
        (
            lambda: S.cyclic(0.1, 0.5, 5, decay_rate=0.9),
            "cyclic: decay_rate=0.9 has no effect with kind='triangular'; set kind='exp_range'",
        ),
        (lambda: S.cyclic(0.1, 0.5, 5, kind="exp_range"), "cyclic: kind='exp_range' has no effect with decay_rate=1.0"),
        (lambda: S.cyclic(0.1, 0.5, 5, base_momentum=-0.1), r"cyclic: base_momentum must be in \[0, 1\), got -0.1"),
        (lambda: S.cyclic(0.1, 0.5, 5, max_momentum=1), r"cyclic: max_momentum must be in \[0, 1\), got 1"),
        (lambda: S.one_cycle(0.1, 0), r"one_cycle: transition_steps must be in \[1, inf\), got 0"),
        (lambda: S.one_cycle(0.1, 9, pct_start=-0.1), r"one_cycle: pct_start must be in \[0, 1\], got -0.1"),
        (lambda: S.one_cycle(0.1, 9, pct_start=1.1), r"one_cycle: pct_start must be in \[0, 1\], got 1.1"),
        (
            lambda: S.one_cycle(0.1, 9, pct_final=1.1, phases=3, knots="optax"),
            r"one_cycle: pct_final must be in .* got 1.1",
        ),
        (
            lambda: S.one_cycle(0.1, 9, pct_final=0.2, phases=3, knots="optax"),
            "pct_final .* at least pct_start=0.3, got 0.2",
        ),
        (
            lambda: S.one_cycle(0.1, 9, pct_final=0.9),
            "one_cycle: pct_final=0.9 has no effect with phases=2 and knots='pytorch'; set",
        ),
        (lambda: S.one_cycle(0.1, 9, phases=4), "one_cycle: phases must be one of 2, 3, got 4"),
        (lambda: S.one_cycle(0.1, 9, kind="cos"), "one_cycle: kind must be one of 'cosine', 'linear', got 'cos'"),
        (lambda: S.one_cycle(0.1, 9, knots="keras"), "one_cycle: knots must be one of 'pytorch', 'optax', got 'keras'"),
        (lambda: S.one_cycle(0.1, 9, div_factor=0), "one_cycle: div_factor must be in .* got 0"),
        (lambda: S.one_cycle(0.1, 9, final_div_factor=-1), "one_cycle: final_div_factor must be in .* got -1"),
        (lambda: S.one_cycle(0.1, 9, base_momentum=1), r"one_cycle: base_momentum must be in \[0, 1\), got 1"),
        (lambda: S.one_cycle(0.1, 9, max_momentum=-0.1), r"one_cycle: max_momentum must be in \[0, 1\), got -0.1"),
    ],
)
def test_errors(make, words):
    with pytest.raises(ValueError, match=words):
        make()
