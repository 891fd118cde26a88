"""`only` restricts stages to selected parameters."""

import pickle

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gradtx as gx
from gradtx.core import Stage
from tests.cases import CASES
from tests.helpers import assert_close, gradients, relaxed, tree

PARAMS = {"dense": {"kernel": jnp.full((2, 3), 2.0), "bias": jnp.ones(3)}, "scale": jnp.ones(2), "n": 3, "none": None}
GRADS = {"dense": {"kernel": jnp.ones((2, 3)), "bias": jnp.full(3, 2.0)}, "scale": jnp.full(2, 3.0), "n": None}
GRADS |= {"none": None}


def step(tx, grads=GRADS, params=PARAMS, **extra):
    return jax.jit(chex.assert_max_traces(tx.update, 1))(grads, tx.init(params), params, **extra)


@pytest.fixture(autouse=True)
def _clear_trace_counter():
    chex.clear_trace_counter()


def test_the_others_pass_untouched_and_have_no_slots():
    tx = gx.only("*kernel", gx.adam(0.1))
    updates, state = step(tx)
    np.testing.assert_allclose(updates["dense"]["kernel"], -0.1, rtol=1e-6)
    chex.assert_trees_all_equal(updates["dense"]["bias"], GRADS["dense"]["bias"])
    assert updates["n"] is updates["none"] is None
    mu = state.stages["scale_by_adam"]["mu"]
    assert mu["dense"]["bias"] is mu["scale"] is mu["n"] is None
    assert state.step == 1
    fused, _ = gx.apply_gradients(tx, GRADS, tx.init(PARAMS), PARAMS)
    chex.assert_trees_all_close(fused, gx.apply_updates(PARAMS, updates), rtol=1e-6)


def test_a_chain_of_parts_has_one_segment_and_one_counter():
    adam, sgd = gx.only("*kernel", gx.adam(0.1)), gx.only(re_not_kernel, gx.sgd(0.5, momentum=0.9))
    tx = gx.chain(adam, sgd)
    assert len(tx._lift.segments) == 1
    updates, state = step(tx)
    np.testing.assert_allclose(updates["dense"]["kernel"], -0.1, rtol=1e-6)
    np.testing.assert_allclose(updates["scale"], -1.5)
    assert [x.dtype for x in jax.tree.leaves(state) if x.dtype == jnp.int32] == [jnp.int32]
    jaxpr = jax.make_jaxpr(tx.update)(GRADS, tx.init(PARAMS), PARAMS)
    names = [eqn.params["name"] for eqn in jaxpr.eqns if "name" in eqn.params]
    assert names.count("scale_by_adam_then_scale_by_learning_rate") == 1
    assert names.count("trace_then_scale_by_learning_rate_2") == 2


def re_not_kernel(path, array):
    return not path.endswith("kernel")


def test_a_measure_takes_the_selected_arrays():
    updates, _ = step(gx.only("*bias", gx.clip_by_global_norm(1.0)))
    np.testing.assert_allclose(updates["dense"]["bias"], 1 / np.sqrt(3), rtol=1e-6)
    np.testing.assert_array_equal(updates["scale"], 3.0)


def test_nested_selectors_both_select():
    tx = gx.only("dense/*", gx.only(gx.matrices_only, gx.sgd(2.0)))
    updates, _ = step(tx)
    np.testing.assert_array_equal(updates["dense"]["kernel"], -2)
    np.testing.assert_array_equal(updates["dense"]["bias"], 2)
    with pytest.raises(ValueError, match=r"scale_by_learning_rate: only selects no parameter: 'scale'.*'dense/bias'"):
        gx.only("dense/*", gx.only("scale", gx.sgd(1.0))).init(PARAMS)


@pytest.mark.parametrize("jit", [False, True])
def test_tree_stages_and_foreign_ones_see_a_part_of_the_trees(jit):
    switch = gx.switch(gx.sgd(1.0), gx.sgd(0.5, momentum=0.9), at=1)
    foreign = gx.chain(optax.scale_by_adam(), optax.scale(-1.0))
    tx = gx.chain(gx.only("*kernel", switch), gx.only("scale", foreign))
    update = jax.jit(tx.update) if jit else tx.update
    with relaxed():
        state = tx.init(PARAMS)
        updates, state = update(GRADS, state, PARAMS)
        np.testing.assert_allclose(updates["scale"], -1, rtol=1e-5)
        np.testing.assert_array_equal(updates["dense"]["kernel"], -1)
        np.testing.assert_array_equal(updates["dense"]["bias"], 2)
        updates, state = update(GRADS, state, PARAMS)
    np.testing.assert_array_equal(updates["dense"]["kernel"], -0.5)
    second = state.stages["switch"]["second"].stages["trace"]["buffer"]
    assert second["dense"]["bias"] is second["scale"] is None
    with pytest.raises(ValueError, match=r"switch\.first\.scale_by_adam: only selects no parameter.*'dense/kernel'"):
        gx.only("*kernel", gx.switch(gx.only("scale", gx.scale_by_adam()), gx.sgd(1.0), at=1)).init(PARAMS)


def test_without_parameters_the_gradients_tell():
    tx = gx.only("*kernel", gx.sgd(0.5, momentum=0.9))
    updates, _ = tx.update(GRADS, tx.init(PARAMS))
    np.testing.assert_array_equal(updates["dense"]["kernel"], -0.5)


def test_a_state_of_another_selection_is_refused():
    state = gx.only("*kernel", gx.adam(0.1)).init(PARAMS)
    with pytest.raises(ValueError, match=r"scale_by_adam: the state's mu at dense/bias is missing, although the stage"):
        gx.only("*bias", gx.adam(0.1)).update(GRADS, state, PARAMS)
    state = gx.only("dense*", gx.adam(0.1)).init(PARAMS)
    with pytest.raises(ValueError, match=r"mu at dense/kernel has shape \(2, 3\), but the stage keeps none there"):
        gx.only("*bias", gx.adam(0.1)).update(GRADS, state, PARAMS)


def test_is_data():
    inner = gx.chain(gx.clip(1.0), gx.named("direction", gx.scale_by_adam()))
    tx = gx.chain(gx.only("*kernel", inner), gx.only("*", gx.only("*", gx.by_parts(gx.lion(0.1)))), gx.sgd(1.0))
    assert repr(gx.only("*w", gx.sgd(0.1))) == "only('*w', scale_by_learning_rate(0.1))"
    assert repr(tx).startswith(
        "chain(only('*kernel', chain(clip(1.0), named('direction', scale_by_adam()))), only('*', "
    )
    for t in (tx, gx.by_parts(tx), gx.only("*", gx.by_parts(tx)), gx.adamw(0.1, mask=gx.matrices_only)):
        assert eval(repr(t), vars(gx)) == t == pickle.loads(pickle.dumps(t))
        assert hash(t) == hash(eval(repr(t), vars(gx)))
    assert gx.only("*w", gx.sgd(0.1)) != gx.only("*b", gx.sgd(0.1)) != gx.sgd(0.1)
    assert gx.add_decayed_weights(0.1, mask="*w") == gx.only("*w", gx.add_decayed_weights(0.1))
    assert Stage(gx.sgd(0.1)._stages[0].technique) == gx.sgd(0.1)._stages[0]


def test_describe_and_hyperparams():
    tx = gx.chain(gx.only("*kernel", gx.adam(gx.tunable(0.1))), gx.only("*", gx.layerwise_decay(0.5, ["dense*", "*"])))
    found = gx.describe(tx, PARAMS)
    assert [(g.name, len(g.paths)) for g in found.stages[0].groups] == [("selected", 1), ("not selected", 2)]
    assert [(g.name, len(g.paths)) for g in found.stages[2].groups] == [("depth 0", 2), ("depth 1", 1)]
    assert found.stages[0].slots["mu"].bytes == 24
    assert gx.describe(tx).bytes_per_parameter == 8
    state = gx.set_hyperparams(tx, tx.init(PARAMS), learning_rate=1.0)
    assert gx.hyperparams(tx, state)["scale_by_learning_rate.learning_rate"] == 1


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_is_selected_is_treated_as_if_it_were_alone(case):
    """Every technique gives the same updates for a part of a tree as for this part without the other leaves."""
    grads, params = gradients(1)[0], tree(1)
    mine = {"a": grads["w"], "b": grads["s"]}, {"a": params["w"], "b": params["s"]}
    both = tuple({**t, "other": other} for t, other in zip(mine, (grads["deep"][0], params["deep"][0]), strict=True))
    tx = case.tx()
    alone, state = tx.update(mine[0], tx.init(mine[1]), mine[1])
    part = gx.only(lambda path, _: path != "other", tx)
    updates, after = part.update(both[0], part.init(both[1]), both[1])
    chex.assert_trees_all_equal(updates.pop("other"), both[0]["other"])
    assert_close(updates, alone)
    assert_close(jax.tree.leaves(after), jax.tree.leaves(state))


@given(chosen=st.lists(st.booleans(), min_size=5, max_size=5).filter(any), seed=st.integers(0, 9))
def test_any_selection_equals_two_chains(chosen, seed):
    """For random selections: the selected get the chain's updates, the others are the gradients."""
    leaves = [jnp.asarray(x, jnp.float32) for x in np.random.RandomState(seed).standard_normal((5, 2))]
    tx = gx.chain(gx.clip(0.5), gx.sgd(0.1, momentum=0.9))
    full, _ = tx.update(leaves, tx.init(leaves), leaves)
    part = gx.only(chosen, tx)
    updates, _ = part.update(leaves, part.init(leaves), leaves)
    for u, f, g, on in zip(updates, full, leaves, chosen, strict=True):
        np.testing.assert_array_equal(u, f if on else g)


@pytest.mark.parametrize("selector", [3, None, [1, 2]])
def test_what_is_no_selector_is_refused(selector):
    with pytest.raises(TypeError, match="only: selector must be"):
        gx.only(selector, gx.sgd(0.1))
    with pytest.raises(TypeError, match="expected a gradient transformation"):
        gx.only("*", 0.1)


def test_vmap_scan_donation_and_sharding():
    tx = gx.chain(gx.only("w", gx.adam(0.1)), gx.only("b", gx.sgd(0.1, momentum=0.9)))
    params = {"w": jnp.ones((8, 2)), "b": jnp.ones(8)}

    def run(params):
        def body(carry, _):
            return gx.apply_gradients(tx, carry[0], carry[1], carry[0])[::1], None

        return jax.lax.scan(body, (params, tx.init(params)), length=4)[0]

    expected = run(params)
    stacked = jax.tree.map(lambda x: jnp.stack([x, x]), params)
    assert_close(jax.tree.map(lambda x: x[1], jax.vmap(run)(stacked)), expected)
    mesh = jax.make_mesh((8,), ("x",), axis_types=(jax.sharding.AxisType.Auto,))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("x"))
    found = jax.jit(run, donate_argnums=0)(jax.device_put(params, sharding))
    assert found[1].stages["scale_by_adam"]["mu"]["w"].sharding.is_equivalent_to(sharding, 2)
    assert_close(jax.device_get(found), jax.device_get(expected))


def test_a_missing_gradient_does_not_change_what_a_rule_sees():
    params = {"layers": [jnp.ones(1), jnp.ones(1), jnp.ones(1)]}
    grads = {"layers": [jnp.ones(1), jnp.ones(1), None]}
    tx = gx.layerwise_decay(0.5)
    for t in (tx, gx.only("*", tx)):
        updates, _ = t.update(grads, t.init(params), params)
        assert [float(u[0]) for u in updates["layers"][:2]] == [0.25, 0.5]


def test_an_optax_stage_gets_no_parameter_for_a_missing_gradient():
    params, grads = {"a": jnp.ones(1), "b": jnp.ones(1)}, {"a": jnp.ones(1), "b": None}
    for tx in (gx.chain(optax.add_decayed_weights(1.0)), gx.only("*", optax.add_decayed_weights(1.0))):
        updates, _ = tx.update(grads, tx.init(params), params)
        assert updates["a"][0] == 2
        assert updates["b"] is None
