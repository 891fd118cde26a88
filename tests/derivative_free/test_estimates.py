"""Estimates of gradients from values only."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import gradtx as gx
from gradtx.derivative_free import ars, finite_differences, spsa
from tests.helpers import relaxed

PARAMS = {"w": jnp.array([[1.0, -2.0, 0.5], [0.3, 4.0, -1.0]]), "b": jnp.array(0.7)}
every_estimator = pytest.mark.parametrize("make", [ars, finite_differences, spsa])


def loss(params):
    return jnp.sum(jnp.sin(params["w"]) * params["w"]) + params["b"] ** 3


def estimated(estimator, value_fn, params, step=0, *args, **options):
    return jax.jit(lambda p, *rest: estimator.estimate(value_fn, p, *rest, **options))(params, step, *args)


def as_matrix(tree, axes):
    return np.concatenate([np.asarray(x, np.float64).reshape(*x.shape[:axes], -1) for x in jax.tree.leaves(tree)], -1)


def the_papers(make, plus, minus, directions, stddev, maximize, top):
    """Compute the descent direction as in each paper, from float64 values and directions."""
    difference = plus - minus
    if make is not ars:
        grad = np.mean(difference[:, None] / (2 * stddev) * directions, 0)
        return -grad if maximize else grad
    rewards = np.stack([plus, minus]) * (1 if maximize else -1)
    best = np.argsort(-rewards.max(0), kind="stable")[:top]
    rewards = rewards[:, best]
    return -((rewards[0] - rewards[1]) @ directions[best]) / (len(best) * rewards.std())


@every_estimator
@pytest.mark.parametrize("maximize", [False, True])
@pytest.mark.parametrize("top", [None, 3])
def test_they_are_those_of_the_papers(make, maximize, top):
    if top is not None and make is not ars:
        pytest.skip("all directions count")
    stddev, extra = 0.25, {} if top is None else {"top": top}
    with jax.enable_x64(True):
        params = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), PARAMS)
        estimator = make(10, stddev, key=3, maximize=maximize, **extra)
        (value, moved), grads = estimated(estimator, lambda p: (loss(p), p), params, 5, has_aux=True)
        sides = as_matrix(moved, 2)
        x = as_matrix(params, 0)
        values = np.asarray(jax.jit(jax.vmap(jax.vmap(loss)))(moved))
    np.testing.assert_allclose(sides[0] - x, x - sides[1], atol=1e-12)
    directions = (sides[0] - sides[1]) / (2 * stddev)
    expected = the_papers(make, *values, directions, stddev, maximize, top or 10)
    np.testing.assert_allclose(as_matrix(grads, 0), expected, rtol=1e-9)
    np.testing.assert_allclose(value, values.mean(), rtol=1e-12)


def directions_of(make, number, shape=(50,)):
    _, params = estimated(make(number, 1.0, key=0), lambda x: (0.0, x), jnp.zeros(shape), has_aux=True)[0]
    return np.asarray(params[0])


@pytest.mark.parametrize("make", [ars, finite_differences])
def test_directions_are_normal_and_independent(make):
    drawn = directions_of(make, 2000)
    assert abs(drawn.mean()) < 5 / np.sqrt(drawn.size)
    np.testing.assert_allclose(np.cov(drawn.T), np.eye(50), atol=0.15)
    inside = [np.mean(np.abs(drawn) < z) for z in (0.6745, 1.0, 2.0)]
    np.testing.assert_allclose(inside, [0.5, 0.6827, 0.9545], atol=0.01)


def test_directions_of_spsa_are_signs():
    drawn = directions_of(spsa, 2000)
    assert set(np.unique(drawn)) == {-1.0, 1.0}
    np.testing.assert_allclose(np.cov(drawn.T), np.eye(50), atol=0.15)


@pytest.mark.parametrize("make", [finite_differences, spsa])
def test_many_directions_give_the_gradient(make):
    """For a quadratic function, the mean of the estimates is exactly the gradient."""
    rng = np.random.default_rng(0)
    a, x = jnp.asarray(rng.standard_normal((6, 6)), jnp.float32), jnp.asarray(rng.standard_normal(6), jnp.float32)
    _, grads = estimated(make(20_000, 0.5, key=0), lambda x: x @ a @ x, x)
    exact = jax.grad(lambda x: x @ a @ x)(x)
    assert jnp.linalg.norm(grads - exact) < 0.06 * jnp.linalg.norm(exact)


@every_estimator
def test_key_and_step_decide_the_directions(make):
    def grads(key, step):
        return estimated(make(4, 0.1, key=key), loss, PARAMS, step)[1]

    same, other_step, other_key = grads(7, 3), grads(7, 4), grads(8, 3)
    chex.assert_trees_all_equal(same, grads(jax.random.key(7), jnp.asarray(3)))
    for other in (other_step, other_key):
        assert not np.allclose(as_matrix(same, 0), as_matrix(other, 0))
    first, second = directions_of(make, 2, (2, 40))[0]
    assert not np.allclose(first, second)


@every_estimator
def test_compiled_and_mapped(make):
    estimator = make(6, gx.schedules.linear(0.1, 0.2, 10), key=0)
    eager = estimator.estimate(loss, PARAMS, 2)
    compiled = jax.jit(lambda step: estimator.estimate(loss, PARAMS, step))
    _, scanned = jax.lax.scan(lambda _, step: (None, compiled(step)), None, jnp.arange(3))
    mapped = jax.vmap(compiled)(jnp.arange(3))
    chex.assert_trees_all_close(mapped, scanned, rtol=1e-3, atol=1e-4)
    chex.assert_trees_all_close(jax.tree.map(lambda x: x[2], scanned), eager, rtol=1e-3, atol=1e-4)


@every_estimator
@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit])
def test_directions_spread_over_devices(make, kind):
    mesh = jax.make_mesh((4,), ("d",), axis_types=(kind,), devices=jax.devices()[:4])
    sharding, estimator = NamedSharding(mesh, PartitionSpec("d")), make(8, 0.1, key=0)
    plain = estimated(estimator, loss, PARAMS)
    with jax.set_mesh(mesh):
        spread = jax.jit(lambda p: estimator.estimate(loss, p, 0, sharding=sharding))
        found = spread(PARAMS)
    chex.assert_trees_all_close(jax.device_get(found), jax.device_get(plain), rtol=1e-4, atol=1e-4)


@every_estimator
def test_what_is_not_trained_stays(make):
    params = {"w": jnp.ones(2, jnp.bfloat16), "n": jnp.arange(3), "none": None, "empty": jnp.zeros((0, 2))}

    def value_fn(params):
        assert params["n"].dtype == jnp.int32
        assert params["none"] is None
        assert params["w"].dtype == jnp.bfloat16
        return jnp.sum(params["w"])

    value, grads = estimated(make(4, 0.1, key=0), value_fn, params)
    assert value.dtype == jnp.float32
    assert grads["w"].dtype == jnp.bfloat16
    assert grads["empty"].shape == (0, 2)
    assert grads["n"] is None
    assert grads["none"] is None


@every_estimator
def test_directions_without_a_finite_value_do_not_count(make):
    def value_fn(x, limit):
        return jnp.where(x[0] > limit, jnp.nan, jnp.sum(x**2))

    x, estimator = jnp.array([0.0, 2.0]), make(16, 0.5, key=0)
    moved = directions_of(make, 16, (2,)) * 0.5
    limit = np.median(np.abs(moved[:, 0])) if make is not spsa else 1.0
    value, grads = estimated(estimator, value_fn, x, 0, limit)
    assert np.isfinite(value)
    assert np.isfinite(grads).all()
    kept = moved[np.abs(moved[:, 0]) <= limit]
    assert len(kept) == (16 if make is spsa else 8)
    both = np.concatenate([np.asarray(x) + kept, np.asarray(x) - kept])
    np.testing.assert_allclose(value, np.mean(np.sum(both**2, 1)), rtol=1e-5)
    value, grads = estimated(estimator, value_fn, x, 0, -1e9)
    assert np.isnan(value)
    assert np.isnan(grads).all()


def test_equal_values_give_no_step():
    value, grads = estimated(ars(4, 0.1, key=0), lambda x: 3.0, jnp.ones(2))
    assert value == 3.0
    np.testing.assert_array_equal(grads, 0.0)


def test_the_estimate_of_search_has_no_unit():
    plain, scaled = (estimated(ars(8, 0.1, key=0, top=5), lambda p: c * loss(p), PARAMS)[1] for c in (1.0, 1e4))  # noqa: B023
    chex.assert_trees_all_close(plain, scaled, rtol=1e-3)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: ars(0, 0.1, key=0), ValueError, r"ars: directions must be in \[1, inf\), got 0"),
        (lambda: spsa(1.5, 0.1, key=0), ValueError, "spsa: directions must be a whole number"),
        (lambda: finite_differences(1, 0.0, key=0), ValueError, r"stddev must be in \(0, inf\), got 0"),
        (lambda: finite_differences(1, gx.tunable(0.1), key=0), TypeError, "stddev must be a number or a schedule"),
        (lambda: ars(4, 0.1, key=0, top=5), ValueError, "ars: top must be at most directions=4, got 5"),
        (
            lambda: ars(4, 0.1, 0),
            TypeError,
            r"ars: takes 2 positional arguments \(directions, stddev\), got 3; .* key=0",
        ),
        (lambda: spsa(4, 0.1), TypeError, "spsa: the argument key is missing"),
        (lambda: ars(4, 0.1, key="seed"), TypeError, "key must be an integer seed"),
    ],
)
def test_bad_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()


@every_estimator
@pytest.mark.parametrize(
    ("value_fn", "has_aux", "message"),
    [
        (lambda p: jnp.ones(3), False, r"must return a real scalar, got float32 of shape \(3,\)"),
        (lambda p: 1j, False, r"must return a real scalar, got complex64 of shape \(\)"),
        (lambda p: None, False, "must return a real scalar, got NoneType"),
        (lambda p: 1.0, True, r"with has_aux, value_fn must return a pair \(value, aux\), got float"),
    ],
)
def test_bad_values(make, value_fn, has_aux, message):
    with pytest.raises(TypeError, match=message):
        make(2, 0.1, key=0).estimate(value_fn, PARAMS, 0, has_aux=has_aux)


def test_complex_parameters_are_refused():
    with pytest.raises(TypeError, match="'a/0' is complex"):
        spsa(2, 0.1, key=0).estimate(lambda p: 0.0, {"a": [jnp.ones(2, jnp.complex64)]}, 0)


def test_is_data():
    estimator = ars(8, 0.05, key=0, maximize=True, top=4)
    assert repr(estimator) == "ars(8, 0.05, key=0, maximize=True, top=4)"
    assert eval(repr(estimator)) == estimator
    assert hash(estimator) == hash(ars(8, 0.05, key=0, maximize=True, top=4))


@every_estimator
def test_integer_values(make):
    with relaxed():
        value, grads = estimated(make(4, 1.0, key=0), lambda x: jnp.sum(x > 0), jnp.zeros(3))
    assert value.dtype == jnp.float32
    assert np.isfinite(grads).all()
