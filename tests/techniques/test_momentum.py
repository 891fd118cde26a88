"""Momentum: its three forms, dampening, and Nesterov's look-ahead."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gradtx as gx
from tests.helpers import assert_close, trials

CURVATURES = jnp.asarray([1.0, 30.0])


def gradient(params):
    """Of a steep ravine with a quartic term, so that the gradient is no linear function."""
    return CURVATURES * params + params**3


def run(tx, params, steps, where=lambda tx, state, params: params):
    """The parameters before each step, with gradients taken at `where`."""
    state, out = tx.init(params), []
    for _ in range(steps):
        out.append(params)
        params, state = gx.apply_gradients(tx, gradient(where(tx, state, params)), state, params)
    return jnp.stack(out)


START = jnp.asarray([1.0, -0.5])


@pytest.mark.parametrize("form", ["heavy_ball", "velocity"])
def test_nesterov_is_the_gradient_at_the_look_ahead_point(form):
    """vₜ₊₁ = β·vₜ + η·∇J(θₜ - β·vₜ), θₜ₊₁ = θₜ - vₜ₊₁, step by step, and in the variables φₜ = θₜ - β·vₜ."""
    rate, beta = 0.01, 0.9
    theta, v = np.asarray(START, np.float64), np.zeros(2)
    published, ahead = [], []
    for _ in range(40):
        published.append(theta)
        ahead.append(theta - beta * v)
        v = beta * v + rate * np.asarray(CURVATURES * ahead[-1] + ahead[-1] ** 3, np.float64)
        theta = theta - v
    # The look-ahead gradient given to plain momentum: the published iterates.
    plain = gx.sgd(rate, momentum=beta, momentum_form=form)
    np.testing.assert_allclose(run(plain, START, 40, gx.lookahead_point), published, rtol=1e-5, atol=1e-6)
    # `nesterov` with ordinary gradients: the points of look-ahead.
    nesterov = gx.sgd(rate, momentum=beta, nesterov=True, momentum_form=form)
    np.testing.assert_allclose(run(nesterov, START, 40), ahead, rtol=1e-5, atol=1e-6)


def test_lookahead_point_of_the_averaged_form():
    """With θ - η·β·m as the point and m the average, `nesterov` has the points of look-ahead again."""
    plain = gx.sgd(0.05, momentum=0.9, momentum_form="average")
    state, params, points = plain.init(START), START, []
    for _ in range(20):
        points.append(gx.lookahead_point(plain, state, params))
        params, state = gx.apply_gradients(plain, gradient(points[-1]), state, params)
    nesterov = gx.sgd(0.05, momentum=0.9, momentum_form="average", nesterov=True)
    assert_close(run(nesterov, START, 20), jnp.stack(points), rtol=1e-5, atol=1e-6)


def test_lookahead_point_leaves_the_state_and_what_is_not_trained_alone():
    tx, params = gx.sgd(0.1, momentum=0.9), {"w": jnp.ones(2), "frozen": None, "table": np.arange(2)}
    state = tx.init(params)
    grads = {"w": jnp.ones(2), "frozen": None, "table": None}
    params, state = gx.apply_gradients(tx, grads, state, params)
    point = jax.jit(lambda s, p: gx.lookahead_point(tx, s, p))(state, params)
    assert_close(point["w"], jnp.full(2, 0.9 - 0.09))
    assert point["frozen"] is None
    assert point["table"].tolist() == [0, 1]


@trials(25)
@given(
    st.floats(0.0, 1.0),
    st.booleans(),
    st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=6),
)
def test_forms_agree_for_a_constant_rate(beta, nesterov, gradients):
    def updates(tx):
        state, out = tx.init(jnp.zeros(())), []
        for g in gradients:
            u, state = tx.update(jnp.asarray(g, jnp.float32), state)
            out.append(u)
        return jnp.stack(out)

    ball = updates(gx.chain(gx.trace(beta, nesterov), gx.scale_by_learning_rate(0.5)))
    velocity = updates(gx.chain(gx.scale_by_learning_rate(0.5), gx.trace(beta, nesterov)))
    average = updates(gx.chain(gx.trace(beta, nesterov, momentum_form="average"), gx.scale_by_learning_rate(0.5)))
    scale = float(np.abs(ball).max()) + 1e-6
    np.testing.assert_allclose(velocity, ball, atol=1e-6 * scale)
    np.testing.assert_allclose(average, (1 - beta) * ball, atol=1e-6 * scale)


def test_forms_part_where_the_rate_varies():
    """A rate of 1, 0.1, 0.1 and gradients of 1 with β = 0.9."""

    def rate(step):
        return jnp.where(step == 0, 1.0, 0.1)

    def position(form):
        tx, p = gx.sgd(rate, momentum=0.9, momentum_form=form), jnp.zeros(())
        state, out = tx.init(p), []
        for _ in range(3):
            p, state = gx.apply_gradients(tx, jnp.ones(()), state, p)
            out.append(p)
        return out

    np.testing.assert_allclose(position("heavy_ball"), [-1, -1.19, -1.461], rtol=1e-6)
    np.testing.assert_allclose(position("velocity"), [-1, -2, -3], rtol=1e-6)
    np.testing.assert_allclose(position("average"), [-0.1, -0.119, -0.1461], rtol=1e-6)


def test_dampening_spares_the_first_gradient():
    tx = gx.trace(0.5, dampening=0.75)
    state, out = tx.init(jnp.zeros(())), []
    for g in (4.0, 4.0, 0.0):
        u, state = tx.update(jnp.asarray(g), state)
        out.append(float(u))
    assert out == [4.0, 3.0, 1.5]


def test_decay_stays_out_of_the_velocity():
    """Keras decays the parameter and not the buffer: one step of gradient zero leaves the buffer at zero."""
    tx = gx.sgd(0.5, momentum=0.9, momentum_form="velocity", weight_decay=0.1)
    p, state = gx.apply_gradients(tx, jnp.zeros(2), tx.init(jnp.ones(2)), jnp.ones(2))
    assert_close(p, jnp.full(2, 0.95))
    assert state.stages["trace"]["buffer"].tolist() == [0, 0]


def test_no_momentum_keeps_no_buffer():
    for momentum in (None, 0, 0.0):
        assert gx.sgd(0.1, momentum=momentum) == gx.sgd(0.1)
        assert not gx.rmsprop(0.1, momentum=momentum).init(jnp.ones(1)).stages.keys() & {"trace"}


@pytest.mark.parametrize("zero", [0, 0.0, np.float32(0), np.int64(0), np.zeros(())])
def test_a_constant_zero_is_no_momentum_and_no_decay(zero):
    assert gx.sgd(0.1, momentum=zero, weight_decay=zero) == gx.sgd(0.1, momentum=None) == gx.sgd(0.1)


@pytest.mark.parametrize("zero", [jnp.asarray(0.0), lambda step: 0.0, gx.tunable(0.0)])
def test_a_zero_that_may_become_more_is_kept(zero):
    assert list(gx.sgd(0.1, momentum=zero, weight_decay=zero).stages) == [
        "trace",
        "add_decayed_weights",
        "scale_by_learning_rate",
    ]
