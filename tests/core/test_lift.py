"""The interpreter of rules: skipped leaves, scopes, extra arguments, keys, dtypes and JAX's transformations."""

import functools
import subprocess
import sys

import chex
import equinox as eqx
import flax.training.train_state
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradtx as gx
from gradtx.core import LearningRate, Role, Rule, Scope, Slot, as_transformation
from tests.helpers import assert_close, gradients, relaxed, trajectory, tree


class RunningNorm(Rule):
    """A tree rule that divides by the largest global norm so far. It has a scalar slot and needs params and value."""

    scope = Scope.TREE
    slots = {"largest": Slot(Role.SCALAR, fill=1.0), "seen": Slot(Role.SCALAR, dtype=jnp.int32)}
    needs = frozenset({"param", "value"})

    def measure(self, grads, slots, at):
        assert len(grads) == len(at.param)
        norm = optax.tree.norm(list(grads))
        seen = at.scalars["seen"] + 1
        return {"largest": jnp.maximum(at.scalars["largest"], norm), "seen": seen, "value": at.value}

    def update(self, g, slot, at):
        return g / at.measured["largest"] + at.measured["value"], {}


class Noise(Rule):
    """A rule that replaces gradients by standard normal noise."""

    key: int = 0
    needs = frozenset({"key"})

    def update(self, g, slot, at):
        return jax.random.normal(at.key, g.shape, g.dtype), {}


class LineSearch(Rule):
    """A tree rule that calls the objective, and steps by half the gradient if this step lowers the value."""

    learning_rate: LearningRate = 1.0
    scope = Scope.TREE
    needs = frozenset({"param", "value_fn", "grad"})

    def measure(self, grads, slots, at):
        moved = [p - g for p, g in zip(at.param, at.grad, strict=True)]
        return {"scale": jnp.where(at.value_fn(moved) < at.value_fn(at.param), 1.0, 0.5)}

    def update(self, g, slot, at):
        assert at.grad.shape == g.shape
        return -self.learning_rate * at.measured["scale"] * g, {}


running_norm, noise, line_search = map(as_transformation, (RunningNorm, Noise, LineSearch))


def test_scalar_slots_persist():
    tx, params = gx.chain(running_norm(), gx.clip(10.0)), {"a": jnp.zeros(1), "b": jnp.zeros(1)}
    state = tx.init(params)
    step = jax.jit(chex.assert_max_traces(tx.update, 1))
    for scale, largest in ((5.0, 25.0), (1.0, 25.0), (10.0, 50.0)):
        grads = {"a": jnp.asarray([3 * scale]), "b": jnp.asarray([4 * scale])}
        updates, state = step(grads, state, params, value=0.25)
        np.testing.assert_allclose(updates["a"], 3 * scale / largest + 0.25, rtol=1e-6)
    assert state.stages["running_norm"]["seen"] == 3
    assert state.stages["running_norm"]["seen"].dtype == jnp.int32
    assert "stage" in str(gx.describe(tx, params))


def test_keys_differ_by_leaf_step_and_stage_and_are_reproducible():
    params = {"a": jnp.zeros(3), "b": jnp.zeros(3)}
    tx = noise(7)
    first, state = tx.update(params, tx.init(params))
    second, _ = tx.update(params, state)
    other, _ = gx.named("other", noise(7)).update(params, gx.named("other", noise(7)).init(params))
    draws = [first["a"], first["b"], second["a"], second["b"], other["a"]]
    assert len({tuple(np.asarray(d)) for d in draws}) == 5
    assert_close(jax.jit(tx.update)(params, tx.init(params))[0], first)
    with_key = noise(jax.random.key(7))
    assert_close(with_key.update(params, tx.init(params))[0], first)
    assert with_key == noise(jax.random.key(7)) != noise(jax.random.key(8))
    assert hash(with_key) == hash(noise(jax.random.key(7)))
    assert "key" in repr(with_key)
    # The key may be traced, as in a sweep over seeds.
    keys = jax.vmap(jax.random.key)(jnp.arange(6, 9))
    swept = jax.vmap(lambda key: noise(key).update(params, tx.init(params))[0])(keys)
    assert_close(jax.tree.map(lambda x: x[1], swept), first)


def test_a_rule_may_call_the_objective():
    def value_fn(params, target=0.0):
        return jnp.sum(jnp.square(jnp.concatenate([params["a"], params["b"]["c"]]) - target)) + params["n"]

    tx, params = line_search(), {"a": jnp.ones(2), "b": {"c": jnp.full(1, 2.0)}, "n": 3}
    grads = jax.grad(value_fn, allow_int=True)(params)
    updates, _ = tx.update(grads, tx.init(params), params, value_fn=value_fn, grad=grads)
    np.testing.assert_allclose(updates["a"], -1.0)
    updates, _ = jax.jit(functools.partial(tx.update, value_fn=value_fn))(grads, tx.init(params), params, grad=grads)
    np.testing.assert_allclose(updates["a"], -1.0)
    # As in optax, the function receives the extra arguments that it names.
    updates, _ = tx.update(grads, tx.init(params), params, value_fn=value_fn, grad=grads, target=-1.0)
    np.testing.assert_allclose(updates["a"], -2.0)


def test_measures_see_what_earlier_stages_made():
    params = {"a": jnp.asarray([3.0]), "b": jnp.asarray([4.0])}
    tx = gx.chain(gx.add_decayed_weights(1.0), gx.clip_by_global_norm(1.0), gx.sgd(1.0), gx.clip_by_global_norm(0.5))
    updates, _ = tx.update(jax.tree.map(jnp.zeros_like, params), tx.init(params), params)
    np.testing.assert_allclose([updates["a"][0], updates["b"][0]], [-0.3, -0.4], rtol=1e-6)


def test_integer_leaves_with_float0_gradients():
    params = {"w": jnp.ones(2), "n": jnp.asarray(3), "flag": jnp.asarray(True)}
    grads = jax.grad(lambda p: jnp.sum(p["w"] ** 2) * 1.0, allow_int=True)(params)
    tx = gx.adamw(0.1)
    state = tx.init(params)
    assert state.stages["scale_by_adam"]["mu"]["n"] is None
    updates, state = tx.update(grads, state, params)
    new = gx.apply_updates(params, updates)
    assert new["n"] == 3
    assert new["flag"].dtype == bool
    fused, _ = jax.jit(lambda g, s, p: gx.apply_gradients(tx, g, s, p))(grads, tx.init(params), params)
    chex.assert_trees_all_close(fused, new)


@pytest.mark.parametrize(
    "tx", [gx.sgd(0.1, momentum=0.9), gx.adam(0.1), gx.chain(gx.clip_by_global_norm(1.0), gx.adamw(0.1))], ids=repr
)
def test_python_numbers_are_parameters(tx):
    params = {"a": 1.0, "b": (2.0, None)}
    updates, state = tx.update({"a": 0.5, "b": (0.5, None)}, tx.init(params), params)
    updates, _ = tx.update({"a": 0.5, "b": (0.5, None)}, state, params)
    expected, _ = tx.update(*[jax.tree.map(jnp.asarray, t) for t in ({"a": 0.5, "b": (0.5, None)}, state, params)])
    assert_close(updates, expected)
    assert gx.apply_updates(params, updates)["a"].dtype == jnp.float32


def test_double_precision():
    with jax.enable_x64(True):
        params = {"w": jnp.asarray(np.random.RandomState(0).standard_normal(5))}
        assert params["w"].dtype == jnp.float64
        for grad_dtype in (jnp.float64, jnp.float32):
            grads = {"w": jnp.asarray(np.random.RandomState(1).standard_normal(5), grad_dtype)}
            tx = gx.chain(gx.clip_by_global_norm(1.0), gx.adamw(gx.schedules.linear(0.1, 0.0, 10), b1=gx.tunable(0.9)))
            state = tx.init(params)
            updates, new = jax.jit(tx.update)(grads, state, params)
            chex.assert_trees_all_equal_shapes_and_dtypes(new, state)
            assert new.stages["scale_by_adam"]["mu"]["w"].dtype == jnp.float64
            assert updates["w"].dtype == grad_dtype
        g = np.asarray(grads["w"], np.float64)
        tx = gx.adam(1e-3)
        u = tx.update(params, tx.init(params), params)[0]["w"]
        p = np.asarray(params["w"])
        np.testing.assert_allclose(u, -1e-3 * p / (np.abs(p) + 1e-8), rtol=1e-14)
        assert g.dtype == np.float64


def test_donation_and_no_aliasing():
    params = {"w": jnp.ones((4, 4)), "b": jnp.ones(4)}
    tx = gx.chain(gx.clip_by_global_norm(1.0), gx.adamw(1e-3))

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def step(params, state, grads):
        return gx.apply_gradients(tx, grads, state, params)

    grads, state = jax.tree.map(jnp.ones_like, params), tx.init(params)
    for _ in range(3):
        params, state = step(params, state, grads)
    assert state.step == 3


def test_step_saturates():
    tx, x = gx.adam(gx.schedules.linear(1.0, 0.0, 10)), jnp.ones(2)
    state = tx.init(x)._replace(step=jnp.asarray(2**31 - 1, jnp.int32))
    updates, state = tx.update(x, state)
    assert state.step == 2**31 - 1
    assert np.isfinite(updates).all()


def test_a_gradient_can_be_taken_through_the_update():
    x = jnp.asarray([1.0, -2.0])

    def loss(lr, b1):
        tx = gx.adam(lr, b1=b1, eps_root=1e-8)
        params, state = x, tx.init(x)
        for _ in range(3):
            params, state = gx.apply_gradients(tx, 2 * params, state, params)
        return jnp.sum(params**2)

    by_lr, by_b1 = jax.grad(loss, argnums=(0, 1))(0.1, 0.9)
    numeric = (loss(0.101, 0.9) - loss(0.099, 0.9)) / 0.002
    np.testing.assert_allclose(by_lr, numeric, rtol=1e-2)
    assert np.isfinite(by_b1)


def test_one_trace_per_shape():
    """Leaves of the same shape and dtype share one trace of the rule."""
    traces = []

    class Counting(Rule):
        def update(self, g, slot, at):
            traces.append(g.shape)
            return g, {}

    params = [jnp.ones((2, 3))] * 5 + [jnp.ones(4)] * 5
    tx = as_transformation(Counting)()
    jax.jit(tx.update)(params, tx.init(params))
    assert sorted(traces) == [(2, 3), (4,)]


def test_numpy_arrays_and_odd_leaves():
    params = {"w": np.ones(3), "n": np.arange(3), "key": jax.random.key(0), "none": None}
    grads = {"w": np.full(3, 0.5), "n": None, "key": np.zeros((), jax.dtypes.float0), "none": None}
    tx = gx.chain(gx.clip_by_global_norm(1.0), gx.adamw(0.1))
    updates, state = tx.update(grads, tx.init(params), params)
    assert updates["w"].dtype == state.stages["scale_by_adam"]["mu"]["w"].dtype == jnp.float32
    new = gx.apply_updates(params, updates)
    np.testing.assert_allclose(new["w"], 0.9, rtol=1e-3)
    assert new["n"] is params["n"]
    assert new["key"] is params["key"]


@pytest.mark.parametrize("dtype", [jnp.float8_e4m3fn, jnp.float8_e5m2])
def test_eight_bit_floats(dtype):
    params = jnp.asarray([1.0, -2.0], dtype)
    tx = gx.adam(0.25)
    new, state = gx.apply_gradients(tx, params, tx.init(params), params)
    assert new.dtype == dtype
    assert state.stages["scale_by_adam"]["mu"].dtype == jnp.float32
    np.testing.assert_allclose(np.asarray(new, np.float32), [0.75, -1.75])
    key = jax.random.key(0)
    new, _ = gx.apply_gradients(tx, params, tx.init(params), params, rounding="stochastic", key=key)
    np.testing.assert_allclose(np.asarray(new, np.float32), [0.75, -1.75])


def test_train_state():
    params = {"w": jnp.ones(3)}
    state = flax.training.train_state.TrainState.create(apply_fn=None, params=params, tx=gx.adamw(0.1))
    state = jax.jit(lambda s: s.apply_gradients(grads=params))(state)
    np.testing.assert_allclose(state.params["w"], 0.9, rtol=1e-3)
    assert state.opt_state.step == 1


def test_inside_shard_map():
    mesh = jax.make_mesh((8,), ("x",), axis_types=(jax.sharding.AxisType.Auto,))
    tx, spec = gx.chain(gx.clip(1.0), gx.adam(0.1)), jax.sharding.PartitionSpec

    def step(params, x):
        grads = jax.lax.pmean(jax.grad(lambda p: jnp.mean(x * p))(params), "x")
        return gx.apply_gradients(tx, grads, tx.init(params), params)[0]

    sharded = jax.jit(jax.shard_map(step, mesh=mesh, in_specs=(spec(), spec("x")), out_specs=spec()))
    np.testing.assert_allclose(sharded(jnp.ones(()), jnp.arange(8.0)), 0.9, rtol=1e-6)


def test_haiku():
    net = hk.without_apply_rng(hk.transform(lambda x: hk.Linear(1)(jax.nn.relu(hk.Linear(8)(x)))))
    x = jnp.asarray(np.random.RandomState(0).standard_normal((16, 3)), jnp.float32)
    y = jnp.sum(x, axis=1, keepdims=True)
    params = net.init(jax.random.key(0), x)
    tx = gx.chain(gx.clip_by_global_norm(1.0), gx.adamw(1e-2))

    def loss(params):
        return jnp.mean(jnp.square(net.apply(params, x) - y))

    @jax.jit
    def step(params, state):
        value, grads = jax.value_and_grad(loss)(params)
        return *gx.apply_gradients(tx, grads, state, params), value

    state = tx.init(params)
    with relaxed():
        for _ in range(100):
            params, state, value = step(params, state)
        assert value < 0.1 * loss(net.init(jax.random.key(0), x))


def test_equinox():
    model = eqx.nn.MLP(3, 1, 8, 1, key=jax.random.key(0))
    x = jnp.asarray(np.random.RandomState(0).standard_normal((16, 3)), jnp.float32)
    y = jnp.sum(x, axis=1, keepdims=True)
    tx = gx.chain(gx.clip_by_global_norm(1.0), gx.adamw(1e-2))

    def loss(model):
        return jnp.mean(jnp.square(jax.vmap(model)(x) - y))

    @eqx.filter_jit
    def step(model, state):
        value, grads = eqx.filter_value_and_grad(loss)(model)
        # The model can be the parameters: a leaf with gradient None may be anything.
        updates, state = tx.update(grads, state, model)
        return eqx.apply_updates(model, updates), state, value

    with relaxed():
        before, state = loss(model), tx.init(eqx.filter(model, eqx.is_inexact_array))
        fused, _ = gx.apply_gradients(tx, eqx.filter_grad(loss)(model), state, model)
        for _ in range(100):
            model, state, value = step(model, state)
        assert value < 0.1 * before
        assert isinstance(fused, eqx.nn.MLP)
        assert loss(fused) < before
        with pytest.raises(TypeError, match=r"activation.*has no gradient"):
            tx.init(model)


def test_import_costs_no_optional_package():
    optional = ["flax", "haiku", "torch", "keras", "orbax", "matplotlib", "sklearn", "rich", "equinox", "grain"]
    optional += ["jax.experimental.sparse"]  # importing it takes long
    code = f"import sys, gradtx; print([m for m in {optional} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_state_does_not_depend_on_the_run(tmp_path):
    """A run that restarts from an intermediate state equals the uninterrupted run bit for bit."""
    tx, params, grads = gx.adamw(gx.schedules.cosine_decay(0.1, 20)), tree(1), gradients(10)
    whole = trajectory(tx, params, grads)
    _, middle, state = trajectory(tx, params, grads[:5])
    p = middle
    for g in grads[5:]:
        u, state = jax.jit(tx.update)(g, state, p)
        p = gx.apply_updates(p, u)
    chex.assert_trees_all_equal((p, state), whole[1:])
