"""Chains of input rules: learning, parameters, hyperparameters, devices and errors."""

import pickle

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx
from gradtx.core import Role, Slot, as_transformation
from gradtx.inputs import InputRule


class Center(InputRule):
    """A rule y = x - x̄ + b, where x̄ is the mean of all examples so far."""

    slots = {
        "total": Slot(Role.STATISTIC, like=lambda x: jnp.zeros((1, *x.shape[1:]), x.dtype)),
        "count": Slot(Role.STATISTIC, like=lambda x: jnp.zeros((), x.dtype)),
    }

    def parameters(self, x):
        return {"bias": jnp.zeros((1, *x.shape[1:]), x.dtype)}

    def run(self, x, slot, at):
        if at.train:
            slot = {"total": slot["total"] + x.sum(0, keepdims=True), "count": slot["count"] + x.shape[0]}
        return x - slot["total"] / slot["count"] + at.params.get("bias", jnp.zeros((1, *x.shape[1:]), x.dtype)), slot

    def invert(self, y, slot, at):
        return y + slot["total"] / slot["count"]


center = as_transformation(Center)
X = {"a": jnp.asarray([[0.0, 4.0], [2.0, 8.0]]), "b": None, "c": jnp.asarray([1.0, 3.0], jnp.bfloat16)}


def test_learns_and_then_stays():
    tx = gx.chain(center(), gx.clip(1.5))
    train = jax.jit(chex.assert_max_traces(tx.update, 1))
    chex.clear_trace_counter()
    state = tx.init(X)
    for step in range(2):
        y, state = train(X, state)
        assert state.step == step + 1
    np.testing.assert_array_equal(y["a"], [[-1, -1.5], [1, 1.5]])
    assert (y["b"], y["c"].dtype) == (None, jnp.bfloat16)
    np.testing.assert_array_equal(state.stages["center"]["count"]["a"], 4)
    assert state.stages["center"]["total"]["c"].dtype == jnp.float32
    z, after = jax.jit(lambda x, s: tx.update(x, s, train=False))(jax.tree.map(lambda x: x + 1, X), state)
    np.testing.assert_array_equal(z["a"], [[0, -1], [1.5, 1.5]])
    chex.assert_trees_all_equal(after, state)
    assert tx.update(X, state, train=False)[1] is state


def test_parameters_belong_to_stages():
    tx = gx.chain(center(), gx.named("second", center()))
    state = tx.init(X["a"])
    params = {"second": {"bias": jnp.asarray([[10.0, 20.0]])}}
    y, state = tx.update(X["a"], state, params)
    np.testing.assert_array_equal(y, [[9, 18], [11, 22]])
    derivative = jax.grad(lambda p: tx.update(X["a"], state, p, train=False)[0].sum())(params)
    np.testing.assert_array_equal(derivative["second"]["bias"], [[2, 2]])


def test_hyperparameters_may_follow_a_metric():
    tx = gx.inputs.batch_norm(momentum=gx.schedules.reduce_on_plateau(0.5, patience=0))
    state = tx.init(X["a"])
    for metric in (1.0, None, 1.0):
        _, state = tx.update(X["a"], state, value=metric)
    np.testing.assert_allclose(gx.hyperparams(tx, state)["batch_norm.momentum"], 0.05, rtol=1e-6)
    with pytest.raises(TypeError, match=r"batch_norm\.momentum follows a metric"):
        tx.update(X["a"], state)


def test_is_data_and_describes_itself():
    tx = gx.chain(center(), gx.clip(1.0))
    assert pickle.loads(pickle.dumps(tx)) == tx == eval(repr(tx), vars(gx) | {"center": center})
    assert "statistic" in str(gx.describe(tx, X))


def test_sharded_examples():
    mesh = jax.make_mesh((len(jax.devices()),), ("examples",))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("examples"))
    x = jax.random.normal(jax.random.key(0), (8 * len(jax.devices()), 3))
    tx = center()
    alone, _ = jax.jit(tx.update)(x, tx.init(x))
    apart, _ = jax.jit(tx.update)(jax.device_put(x, sharding), tx.init(x))
    np.testing.assert_allclose(alone, apart, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (
            lambda tx, s: tx.init({"a": jnp.arange(3)}),
            TypeError,
            "center: the inputs at a must be real floating arrays, but are int32",
        ),
        (lambda tx, s: tx.init(jnp.ones(2, complex)), TypeError, "center: the inputs must be real .* complex64"),
        (lambda tx, s: tx.update(X | {"a": jnp.ones((2, 2), int)}, s), TypeError, "the inputs at a .* are int32"),
        (
            lambda tx, s: tx.update(X | {"a": jnp.ones((2, 3))}, s),
            ValueError,
            r"the state's total at a has shape \(1, 2\); expected \(1, 3\) for the inputs float32\[2, 3\] there",
        ),
        (lambda tx, s: tx.update({"z": X["a"]}, s), ValueError, "the inputs and the state's"),
        (lambda tx, s: tx.update(X, s, train=1), TypeError, "train must be True or False, got 1"),
        (lambda tx, s: tx.update(X, s, trian=False), TypeError, "no stage takes trian=; did you mean train"),
        (lambda tx, s: tx.update(X, s, {"norm": {}}), ValueError, "params must be those of the stages, by name"),
        (lambda tx, s: tx.update(X, s, X["a"]), ValueError, "params must be those of the stages, by name"),
        (
            lambda tx, s: gx.chain(tx, gx.add_decayed_weights(0.1)),
            TypeError,
            "add_decayed_weights needs parameters like its",
        ),
    ],
)
def test_complains(call, error, words):
    tx = center()
    with pytest.raises(error, match=words):
        call(tx, tx.init(X))
