"""Derivatives through a step of every row of cases.py: finite at zero gradients, and correct elsewhere."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx
from gradtx.core import Rule, Transformation, hyperparameters, magnitude, ratio, root
from tests.cases import CASES
from tests.helpers import assert_close, relaxed

every_case = pytest.mark.parametrize("case", CASES, ids=str)
# These tests run each compiled program only once.
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
JUMPS = ("lion", "scale_by_lion", "rprop", "clip")  # their values or slopes jump


def _numbers(tx):
    """Return the numeric hyperparameters of each stage, as a list of dictionaries."""
    numbers_by_stage = []
    for stage in tx._stages:
        rule = stage.technique
        names = hyperparameters(type(rule)) if isinstance(rule, Rule) else ()
        values = {name: getattr(rule, name) for name in names}
        numbers_by_stage.append({name: value for name, value in values.items() if isinstance(value, int | float)})
    return numbers_by_stage


def _steps(tx, grads, params, numbers):
    """Return the updates and the new parameters of three steps, with arrays as hyperparameters."""
    stages = zip(tx._stages, numbers, strict=True)
    tx = Transformation(tuple(s._replace(technique=s.technique.replace(values)) for s, values in stages))

    def step(state, _):
        updates, after = tx.update(grads, state, params)
        return after, (updates, gx.apply_gradients(tx, grads, state, params)[0])

    return jax.lax.scan(step, tx.init(params), length=3)[1]


@every_case
def test_derivatives_are_finite_at_zero_gradients(case):
    """The derivatives are by gradients, parameters and hyperparameters, in forward and reverse mode, over three steps.

    The direction changes every argument, so one derivative that is NaN or infinite makes the sum NaN or infinite.
    """
    run, zeros = functools.partial(_steps, case.tx()), jnp.zeros(2)
    numbers = jax.tree.map(jnp.float32, _numbers(case.tx()))
    direction = jnp.asarray([0.5, 0.75]), jnp.asarray([1.0, 1.25]), jax.tree.map(lambda x: jnp.float32(0.3), numbers)

    @jax.jit
    def derivatives(params):
        point = zeros, params, numbers
        results, pull = jax.vjp(run, *point)
        return jax.jvp(run, point, direction)[1], pull(jax.tree.map(jnp.ones_like, results))

    compiled = derivatives.lower(zeros).compile(QUICK)
    for params in (zeros, jnp.ones(2)):
        forwards, backwards = compiled(params)
        chex.assert_tree_all_finite((forwards, backwards))
        total = sum(jnp.vdot(x, d) for x, d in zip(*map(jax.tree.leaves, (backwards, direction)), strict=True))
        np.testing.assert_allclose(total, sum(map(jnp.sum, jax.tree.leaves(forwards))), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("case", [c for c in CASES if c.make.__name__ not in JUMPS][::4], ids=str)
def test_derivatives_equal_finite_differences(case):
    """The comparison is in double precision, along one direction that changes all arguments."""
    dtype = complex if case.complex and CASES.index(case) % 8 else float
    with jax.enable_x64(True), relaxed():
        rng = np.random.RandomState(0)
        draw = rng.standard_normal((4, 3)) + 1j * rng.standard_normal((4, 3))
        grads, params, *moves = jnp.asarray(draw if dtype is complex else draw.real)
        numbers = jax.tree.map(lambda x: jnp.asarray(x, float), _numbers(case.tx()))
        run = jax.jit(functools.partial(_steps, case.tx()))
        point, direction = (grads, params, numbers), (*moves, jax.tree.map(lambda x: 0.1 * x, numbers))
        slope = jax.jvp(run, point, direction)[1]
        near = [run(*jax.tree.map(lambda x, d, h=h: x + h * d, point, direction)) for h in (1e-6, -1e-6)]
        assert_close(slope, jax.tree.map(lambda a, b: (a - b) / 2e-6, *near), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("outer", [jax.jacfwd, jax.jacrev])
@pytest.mark.parametrize("inner", [jax.jacfwd, jax.jacrev])
def test_safe_functions_have_derivatives_of_every_order(outer, inner):
    points, sign = jnp.asarray([0.0, 2.0, -2.0]), [0, 1, -1]
    for f, expected in ((lambda x: root(x * x), sign), (magnitude, sign), (lambda x: ratio(x, magnitude(x)), 0)):
        for dtype in (jnp.float32, jnp.float16):
            slope, curvature = (jax.jit(jax.vmap(g))(points.astype(dtype)) for g in (inner(f), outer(inner(f))))
            assert slope.dtype == curvature.dtype == dtype
            np.testing.assert_allclose(slope, expected, atol=1e-3)
            np.testing.assert_allclose(curvature, 0, atol=1e-3)


def test_derivatives_of_the_magnitude_of_complex_numbers():
    def size(x, y):
        return magnitude(jax.lax.complex(x, y))

    zero, (x, y) = jnp.zeros(()), (jnp.float32(3.0), jnp.float32(-4.0))
    for jacobian in (jax.jacfwd, jax.jacrev):
        np.testing.assert_array_equal(jacobian(size, (0, 1))(zero, zero), 0)
        np.testing.assert_allclose(jacobian(size, (0, 1))(x, y), [0.6, -0.8], rtol=1e-6)
    np.testing.assert_allclose(jax.hessian(size)(x, y), (1 - 0.6**2) / 5, rtol=1e-5)
    assert jnp.isfinite(jax.hessian(size)(zero, zero))


def test_nan_stays_visible():
    for f in (root, magnitude, lambda x: ratio(x, x)):
        assert jnp.isnan(f(jnp.float32(np.nan)))
        assert jnp.isnan(jax.grad(f)(jnp.float32(np.nan)))


@pytest.mark.parametrize("tx", [gx.adam(0.1), gx.adam(0.1, eps=0.0), gx.adagrad(0.1, 0.0, eps=0.0)], ids=str)
def test_second_derivatives_are_finite_at_zero_gradients(tx):
    hessian = jax.jit(jax.hessian(lambda g: tx.update(g, tx.init(g))[0]))(jnp.zeros(2))
    assert jnp.isfinite(hessian).all()


@pytest.mark.parametrize("make", [gx.scale_by_adam, gx.scale_by_radam, gx.scale_by_nadam])
def test_derivatives_are_finite_at_a_decay_rate_of_zero(make):
    ones = jnp.ones(2)
    slope = jax.jit(jax.jacfwd(lambda b: make(b1=b).update(ones, make(b1=b).init(ones))[0]))(0.0)
    assert jnp.isfinite(slope).all()
