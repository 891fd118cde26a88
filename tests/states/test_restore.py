"""A saved state in the same chain, exactly, and in a chain that has changed, by names."""

import pickle

import chex
import flax.serialization
import jax
import jax.numpy as jnp
import optax
import orbax.checkpoint as ocp
import pytest
from flax import nnx

import gradtx as gx

PARAMS = {"layers": [{"kernel": jnp.ones((2, 2))}, {"kernel": jnp.ones((2, 2))}], "bias": jnp.ones(2)}
RATE = gx.schedules.reduce_on_plateau(gx.schedules.linear(0.1, 0.01, 9), patience=0)
CHAIN = gx.chain(
    gx.clip_by_global_norm(1.0), gx.adamw(RATE, b1=gx.tunable(0.9), weight_decay=0.1, mask="*kernel"), optax.trace(0.1)
)


def trained(tx, params=PARAMS, steps=3, state=None):
    state = tx.init(params) if state is None else state
    for k in range(steps):
        grads = jax.tree.map(lambda p, k=k: jnp.cos(p + k), params)
        params, state = gx.apply_gradients(tx, grads, state, params, value=1.0)
    return params, state


def through_msgpack(state, _):
    return flax.serialization.msgpack_restore(flax.serialization.to_bytes(state))


def through_orbax(state, path):
    with ocp.StandardCheckpointer() as saver:
        saver.save(path / "state", state)
        saver.wait_until_finished()
        return saver.restore(path / "state")


FORMS = {
    "state": lambda state, _: state,
    "pickle": lambda state, _: pickle.loads(pickle.dumps(state)),
    "state dict": lambda state, _: flax.serialization.to_state_dict(state),
    "msgpack": through_msgpack,
    "orbax": through_orbax,
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "tx",
    [CHAIN, gx.skip_nonfinite(gx.accumulate(CHAIN, 2)), gx.switch(gx.adam(0.1), gx.sgd(0.1, momentum=0.9), at=2)],
    ids=["chain", "wrapped", "switch"],
)
def test_the_same_chain_gets_its_state_back(tx, form, tmp_path):
    params, state = trained(tx)
    restored = gx.restore(tx, FORMS[form](state, tmp_path), params)
    chex.assert_trees_all_equal(restored.state, state)
    assert jax.tree.structure(restored.state) == jax.tree.structure(state)
    assert (restored.new, restored.dropped) == ((), ())
    chex.assert_trees_all_equal(trained(tx, params, state=restored.state), trained(tx, params, state=state))


def test_a_stage_more_and_a_stage_less():
    params, state = trained(gx.chain(gx.clip(1.0), gx.adam(0.1), gx.ema_params(0.9)))
    changed = gx.chain(gx.centralize(), gx.scale_by_adam(), gx.trace(0.9), gx.scale_by_learning_rate(0.1))
    restored = gx.restore(changed, state, params, strict=False)
    assert {name.partition("/")[0] for name in restored.new} == {"trace.buffer"}
    assert {name.partition("/")[0] for name in restored.dropped} == {"ema_params.average"}
    chex.assert_trees_all_equal(restored.state.stages["scale_by_adam"], state.stages["scale_by_adam"])
    assert restored.state.step == 3
    with pytest.raises(ValueError, match=r"new are trace.buffer/bias.*without a place are ema_params.average/bias"):
        gx.restore(changed, state, params)


def test_a_wrapper_put_around_and_taken_away():
    params, state = trained(gx.adam(0.1))
    for wrap in (
        gx.skip_nonfinite,
        lambda tx: gx.accumulate(tx, 2),
        lambda tx: gx.skip_nonfinite(gx.accumulate(tx, 2)),
    ):
        tx = wrap(gx.adam(0.1))
        wrapped = gx.restore(tx, state, params, strict=False)
        assert wrapped.dropped == ()
        inner = wrapped.state
        while "scale_by_adam" not in inner.stages:
            (slots,) = inner.stages.values()
            inner = slots["inner"]
        chex.assert_trees_all_equal(inner, state)
        back = gx.restore(gx.adam(0.1), wrapped.state, params, strict=False)
        chex.assert_trees_all_equal(back.state, state)
        assert back.new == ()


def test_unfreezing_keeps_the_slots_of_the_others():
    params, state = trained(gx.chain(gx.freeze("layers/*"), gx.adam(0.1)))
    restored = gx.restore(gx.adam(0.1), state, params, strict=False)
    assert set(restored.new) == {f"scale_by_adam.{m}/layers/{i}/kernel" for m in ("mu", "nu") for i in (0, 1)}
    assert restored.dropped == ()
    mu = restored.state.stages["scale_by_adam"]["mu"]
    chex.assert_trees_all_equal(mu["bias"], state.stages["scale_by_adam"]["mu"]["bias"])
    assert not jnp.any(mu["layers"][0]["kernel"])


def test_another_shape_is_new_and_is_dropped():
    _, state = trained(gx.sgd(0.1, momentum=0.9), {"a": jnp.ones(2), "b": jnp.ones(2)})
    restored = gx.restore(gx.sgd(0.1, momentum=0.9), state, {"a": jnp.ones(3), "b": jnp.ones(2)}, strict=False)
    assert restored.new == restored.dropped == ("trace.buffer/a",)
    with pytest.raises(ValueError, match=r"new are trace.buffer/a; without a place are trace.buffer/a"):
        gx.restore(gx.sgd(0.1, momentum=0.9), state, {"a": jnp.ones(3), "b": jnp.ones(2)})


def test_dtypes_and_frameworks():
    tx = gx.adam(0.1)
    model = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
    params = nnx.state(model, nnx.Param)
    _, state = tx.update(jax.tree.map(jnp.ones_like, params), tx.init(params), params)
    restored = gx.restore(tx, state, params)
    chex.assert_trees_all_equal(jax.tree.leaves(restored.state), jax.tree.leaves(state))
    half = jax.tree.map(lambda x: x.astype(jnp.bfloat16) if x.dtype == jnp.float32 else x, state)
    again = gx.restore(tx, half, params).state
    assert {x.dtype for x in jax.tree.leaves(again.stages)} == {jnp.dtype("float32")}


def test_errors():
    for saved in (None, {"mu": 3}, optax.adam(0.1).init(PARAMS)):
        with pytest.raises(TypeError, match="restore: saved must be a state of gradtx or the dictionary of one"):
            gx.restore(CHAIN, saved, PARAMS)
    with pytest.raises(TypeError, match="restore: the first argument must be a transformation of gradtx"):
        gx.restore(optax.adam(0.1), CHAIN.init(PARAMS), PARAMS)
