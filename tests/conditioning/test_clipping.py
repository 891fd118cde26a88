"""Clipping."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import gradtx as gx


@pytest.mark.parametrize("value", [3e38, 1e25, 1e-25, 1e-36, 1e4])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_global_norm_neither_overflows_nor_underflows(value, dtype):
    grads = {"a": jnp.asarray([3 * value / 5], dtype), "b": jnp.asarray([4 * value / 5], dtype)}
    for clip in (value / 10, value * 0.999, min(3.4e38, value * 10)):
        tx = gx.clip_by_global_norm(clip)
        updates, _ = jax.jit(tx.update)(grads, tx.init(grads))
        a, b = (float(updates[k][0]) for k in "ab")
        g64 = np.asarray([grads["a"][0], grads["b"][0]], np.float64)
        norm = np.sqrt(np.sum(g64**2))
        np.testing.assert_allclose([a, b], g64 * min(1.0, clip / norm), rtol=1e-5 if dtype == jnp.float32 else 1e-2)


def test_clipping_to_zero_and_not_at_all():
    zeros, ones = {"a": jnp.zeros(3)}, {"a": jnp.ones(3)}
    for grads, clip, expected in (
        (zeros, 0.0, 0.0),
        (ones, 0.0, 0.0),
        (ones, float("inf"), 1.0),
        (zeros, float("inf"), 0.0),
    ):
        tx = gx.clip_by_global_norm(clip)
        np.testing.assert_array_equal(tx.update(grads, tx.init(grads))[0]["a"], expected)


def test_a_norm_of_exactly_the_bound_passes_bit_for_bit():
    grads = {"a": jnp.asarray([3.0]), "b": jnp.asarray([4.0])}
    tx = gx.clip_by_global_norm(5.0)
    chex.assert_trees_all_equal(tx.update(grads, tx.init(grads))[0], grads)


@settings(deadline=None, max_examples=50)
@given(hnp.arrays(np.float32, 4, elements=st.floats(-(2.0**120), 2.0**120, width=32)), st.floats(1.0, 2.0**120))
def test_the_norm_is_never_above_the_bound_and_the_direction_stays(g, bound):
    tx = gx.clip_by_global_norm(bound)
    u = np.asarray(tx.update(jnp.asarray(g), tx.init(jnp.asarray(g)))[0], np.float64)
    g = np.where(np.abs(g) < np.finfo(np.float32).tiny, 0, g).astype(np.float64)  # XLA flushes subnormals
    norm = np.linalg.norm(g)
    assert np.linalg.norm(u) <= bound * (1 + 1e-6)
    np.testing.assert_allclose(u, g * min(1, bound / norm) if norm else g, rtol=1e-5, atol=1e-37)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_stays_visible(bad):
    grads = {"a": jnp.asarray([bad, 1.0])}
    tx = gx.clip_by_global_norm(1.0)
    assert np.isnan(tx.update(grads, tx.init(grads))[0]["a"][0])
    only_values = gx.clip(1.0).update(grads, gx.clip(1.0).init(grads))[0]["a"]
    np.testing.assert_array_equal(only_values, [np.nan if np.isnan(bad) else 1.0, 1.0])
