"""Momentum: the three forms, dampening, and Nesterov's look-ahead."""

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
    """Return the gradient of a steep ravine with a quartic term, which makes the gradient nonlinear."""
    return CURVATURES * params + params**3


def run(tx, params, steps, where=lambda tx, state, params: params):
    """Return the parameters before each step. The gradients are those at `where(tx, state, params)`."""
    state, positions = tx.init(params), []
    for _ in range(steps):
        positions.append(params)
        params, state = gx.apply_gradients(tx, gradient(where(tx, state, params)), state, params)
    return jnp.stack(positions)


START = jnp.asarray([1.0, -0.5])


@pytest.mark.parametrize("form", ["heavy_ball", "velocity"])
def test_nesterov_is_the_gradient_at_the_look_ahead_point(form):
    """The paper has vₜ₊₁ = β·vₜ + η·∇J(θₜ - β·vₜ), θₜ₊₁ = θₜ - vₜ₊₁. `nesterov` steps in φₜ = θₜ - β·vₜ."""
    rate, beta = 0.01, 0.9
    theta, v = np.asarray(START, np.float64), np.zeros(2)
    published, ahead = [], []
    for _ in range(40):
        published.append(theta)
        ahead.append(theta - beta * v)
        v = beta * v + rate * np.asarray(CURVATURES * ahead[-1] + ahead[-1] ** 3, np.float64)
        theta = theta - v
    # Plain momentum with gradients at the look-ahead point gives the published iterates.
    plain = gx.sgd(rate, momentum=beta, momentum_form=form)
    np.testing.assert_allclose(run(plain, START, 40, gx.lookahead_point), published, rtol=1e-5, atol=1e-6)
    # `nesterov` with ordinary gradients gives the look-ahead points.
    nesterov = gx.sgd(rate, momentum=beta, nesterov=True, momentum_form=form)
    np.testing.assert_allclose(run(nesterov, START, 40), ahead, rtol=1e-5, atol=1e-6)


def test_lookahead_point_of_the_averaged_form():
    """The look-ahead point is θ - η·β·m, where m is the average. `nesterov` gives the same points."""
    plain = gx.sgd(0.05, momentum=0.9, momentum_form="average")
    state, params, points = plain.init(START), START, []
    for _ in range(20):
        points.append(gx.lookahead_point(plain, state, params))
        params, state = gx.apply_gradients(plain, gradient(points[-1]), state, params)
    nesterov = gx.sgd(0.05, momentum=0.9, momentum_form="average", nesterov=True)
    assert_close(run(nesterov, START, 20), jnp.stack(points), rtol=1e-5, atol=1e-6)


def test_lookahead_point_moves_only_trained_parameters():
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
    st.floats(0.01, 1.0),
    st.booleans(),
    st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=6),
)
def test_forms_agree_for_a_constant_rate(beta, nesterov, gradients):
    def updates(tx):
        state, steps = tx.init(jnp.zeros(())), []
        for g in gradients:
            u, state = tx.update(jnp.asarray(g, jnp.float32), state)
            steps.append(u)
        return jnp.stack(steps)

    ball = updates(gx.chain(gx.trace(beta, nesterov), gx.scale_by_learning_rate(0.5)))
    velocity = updates(gx.chain(gx.scale_by_learning_rate(0.5), gx.trace(beta, nesterov)))
    average = updates(gx.chain(gx.trace(beta, nesterov, momentum_form="average"), gx.scale_by_learning_rate(0.5)))
    scale = float(np.abs(ball).max()) + 1e-6
    np.testing.assert_allclose(velocity, ball, atol=1e-6 * scale)
    np.testing.assert_allclose(average, (1 - beta) * ball, atol=1e-6 * scale)


def test_forms_differ_if_the_rate_varies():
    """The rates are 1, 0.1 and 0.1, every gradient is 1, and β = 0.9."""

    def rate(step):
        return jnp.where(step == 0, 1.0, 0.1)

    def positions(form):
        tx, p = gx.sgd(rate, momentum=0.9, momentum_form=form), jnp.zeros(())
        state, parameters = tx.init(p), []
        for _ in range(3):
            p, state = gx.apply_gradients(tx, jnp.ones(()), state, p)
            parameters.append(p)
        return parameters

    np.testing.assert_allclose(positions("heavy_ball"), [-1, -1.19, -1.461], rtol=1e-6)
    np.testing.assert_allclose(positions("velocity"), [-1, -2, -3], rtol=1e-6)
    np.testing.assert_allclose(positions("average"), [-0.1, -0.119, -0.1461], rtol=1e-6)


def test_the_first_gradient_is_not_dampened():
    tx = gx.trace(0.5, dampening=0.75)
    state, updates = tx.init(jnp.zeros(())), []
    for g in (4.0, 4.0, 0.0):
        u, state = tx.update(jnp.asarray(g), state)
        updates.append(float(u))
    assert updates == [4.0, 3.0, 1.5]


def test_weight_decay_does_not_enter_the_velocity():
    """Keras decays the parameter and not the buffer, so the buffer stays zero after a step with gradient zero."""
    tx = gx.sgd(0.5, momentum=0.9, momentum_form="velocity", weight_decay=0.1)
    p, state = gx.apply_gradients(tx, jnp.zeros(2), tx.init(jnp.ones(2)), jnp.ones(2))
    assert_close(p, jnp.full(2, 0.95))
    assert state.stages["trace"]["buffer"].tolist() == [0, 0]


def test_there_is_no_buffer_without_momentum():
    for momentum in (None, 0, 0.0):
        assert gx.sgd(0.1, momentum=momentum) == gx.sgd(0.1)
        assert not gx.rmsprop(0.1, momentum=momentum).init(jnp.ones(1)).stages.keys() & {"trace"}


@pytest.mark.parametrize("zero", [0, 0.0, np.float32(0), np.int64(0), np.zeros(())])
def test_a_constant_zero_means_no_momentum_and_no_decay(zero):
    assert gx.sgd(0.1, momentum=zero, weight_decay=zero) == gx.sgd(0.1, momentum=None) == gx.sgd(0.1)


@pytest.mark.parametrize("zero", [jnp.asarray(0.0), lambda step: 0.0, gx.tunable(0.0)])
def test_a_zero_that_can_change_keeps_its_stage(zero):
    assert list(gx.sgd(0.1, momentum=zero, weight_decay=zero).stages) == [
        "trace",
        "add_decayed_weights",
        "scale_by_learning_rate",
    ]
