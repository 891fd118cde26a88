"""Selectors are globs, regular expressions, predicates or trees of booleans. Shapes of parameters resolve them."""

import pickle
import re

import equinox as eqx
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given
from hypothesis import strategies as st

import gradtx as gx
from tests.helpers import relaxed, trajectory, trials

PARAMS = {
    "layers": [{"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}, {"kernel": jnp.ones((2, 1)), "bias": jnp.ones(1)}],
    "scale": jnp.ones(()),
    "frozen": None,
    "table": np.arange(3),
}


def decayed(mask, params=PARAMS):
    """Return the paths of the parameters that decay under a mask."""
    tx = gx.add_decayed_weights(1.0, mask=mask)
    zeros = jax.tree.map(lambda p: jnp.zeros_like(p) if jnp.issubdtype(p.dtype, jnp.floating) else None, params)
    updates, _ = tx.update(zeros, tx.init(params), params)
    leaves = jax.tree.leaves_with_path(updates)
    return {jax.tree_util.keystr(k, simple=True, separator="/") for k, u in leaves if bool(jnp.any(u != 0))}


KERNELS = {"layers/0/kernel", "layers/1/kernel"}


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        ("*kernel", KERNELS),
        ("layers/*/kernel", KERNELS),
        ("layers/0/*", {"layers/0/kernel", "layers/0/bias"}),
        ("layers/[!0]/kernel", {"layers/1/kernel"}),
        ("scale", {"scale"}),
        ("*", {*KERNELS, "layers/0/bias", "layers/1/bias", "scale"}),
        (re.compile("kernel"), KERNELS),
        (re.compile(r"^layers/\d/(kernel|bias)$"), {*KERNELS, "layers/0/bias", "layers/1/bias"}),
        (re.compile("KERNEL", re.IGNORECASE), KERNELS),
        (gx.matrices_only, KERNELS),
        (lambda path, p: path.startswith("layers/1") and p.shape == (2, 1), {"layers/1/kernel"}),
        (lambda path, p: p.dtype == jnp.float32 and p.size == 1, {"layers/1/bias", "scale"}),
        (
            {"layers": [{"kernel": True, "bias": False}] * 2, "scale": True, "frozen": False, "table": False},
            {*KERNELS, "scale"},
        ),
        (
            {"layers": True, "scale": False, "frozen": False, "table": True},
            {*KERNELS, "layers/0/bias", "layers/1/bias"},
        ),
        (
            {"layers": [True, np.False_], "scale": jnp.asarray(False), "frozen": False, "table": False},
            {"layers/0/kernel", "layers/0/bias"},
        ),
    ],
    ids=[f"case{i}" for i in range(15)],
)
def test_selects(mask, expected):
    assert decayed(mask) == expected


@pytest.mark.parametrize("mask", ["kernel", re.compile("weight"), lambda path, p: p.ndim == 7, False])
def test_nothing_selected_is_an_error_that_lists_the_paths(mask):
    with pytest.raises(ValueError, match="only selects no parameter") as caught:
        gx.add_decayed_weights(1.0, mask=mask).init(PARAMS)
    for path in ("layers/0/kernel", "layers/1/bias", "scale"):
        assert path in str(caught.value)
    assert "frozen" not in str(caught.value)
    assert "table" not in str(caught.value)


def test_many_paths_are_cut_short():
    with pytest.raises(ValueError, match="'p49' and 50 more"):
        gx.add_decayed_weights(1.0, mask="x").init({f"p{i:02}": jnp.ones(1) for i in range(100)})


def test_what_is_no_selector_is_refused():
    for bad in (1, 0.5, {"w": 1}, {}, [True, "x"], jnp.ones(3)):
        with pytest.raises(TypeError, match="add_decayed_weights: mask must be a glob"):
            gx.add_decayed_weights(1.0, mask=bad)
    with pytest.raises(TypeError, match="must return True or False, got 1 for 'w'"):
        gx.add_decayed_weights(1.0, mask=lambda path, p: 1).init({"w": jnp.ones(1)})
    with pytest.raises(ValueError, match="only must be a tree of booleans like the parameters"):
        gx.add_decayed_weights(1.0, mask={"v": True}).init({"w": jnp.ones(1)})


def test_no_parameters_match_no_selector_without_complaint():
    for params in ({}, None, {"a": None}, {"a": np.arange(2)}):
        gx.add_decayed_weights(1.0, mask="w").init(params)


def test_predicates_see_parameters_and_never_gradients():
    """bfloat16 or None gradients of float32 parameters do not change the selection."""
    seen = []

    def predicate(path, p):
        seen.append((path, p.dtype, type(p)))
        return p.dtype == jnp.float32

    params = {"a": jnp.ones(2), "b": jnp.ones(2)}
    tx = gx.add_decayed_weights(1.0, mask=predicate)
    state = tx.init(params)
    updates, _ = jax.jit(tx.update)({"a": jnp.zeros(2, jnp.bfloat16), "b": None}, state, params)
    assert updates["a"].tolist() == [1, 1]
    assert set(seen) == {(name, jnp.dtype("float32"), jax.ShapeDtypeStruct) for name in "ab"}


def test_unselected_parameters_are_not_even_read():
    params = {"w": jnp.ones(2), "b": jnp.full(2, jnp.nan)}
    grads = {"w": jnp.ones(2), "b": jnp.ones(2)}
    for tx in (
        gx.adamw(0.1, weight_decay=0.1, mask="w"),
        gx.adamw(0.1, weight_decay=gx.tunable(0.1), mask="w"),
        gx.adamw(0.1, weight_decay=lambda step: 0.1, mask="w", weight_decay_mode="after"),
        gx.adamw(gx.tunable(0.1), weight_decay=0.1, mask="w", weight_decay_mode="after"),
        gx.sgd(0.1, weight_decay=0.1, mask="w", weight_decay_mode="coupled"),
    ):
        updates, _ = jax.jit(tx.update)(grads, tx.init(params), params)
        assert bool(jnp.isfinite(updates["b"]).all())
        assert updates["w"][0] != updates["b"][0]


@pytest.mark.parametrize("mode", ["coupled", "decoupled", "independent", "cautious", "after"])
@pytest.mark.parametrize(
    "make",
    [
        lambda **k: gx.sgd(0.1, **k),
        lambda **k: gx.sgd(0.1, momentum=0.9, momentum_form="velocity", **k),
        lambda **k: gx.adagrad(0.1, **k),
        lambda **k: gx.adadelta(0.1, **k),
        lambda **k: gx.rmsprop(0.1, momentum=0.9, momentum_form="velocity", **k),
        lambda **k: gx.adam(0.1, **k),
        lambda **k: gx.adamax(0.1, **k),
        lambda **k: gx.nadam(0.1, **k),
        lambda **k: gx.adamw(0.1, **k),
        lambda **k: gx.lion(0.1, **k),
        lambda **k: gx.radam(0.1, **k),
    ],
)
def test_every_optimizer_takes_one_vocabulary_of_decay(make, mode):
    """Selected parameters step as without a mask. The other parameters step as without decay."""
    params = {"w": jnp.ones(3), "b": jnp.ones(3)}
    grads = [{"w": jnp.full(3, g), "b": jnp.full(3, g)} for g in (0.5, 0.1)]

    def steps(**arguments):
        return trajectory(make(**arguments), params, grads)[0][-1]

    decay = {"weight_decay": 0.1, "weight_decay_mode": mode}
    masked, all_, none = steps(**decay, mask="w"), steps(**decay), steps(weight_decay=0.0)
    np.testing.assert_allclose(masked["w"], all_["w"])
    np.testing.assert_allclose(masked["b"], none["b"])
    only_signs = mode == "coupled" and "scale_by_lion" in make().stages
    assert only_signs or bool((jnp.abs(masked["w"] - none["w"]) > 1e-6).all())


def test_a_mask_is_data():
    for mask in ("*kernel", re.compile("kernel"), gx.matrices_only, {"w": True, "b": [False, None]}):
        tx, again = (gx.adamw(0.1, mask=mask) for _ in range(2))
        assert tx == again
        assert hash(tx) == hash(again)
        assert pickle.loads(pickle.dumps(tx)) == tx
        assert eval(repr(tx), vars(gx) | {"re": re}) == tx
        assert tx != gx.adamw(0.1)
    assert gx.adamw(0.1, mask={"w": True, "b": False}) != gx.adamw(0.1, mask={"w": True, "b": True})


def test_paths_of_the_frameworks():
    linear = nnx.state(nnx.Linear(2, 3, rngs=nnx.Rngs(0)), nnx.Param)
    assert decayed(re.compile("kernel"), linear) == decayed(gx.matrices_only, linear) == {"kernel/value"}
    mlp = eqx.filter(eqx.nn.MLP(2, 1, 2, 1, key=jax.random.key(0)), eqx.is_inexact_array)
    assert decayed("layers/*/weight", mlp) == {"layers/0/weight", "layers/1/weight"}
    with relaxed():
        model = hk.transform(lambda x: hk.nets.MLP([2, 1])(x)).init(jax.random.key(0), jnp.ones((1, 2)))
    assert decayed("*/w", model) == {"mlp/~/linear_0/w", "mlp/~/linear_1/w"}


def test_describe_needs_no_parameters_for_a_masked_chain():
    assert "weight_decay" in str(gx.describe(gx.adamw(0.1, mask="*kernel")))


@trials(50)
@given(
    st.dictionaries(st.text("ab", min_size=1, max_size=3), st.booleans(), min_size=1).filter(lambda d: any(d.values()))
)
def test_a_tree_of_booleans_selects_what_a_predicate_by_name_does(chosen):
    params = {name: jnp.ones(1) for name in chosen}
    assert decayed(chosen, params) == decayed(lambda path, p: chosen[path], params) == {k for k in chosen if chosen[k]}
