"""`stacked` treats an array as a stack of layers."""

import contextlib
import pickle

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import gradtx as gx
from gradtx.core import Key, Role, Rule, Scope, Slot, as_transformation
from tests.cases import CASES
from tests.helpers import assert_close, gradients, relaxed, trajectory

LEAF_CASES = [
    case
    for case in CASES
    if any(isinstance(t, Rule) and t.scope is Scope.LEAF for t in case.tx().stages.values()) and not case.whole
]


class Rows(Rule):
    """A rule that divides by the root of the averaged squares of the rows."""

    scope = Scope.LEAF
    slots = {
        "row": Slot(Role.SECOND_MOMENT, like=lambda p: p.sum(-1) if p.ndim == 2 else None),
        "start": Slot(Role.ANCHOR, fill="param"),
    }
    needs = frozenset({"param"})

    def update(self, g, slot, at):
        assert g.ndim < 3
        if g.ndim != 2:
            return g - slot.start, {"start": slot.start}
        row = slot.row + jnp.mean(g * g, -1)
        return g / jnp.sqrt(jnp.expand_dims(row, -1)) + at.param, {"row": row, "start": slot.start}


class Draw(Rule):
    """A rule that draws noise for a whole array."""

    key: Key = 0
    scope, needs = Scope.LEAF, frozenset({"key"})

    def update(self, g, slot, at):
        return jax.random.normal(at.key, g.shape, g.dtype), {}


rows, draw = as_transformation(Rows), as_transformation(Draw)


def arrays(seed, *shape):
    return jnp.asarray(np.random.RandomState(seed).standard_normal(shape), jnp.float32)


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("tx", [rows(), gx.clip_by_norm(0.5), gx.chain(rows(), gx.adamw(0.1))], ids=str)
def test_equals_each_layer_for_itself(tx, axis):
    params = {"blocks": arrays(0, 3, 3, 3), "vectors": arrays(1, 3, 3), "rest": arrays(2, 4, 2)}
    grads = [jax.tree.map(lambda x, s=s: s * jnp.flip(x), params) for s in (1.0, -0.5)]
    many = gx.stacked(["blocks", "vectors"], tx, axis=axis)
    updates, new, state = trajectory(many, params, grads)
    assert jax.tree.map(jnp.shape, state) == jax.tree.map(jnp.shape, many.init(params))
    for i in range(3):

        def layer(t, i=i):
            return {k: x if k == "rest" else jnp.take(x, i, axis % 2 if k == "vectors" else axis) for k, x in t.items()}

        alone, last, _ = trajectory(tx, layer(params), [layer(g) for g in grads])
        assert_close([layer(u) for u in updates], alone)
        assert_close(layer(new), last)


@pytest.mark.parametrize("case", LEAF_CASES, ids=str)
def test_every_rule_of_whole_arrays_takes_layers(case):
    layers = [{"w": g["w"]} for g in gradients(3)]
    params = jax.tree.map(lambda *x: jnp.stack(x), *layers)
    tx = gx.stacked("w", case.tx())
    updates, _ = tx.update(params, tx.init(params), params)
    for i, layer in enumerate(layers):
        alone, _ = case.tx().update(layer, case.tx().init(layer), layer)
        if "key" not in case.tx()._stages[0].technique.needs:
            assert_close(jax.tree.map(lambda x, i=i: x[i], updates), alone, rtol=1e-5)


def test_two_axes_of_layers():
    params = {"experts": arrays(0, 2, 3, 4, 5)}
    tx = gx.stacked("experts", gx.stacked("experts", rows()))
    state = tx.init(params)
    assert state.stages["rows"]["row"]["experts"].shape == (2, 3, 4)
    updates, _ = tx.update(params, state, params)
    alone, _ = rows().update(params["experts"][1, 2], rows().init(params["experts"][1, 2]), params["experts"][1, 2])
    np.testing.assert_allclose(updates["experts"][1, 2], alone, rtol=1e-6)


def test_selectors_inside_see_a_layer_and_those_outside_the_stack():
    params = {"w": arrays(0, 3, 4, 5), "b": arrays(1, 3, 5)}
    inside = gx.stacked("*", gx.only(gx.matrices_only, gx.clip_by_norm(0.1)))
    outside = gx.only(gx.matrices_only, gx.stacked("*", gx.clip_by_norm(0.1)))
    for tx, touched in ((inside, False), (outside, True)):
        updates, _ = tx.update(params, tx.init(params), params)
        assert np.allclose(updates["b"], params["b"]) is not touched


def test_layers_have_keys_of_their_own():
    tx = gx.stacked("*", draw(3))
    updates, _ = jax.jit(tx.update)(jnp.zeros((3, 4)), tx.init(jnp.zeros((3, 4))))
    assert len(np.unique(updates)) == 12


def test_wrappers_are_looked_into():
    tx = gx.stacked("w", gx.switch(gx.clip_by_norm(0.1), gx.sgd(1.0), at=5))
    params = {"w": arrays(0, 3, 4)}
    updates, _ = tx.update(params, tx.init(params), params)
    np.testing.assert_allclose(jnp.linalg.norm(updates["w"], axis=1), 0.1, rtol=1e-5)
    assert eval(repr(tx), vars(gx)) == tx


def test_the_layers_of_a_scanned_flax_model():
    class Block(linen.Module):
        @linen.compact
        def __call__(self, x, _):
            return linen.Dense(4)(x), None

    scanned = linen.scan(Block, variable_axes={"params": 0}, split_rngs={"params": True}, length=3)()
    with relaxed():
        params = scanned.init(jax.random.key(0), jnp.ones((2, 4)), None)["params"]
    tx = gx.stacked("Dense_0/*", gx.clip_by_norm(0.5))
    updates, _ = tx.update(params, tx.init(params), params)
    norms = jnp.linalg.norm(updates["Dense_0"]["kernel"].reshape(3, -1), axis=1)
    np.testing.assert_allclose(norms, 0.5, rtol=1e-5)


@pytest.mark.parametrize("axis_type", [AxisType.Auto, AxisType.Explicit])
@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("tx", [gx.clip_by_norm(0.1), gx.chain(rows(), gx.adam(0.1))], ids=str)
def test_layers_may_be_sharded(tx, axis_type, inside):
    mesh = jax.make_mesh((8,), ("x",), axis_types=(axis_type,))
    sharding = NamedSharding(mesh, P("x"))
    plain = {"w": arrays(0, 8, 4, 2), "b": arrays(1, 8, 4)}
    many = gx.stacked("*", gx.chain(tx, gx.clip_by_global_norm(1.0)))
    expected = gx.apply_gradients(many, plain, many.init(plain), plain)
    with jax.set_mesh(mesh) if inside else contextlib.nullcontext():
        params = jax.device_put(plain, sharding)
        state = jax.jit(many.init)(params)
        new = jax.jit(lambda g, s, p: gx.apply_gradients(many, g, s, p))(params, state, params)
        for x in jax.tree.leaves((state.stages, new[0], new[1].stages)):
            assert x.sharding.is_equivalent_to(sharding, x.ndim), x.sharding
    assert_close(jax.device_get(new), jax.device_get(expected), rtol=1e-5, atol=1e-6)


def test_is_data_and_described():
    tx = gx.stacked("blocks/*", gx.chain(gx.clip_by_norm(1.0), gx.sgd(0.1)), axis=1)
    assert repr(tx) == "stacked('blocks/*', chain(clip_by_norm(1.0), scale_by_learning_rate(0.1)), axis=1)"
    assert eval(repr(tx), vars(gx)) == tx == pickle.loads(pickle.dumps(tx))
    assert tx != gx.stacked("blocks/*", gx.chain(gx.clip_by_norm(1.0), gx.sgd(0.1)))
    found = gx.describe(tx, {"blocks": {"w": jnp.ones((2, 3))}, "head": jnp.ones(2)})
    assert [(g.name, g.paths) for g in found.stages[0].groups] == [
        ("selected", ("head",)),
        ("layers on axis 1", ("blocks/w",)),
    ]


def test_what_would_change_nothing_is_refused():
    with pytest.raises(
        TypeError, match=r"stacked: it has no effect on scale_by_learning_rate\(0\.1\), because no rule"
    ):
        gx.stacked("*", gx.sgd(0.1))
    with pytest.raises(TypeError, match=r"stacked: gradtx cannot look into <optax\.scale_by_adam>"):
        gx.stacked("*", optax.scale_by_adam())
    with pytest.raises(TypeError, match=r"axis must be an integer, got 0\.5"):
        gx.stacked("*", rows(), axis=0.5)
    with pytest.raises(ValueError, match=r"rows: stacked: b has shape \(3,\) and no axis 1 of layers"):
        gx.stacked("*", rows(), axis=1).init({"b": jnp.ones(3)})
    with pytest.raises(ValueError, match=r"rows: stacked selects no parameter: 'x'"):
        gx.stacked("x", rows()).init({"b": jnp.ones(3)})
