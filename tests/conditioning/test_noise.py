"""Annealed Gaussian noise: its distribution, its keys, its schedule and its dtypes."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradtx as gx
from tests.helpers import assert_close, relaxed, tree

ZEROS = {"a": jnp.zeros((300, 100)), "b": jnp.zeros((300, 100))}


def _noise(tx, grads, steps):
    state, updates = tx.init(grads), []
    for _ in range(steps):
        u, state = jax.jit(tx.update)(grads, state)
        updates.append(u)
    return updates


def test_noise_is_normal_and_independent():
    """Mean, variance, skewness, kurtosis and correlations are each within five standard errors."""
    steps = _noise(gx.add_noise(0.3, 0.55, key=1), ZEROS, 3)
    normed = [
        np.asarray(u[k], np.float64).ravel() / np.sqrt(0.3 / (1 + t) ** 0.55) for t, u in enumerate(steps) for k in u
    ]
    for x in normed:
        error = 5 / np.sqrt(x.size)
        assert abs(x.mean()) < error
        assert abs(x.var() - 1) < error * np.sqrt(2)
        assert abs((x**3).mean()) < error * np.sqrt(15)
        assert abs((x**4).mean() - 3) < error * np.sqrt(96)
    between = np.corrcoef(normed) - np.eye(len(normed))
    assert np.abs(between).max() < error


def test_complex_noise_is_circular():
    g = jnp.full(100_000, 2 - 1j, jnp.complex64)
    x = np.asarray(_noise(gx.add_noise(0.5, 0.0, key=1), g, 1)[0]) - (2 - 1j)
    assert abs(x.mean()) < 5 * np.sqrt(0.5 / x.size)
    np.testing.assert_allclose([x.real.var(), x.imag.var()], 0.25, rtol=0.03)
    assert abs((x.real * x.imag).mean()) < 5 * 0.25 / np.sqrt(x.size)


def test_variances_are_the_same_as_in_optax():
    """The keys differ, so only the distributions are compared."""
    ours = _noise(gx.add_noise(0.3, 1.5, key=1), ZEROS, 3)
    theirs, state = optax.add_noise(0.3, 1.5, key=2), None
    with relaxed():
        state = theirs.init(ZEROS)
        for u in ours:
            expected, state = theirs.update(ZEROS, state)
            np.testing.assert_allclose(np.std(u["a"]), np.std(expected["a"]), rtol=0.03)


def test_equal_keys_give_equal_noise_and_other_keys_other_noise():
    params = tree(0)
    first = _noise(gx.add_noise(0.3, 0.55, key=3), params, 2)
    assert_close(_noise(gx.add_noise(0.3, 0.55, key=jax.random.key(3)), params, 2), first, rtol=0, atol=0)
    assert_close(_noise(gx.add_noise(0.3, 0.55, key=jax.random.PRNGKey(3)), params, 2), first, rtol=0, atol=0)
    other = _noise(gx.add_noise(0.3, 0.55, key=4), params, 2)
    renamed = _noise(gx.named("more", gx.add_noise(0.3, 0.55, key=3)), params, 2)
    drawn = [[np.asarray(x) for u in run for x in jax.tree.leaves(u) if x.size] for run in (first, other, renamed)]
    for a, b in ((0, 1), (0, 2)):
        assert all((x != y).all() for x, y in zip(drawn[a], drawn[b], strict=True))


def test_a_run_resumed_from_a_saved_state_draws_the_same_noise():
    tx = gx.chain(gx.add_noise(0.3, 0.55, key=3), gx.trace(0.9))
    whole = _noise(tx, ZEROS, 4)
    state = tx.init(ZEROS)
    for _ in range(2):
        _, state = tx.update(ZEROS, state)
    assert "add_noise" not in state.stages
    saved = jax.tree.map(np.asarray, state)
    state = jax.tree.map(jnp.asarray, saved)
    for expected in whole[2:]:
        updates, state = jax.jit(tx.update)(ZEROS, state)
        assert_close(updates, expected)


def test_scan_equals_a_loop():
    tx = gx.add_noise(0.3, 0.55, key=3)

    def step(state, _):
        u, state = tx.update(ZEROS, state)
        return state, u

    _, scanned = jax.lax.scan(step, tx.init(ZEROS), length=3)
    for i, expected in enumerate(_noise(tx, ZEROS, 3)):
        assert_close(jax.tree.map(lambda x, i=i: x[i], scanned), expected)


def test_vmap_over_keys_and_variances_equals_a_loop():
    def noisy(key, eta):
        tx = gx.add_noise(eta, 0.55, key)
        return tx.update(ZEROS, tx.init(ZEROS))[0]

    keys, etas = jax.random.split(jax.random.key(0), 3), jnp.asarray([0.0, 0.1, 4.0])
    batched = jax.jit(jax.vmap(noisy))(keys, etas)
    for i in range(3):
        assert_close(jax.tree.map(lambda x, i=i: x[i], batched), noisy(keys[i], etas[i]), rtol=1e-5)
    np.testing.assert_allclose(np.std(batched["a"], axis=(1, 2)), np.sqrt(etas), rtol=0.03)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_noise_for_low_precision_gradients_is_unbiased(dtype):
    """The noise is drawn and added in float32, and the sum is rounded once. The mean therefore stays unbiased."""
    g, tx = jnp.full(200_000, 1.0, dtype), gx.add_noise(1e-4, 0.0, key=1)
    u = tx.update(g, tx.init(g))[0]
    assert u.dtype == dtype
    wide = tx.update(jnp.ones(200_000), tx.init(jnp.ones(200_000)))[0]
    np.testing.assert_array_equal(np.asarray(u, np.float32), np.asarray(wide.astype(dtype), np.float32))
    assert abs(np.asarray(u, np.float64).mean() - 1) < 5 * 0.0105 / np.sqrt(g.size)


def test_zero_variance_odd_leaves_and_the_last_step():
    g = {"a": jnp.asarray([1.0, np.nan, np.inf]), "b": None, "c": jnp.zeros((0, 2)), "d": jnp.asarray(2.0)}
    tx = gx.add_noise(0.0, 0.55, key=0)
    np.testing.assert_array_equal(tx.update(g, tx.init(g))[0]["a"], g["a"])
    u = _noise(gx.add_noise(1.0, 0.55, key=0), g, 1)[0]
    assert np.isnan(u["a"][1])
    assert np.isinf(u["a"][2])
    assert u["b"] is None
    assert u["c"].shape == (0, 2)
    assert u["d"] != 2.0
    far = tx.init(g)._replace(step=jnp.asarray(np.iinfo(np.int32).max))
    finite = {"d": jnp.asarray(2.0)}
    for gamma, expected in ((0.0, None), (100.0, 2.0)):
        tx = gx.add_noise(1.0, gamma, key=0)
        u = tx.update(finite, tx.init(finite)._replace(step=far.step))[0]["d"]
        assert np.isfinite(u)
        assert expected in (None, float(u))


def test_the_variance_may_follow_a_schedule():
    tx = gx.add_noise(lambda step: jnp.where(step < 1, 0.0, 1.0), 0.0, key=0)
    first, second = _noise(tx, ZEROS, 2)
    np.testing.assert_array_equal(first["a"], 0)
    np.testing.assert_allclose(np.std(second["a"]), 1, rtol=0.03)


def test_takes_any_integer_seed_or_key():
    def drawn(key):
        tx = gx.add_noise(1.0, 0.0, key)
        return tx.update(jnp.zeros(3), tx.init(jnp.zeros(3)))[0]

    for seed in (np.int64(5), np.uint8(5), jnp.asarray(5), jnp.asarray(5, jnp.uint32), jax.random.key(5)):
        chex.assert_trees_all_equal(drawn(seed), drawn(5))
    chex.assert_trees_all_equal(jax.jit(drawn)(5), drawn(5))
    assert not jnp.array_equal(drawn(2**32 - 1), drawn(5))
    for bad in (0.5, None, True, "seed", jnp.zeros(3, jnp.uint32), jax.random.split(jax.random.key(0))):
        with pytest.raises(TypeError, match="add_noise: key must be an integer seed or a key"):
            gx.add_noise(1.0, 0.0, bad)
    for bad in (-1, 2**32, 2**40):
        with pytest.raises(ValueError, match=rf"add_noise: key must be a seed in .*, got {bad}"):
            gx.add_noise(1.0, 0.0, bad)
