"""Accumulation of gradients, compared with one large batch and with optax's MultiSteps."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gradtx as gx
from tests.helpers import AS_USERS, assert_close, gradients, relaxed, trained, tree, trials

INNER = gx.chain(gx.clip_by_global_norm(1.0), gx.adamw(gx.schedules.linear(0.1, 0.01, 5), weight_decay=0.1))


def mean(trees):
    return jax.tree.map(lambda *x: sum(y.astype(jnp.float32) for y in x) / len(x), *trees)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("every", [1, 3])
def test_equals_one_step_with_the_mean(dtype, every):
    params, grads = tree(1, dtype), gradients(6, dtype)
    found, state = trained(gx.accumulate(INNER, every), params, grads)
    expected, inner = trained(INNER, params, [mean(grads[i : i + every]) for i in range(0, 6, every)])
    assert_close(found, expected, rtol=1e-6)
    assert_close(state.stages["accumulate"]["inner"], inner, rtol=1e-5)
    assert all(x.dtype == jnp.float32 for x in jax.tree.leaves(state.stages["accumulate"]["sum"]))


def test_equals_optax():
    ours, theirs = gx.accumulate(gx.sgd(0.1, momentum=0.9), 3), optax.MultiSteps(optax.sgd(0.1, momentum=0.9), 3)
    params = expected = {"w": jnp.ones(4)}
    state = ours.init(params)
    with relaxed():
        their_state = theirs.init(params)
        for k in range(9):
            grads = {"w": jnp.sin(jnp.arange(4.0) + k)}
            updates, state = ours.update(grads, state, params)
            params = gx.apply_updates(params, updates)
            updates, their_state = theirs.update(grads, their_state, expected)
            expected = optax.apply_updates(expected, updates)
            assert_close(params, expected, rtol=1e-5)


@trials(20)
@given(st.lists(st.integers(1, 9), min_size=2, max_size=5), st.integers(0, 100))
def test_unequal_micro_batches_equal_the_large_batch(sizes, seed):
    rng = np.random.RandomState(seed)
    parts = [rng.standard_normal((n, 3)).astype(np.float32) for n in sizes]
    w = jnp.asarray([0.5, -1.0, 2.0])

    def grad(x):
        return jax.grad(lambda w: jnp.mean(jnp.tanh(jnp.asarray(x) @ w)))(w)

    tx = gx.accumulate(gx.sgd(1.0), len(sizes), weights=True)
    found, _ = trained(tx, w, [grad(x) for x in parts], weight=[jnp.float32(n) for n in sizes])
    np.testing.assert_allclose(found, w - grad(np.concatenate(parts)), rtol=1e-6, atol=1e-6)


def test_the_sum_and_zero_weights():
    ones = jnp.ones(2)
    found, _ = trained(gx.accumulate(gx.sgd(1.0), 3, reduce="sum"), ones, [ones] * 3)
    assert_close(found, -2 * ones)
    tx = gx.accumulate(gx.sgd(1.0), 2, weights=True)
    found, state = trained(tx, ones, [ones] * 2, weight=[jnp.float32(0)] * 2)
    assert_close(found, ones)
    assert int(state.stages["accumulate"]["inner"].step) == 1


def counting(tx):
    """Return an optax transformation that counts at run time how often `tx` is computed."""
    calls = []

    def update(updates, state, params=None):
        jax.debug.callback(lambda: calls.append(1))
        return tx.update(updates, state, params)

    return optax.GradientTransformation(tx.init, update), calls


def test_the_transformation_runs_once_a_window():
    inner, calls = counting(optax.sgd(0.1))
    tx, ones = gx.accumulate(inner, 4), jnp.ones(2)
    for step in (tx.update, lambda g, s: gx.apply_gradients(tx, g, s, ones)):
        calls.clear()
        with relaxed():
            state, step = tx.init(ones), jax.jit(step)
            for _ in range(9):
                _, state = step(ones, state)
            jax.effects_barrier()
        assert len(calls) == 2


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_bad_micro_batch_does_not_outlive_its_window(bad):
    tx, ones = gx.accumulate(gx.sgd(0.0), 2), jnp.ones(2)
    state = tx.init(ones)
    for g in (ones, ones * bad):
        _, state = tx.update(g, state)
    for g in (ones, ones):
        updates, state = tx.update(g, state)
        chex.assert_tree_all_finite(updates)
    assert_close(state.stages["accumulate"]["sum"], 2 * ones)


def test_the_length_of_a_window_can_depend_on_the_step():
    tx, ones = gx.accumulate(gx.sgd(1.0), lambda done: 1 + done), jnp.ones(1)
    state, moved = tx.init(ones), []
    for _ in range(10):
        updates, state = tx.update(ones, state)
        moved.append(bool(updates[0]))
    assert [i for i, m in enumerate(moved, 1) if m] == [1, 3, 6, 10]


def test_the_metric_is_averaged():
    tx = gx.accumulate(gx.sgd(gx.schedules.reduce_on_plateau(1.0, factor=0.5, patience=0)), 2)
    state = tx.init(jnp.ones(1))
    rates = []
    for value in (3.0, 1.0, 4.0, None, None, 5.0, 0.0, 1.0):
        _, state = tx.update(jnp.ones(1), state, value=value)
        rates.append(float(gx.hyperparams(tx, state)["accumulate.inner.scale_by_learning_rate.learning_rate"]))
    assert rates == [1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5]  # means 2, none, 5, 0.5


def test_scans_and_vmaps():
    tx, ones = gx.accumulate(gx.adam(0.1), 3), jnp.ones(2)
    grads = jnp.stack([jnp.cos(ones * k) for k in range(6)])

    def step(carry, g):
        params, state = gx.apply_gradients(tx, g, carry[1], carry[0])
        return (params, state), params

    (last, _), _ = jax.jit(lambda: jax.lax.scan(step, (ones, tx.init(ones)), grads))()
    assert_close(last, trained(tx, ones, list(grads))[0])
    many = jax.vmap(lambda p: jax.lax.scan(step, (p, tx.init(p)), grads)[0][0])(jnp.stack([ones, 2 * ones]))
    assert_close(many[0], last, rtol=1e-5)


@pytest.mark.usefixtures("optimized")
def test_a_waiting_step_copies_nothing():
    tx, params = gx.accumulate(gx.adamw(0.1), 4), {"w": jnp.ones(1 << 18)}
    step = functools.partial(jax.jit, donate_argnums=(0, 1))(lambda p, s, g: gx.apply_gradients(tx, g, s, p))
    compiled = step.lower(params, tx.init(params), params).compile(AS_USERS)
    assert compiled.memory_analysis().temp_size_in_bytes < 0.01 * params["w"].nbytes


def test_parameters_without_gradients_and_derivatives():
    tx, params = gx.accumulate(gx.sgd(1.0), 2), {"a": jnp.ones(2), "b": jnp.ones(2)}
    found, _ = trained(tx, params, [{"a": jnp.ones(2), "b": None}] * 2)
    assert_close(found, {"a": jnp.zeros(2), "b": jnp.ones(2)})

    def moved(rate):
        tx = gx.accumulate(gx.sgd(rate), 1)
        return tx.update(jnp.ones(()), tx.init(jnp.ones(())))[0]

    assert float(jax.grad(moved)(0.5)) == -1.0
    assert float(jax.jvp(moved, (0.5,), (1.0,))[1]) == -1.0


def test_errors():
    with pytest.raises(TypeError, match="accumulate needs the argument weight: call update"):
        gx.accumulate(gx.sgd(0.1), 2, weights=True).update(
            jnp.ones(1), gx.accumulate(gx.sgd(0.1), 2, weights=True).init(jnp.ones(1))
        )
    for every in (0, -1, 1.5):
        with pytest.raises(ValueError, match="accumulate: every must be"):
            gx.accumulate(gx.sgd(0.1), every)
    with pytest.raises(ValueError, match="accumulate: reduce must be one of 'mean', 'sum', got 'max'"):
        gx.accumulate(gx.sgd(0.1), 2, reduce="max")


def loss(params, batch, key=None):
    noise = 0.0 if key is None else jax.random.normal(key, (3,))
    values = (batch["x"] @ params["w"] + jnp.sum(noise)) ** 2
    return jnp.sum(jnp.where(batch["mask"], values, 0)) / jnp.sum(batch["mask"], dtype=jnp.float32), values


@pytest.mark.parametrize("every", [1, 3, 12])
def test_accumulated_gradients_equal_those_of_the_batch(every):
    rng = np.random.RandomState(0)
    mask = jnp.asarray(np.arange(12) % 4 > 0) | (every == 12)
    batch = {"x": jnp.asarray(rng.standard_normal((12, 3)), jnp.float32), "mask": mask}
    params = {"w": jnp.asarray([0.5, -1.0, 2.0])}
    whole = jax.value_and_grad(loss, has_aux=True)
    (value, aux), grads = whole(params, batch)
    (found, parts), found_grads = jax.jit(
        lambda p, b: gx.accumulated_gradients(lambda b: whole(p, b), b, every, weight=lambda b: b["mask"].sum())
    )(params, batch)
    assert_close((found, found_grads), (value, grads), rtol=1e-5)
    assert_close(parts.T.reshape(-1), aux)


def test_accumulated_gradients_have_a_key_for_each_micro_batch():
    batch = {"x": jnp.ones((4, 3)), "mask": jnp.ones(4, bool)}
    params = {"w": jnp.zeros(3)}
    whole = jax.value_and_grad(loss, has_aux=True)
    key = jax.random.key(0)
    (_, aux), _ = gx.accumulated_gradients(lambda b, key: whole(params, b, key), batch, 2, key=key)
    assert aux[0, 0] != aux[1, 0]
    (_, again), _ = gx.accumulated_gradients(lambda b, key: whole(params, b, key), batch, 2, key=key)
    assert_close(aux, again)


def test_accumulated_gradients_are_in_float32_and_sum():
    grads = gx.accumulated_gradients(
        lambda x: (jnp.sum(x), jnp.full(2, 1 / 256, jnp.bfloat16)), jnp.ones(512), 512, reduce="sum"
    )[1]
    assert_close(grads, jnp.full(2, 2.0))


@pytest.mark.parametrize(
    ("batch", "every", "message"),
    [
        (jnp.ones(12), 5, "every=5 must divide the number of examples, 12"),
        ({"a": jnp.ones(3), "b": jnp.ones(4)}, 1, r"one number of examples .* got float32\[3\], float32\[4\]"),
        ({}, 1, "one number of examples on the first axis, got no array"),
        (jnp.ones(()), 1, "one number of examples"),
        (jnp.ones(3), 0, r"every must be in \[1, 2\*\*31\), got 0"),
    ],
)
def test_accumulated_gradients_name_what_is_wrong(batch, every, message):
    with pytest.raises(ValueError, match=f"accumulated_gradients: .*{message}"):
        gx.accumulated_gradients(lambda x: (jnp.sum(x), x), batch, every)
