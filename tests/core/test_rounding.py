"""Updated parameters are rounded to their dtype, to nearest or stochastically."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gradtx as gx
from gradtx._tools import round_to
from tests.helpers import trials

HALVES = [jnp.bfloat16, jnp.float16]


@pytest.mark.parametrize("dtype", HALVES)
@trials(25)
@given(x=st.floats(-6e4, 6e4, width=32, allow_subnormal=False))
def test_gives_one_of_the_two_neighbours_and_the_mean_is_exact(dtype, x):
    n = 4000
    drawn = np.asarray(round_to(jnp.full(n, x, jnp.float32), dtype, jax.random.key(1)), np.float64)
    nearest = jnp.asarray(x, dtype)
    towards = jnp.inf if float(nearest) < x else -jnp.inf
    other = float(jnp.nextafter(nearest, jnp.asarray(towards, dtype)))
    if float(nearest) == x:
        assert (drawn == x).all()
        return
    assert set(drawn) <= {float(nearest), other}
    gap = abs(other - float(nearest))
    assert abs(drawn.mean() - x) < 5 * gap * 0.5 / np.sqrt(n) + 1e-12


@pytest.mark.parametrize("dtype", HALVES)
def test_special_values(dtype):
    big = float(jnp.finfo(dtype).max)
    x = jnp.asarray([0.0, -0.0, jnp.inf, -jnp.inf, jnp.nan, big, -big, 1.0], jnp.float32)
    out = round_to(x, dtype, jax.random.key(0))
    np.testing.assert_array_equal(np.asarray(out, np.float32), np.asarray(jnp.asarray(x, dtype), np.float32))
    np.testing.assert_array_equal(jnp.signbit(out[:2]), [False, True])


def test_nothing_to_round():
    x = jnp.asarray([0.1, 1e-8], jnp.float32)
    np.testing.assert_array_equal(round_to(x, jnp.float32, jax.random.key(0)), x)


def test_complex_parts_are_rounded_apart():
    tx, p = gx.sgd(1.0), jnp.ones(3, jnp.complex64)
    new, _ = gx.apply_gradients(tx, p, tx.init(p), p, rounding="stochastic", key=jax.random.key(0))
    np.testing.assert_array_equal(new, 0)


@pytest.mark.parametrize("fused", [True, False])
def test_small_updates_are_not_lost(fused):
    """In bfloat16, 1000 steps of 1e-3 from 1 stay at 1 if rounded to nearest, and reach 0 if rounded stochastically."""
    tx, start = gx.sgd(1e-3), jnp.ones(4096, jnp.bfloat16)
    grads = jnp.ones(4096, jnp.float32)

    def step(params, key, rounding):
        if fused:
            return gx.apply_gradients(tx, grads, tx.init(start), params, rounding=rounding, key=key)[0], None
        updates, _ = tx.update(grads, tx.init(start), params)
        return gx.apply_updates(params, updates, rounding=rounding, key=key), None

    keys = jax.random.split(jax.random.key(0), 1000)
    stochastic, _ = jax.lax.scan(lambda p, key: step(p, key, "stochastic"), start, keys)
    nearest, _ = jax.lax.scan(lambda p, _: step(p, None, "nearest"), start, length=1000)
    assert (nearest == 1).all()
    assert abs(float(jnp.mean(jnp.asarray(stochastic, jnp.float32)))) < 0.01


@pytest.mark.parametrize("dtype", HALVES)
def test_the_fused_path_rounds_once(dtype):
    rng = np.random.RandomState(0)
    p, g = (jnp.asarray(rng.standard_normal(1000), d) for d in (dtype, dtype))
    tx = gx.adam(1e-2)
    fused, state = gx.apply_gradients(tx, g, tx.init(p), p)
    u, wide_state = gx.adam(1e-2).update(jnp.asarray(g, jnp.float32), tx.init(p), p)
    np.testing.assert_array_equal(fused, jnp.asarray(jnp.asarray(p, jnp.float32) + u, dtype))
    chex.assert_trees_all_close(state, wide_state)
    updates, _ = tx.update(g, tx.init(p), p)
    assert (gx.apply_updates(p, updates) != fused).any()


def test_draws_differ_between_leaves_and_keys():
    params = {"a": jnp.full(500, 1.001, jnp.float32), "b": jnp.full(500, 1.001, jnp.float32)}
    params = jax.tree.map(lambda x: jnp.asarray(x, jnp.bfloat16), params)
    grads = jax.tree.map(lambda p: jnp.full(p.shape, 1e-3, jnp.float32), params)
    tx = gx.sgd(1.0)

    def run(key):
        return gx.apply_gradients(tx, grads, tx.init(params), params, rounding="stochastic", key=jax.random.key(key))[0]

    assert (run(0)["a"] != run(0)["b"]).any()
    assert (run(0)["a"] != run(1)["a"]).any()
    chex.assert_trees_all_equal(run(0), run(0))
    chex.assert_trees_all_equal(run(0), jax.jit(run)(0))
