"""Piecewise and composed schedules equal their closed forms in float64, optax, Keras and PyTorch."""

import os

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gradtx as gx
from tests.helpers import relaxed, trials
from tests.schedules.common import END, check, check_is_data, lengths, marks, torch_values, values

S = gx.schedules
os.environ.setdefault("KERAS_BACKEND", "jax")
pieces = st.lists(st.tuples(values, st.integers(0, END)), min_size=1, max_size=4)
STEPS = np.arange(220)


def _cosine(done):
    return np.sin(np.pi / 2 * done) ** 2


@trials(20)
@given(values, pieces, st.sampled_from(["from", "after"]))
def test_piecewise_constant(first, rest, boundary):
    levels, ends = [first, *(v for v, _ in rest)], sorted(b for _, b in rest)
    steps = marks(*ends)
    index = np.searchsorted(ends, steps, side="right" if boundary == "from" else "left")
    check(S.piecewise_constant(levels, ends, boundary=boundary), np.array(levels)[index], steps)


@trials(20)
@given(values, pieces, st.sampled_from(["linear", "cosine"]))
def test_piecewise_interpolate(first, rest, kind):
    levels, ends = [first, *(v for v, _ in rest)], sorted(b for _, b in rest)
    steps = marks(0, *ends)
    knots = np.array([0, *ends, np.inf])
    index = np.searchsorted(knots, steps, side="right") - 1
    length = np.maximum(np.append(np.diff(knots[:-1]), 1), 1)
    done, left = (steps - knots[index]) / length[index], (knots[index + 1] - steps) / length[index]
    last = index == len(ends)
    done, left = np.where(last, 0, done), np.where(last, 1, left)
    done, left = (_cosine(done), _cosine(left)) if kind == "cosine" else (done, left)
    after = np.array([*levels, 0])[index + 1]
    kind = kind if ends[-1] else "linear"
    check(S.piecewise_interpolate(levels, ends, kind=kind), np.array(levels)[index] * left + after * done, steps)


@trials(15)
@given(values, values, st.integers(0, 2**30), lengths)
def test_join_and_offset(start, end, boundary, length):
    steps = marks(boundary, boundary + length)
    done = np.clip((steps - boundary) / length, 0, 1)
    later = start * (1 - done) + end * done
    schedule = S.join([0.5, S.linear(start, end, length)], [boundary])
    check(schedule, np.where(steps < boundary, 0.5, later), steps)
    ahead = steps[steps >= boundary] - boundary
    check(S.offset(schedule, boundary), later[steps >= boundary], ahead)
    check(S.floor(schedule, 0.6), np.maximum(np.where(steps < boundary, 0.5, later), 0.6), steps)
    check(S.scaled(schedule, -0.3), -0.3 * np.where(steps < boundary, 0.5, later), steps)


@trials(20)
@given(st.floats(1e-4, 1), values, lengths, st.sampled_from(["linear", "exponential"]))
def test_warmup(start, peak, length, kind):
    steps = marks(length, 3 * length)
    done = np.minimum(steps / length, 1)
    warm = start * (1 - done) + peak * done if kind == "linear" else start * (peak / start) ** done
    later = peak * 0.5 ** (np.maximum(steps - length, 0) / length)
    schedule = S.warmup(S.exponential_decay(peak, length, 0.5), length, init_value=start, kind=kind)
    check(schedule, np.where(steps < length, warm, later), steps)


@trials(20)
@given(values, values, lengths, lengths, lengths, values, st.sampled_from(["linear", "cosine", "sqrt"]))
def test_warmup_stable_decay(start, peak, warm, stable, decay, end, kind):
    steps = marks(warm, warm + stable, warm + stable + decay)
    up, down = np.minimum(steps / warm, 1), np.clip((steps - warm - stable) / decay, 0, 1)
    fall = {"linear": down, "cosine": _cosine(down), "sqrt": np.sqrt(down)}[kind]
    expected = np.where(steps < warm, start * (1 - up) + peak * up, peak * (1 - fall) + end * fall)
    schedule = S.warmup_stable_decay(start, peak, warm, stable, warm + stable + decay, end_value=end, kind=kind)
    check(schedule, expected, steps)


@pytest.mark.parametrize("kind", ["linear", "cosine", "sqrt"])
def test_warmup_stable_with_parts_of_one_step_and_none(kind):
    check(S.warmup_stable_decay(0.0, 1.0, 2, 2, 5, kind=kind), [0, 0.5, 1, 1, 1, 0, 0], np.arange(7))
    check(S.warmup_stable_decay(0.0, 1.0, 0, 2, 3, kind=kind), [1, 1, 1, 0, 0], np.arange(5))
    check(S.warmup_stable_decay(0.5, 1.0, 1, 0, 2, kind=kind), [0.5, 1, 0, 0], np.arange(4))


def test_per_epoch():
    steps = marks(999, 1000, END)
    decay = S.inverse_time_decay(1.0, 10, 1.0)
    check(S.per_epoch(decay, 1000), 1 / (1 + (steps // 1000) / 10), steps)
    check(S.per_epoch(decay, 1000, staircase=False), 1 / (1 + steps / 10_000), steps)


PAIRS = [
    (S.piecewise_constant([1.0, 0.1, 0.05], [50, 120]), optax.piecewise_constant_schedule(1.0, {50: 0.1, 120: 0.5})),
    *(
        (
            S.piecewise_interpolate([1.0, 2.0, 0.5], [50, 120], kind=kind),
            optax.piecewise_interpolate_schedule(kind, 1.0, {50: 2.0, 120: 0.25}),
        )
        for kind in ("linear", "cosine")
    ),
    (
        S.join([S.linear(0.0, 1.0, 30), S.exponential_decay(1.0, 9, 0.7)], [30]),
        optax.join_schedules([optax.linear_schedule(0.0, 1.0, 30), optax.exponential_decay(1.0, 9, 0.7)], [30]),
    ),
    (
        S.warmup(S.exponential_decay(1.0, 50, 0.5), 40, init_value=0.1),
        optax.warmup_exponential_decay_schedule(0.1, 1.0, 40, 50, 0.5),
    ),
    (S.warmup(S.cosine_decay(1.0, 150), 40, init_value=0.1), optax.warmup_cosine_decay_schedule(0.1, 1.0, 40, 190)),
]
ALL = [
    *(ours for ours, _ in PAIRS),
    S.warmup(0.3, 10, init_value=0.01, kind="exponential"),
    S.warmup_stable_decay(0.0, 1.0, 10, 20, 50, kind="sqrt"),
    S.floor(S.linear(1.0, 0.0, 50), 0.1),
    S.scaled(S.linear(1.0, 0.0, 50), -0.3),
    S.offset(S.linear(1.0, 0.0, 50), 10),
    S.per_epoch(S.linear(1.0, 0.0, 5), 7),
]


@pytest.mark.parametrize(("ours", "theirs"), PAIRS, ids=lambda x: repr(x)[:40])
def test_equals_optax(ours, theirs):
    with relaxed():
        expected = jax.vmap(theirs)(jnp.asarray(STEPS))
    np.testing.assert_allclose(ours(STEPS), expected, rtol=2e-5, atol=1e-7)


def test_piecewise_constant_equals_keras():
    ours = S.piecewise_constant([1.0, 0.1, 0.05], [50, 120], boundary="after")
    with relaxed():
        keras = pytest.importorskip("keras")
        theirs = keras.optimizers.schedules.PiecewiseConstantDecay([50, 120], [1.0, 0.1, 0.05])
        expected = [float(theirs(int(i))) for i in STEPS]
    np.testing.assert_allclose(ours(STEPS), expected, rtol=1e-6)


def test_equals_torch():
    torch = pytest.importorskip("torch")
    rates = torch.optim.lr_scheduler
    with relaxed():  # SequentialLR causes warnings by its internal calls
        steps = torch_values(lambda o: rates.MultiStepLR(o, [50, 120], 0.1), len(STEPS))
        joined = torch_values(
            lambda o: rates.SequentialLR(o, [rates.LinearLR(o, 0.1, 1.0, 60), rates.ExponentialLR(o, 0.99)], [60]),
            len(STEPS),
        )
    np.testing.assert_allclose(S.piecewise_constant([1.0, 0.1, 0.01], [50, 120])(STEPS), steps, rtol=1e-6)
    ours = S.warmup(S.exponential_decay(1.0, 1, 0.99), 60, init_value=0.1)
    np.testing.assert_allclose(ours(STEPS), joined, rtol=1e-6)


@pytest.mark.parametrize("schedule", ALL, ids=repr)
def test_is_data_and_takes_every_kind_of_step(schedule):
    check_is_data(schedule)


def _double(step):
    return 2.0 * jnp.asarray(step, jnp.float32)


def test_functions_inside():
    schedule = S.join([_double, 1], [3])
    assert repr(schedule) == "join((_double, 1), (3,))"
    assert schedule == S.join((_double, 1), (3,))
    assert schedule != S.join((_double, 2), (3,))
    np.testing.assert_allclose(jax.jit(schedule)(jnp.arange(5)), [0, 2, 4, 1, 1])
    np.testing.assert_allclose(S.offset(_double, 3)(2), 10)


def test_arguments_may_be_traced():
    def value(x, boundary):
        schedule = S.piecewise_constant([x, 2 * x], [boundary])
        assert schedule == schedule
        assert schedule != S.piecewise_constant([x, 3 * x], [boundary])
        return schedule(5) + S.join([x, S.linear(x, 0.0, 8)], [boundary])(5) + S.warmup(x, boundary)(1)

    np.testing.assert_allclose(jax.jit(value)(0.5, 4), 1.0 + 0.4375 + 0.125, rtol=1e-6)
    assert float(jax.grad(value)(0.5, 4.0)) == pytest.approx(2 + 0.875 + 0.25)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: S.piecewise_constant([1.0], [3]), r"values must be one more than the 1 boundaries, got 1: \(1.0,\)"),
        (lambda: S.piecewise_constant([1.0, 2, 3], [3, 2]), r"boundaries must be in ascending order, got \(3, 2\)"),
        (lambda: S.piecewise_interpolate([1.0, 2], [-1]), r"boundaries\[0\] must be in .* got -1"),
        (
            lambda: S.piecewise_interpolate([1.0, 2], [1], kind="cubic"),
            "kind must be one of 'linear', 'cosine', got 'cubic'",
        ),
        (lambda: S.join([1.0, 2.0], []), "schedules must be one more than the 0 boundaries, got 2"),
        (lambda: S.warmup(1.0, -1), "steps must be in .* got -1"),
        (lambda: S.warmup(1.0, 5, kind="exponential"), r"init_value must be in \(0, inf\) .* got 0"),
        (lambda: S.warmup_stable_decay(0.0, 1.0, 5, 6, 10), "decay_steps must be greater than .* = 5 . 6, got 10"),
        (lambda: S.warmup_stable_decay(0.0, 1.0, 5, 6, 11), "decay_steps must be greater than .* = 5 . 6, got 11"),
        (lambda: S.offset(S.constant(1.0), -3), "steps must be in .* got -3"),
        (lambda: S.per_epoch(S.constant(1.0), 0), "steps_per_epoch must be in .* got 0"),
    ],
)
def test_errors(make, words):
    with pytest.raises(ValueError, match=words):
        make()


@pytest.mark.parametrize("part", ["a", None, True, jnp.ones(2)])
def test_parts_are_schedules_or_numbers(part):
    for make in (lambda: S.join([part], []), lambda: S.floor(part, 0.0), lambda: S.product(part, 1.0)):
        with pytest.raises(TypeError, match="must be a number"):
            make()
    for make in (lambda: S.offset(part, 3), lambda: S.per_epoch(part, 3)):
        with pytest.raises(TypeError, match="must be a schedule, which depends on the step, got"):
            make()


def test_a_warm_up_that_wastes_no_step():
    """The first step is 1/W of the way, as in `(t + 1) / W`."""
    steps = np.arange(12)
    expected = np.where(steps < 4, 0.8 * (steps + 1) / 4, 0.8 - 0.1 * np.minimum(np.maximum(steps - 4, 0), 8))
    found = S.warmup(S.linear(0.8, 0.0, 8), 4, skip_init_value=True)(jnp.asarray(steps))
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    exponential = S.warmup(0.8, 3, init_value=0.1, kind="exponential", skip_init_value=True)(jnp.arange(4))
    np.testing.assert_allclose(exponential, [0.2, 0.4, 0.8, 0.8], rtol=1e-6)


def test_a_schedule_begins_anew_at_a_checkpoint():
    cosine = S.cosine_decay(1.0, 10)
    np.testing.assert_array_equal(S.delayed(cosine, 7)(jnp.arange(7, 20)), cosine(jnp.arange(13)))
    np.testing.assert_array_equal(S.delayed(cosine, 7)(jnp.arange(7)), 1.0)


def test_a_schedule_in_parts_of_a_run():
    whole = S.warmup_stable_decay(0.0, 1.0, 10, 70, 100)
    parts = S.of_run(S.warmup_stable_decay(0.0, 1.0, 0.1, 0.7, 1.0), 100)
    np.testing.assert_allclose(parts(jnp.arange(110)), whole(jnp.arange(110)), atol=1e-6)
