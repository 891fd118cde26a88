"""`switch` uses one transformation up to a step or a metric, and another one after that."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradtx as gx
from tests.helpers import assert_close, gradients, relaxed, trajectory, tree

S = gx.schedules
FIRST, SECOND = gx.adam(0.01, b1=S.linear(0.9, 0.5, 10)), gx.sgd(S.linear(0.1, 0.0, 10), momentum=0.9)


@pytest.mark.parametrize("at", [0, 1, 5, 12])
def test_equals_one_run_after_the_other(at):
    params, grads = tree(1), gradients(12)
    updates, end, state = trajectory(gx.switch(FIRST, SECOND, at=at), params, grads)
    before, middle, first = trajectory(FIRST, params, grads[:at])
    after, expected, second = trajectory(SECOND, middle, grads[at:])
    assert_close(updates, before + after)
    assert_close(end, expected)
    assert_close(state.stages["switch"], {"first": first, "second": second})


def test_one_compilation_and_one_of_the_two_at_a_step():
    ran = []

    def counting(name):
        def update(updates, state, params=None):
            jax.debug.callback(lambda: ran.append(name))
            return updates, state

        return optax.GradientTransformation(lambda params: (), update)

    tx = gx.switch(counting("first"), gx.chain(counting("second"), gx.clip(1.0)), at=3)
    chex.clear_trace_counter()
    update = jax.jit(chex.assert_max_traces(tx.update, 1))
    x = jnp.ones(2)
    state = tx.init(x)
    for _ in range(5):
        _, state = update(x, state)
        jax.effects_barrier()
    assert ran == ["first"] * 3 + ["second"] * 2


def test_at_a_step_that_is_changed_in_mid_run():
    tx, x = gx.switch(gx.sgd(1.0), gx.sgd(0.5), at=gx.tunable(1000)), jnp.ones(2)
    state = tx.init(x)
    updates, state = tx.update(x, state)
    assert updates[0] == -1
    state = gx.set_hyperparams(tx, state, at=1)
    assert tx.update(x, state)[0][0] == -0.5
    assert tx.update(x, gx.set_hyperparams(tx, state, at=2))[0][0] == -1


@pytest.mark.parametrize(
    ("at", "metrics"),
    [
        (S.plateau(patience=1), [3, 2, 2, None, 2, 1, 0]),
        (S.target(0.9, mode="max"), [0.1, 0.5, None, 0.8, 0.95, 0.1, 0.1]),
    ],
)
def test_at_a_metric(at, metrics):
    tx, x = gx.switch(gx.sgd(1.0), gx.sgd(0.5), at=at), jnp.ones(2)
    state, rates = tx.init(x), []
    for metric in metrics:
        updates, state = tx.update(x, state, x, value=metric)
        rates.append(-float(updates[0]))
    assert rates == [1, 1, 1, 1, 0.5, 0.5, 0.5]
    assert gx.hyperparams(tx, state)["switch.at"] == 4
    with pytest.raises(TypeError, match=r"switch.at follows a metric: call update\(..., value=metric\)"):
        tx.update(x, state, x)


def test_a_metric_reaches_the_transformation_that_follows_it():
    inner = gx.chain(optax.contrib.reduce_on_plateau(patience=1), gx.sgd(S.reduce_on_plateau(1.0, patience=1)))
    tx, x = gx.switch(inner, gx.sgd(1.0), at=100), jnp.ones(2)
    with relaxed():
        state = tx.init(x)
        for _ in range(3):
            updates, state = jax.jit(tx.update)(x, state, x, value=1.0)
    np.testing.assert_allclose(updates, -1e-3, rtol=1e-5)
    with pytest.raises(TypeError, match=r"scale_by_learning_rate\.learning_rate follows a metric"):
        gx.switch(gx.sgd(1.0), gx.sgd(S.reduce_on_plateau(1.0)), at=3).update(x, tx.init(x))
    with pytest.raises(TypeError, match="Did you mean that"):
        gx.switch(gx.sgd(1.0), gx.sgd(1.0), at=S.plateau()).update(x, tx.init(x), valeu=1.0)


def test_the_hyperparameters_of_both_are_read_and_set():
    tx = gx.named("tune", gx.switch(gx.adam(gx.tunable(0.1)), gx.named("end", gx.sgd(gx.tunable(0.2), 0.9)), at=1))
    x = jnp.ones(2)
    state = tx.init(x)
    rate = {
        "tune.first.scale_by_learning_rate.learning_rate": 0.3,
        "tune.second.end.scale_by_learning_rate.learning_rate": 0.4,
    }
    for name, value in rate.items():
        state = gx.set_hyperparams(tx, state, **{name: value})
    found = gx.hyperparams(tx, state)
    assert found.keys() >= {"tune.at", "tune.first.scale_by_adam.b1", "tune.second.end.trace.momentum", *rate}
    np.testing.assert_allclose([found[name] for name in rate], list(rate.values()))
    np.testing.assert_allclose(
        gx.hyperparams(tx, gx.set_hyperparams(tx, state, **{"first.scale_by_learning_rate.learning_rate": 0.5}))[
            next(iter(rate))
        ],
        0.5,
    )
    with pytest.raises(ValueError, match=r"learning_rate is ambiguous; write one of tune.first.scale_by_learning_rate"):
        gx.set_hyperparams(tx, state, learning_rate=1.0)


def test_masks_of_parts_see_the_parameters_as_they_are():
    params = {"half": jnp.ones(2, jnp.bfloat16), "whole": jnp.ones(2), "number": 3, "none": None}
    decay = gx.chain(gx.sgd(0.5), gx.decay_weights(0.25, mask=lambda path, array: array.dtype == jnp.bfloat16))
    tx = gx.switch(decay, optax.sgd(0.5), at=1)
    grads = jax.tree.map(jnp.zeros_like, params) | {"number": None}
    state = tx.init(params)
    updates, state = tx.update(grads, state, params)
    np.testing.assert_array_equal(updates["half"], -0.25)
    np.testing.assert_array_equal(updates["whole"], 0)
    with relaxed():
        updates, _ = tx.update(grads, state, params)
    assert updates["half"].dtype == jnp.bfloat16
    selected, not_selected = gx.describe(tx, params).stages[2].groups
    assert (selected.paths, not_selected.paths) == (("half",), ("whole",))


def test_complaints_name_the_part():
    tx = gx.switch(gx.adam(0.1), gx.sgd(0.1, weight_decay=0.1, mask="*/kernel"), at=3)
    with pytest.raises(ValueError, match=r"switch\.second\.add_decayed_weights: only selects no parameter"):
        tx.init(jnp.ones(2))


def test_derivatives_pass_through():
    """The derivatives are by the learning rates of both transformations, through steps of both."""
    params, target = jnp.asarray([1.0, 2.0]), jnp.asarray([0.5, -1.0])

    def loss(rates, switched):
        first, second = gx.sgd(rates[0], momentum=0.5), gx.adam(rates[1], eps_root=1e-8)
        p = params
        if switched:
            tx = gx.switch(first, second, at=2)
            state = tx.init(p)
            for _ in range(4):
                p, state = gx.apply_gradients(tx, 2 * (p - target), state, p)
        else:
            for tx in (first, second):
                state = tx.init(p)
                for _ in range(2):
                    p, state = gx.apply_gradients(tx, 2 * (p - target), state, p)
        return jnp.sum((p - target) ** 2)

    rates = jnp.asarray([0.1, 0.02])
    for derivative in (jax.grad, jax.jacfwd):
        found, expected = (derivative(loss)(rates, switched) for switched in (True, False))
        assert_close(found, expected, rtol=1e-5)
        assert (found != 0).all()


def test_a_sweep_over_the_moment():
    x = jnp.ones(2)

    def run(at):
        tx = gx.switch(gx.sgd(1.0), gx.sgd(0.5), at=at)
        state, total = tx.init(x), 0.0
        for _ in range(4):
            updates, state = tx.update(x, state)
            total += updates[0]
        return total

    np.testing.assert_array_equal(jax.jit(jax.vmap(run))(jnp.arange(5)), [-2, -2.5, -3, -3.5, -4])


@pytest.mark.parametrize(
    ("arguments", "error", "named"),
    [
        ((gx.sgd(1.0), gx.sgd(1.0), -1), ValueError, r"at must be in \[0, 2\*\*31\), got -1"),
        ((gx.sgd(1.0), gx.sgd(1.0), 2.5), ValueError, "at must be a whole number, got 2.5"),
        ((gx.sgd(1.0), gx.sgd(1.0), None), TypeError, "at must be a number"),
        ((gx.sgd(1.0), 0.1, 3), TypeError, "second: expected a gradient transformation"),
        ((None, gx.sgd(1.0), 3), TypeError, "first: expected a gradient transformation"),
    ],
)
def test_names_the_argument_that_is_wrong(arguments, error, named):
    with pytest.raises(error, match=f"switch: {named}"):
        gx.switch(arguments[0], arguments[1], at=arguments[2])


def test_the_step_is_named():
    with pytest.raises(TypeError, match=r"switch: takes 2 positional arguments \(first, second\), got 3; .* at=3"):
        gx.switch(gx.sgd(1.0), gx.sgd(1.0), 3)
    tx = gx.switch(gx.sgd(1.0), gx.sgd(0.5), at=3)
    assert repr(tx).endswith(", at=3)")
    assert eval(repr(tx), vars(gx)) == tx
