"""Hyperparameters are numbers, schedules or tunables, and can be read and set in the state."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradtx as gx
from tests.helpers import assert_close, gradients, relaxed, trajectory, tree


def test_what_every_hyperparameter_is_now():
    tx = gx.chain(
        gx.clip_by_global_norm(jnp.asarray(2.0)),
        gx.named("body", gx.adam(gx.schedules.linear(1.0, 0.0, 4), b1=gx.tunable(0.8))),
        gx.clip(lambda step: 3.0),
    )
    x = jnp.ones(2)
    state = tx.init(x)
    for expected in (1.0, 0.75):
        found = gx.hyperparams(tx, state)
        assert found.keys() == {
            "clip_by_global_norm.max_norm",
            "clip_by_global_norm.eps",
            *(f"body.scale_by_adam.{name}" for name in ("b1", "b2", "eps", "eps_root")),
            "body.scale_by_learning_rate.learning_rate",
            "clip.max_delta",
        }
        np.testing.assert_allclose(found["body.scale_by_learning_rate.learning_rate"], expected)
        assert found["body.scale_by_adam.b2"] == 0.999
        np.testing.assert_allclose(found["body.scale_by_adam.b1"], 0.8)
        assert found["clip.max_delta"] == 3.0
        _, state = tx.update(x, state)


@pytest.mark.parametrize("name", ["learning_rate", "scale_by_learning_rate.learning_rate"])
def test_setting_changes_the_next_update_without_compiling(name):
    tx, x = gx.sgd(gx.tunable(0.1)), jnp.ones(2)
    chex.clear_trace_counter()
    update = jax.jit(chex.assert_max_traces(tx.update, 1))
    state = tx.init(x)
    for value in (0.5, 0.25, np.float32(0.125), jnp.asarray(1.0), 3):
        state = gx.set_hyperparams(tx, state, **{name: value})
        updates, state = update(x, state)
        np.testing.assert_array_equal(updates, -np.float32(value))


def test_setting_compiles_nothing_where_the_state_is_bound_to_a_device():
    tx, params = gx.sgd(gx.tunable(0.1)), jax.device_put(jnp.ones(2), jax.devices()[1])
    state, step = jax.device_put(tx.init(params), jax.devices()[1]), jax.jit(tx.update)
    step(params, state)
    updates, _ = step(params, gx.set_hyperparams(tx, state, learning_rate=0.5))
    assert updates.tolist() == [-0.5, -0.5]
    assert step._cache_size() == 1


def test_setting_leaves_the_old_state_alone():
    tx = gx.sgd(gx.tunable(0.5))
    state = tx.init(jnp.ones(2))
    gx.set_hyperparams(tx, state, learning_rate=0.25)
    assert state.hyperparams["scale_by_learning_rate.learning_rate"] == 0.5


def test_setting_inside_optax_and_inside_foreign_stages():
    inner = gx.named("inner", gx.sgd(gx.tunable(1.0)))
    x = jnp.ones(2)
    for tx in (optax.chain(optax.identity(), inner), gx.chain(optax.chain(inner), gx.clip(gx.tunable(9.0)))):
        state = gx.set_hyperparams(inner, tx.init(x), learning_rate=0.25)
        np.testing.assert_array_equal(tx.update(x, state, x)[0], -0.25)


def test_a_name_may_lack_its_beginning():
    start, end, x = gx.sgd(gx.tunable(1.0)), gx.named("end", gx.sgd(gx.tunable(2.0))), jnp.ones(2)
    tx, both = optax.chain(start, end), gx.chain(start, end)
    state = tx.init(x)
    with pytest.raises(ValueError, match=r"learning_rate is ambiguous; write one of end\.learning_rate, scale_by\w+"):
        gx.set_hyperparams(both, both.init(x), learning_rate=3.0)
    for name in ("1.end.learning_rate", "end.learning_rate", "learning_rate"):
        changed = gx.set_hyperparams(end, state, **{name: 3.0})
        np.testing.assert_array_equal(tx.update(x, changed, x)[0], 3.0)
    with pytest.raises(ValueError, match=r"unknown hyperparameter d\.learning_rate"):  # only whole words match
        gx.set_hyperparams(end, state, **{"d.learning_rate": 3.0})
    with pytest.raises(TypeError, match=r"set_hyperparams: the first argument must be a transformation of gradtx"):
        gx.set_hyperparams(tx, state, learning_rate=3.0)


@pytest.mark.parametrize(
    ("make", "name", "bad"),
    [
        (lambda x: gx.sgd(x), "learning_rate", -5.0),
        (lambda x: gx.sgd(x), "learning_rate", float("inf")),
        (lambda x: gx.adam(0.1, b1=x), "b1", 2.0),
        (lambda x: gx.adam(0.1, b1=x), "b1", 1.0 - 1e-9),  # float32 rounds this number to 1
        (lambda x: gx.clip(x), "max_delta", -1.0),
        (lambda x: gx.switch(gx.sgd(1.0), gx.adam(0.1, b1=x), at=5), "b1", -0.5),
        (lambda x: gx.chain(gx.clip(x), gx.sgd(0.1, momentum=x)), "both", 2.0),
        (lambda x: gx.named("end", gx.adagrad(x)), "learning_rate", -1.0),
    ],
)
def test_setting_refuses_what_construction_refuses(make, name, bad):
    good = gx.tunable(0.5, name="both" if name == "both" else None)
    tx = make(good)
    state = tx.init(jnp.ones(2))
    with pytest.raises(ValueError, match=r"must be in [\[(]"):
        make(gx.tunable(bad))
    with pytest.raises(ValueError, match=rf"set_hyperparams: \S*{name} must be in"):
        gx.set_hyperparams(tx, state, **{name: bad})


def test_a_tunable_bound_may_be_infinite():
    x = jnp.full(2, 3.0)
    tx = gx.clip(gx.tunable(float("inf")))
    state = tx.init(x)
    np.testing.assert_array_equal(tx.update(x, state)[0], x)
    np.testing.assert_array_equal(tx.update(x, gx.set_hyperparams(tx, state, max_delta=1.0))[0], 1.0)
    for bad in (gx.tunable(float("inf")), gx.tunable(-float("inf"))):
        with pytest.raises(ValueError, match="learning_rate must be in"):
            gx.sgd(bad)
    with pytest.raises(ValueError, match="tunable: value must be in"):
        gx.tunable(float("nan"))


def test_a_sweep_is_one_vmap():
    tx, params, grads = gx.adam(gx.tunable(0.0)), tree(1), gradients(3)
    rates = jnp.linspace(0.01, 0.16, 16)

    @jax.jit
    @jax.vmap
    def final(rate):
        p, state = params, gx.set_hyperparams(tx, tx.init(params), learning_rate=rate)
        for g in grads:
            p, state = gx.apply_gradients(tx, g, state, p)
        return p

    swept = final(rates)
    for i in (0, 15):
        _, alone, _ = trajectory(gx.adam(float(rates[i])), params, grads)
        assert_close(jax.tree.map(lambda x, i=i: x[i], swept), alone, rtol=1e-5)


def test_a_batched_state_takes_batched_values():
    tx = gx.sgd(gx.tunable(0.1))
    state = jax.vmap(tx.init)(jnp.ones((3, 2)))
    state = gx.set_hyperparams(tx, state, learning_rate=jnp.asarray([1.0, 2.0, 3.0]))
    updates, _ = jax.vmap(gx.sgd(gx.tunable(0.1)).update)(jnp.ones((3, 2)), state)
    np.testing.assert_array_equal(updates[:, 0], [-1, -2, -3])


def test_low_precision_parameters_do_not_touch_hyperparameters():
    """In optax, inject_hyperparams rounds b2 = 0.999 to bfloat16, which is 1, and the first update is NaN."""
    p = jnp.ones(4, jnp.bfloat16)
    tx = gx.adam(gx.tunable(1e-3), b1=gx.tunable(0.9), b2=gx.tunable(0.999), eps=gx.tunable(1e-8))
    state = tx.init(p)
    assert all(value.dtype == jnp.float32 for value in state.hyperparams.values())
    updates, _ = tx.update(p, state, p)
    np.testing.assert_allclose(np.asarray(updates, np.float32), -1e-3, rtol=1e-2)


@pytest.mark.parametrize("schedule", [lambda step: 0.5, lambda step: 1 / (2 + 0 * step), optax.constant_schedule(0.5)])
def test_any_callable_is_a_schedule(schedule):
    tx, x = gx.sgd(schedule), jnp.ones(2)
    with relaxed():
        for update in (tx.update, jax.jit(tx.update)):
            np.testing.assert_array_equal(update(x, tx.init(x))[0], -0.5)


def test_schedules_see_steps_from_zero():
    tx, x, seen = gx.sgd(gx.schedules.linear(0.0, 1.0, 10)), jnp.ones(1), []
    state = tx.init(x)
    for _ in range(3):
        updates, state = tx.update(x, state)
        seen.append(float(updates[0]))
    np.testing.assert_allclose(seen, [0, -0.1, -0.2], rtol=1e-6)


def test_tunables_of_one_name_are_one():
    rate = gx.tunable(0.5, name="rate")
    tx = gx.chain(gx.clip(rate), gx.named("end", gx.scale_by_learning_rate(rate)))
    assert eval(repr(tx), vars(gx)) == tx != gx.chain(gx.clip(gx.tunable(0.5)), gx.scale_by_learning_rate(0.5))
    state = tx.init(jnp.ones(2))
    assert list(state.hyperparams) == ["rate"]
    state = gx.set_hyperparams(tx, state, rate=0.25)
    assert gx.hyperparams(tx, state) == {"clip.max_delta": 0.25, "end.learning_rate": 0.25}
    assert_close(jax.jit(tx.update)(jnp.ones(2), state)[0], jnp.full(2, -0.0625))
    with pytest.raises(ValueError, match=r"clip_2: max_delta is tunable\(2.0, name='rate'\), but tunable\(0.5"):
        gx.chain(gx.clip(rate), gx.clip(gx.tunable(2.0, name="rate"))).init(jnp.ones(2))
    for bad in ("", "a.b", 3):
        with pytest.raises(ValueError, match="tunable: name must be an identifier"):
            gx.tunable(0.1, name=bad)


@pytest.mark.parametrize(
    "make",
    [
        lambda rate: gx.sgd(rate, momentum=0.9, momentum_form="velocity", weight_decay=0.1),
        lambda rate: gx.adamw(rate, weight_decay=0.1, weight_decay_mode="after"),
    ],
)
def test_a_rate_that_two_stages_need_is_one_tunable(make):
    params, grads = tree(1), gradients(4)
    tx = make(gx.tunable(0.5))
    state = gx.set_hyperparams(tx, tx.init(params), learning_rate=0.01)
    updates, state = tx.update(grads[0], state, params)
    assert_close(updates, make(0.01).update(grads[0], make(0.01).init(params), params)[0], rtol=1e-5)
