"""A transformation for each group of parameters, compared with optax's partition."""

import jax
import jax.numpy as jnp
import optax
import pytest
from flax.core import FrozenDict

import gradtx as gx
from tests.helpers import assert_close, relaxed

PARAMS = {"embed": jnp.ones((3, 2)), "dense": {"kernel": jnp.full((2, 2), 0.5), "bias": jnp.ones(2)}}
TREE = {"embed": "sparse", "dense": {"kernel": "matrix", "bias": "sparse"}}


def by_ndim(path, array):
    return "matrix" if path.endswith("kernel") else "sparse"


SELECTORS = {"sparse": ["embed", "*bias"], "matrix": "*kernel"}
LABELS = [
    by_ndim,
    SELECTORS,
    TREE,
    FrozenDict(TREE),
    lambda params: jax.tree.map_with_path(lambda p, _: "matrix" if "kernel" in str(p) else "sparse", params),
]


@pytest.mark.parametrize("labels", LABELS, ids=["function", "selectors", "tree", "frozen tree", "function of the tree"])
def test_equals_optax(labels):
    ours = gx.partition({"matrix": gx.chain(gx.clip_by_global_norm(0.1), gx.adam(0.1)), "sparse": gx.sgd(0.5)}, labels)
    theirs = optax.partition(
        {"matrix": optax.chain(optax.clip_by_global_norm(0.1), optax.adam(0.1)), "sparse": optax.sgd(0.5)}, TREE
    )
    state = ours.init(PARAMS)
    params = expected = PARAMS
    with relaxed():
        their_state = theirs.init(PARAMS)
        for k in range(4):
            grads = jax.tree.map(lambda p, k=k: jnp.cos(p * k), params)
            params, state = gx.apply_gradients(ours, grads, state, params)
            updates, their_state = theirs.update(grads, their_state, expected)
            expected = optax.apply_updates(expected, updates)
    assert_close(params, expected, rtol=1e-4)  # optax corrects the bias in float32
    assert int(state.step) == 4
    assert set(ours.stages) == {
        "matrix.clip_by_global_norm",
        "matrix.scale_by_adam",
        "matrix.scale_by_learning_rate",
        "sparse.scale_by_learning_rate",
    }


def test_a_label_of_an_upper_level():
    tx = gx.partition({"a": gx.sgd(1.0), "b": gx.sgd(2.0)}, {"embed": "a", "dense": "b"})
    updates, _ = tx.update(PARAMS, tx.init(PARAMS))
    assert_close(updates["dense"]["bias"], -2 * PARAMS["dense"]["bias"])


def test_is_data():
    for labels in (SELECTORS, TREE):
        inner = gx.chain(gx.named("mine", gx.trace(0.9)), gx.scale(-1.0), gx.scale(2.0))
        tx = gx.chain(gx.centralize(), gx.partition({"matrix": inner, "sparse": gx.identity()}, labels))
        assert eval(repr(tx), vars(gx)) == tx
        assert hash(eval(repr(tx), vars(gx))) == hash(tx)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ({"a": "embed", "b": "dense/*kernel"}), "'dense/bias' has none"),
        (lambda: ({"a": "*", "b": "dense/*"}), "'dense/bias' has 'a' and 'b', 'dense/kernel' has 'a' and 'b'"),
        (lambda: lambda path, _: "z", "every parameter needs one label of 'a', 'b', but 'dense/bias' has 'z'"),
        (lambda: lambda path, _: "a", "b.scale_by_learning_rate: only selects no parameter: label 'b'"),
        (lambda: ({"a": "embed", "c": "*"}), "labels must be a function .*, a selector for each of a, b"),
        (lambda: 3, "labels must be a function"),
        (lambda: {"embed": "a"}, "labels must be a function|does not fit the parameters"),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        gx.partition({"a": gx.sgd(0.1), "b": gx.sgd(0.2)}, make()).init(PARAMS)


def test_errors_of_the_transformations():
    with pytest.raises(TypeError, match="partition: transformations must be a dictionary from labels"):
        gx.partition([gx.sgd(0.1)], SELECTORS)
    with pytest.raises(ValueError, match="partition: transformations is empty"):
        gx.partition({}, SELECTORS)
    with pytest.raises(TypeError, match="expected a gradient transformation"):
        gx.partition({"matrix": 3, "sparse": gx.sgd(0.1)}, SELECTORS)
