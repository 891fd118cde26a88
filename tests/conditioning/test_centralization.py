"""Gradient centralisation: means, layouts, dtypes and non-finite values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx


@pytest.mark.parametrize("output_last", [False, True])
@pytest.mark.parametrize("shape", [(), (5,), (4, 3), (2, 3, 4), (3, 3, 2, 5), (0, 2), (2, 0)], ids=str)
def test_each_output_has_mean_zero(shape, output_last):
    g = jnp.asarray(np.random.RandomState(0).standard_normal(shape) + 7, jnp.float32)
    tx = gx.centralize(output_last=output_last)
    u = jax.jit(tx.update)(g, tx.init(g))[0]
    if g.ndim < 2:
        np.testing.assert_array_equal(u, g)
        return
    rows = np.moveaxis(np.asarray(u), -1 if output_last else 0, 0)
    rows = rows.reshape(len(rows), rows[:1].size)
    if rows.size:
        np.testing.assert_allclose(rows.mean(1), 0, atol=5e-6)
        np.testing.assert_allclose(tx.update(u, tx.init(u))[0], u, atol=5e-6)  # a projection


def test_the_two_layouts_are_transposes_of_each_other():
    g = jnp.asarray(np.random.RandomState(0).standard_normal((4, 3)), jnp.float32)
    first, last = gx.centralize(), gx.centralize(output_last=True)
    np.testing.assert_allclose(first.update(g, first.init(g))[0], last.update(g.T, last.init(g.T))[0].T, rtol=1e-6)


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_the_mean_is_taken_in_float32(dtype):
    """The sum of these gradients overflows in float16 and stops growing in bfloat16."""
    g = jnp.concatenate([jnp.full((1, 4096), 1000, dtype), jnp.full((1, 4096), 2000, dtype)], 1)
    tx = gx.centralize()
    u = tx.update(g, tx.init(g))[0]
    np.testing.assert_array_equal(np.unique(np.asarray(u, np.float64)), [-500, 500])


def test_non_finite_values_affect_only_their_output():
    g = jnp.asarray([[np.nan, 1.0], [1.0, 3.0], [np.inf, 1.0]])
    u = gx.centralize().update(g, gx.centralize().init(g))[0]
    np.testing.assert_array_equal(u, [[np.nan, np.nan], [-1.0, 1.0], [np.nan, -np.inf]])
