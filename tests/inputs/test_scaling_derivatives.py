"""Derivatives pass through the statistics that scalers learn from a batch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx
from tests.helpers import relaxed

every_scaler = pytest.mark.parametrize(
    "make", [gx.inputs.standardize, gx.inputs.min_max, gx.inputs.max_abs, gx.inputs.robust]
)


@every_scaler
def test_they_are_those_of_finite_differences(make):
    rng = np.random.default_rng(0)
    x, direction, w = (rng.standard_normal((12, 3)) for _ in range(3))
    with jax.enable_x64(True), relaxed():
        tx = make()
        state = tx.init(x)
        loss = jax.jit(lambda x: jnp.sum(w * tx.update(x, state)[0] ** 3))
        slope = jnp.sum(jax.grad(loss)(x) * direction)
        step = 1e-6
        expected = (loss(x + step * direction) - loss(x - step * direction)) / (2 * step)
        np.testing.assert_allclose(slope, expected, rtol=1e-6)


@every_scaler
def test_they_are_finite_where_a_feature_is_constant(make):
    x, tx = jnp.full((6, 2), jnp.array([0.0, 7.0])), make()
    assert jnp.isfinite(jax.grad(lambda x: jnp.sum(tx.update(x, tx.init(x))[0] ** 2))(x)).all()
