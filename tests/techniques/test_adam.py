"""The accuracy of Adam: its bias correction, its averages, and extreme gradients."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradtx as gx
from gradtx.techniques._moments import one_minus_power
from tests.helpers import AS_USERS, relaxed


def _ulps(actual, expected):
    """Return the error of each element, in units in the last place of float32."""
    return np.abs(np.asarray(actual, np.float64) - expected) / np.spacing(np.abs(expected).astype(np.float32))


@pytest.mark.parametrize("jit", [True, False])
def test_first_update_is_within_three_units_in_the_last_place(jit):
    rng = np.random.RandomState(0)
    g = (rng.standard_normal(100_000) * 10.0 ** rng.uniform(-4, 4, 100_000)).astype(np.float32)
    g = g[np.abs(g) > 1e-6]  # closer to eps, float32 rounds the sum |g| + eps by up to 2.25 units
    expected = -1e-3 * g.astype(np.float64) / (np.abs(g.astype(np.float64)) + 1e-8)

    def first(tx):
        update = jax.jit(tx.update) if jit else tx.update
        with relaxed():
            return update(jnp.asarray(g), tx.init(jnp.asarray(g)))[0]

    assert _ulps(first(gx.adam(1e-3)), expected).max() <= 3
    assert _ulps(first(gx.adam(1e-3, b1=gx.tunable(0.9), b2=gx.tunable(0.999))), expected).max() <= 3
    assert _ulps(first(optax.adam(1e-3)), expected).max() > 50


@pytest.mark.parametrize("b", [0.0, 0.3, 0.5, 0.9, 0.95, 0.99, 0.999, 0.9999, 0.999999])
def test_bias_correction_is_accurate_up_to_the_last_step(b):
    t = np.unique(np.concatenate([np.arange(1, 500), np.geomspace(500, 2e9, 200).astype(np.int64)])).astype(np.int32)
    with np.errstate(divide="ignore"):
        expected = -np.expm1(t * np.log(np.float64(b)))
    constant = jax.jit(jax.vmap(lambda t: one_minus_power(b, t)))(t)
    assert _ulps(constant, expected).max() < 3
    varying = jax.jit(jax.vmap(lambda t, b: one_minus_power(b, t), in_axes=(0, None)))(t, jnp.float32(b))
    with np.errstate(divide="ignore"):
        rounded = -np.expm1(t * np.log(np.float64(np.float32(b))))
    assert _ulps(varying, rounded).max() < 6


@pytest.mark.parametrize("varies", ["b1", "b2"])
def test_bias_correction_uses_the_present_decay_rate(varies):
    """The correction is 1 - bᵗ with the b of step t. It is not 1 - b₁·b₂·…·bₜ, the total weight of the average."""
    schedule = gx.schedules.linear(0.5, 0.95, 30)
    tx = gx.scale_by_adam(**{varies: schedule})
    grads = np.random.RandomState(0).standard_normal((40, 5)).astype(np.float32)
    state, mu, nu, product = tx.init(grads[0]), 0.0, 0.0, 1.0
    for t, g in enumerate(grads.astype(np.float64), 1):
        now = {"b1": 0.9, "b2": 0.999} | {varies: 0.5 + 0.45 * min((t - 1) / 30, 1)}
        b1, b2 = now.values()
        product *= now[varies]
        mu, nu = b1 * mu + (1 - b1) * g, b2 * nu + (1 - b2) * g * g
        u, state = tx.update(jnp.asarray(grads[t - 1]), state)
        np.testing.assert_allclose(u, mu / (1 - b1**t) / (np.sqrt(nu / (1 - b2**t)) + 1e-8), rtol=2e-6, atol=1e-6)
        if t == 5:
            assert abs((1 - product) / (1 - now[varies] ** t) - 1) > 0.01


def test_two_hundred_steps_stay_close_to_float64():
    """In float32 the rounded weights 0.999 and 0.001 do not add up to 1, so the averages in optax drift."""
    rng = np.random.RandomState(0)
    grads = (rng.standard_normal((200, 500)) * 10.0 ** rng.uniform(-3, 3, (200, 1))).astype(np.float32)
    mu = nu = 0.0
    for t, g in enumerate(grads.astype(np.float64), 1):
        mu, nu = 0.9 * mu + 0.1 * g, 0.999 * nu + 0.001 * g * g
        expected = mu / (1 - 0.9**t) / (np.sqrt(nu / (1 - 0.999**t)) + 1e-8)

    def error(tx):
        with relaxed():
            run = jax.jit(partial(jax.lax.scan, lambda s, g: tx.update(g, s)[::-1]), compiler_options=AS_USERS)
            last = run(tx.init(grads[0]), grads)[1][-1]
        return np.median(np.abs(last - expected) / np.abs(expected))

    assert error(gx.scale_by_adam()) < 3e-7 < 3e-6 < error(optax.scale_by_adam())


@pytest.mark.parametrize("scale", [1e-38, 1e-30, 1e-20, 1.0, 1e18])
def test_updates_are_finite_for_any_scale_of_gradients(scale):
    tx, g = gx.adam(0.1), jnp.asarray([scale, -scale, 0.0], jnp.float32)
    state = tx.init(g)
    for _ in range(3):
        updates, state = tx.update(g, state)
    assert np.isfinite(updates).all()
    assert np.abs(updates).max() <= 0.1001


def test_an_overflowing_square_gives_a_zero_update_and_no_nan():
    tx, g = gx.adam(0.1), jnp.asarray([1e30], jnp.float32)
    updates, state = tx.update(g, tx.init(g))
    assert updates[0] == 0
    updates, state = tx.update(jnp.ones(1), state)
    assert np.isfinite(updates).all()
