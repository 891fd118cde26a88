"""Chains are data: names, repr, equality, nesting and foreign stages."""

import copy
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gradtx as gx
from tests.helpers import DTYPES, assert_close, gradients, relaxed, trajectory, tree

_numbers = st.floats(0, 1, exclude_max=True)
_hypers = st.one_of(
    _numbers,
    _numbers.map(gx.tunable),
    _numbers.map(gx.schedules.constant),
    st.builds(gx.schedules.linear, _numbers, _numbers, st.integers(1, 100)),
)
_parts = st.one_of(
    st.builds(gx.adam, _hypers, b1=_hypers, eps=_hypers),
    st.builds(gx.sgd, _hypers, momentum=st.none() | _hypers, nesterov=st.just(False)),
    st.builds(gx.clip, _hypers),
    st.builds(gx.named, st.sampled_from("abc"), st.builds(gx.clip_by_global_norm, _hypers)),
    st.builds(gx.scale_by_rms, eps_inside_sqrt=st.booleans()),
)
_chains = st.lists(_parts, max_size=4).filter(
    lambda parts: len({p._stages[0].name for p in parts} - {None}) == sum(p._stages[0].name is not None for p in parts)
)


@given(_chains)
def test_a_chain_is_the_code_that_makes_it(parts):
    tx = gx.chain(*parts)
    again = eval(repr(tx), vars(gx) | vars(gx.schedules) | {"chain": gx.chain})
    assert again == tx
    assert hash(again) == hash(tx)
    assert repr(again) == repr(tx)
    assert pickle.loads(pickle.dumps(tx)) == tx
    assert copy.deepcopy(tx) == tx


@given(_chains, _chains, _chains)
def test_chain_is_associative(a, b, c):
    try:
        flat = gx.chain(*a, *b, *c)
    except ValueError:  # two stages have the same name
        return
    assert gx.chain(gx.chain(*a, *b), *c) == flat
    assert gx.chain(*a, gx.chain(*b, *c)) == flat


def test_names():
    tx = gx.chain(gx.clip(1.0), gx.clip(2.0), gx.named("clip_3", gx.clip(3.0)), gx.clip(4.0))
    assert list(tx.stages) == ["clip", "clip_2", "clip_3", "clip_4"]
    body = gx.named("body", gx.adamw(1e-3))
    assert list(gx.chain(body, gx.named("head", gx.sgd(0.1))).stages) == [
        "body.scale_by_adam",
        "body.add_decayed_weights",
        "body.scale_by_learning_rate",
        "head",
    ]
    assert repr(gx.named("m", gx.sgd(0.1))) == "named('m', scale_by_learning_rate(0.1))"
    assert gx.named("m", gx.clip(1.0)) != gx.clip(1.0)


def test_equality_is_not_only_for_numbers():
    x = jnp.asarray(0.1)
    assert gx.sgd(x) == gx.sgd(jnp.asarray(0.1))
    assert gx.sgd(x) != gx.sgd(jnp.asarray(0.2))
    assert gx.sgd(x) != gx.sgd(0.1)
    assert hash(gx.sgd(x)) == hash(gx.sgd(jnp.asarray(0.1)))
    assert gx.sgd(np.float32(0.5)) == gx.sgd(0.5)
    assert gx.sgd(1) == gx.sgd(1.0)
    assert gx.sgd(0.1) != optax.sgd(0.1)
    assert gx.sgd(0.1) != "sgd"
    assert eval(repr(gx.sgd(x)), vars(gx) | {"jnp": jnp}) == gx.sgd(x)
    seen = []
    jax.vmap(lambda lr: seen.append((gx.sgd(lr) == gx.sgd(lr), gx.sgd(lr) == gx.sgd(lr + 1), hash(gx.sgd(lr)))))(
        jnp.ones(2)
    )
    assert seen[0][:2] == (True, False)


def test_replacing_a_function_gives_a_plain_transformation():
    tx = gx.sgd(0.1)._replace(init=lambda params: "other")
    assert not isinstance(tx, gx.Transformation)
    assert isinstance(tx, optax.GradientTransformationExtraArgs)
    assert tx.init(None) == "other"


def test_empty_chain_is_the_identity():
    tx, x = gx.chain(), tree(1)
    assert repr(tx) == "chain()"
    updates, state = tx.update(x, tx.init(x), x)
    assert_close(updates, x)
    assert state.step == 1
    assert_close(gx.apply_gradients(tx, x, tx.init(x), x)[0], jax.tree.map(lambda p: 2 * p, x))


@pytest.mark.parametrize("params", [{}, [], (), {"a": None}, {"a": {}}])
def test_empty_trees(params):
    tx = gx.chain(gx.clip_by_global_norm(1.0), gx.adamw(0.1), optax.trace(0.9))
    with relaxed():
        updates, state = jax.jit(tx.update)(params, tx.init(params), params)
        assert updates == params
        assert state.step == 1
        assert gx.apply_gradients(tx, params, state, params)[0] == params


class TestForeign:
    def test_names_and_repr(self):
        tx = gx.chain(optax.centralize(), optax.adam(0.1), gx.sgd(0.1), optax.trace(0.9))
        assert list(tx.stages) == ["centralize", "chain", "scale_by_learning_rate", "trace"]
        assert repr(tx) == "chain(<optax.centralize>, <optax.chain>, scale_by_learning_rate(0.1), <optax.trace>)"

    def test_equality(self):
        peer = optax.trace(0.9)
        assert gx.chain(peer) == gx.chain(peer)
        assert gx.chain(peer) != gx.chain(optax.trace(0.9))

    def test_computes_what_optax_computes(self):
        with relaxed():
            ours = trajectory(gx.chain(optax.centralize(), optax.scale_by_yogi(), gx.sgd(0.1)), tree(1), gradients(5))
            theirs = trajectory(
                optax.chain(optax.centralize(), optax.scale_by_yogi(), optax.sgd(0.1)), tree(1), gradients(5)
            )
        assert_close(ours[:2], theirs[:2], rtol=1e-5)

    @pytest.mark.parametrize("param_dtype", DTYPES)
    @pytest.mark.parametrize("grad_dtype", DTYPES)
    @pytest.mark.parametrize(
        "peer", [optax.adam(1e-3), optax.trace(0.9), optax.lion(1e-3)], ids=["adam", "trace", "lion"]
    )
    def test_is_held_to_the_dtype_contract(self, peer, param_dtype, grad_dtype):
        tx, params, grads = gx.chain(peer, gx.clip(1.0)), tree(1, param_dtype), tree(2, grad_dtype)
        state = tx.init(params)
        with relaxed():
            updates, new = jax.eval_shape(tx.update, grads, state, params)
        assert jax.tree.map(lambda x: (x.shape, x.dtype), new) == jax.tree.map(lambda x: (x.shape, x.dtype), state)
        assert all(x.dtype == grad_dtype for x in jax.tree.leaves(updates))
        assert all(x.dtype in (jnp.float32, jnp.int32) for x in jax.tree.leaves(state))

    def test_extra_arguments_reach_it(self):
        def update(updates, state, params=None, *, factor, **extra):
            return jax.tree.map(lambda u: u * factor, updates), state

        foreign = optax.GradientTransformationExtraArgs(lambda _: optax.EmptyState(), update)
        tx, x = gx.chain(foreign, gx.sgd(1.0)), jnp.ones(2)
        assert tx.update(x, tx.init(x), x, factor=3.0)[0][0] == -3

    def test_integers_and_none_stay_out_of_it(self):
        params = {"w": jnp.ones(2), "n": jnp.asarray(3), "none": None}
        tx = gx.chain(optax.scale_by_adam(), gx.sgd(0.1))
        with relaxed():
            updates, _ = tx.update({"w": jnp.ones(2), "n": None, "none": None}, tx.init(params), params)
        assert updates["n"] is None
        np.testing.assert_allclose(updates["w"], -0.1, rtol=1e-5)

    def test_a_foreign_stage_that_drops_a_gradient(self):
        def update(updates, state, params=None):
            return {"a": None, "b": updates["b"]}, state

        tx = gx.chain(optax.GradientTransformation(lambda _: optax.EmptyState(), update), gx.sgd(0.1, momentum=0.9))
        params = {"a": jnp.ones(2), "b": jnp.ones(2)}
        updates, _ = tx.update(params, tx.init(params), params)
        assert updates["a"] is None
        new, _ = gx.apply_gradients(tx, params, tx.init(params), params)
        np.testing.assert_array_equal(new["a"], params["a"])


def test_a_foreign_optimizer_alone_can_apply_gradients():
    x = jnp.ones(2)
    new, _ = gx.apply_gradients(optax.sgd(0.1), x, optax.sgd(0.1).init(x), x)
    np.testing.assert_allclose(new, 0.9)


@pytest.mark.parametrize(
    "tx",
    [
        gx.clip(float("inf")),
        gx.clip(gx.tunable(float("inf"))),
        gx.add_noise(0.1, 0.5, jax.random.key(3)),
        gx.add_noise(0.1, 0.5, jax.random.key(3, impl="rbg")),
        gx.sgd(jnp.asarray(0.1)),
        gx.sgd(jnp.asarray(0.1, jnp.bfloat16)),
    ],
    ids=["inf", "tunable inf", "key", "key of another kind", "array", "bfloat16"],
)
def test_the_code_of_unusual_values_makes_them_again(tx):
    assert eval(repr(tx), vars(gx) | {"jax": jax, "jnp": jnp}) == tx
