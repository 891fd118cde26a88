"""Adaptive gradient clipping: the elements of each unit, and extreme values."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradtx as gx
from tests.helpers import relaxed

SHAPES = [
    (),
    (1,),
    (7,),
    (1, 7),
    (7, 1),
    (4, 3),
    (3, 1, 5),
    (2, 3, 4),
    (1, 1, 6),
    (3, 3, 2, 5),
    (2, 3, 2, 2, 3),
    (0, 4),
]


def _random(shape, dtype, seed, scale=1.0):
    rng = np.random.RandomState(seed)
    x = rng.standard_normal(shape) + (1j * rng.standard_normal(shape) if dtype == np.complex64 else 0)
    return jnp.asarray(scale * x, dtype)


def _update(tx, g, p):
    return jax.jit(tx.update)(g, tx.init(p), p)[0]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.complex64])
@pytest.mark.parametrize("scale", [0.0, 1e-3, 0.3, 1e4])
def test_units_are_the_same_as_in_optax(shape, dtype, scale):
    g, p = _random(shape, dtype, 0, scale), _random(shape, dtype, 1)
    with relaxed():
        expected = optax.adaptive_grad_clip(0.3).update(g, optax.EmptyState(), p)[0]
    np.testing.assert_allclose(_update(gx.adaptive_grad_clip(0.3), g, p), expected, rtol=1e-6)


def test_arrays_may_have_more_axes_than_in_optax():
    g, p = _random((2,) * 6, np.float32, 0, 100.0), _random((2,) * 6, np.float32, 1)
    u = np.asarray(_update(gx.adaptive_grad_clip(0.1), g, p))
    np.testing.assert_allclose(
        np.linalg.norm(u.reshape(-1, 2), axis=0), 0.1 * np.linalg.norm(np.reshape(p, (-1, 2)), axis=0), rtol=1e-5
    )


@pytest.mark.parametrize("factor", [1e30, 1e-30])
def test_extreme_gradients_and_parameters_are_clipped_exactly(factor):
    """The bound on the norm of a unit is proportional to the norm of its parameters, at any scale."""
    g, p = (np.asarray(_random((4, 3), np.float32, seed), np.float64) * factor for seed in (0, 1))
    u = np.asarray(_update(gx.adaptive_grad_clip(0.5, eps=0.0), jnp.float32(g), jnp.float32(p)), np.float64)
    g_norm, p_norm = (np.linalg.norm(x, axis=0) for x in (g, p))
    np.testing.assert_allclose(u, g * np.minimum(1, 0.5 * p_norm / g_norm), rtol=1e-5)


def test_units_of_one_array_may_differ_widely_in_size():
    g = jnp.asarray([[3e30, 3e-30, 0.3, 0.0, np.nan], [4e30, 4e-30, 0.4, 0.0, 1.0]])
    u = _update(gx.adaptive_grad_clip(1.0, eps=1e-3), g, jnp.zeros_like(g))
    expected = [[6e-4, 3e-30, 6e-4, 0, np.nan], [8e-4, 4e-30, 8e-4, 0, np.nan]]
    np.testing.assert_allclose(u, expected, rtol=1e-5)


def test_clipping_to_zero_to_infinity_and_without_parameters():
    g, p = jnp.asarray([[3.0, 0.0], [4.0, 0.0]]), jnp.ones((2, 2))
    np.testing.assert_array_equal(_update(gx.adaptive_grad_clip(0.0), g, p), 0)
    np.testing.assert_array_equal(_update(gx.adaptive_grad_clip(float("inf")), g, p), g)
    np.testing.assert_array_equal(_update(gx.adaptive_grad_clip(0.1, eps=0.0), g, 0 * p), 0)
    with pytest.raises(ValueError, match="needs the parameters"):
        gx.adaptive_grad_clip(0.1).update(g, gx.adaptive_grad_clip(0.1).init(g))


def test_half_precision_gradients_of_float32_parameters():
    g, p = jnp.full((4, 2), 60000, jnp.float16), jnp.ones((4, 2))
    u = _update(gx.adaptive_grad_clip(0.01), g, p)
    assert u.dtype == jnp.float16
    np.testing.assert_allclose(np.asarray(u, np.float64), 0.01, rtol=1e-3)
