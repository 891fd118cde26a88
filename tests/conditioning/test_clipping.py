"""Clipping by value and by norm: extreme values, derivatives, devices, schedules and dtypes."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import gradtx as gx
from tests.helpers import assert_close, tree, trials

by_norm = pytest.mark.parametrize("clip", [gx.clip_by_global_norm, gx.clip_by_norm])
every_eps = pytest.mark.parametrize("eps", [0.0, 1e-6])


def _update(tx, grads):
    return jax.jit(tx.update)(grads, tx.init(grads))[0]


@functools.partial(jax.jit, static_argnums=0)  # one compilation serves all bounds
def _clipped(clip, g, bound, eps):
    tx = clip(bound, eps=eps)
    return tx.update(g, tx.init(g))[0]


def _norm(*arrays):
    return np.sqrt(sum(np.sum(np.abs(np.asarray(x, np.complex128)) ** 2) for x in arrays))


@pytest.mark.parametrize("value", [3e38, 1e25, 1e-25, 1e-36, 1e4])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_global_norm_neither_overflows_nor_underflows(value, dtype):
    grads = {"a": jnp.asarray([3 * value / 5], dtype), "b": jnp.asarray([4 * value / 5], dtype)}
    for clip in (value / 10, value * 0.999, min(3.4e38, value * 10)):
        updates = _update(gx.clip_by_global_norm(clip), grads)
        g64 = np.asarray([grads["a"][0], grads["b"][0]], np.float64)
        expected = g64 * min(1.0, clip / _norm(g64))
        clipped = [float(updates[k][0]) for k in "ab"]
        np.testing.assert_allclose(clipped, expected, rtol=1e-5 if dtype == jnp.float32 else 1e-2)


@by_norm
@every_eps
@pytest.mark.parametrize(
    ("dtype", "value"),
    [(jnp.float16, 65504), (jnp.float16, 6e-8), (jnp.bfloat16, 3.3e38), (jnp.float32, 3.4e38), (jnp.float32, 1e-37)],
)
@pytest.mark.parametrize("fraction", [1e-6, 0.5, 1e6])
def test_many_extreme_gradients_are_clipped_exactly(clip, eps, dtype, value, fraction):
    """The norm of 400 equal gradients is 20 times one of them. The norm and c / ‖g‖ can be outside float32's range."""
    grads = {"a": jnp.full((20, 20), value, dtype)}
    g64 = np.asarray(grads["a"], np.float64)
    bound = min(fraction * _norm(g64), 3e38)
    expected = g64 * min(1.0, bound / (_norm(g64) + eps))
    expected[np.abs(expected) < np.finfo(np.float32).tiny] = 0  # XLA flushes subnormals
    actual = np.asarray(_clipped(clip, grads, bound, eps)["a"], np.float64)
    tolerance = float(jnp.finfo(dtype).smallest_subnormal) if dtype == jnp.float16 else 1e-38
    np.testing.assert_allclose(actual, expected, rtol=max(1e-5, float(jnp.finfo(dtype).eps)), atol=tolerance)


@by_norm
def test_complex_gradients_near_the_largest_float32_are_clipped_exactly(clip):
    grads = jnp.full(9, 3e38 - 4e37j, jnp.complex64)
    actual = np.asarray(_update(clip(1.5), grads), np.complex128)
    np.testing.assert_allclose(actual, 1.5 * np.asarray(grads, np.complex128) / _norm(grads), rtol=1e-5)
    small = jnp.asarray([complex(-0.0, 0.5), complex(0.5, -0.0)])
    assert np.asarray(_update(clip(1.0), small)).tobytes() == np.asarray(small).tobytes()


@by_norm
@every_eps
def test_bounds_of_zero_and_infinity(clip, eps):
    zeros, ones = {"a": jnp.zeros(3)}, {"a": jnp.ones(3)}
    for grads, bound, expected in (
        (zeros, 0.0, 0.0),
        (ones, 0.0, 0.0),
        (ones, float("inf"), 1.0),
        (zeros, float("inf"), 0.0),
        (zeros, 1.0, 0.0),
    ):
        np.testing.assert_array_equal(_update(clip(jnp.float32(bound), eps=eps), grads)["a"], expected)
        np.testing.assert_array_equal(_clipped(clip, grads, bound, eps)["a"], expected)


@by_norm
def test_gradients_that_the_compiler_knows_stay_finite(clip):
    """Constant folding must not turn zeros into NaN. Gradients of unused parameters are such zeros."""
    tx, value = clip(1e-30), {"a": jnp.full(4, 1e-29), "b": jnp.zeros(3), "c": jnp.zeros(0)}
    updates = jax.jit(lambda: tx.update(value, tx.init(value))[0])()
    np.testing.assert_allclose(updates["a"], 5e-31, rtol=1e-5)
    np.testing.assert_array_equal(updates["b"], 0)
    zeros = jax.tree.map(jnp.zeros_like, value)
    chex.assert_trees_all_equal(jax.jit(lambda: tx.update(zeros, tx.init(zeros))[0])(), zeros)


@by_norm
def test_derivatives_are_the_identity_or_a_projection(clip):
    """Below the bound, and at zero, the Jacobian is the identity. Above the bound the Jacobian is a projection."""
    for g, expected in (
        (jnp.zeros(2), np.eye(2)),
        (jnp.full(2, 1e-30), np.eye(2)),
        (jnp.asarray([3.0, 4.0]), (np.eye(2) - np.outer([0.6, 0.8], [0.6, 0.8])) / 5),
    ):
        np.testing.assert_allclose(jax.jacobian(lambda x: _update(clip(1.0), x))(g), expected, atol=1e-6)


@by_norm
def test_a_norm_of_exactly_the_bound_passes_bit_for_bit(clip):
    grads = {"a": jnp.asarray([3.0, 4.0])}
    chex.assert_trees_all_equal(_update(clip(5.0), grads), grads)
    assert _update(clip(5.0, eps=1e-3), grads)["a"][0] < 3.0


FLOATS = st.floats(-(2.0**127), 2.0**127, width=32, allow_subnormal=False)
ARRAYS = hnp.arrays(np.float32, 4, elements=FLOATS)


@by_norm
@trials(60)
@given(ARRAYS, st.floats(2.0**-60, 2.0**127), st.sampled_from([0.0, 1e-6, 1.0]))
def test_the_norm_is_never_above_the_bound_and_the_direction_stays(clip, g, bound, eps):
    u = np.asarray(_clipped(clip, g, np.float32(bound), np.float32(eps)), np.float64)
    bound, g64 = float(np.float32(bound)), g.astype(np.float64)
    norm = _norm(g64) + eps
    assert _norm(u) <= bound * (1 + 1e-6)
    np.testing.assert_allclose(u, g64 * min(1, bound / norm) if norm else g64, rtol=1e-5, atol=1e-37 + 1e-32 * bound)
    if norm < bound * (1 - 1e-6):
        np.testing.assert_array_equal(u, g64)
    again = np.asarray(_clipped(clip, np.float32(u), np.float32(bound), np.float32(eps)), np.float64)
    np.testing.assert_allclose(again, u, rtol=1e-5 + eps / bound, atol=1e-37 + 1e-32 * bound)


@by_norm
@every_eps
def test_non_finite_gradients_stay_visible(clip, eps):
    for bound in (0.0, 1.0, float("inf")):
        updates = _update(clip(jnp.float32(bound), eps=eps), {"a": jnp.asarray([np.nan, 1.0]), "b": jnp.ones(2)})
        assert np.isnan(updates["a"]).all()
        assert np.isnan(updates["b"]).all() == (clip is gx.clip_by_global_norm)
    updates = _update(clip(1.0, eps=eps), {"a": jnp.asarray([np.inf, 1.0, -np.inf])})["a"]
    np.testing.assert_array_equal(updates, [np.nan, 0.0, np.nan])
    infinite = {"a": jnp.asarray([np.inf, 1.0])}
    chex.assert_trees_all_equal(_update(clip(jnp.float32(jnp.inf), eps=eps), infinite), infinite)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_clipping_by_value_keeps_nan(bad):
    updates = _update(gx.clip(1.0), jnp.asarray([bad, 1.0]))
    np.testing.assert_array_equal(updates, [np.nan if np.isnan(bad) else 1.0, 1.0])


def test_each_array_has_its_own_norm():
    grads = tree(3)
    updates = _update(gx.clip_by_norm(0.5), grads)
    for g, u in zip(jax.tree.leaves(grads), jax.tree.leaves(updates), strict=True):
        expected = _update(gx.clip_by_global_norm(0.5), g)
        np.testing.assert_allclose(u, expected, rtol=1e-6)
    assert jax.tree.structure(updates) == jax.tree.structure(grads)


@by_norm
@pytest.mark.parametrize("axis_type", [AxisType.Auto, AxisType.Explicit])
@pytest.mark.parametrize("value", [1e-30, 1.0, 1e38])
def test_arrays_of_one_shape_may_have_different_shardings(clip, axis_type, value):
    mesh = jax.make_mesh((8,), ("x",), axis_types=(axis_type,))
    grads = {name: jnp.full((8, 16), value) for name in "abcd"}
    specs = zip(grads, (P("x"), P(None, "x"), P(), P("x")), strict=True)
    split = {name: jax.device_put(grads[name], NamedSharding(mesh, spec)) for name, spec in specs}
    updates, expected = (_clipped(clip, g, value / 2, 0.0) for g in (split, grads))
    for name, u in updates.items():
        assert u.sharding.is_equivalent_to(split[name].sharding, 2)
    assert_close(jax.device_get(updates), jax.device_get(expected), rtol=1e-6, atol=0)


@by_norm
def test_the_bound_may_be_scheduled_or_mapped_over(clip):
    g = jnp.asarray([3.0, 4.0])
    tx = clip(gx.schedules.linear(1.0, 3.0, 2))
    state = tx.init(g)
    for bound in (1, 2, 3):
        updates, state = jax.jit(tx.update)(g, state)
        np.testing.assert_allclose(updates, g * bound / 5, rtol=1e-6)
    bounds = jnp.asarray([0.0, 1.0, np.inf])
    swept = jax.jit(jax.vmap(lambda c: clip(c).update(g, clip(c).init(g))[0]))(bounds)
    assert_close(swept, jnp.stack([jnp.zeros(2), g / 5, g]))
    batch = jnp.asarray([[3.0, 4.0], [3e30, 4e30], [0.0, 0.0], [3e-30, np.nan]])
    each = jax.vmap(lambda x: clip(1.0).update(x, clip(1.0).init(x))[0])(batch)
    np.testing.assert_allclose(each, [[0.6, 0.8], [0.6, 0.8], [0, 0], [np.nan, np.nan]], rtol=1e-6)


@by_norm
def test_empty_trees_and_arrays_keep_their_structure(clip):
    for grads in ({}, {"a": None}, {"a": jnp.zeros((0, 3))}):
        assert jax.tree.structure(_update(clip(1.0), grads)) == jax.tree.structure(grads)


@by_norm
def test_double_precision_is_exact(clip):
    with jax.enable_x64(True):
        grads = {"a": jnp.asarray([3e307, 4e307]), "b": jnp.full(2, 3e38, jnp.float32)}
        updates = _update(clip(1.0), grads)
        np.testing.assert_allclose(updates["a"], [0.6, 0.8], rtol=1e-12)
        assert updates["a"].dtype == jnp.float64
        together = clip is gx.clip_by_global_norm
        np.testing.assert_allclose(updates["b"], 0 if together else np.sqrt(0.5), rtol=1e-6, atol=1e-30)
        tiny = _update(clip(1e-301), jnp.asarray([3e-300, 4e-300]))
        np.testing.assert_allclose(tiny, [6e-302, 8e-302], rtol=1e-12)
