"""Averages of the parameters, compared with PyTorch, Keras and optax; and outer steps."""

import os

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradtx as gx
from tests.helpers import assert_close, relaxed

os.environ.setdefault("KERAS_BACKEND", "jax")
GRADS = [np.sin(np.arange(3) + 1.7 * k).astype(np.float32) for k in range(12)]
SGD = gx.sgd(0.1, momentum=0.9)


def evaluated(tx, grads=GRADS, params=None):
    """Return the parameters and those for evaluation after each step."""
    params = jnp.ones(3) if params is None else params
    state, found = tx.init(params), []
    step = jax.jit(lambda g, s, p: gx.apply_gradients(tx, g, s, p))
    for g in grads:
        params, state = step(jnp.asarray(g, params.dtype), state, params)
        found.append((params, gx.evaluation_params(tx, state, params)))
    return [np.asarray(jnp.stack(x), np.float32) for x in zip(*found, strict=True)]


def by_torch(average, start, every):
    torch = pytest.importorskip("torch")
    model = torch.nn.Linear(3, 1, bias=False)
    model.weight.data = torch.ones(1, 3)
    averaged = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=average)
    optimizer, found = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9), []
    for t, g in enumerate(GRADS, 1):
        model.weight.grad = torch.tensor(g)[None]
        optimizer.step()
        if t >= start and (t - start) % every == 0:
            averaged.update_parameters(model)
        found.append((averaged.module if t >= start else model).weight.detach().numpy()[0].copy())
    return np.array(found)


@pytest.mark.parametrize(("start", "every"), [(1, 1), (3, 1), (3, 2)])
def test_equals_pytorch(start, every):
    utils = pytest.importorskip("torch").optim.swa_utils
    _, found = evaluated(gx.chain(SGD, gx.ema_params(0.8, start=start, every=every)))
    np.testing.assert_allclose(found, by_torch(utils.get_ema_multi_avg_fn(0.8), start, every), atol=1e-6)
    _, found = evaluated(gx.chain(SGD, gx.swa_params(start, every=every)))
    np.testing.assert_allclose(found, by_torch(None, start, every), atol=1e-6)


def test_equals_keras():
    keras = pytest.importorskip("keras")
    params, found = evaluated(gx.chain(SGD, gx.ema_params(0.8, start=1)))
    with relaxed():
        variable = keras.Variable(np.ones(3, np.float32))
        optimizer = keras.optimizers.SGD(0.1, momentum=0.9, use_ema=True, ema_momentum=0.8)
        optimizer.build([variable])
        for g, p, average in zip(GRADS, params, found, strict=True):
            optimizer.apply([jnp.asarray(g)], [variable])
            np.testing.assert_allclose(variable.value, p, atol=1e-6)
            np.testing.assert_allclose(optimizer._model_variables_moving_average[0].value, average, atol=1e-6)


def test_debias_and_warmup_and_schedules():
    params, found = evaluated(gx.chain(SGD, gx.ema_params(0.8, debias=True)))
    weights = 0.2 * 0.8 ** np.arange(12)[::-1]
    np.testing.assert_allclose(found[-1], weights @ params / weights.sum(), rtol=1e-5)
    params, found = evaluated(gx.chain(SGD, gx.ema_params(0.999, warmup=True)))
    expected = np.ones(3)
    for n, p in enumerate(params):
        d = min(0.999, (1 + n) / (10 + n))
        expected = d * expected + (1 - d) * p
    np.testing.assert_allclose(found[-1], expected, rtol=1e-5)
    params, found = evaluated(gx.chain(SGD, gx.ema_params(lambda step: jnp.where(step < 6, 0.0, 0.5))))
    np.testing.assert_allclose(found[5], params[5])
    np.testing.assert_allclose(found[6], (params[5] + params[6]) / 2, rtol=1e-6)


def test_the_average_of_the_initial_parameters_too():
    params, found = evaluated(gx.chain(SGD, gx.swa_params(0, every=2)))
    np.testing.assert_allclose(found[0], np.ones(3))
    np.testing.assert_allclose(found[3], (np.ones(3) + params[1] + params[3]) / 3, rtol=1e-6)


def test_small_steps_of_bfloat16_count():
    """The average is of parameters before they are rounded."""
    tx = gx.chain(gx.sgd(1.0), gx.ema_params(0.0))
    params = jnp.ones(1, jnp.bfloat16)
    params, state = gx.apply_gradients(tx, jnp.full(1, 1e-3), tx.init(params), params)
    assert params[0] == 1
    assert_close(state.stages["ema_params"]["average"], jnp.full(1, 0.999))
    assert gx.evaluation_params(tx, state, params).dtype == jnp.bfloat16


def test_training_is_the_same_to_the_bit_and_bad_values_do_not_spread_by_weight_zero():
    for average in (gx.ema_params(0.9), gx.swa_params(2, every=3), gx.ema_params(0.9, debias=True)):
        params, _ = evaluated(gx.chain(gx.adam(0.1), average))
        chex.assert_trees_all_equal(params, evaluated(gx.adam(0.1))[0])
    _, found = evaluated(gx.chain(gx.sgd(1.0), gx.swa_params(4)), [np.full(3, np.inf), *GRADS[:1]])
    assert not np.isfinite(found[1]).any()  # the parameters themselves
    _, found = evaluated(gx.chain(gx.sgd(0.0), gx.ema_params(0.5, every=5)), GRADS[:5])
    np.testing.assert_allclose(found, 1.0)


def test_a_stage_after_an_average_is_an_error():
    for make in (
        lambda: gx.chain(gx.ema_params(0.9), gx.sgd(0.1)),
        lambda: gx.chain(gx.sgd(0.1), gx.swa_params(1), gx.add_noise(0.1, 0.5, key=0)),
        lambda: gx.chain(gx.sgd(0.1), gx.ema_params(0.9), optax.identity()),
    ):
        with pytest.raises(ValueError, match=r"_params must see the final updates, but .* changes them; put .* last"):
            make()
    gx.chain(gx.sgd(0.1), gx.ema_params(0.9), gx.named("long", gx.ema_params(0.99)))


def test_averages_of_a_part_and_inside_wrappers():
    params = {"a": jnp.ones(2), "b": jnp.ones(2)}
    tx = gx.accumulate(gx.chain(gx.sgd(1.0), gx.only("a", gx.ema_params(0.5))), 2)
    state = tx.init(params)
    for _ in range(2):
        params, state = gx.apply_gradients(tx, jax.tree.map(jnp.ones_like, params), state, params)
    assert_close(gx.evaluation_params(tx, state, params), {"a": jnp.full(2, 0.5), "b": jnp.zeros(2)})


@pytest.mark.parametrize("period", [1, 3])
def test_lookahead_equals_optax(period):
    theirs = optax.lookahead(optax.sgd(0.1, momentum=0.9), period, 0.4)
    params, slow = evaluated(gx.lookahead(SGD, period, 0.4))
    with relaxed():
        both = optax.LookaheadParams.init_synced(jnp.ones(3))
        state = theirs.init(both)
        for g, p, s in zip(GRADS, params, slow, strict=True):
            updates, state = theirs.update(jnp.asarray(g), state, both)
            both = optax.apply_updates(both, updates)
            np.testing.assert_allclose(p, both.fast, atol=1e-6)
            np.testing.assert_allclose(s, both.slow, atol=1e-6)


def test_outer_steps_equal_the_loop():
    outer = gx.sgd(0.7, momentum=0.9, nesterov=True)
    params, anchors = evaluated(gx.outer_step(SGD, outer, 3))
    anchor = p = jnp.ones(3)
    state, outer_state = SGD.init(p), outer.init(p)
    for t, (g, found, at) in enumerate(zip(GRADS, params, anchors, strict=True), 1):
        p, state = gx.apply_gradients(SGD, jnp.asarray(g), state, p)
        if t % 3 == 0:
            anchor, outer_state = gx.apply_gradients(outer, anchor - p, outer_state, anchor)
            p = anchor
        np.testing.assert_allclose(found, p, atol=1e-6)
        np.testing.assert_allclose(at, anchor, atol=1e-6)


def test_workers_meet_at_outer_steps():
    tx = gx.outer_step(gx.sgd(0.1), gx.sgd(1.0), 2, axis_name="workers")
    grads = jnp.asarray([[1.0, 2.0], [3.0, -4.0]])  # of two workers

    def step(carry, _):
        params, state, g = carry
        return (*gx.apply_gradients(tx, g, state, params), g), params

    def worker(g):
        return jax.lax.scan(step, (jnp.zeros(2), tx.init(jnp.zeros(2)), g), length=2)[0][0]

    found = jax.vmap(worker, axis_name="workers")(grads)
    assert_close(found, jnp.broadcast_to(-0.2 * grads.mean(0), (2, 2)), rtol=1e-6)


def test_targets_equal_optax():
    new, old = {"w": jnp.arange(3.0), "n": 3}, {"w": jnp.ones(3), "n": 2}
    with relaxed():
        expected = optax.incremental_update(new["w"], old["w"], 0.05)
        copied = [optax.periodic_update(new["w"], old["w"], jnp.asarray(s), 3) for s in (3, 4)]
    found = gx.incremental_update(new, old, 0.05)
    assert_close(found["w"], expected)
    assert found["n"] == 2
    for steps, theirs in zip((3, 4), copied, strict=True):
        assert_close(jax.jit(gx.periodic_update)(new["w"], old["w"], steps, 3), theirs)
    half = gx.incremental_update(jnp.ones(1), jnp.zeros(1, jnp.bfloat16), 0.5)
    assert half.dtype == jnp.bfloat16
    with pytest.raises(ValueError, match="incremental_update"):
        gx.incremental_update({"w": jnp.ones(2)}, {"v": jnp.ones(2)}, 0.5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: gx.ema_params(1.5), r"ema_params: decay must be in \[0, 1\], got 1.5"),
        (lambda: gx.ema_params(0.9, every=0), "ema_params: every must be"),
        (lambda: gx.ema_params(0.9, start=-1), "ema_params: start must be"),
        (lambda: gx.swa_params(-1), "swa_params: start must be"),
        (lambda: gx.lookahead(SGD, 0), "lookahead: sync_period must be"),
        (lambda: gx.outer_step(SGD, SGD, 0), "outer_step: every must be"),
        (
            lambda: gx.ema_params(0.9).update(jnp.ones(1), gx.ema_params(0.9).init(jnp.ones(1))),
            "needs the param",
        ),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()
