"""Frozen parameters: no updates, no slots, no gradients."""

import chex
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import gradtx as gx
from tests.helpers import assert_close

PARAMS = {"body": {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}, "head": {"kernel": jnp.full((2, 1), 0.5)}}
GRADS = jax.tree.map(lambda p: p + 1, PARAMS)


def test_the_others_are_trained_as_if_they_were_alone():
    tx = gx.chain(gx.freeze("body/*"), gx.clip_by_global_norm(1.0), gx.adamw(0.1, weight_decay=0.1))
    alone = gx.chain(gx.clip_by_global_norm(1.0), gx.adamw(0.1, weight_decay=0.1))
    state = tx.init(PARAMS)
    assert state.stages["scale_by_adam"]["mu"]["body"] == {"kernel": None, "bias": None}
    params, state = gx.apply_gradients(tx, GRADS, state, PARAMS)
    head, _ = gx.apply_gradients(alone, GRADS["head"], alone.init(PARAMS["head"]), PARAMS["head"])
    assert_close(params["head"], head)
    chex.assert_trees_all_equal(params["body"], PARAMS["body"])
    updates, _ = tx.update(GRADS, tx.init(PARAMS), PARAMS)
    assert not any(map(jnp.any, jax.tree.leaves(updates["body"])))


def test_needs_no_gradients():
    tx = gx.chain(gx.freeze("body/*"), gx.adam(0.1))
    trained, frozen = gx.trainable(PARAMS, "head/*")
    grads = jax.grad(lambda t: sum(jnp.sum(x**2) for x in jax.tree.leaves(gx.merge(t, frozen))))(trained)
    assert grads["body"] == {"kernel": None, "bias": None}
    params, _ = gx.apply_gradients(tx, grads, tx.init(PARAMS), PARAMS)
    chex.assert_trees_all_equal(params["body"], PARAMS["body"])
    assert jnp.all(params["head"]["kernel"] < PARAMS["head"]["kernel"])


def test_stages_before_it_see_everything_and_optax_stages_see_the_rest():
    optax = pytest.importorskip("optax")
    tx = gx.chain(gx.clip_by_global_norm(1.0), gx.freeze("body/*"), optax.trace(0.9), gx.sgd(1.0))
    updates, state = tx.update(GRADS, tx.init(PARAMS), PARAMS)
    assert_close(updates["head"]["kernel"], -GRADS["head"]["kernel"] / gx.global_norm(GRADS))
    assert [x.shape for x in jax.tree.leaves(state.stages["trace"])] == [(2, 1)]


def test_a_frozen_label_hides_nothing_else():
    tx = gx.partition(
        {"train": gx.adam(0.1), "frozen": gx.freeze()},
        lambda path, _: path.split("/")[0].replace("body", "frozen").replace("head", "train"),
    )
    updates, _ = tx.update(GRADS, tx.init(PARAMS), PARAMS)
    assert jnp.any(updates["head"]["kernel"])
    assert not jnp.any(updates["body"]["kernel"])


def test_negative_zeros_and_infinities_stay():
    params = {"a": jnp.asarray([-0.0, jnp.inf, jnp.nan, 1e-45]), "b": jnp.ones(1)}
    tx = gx.chain(gx.freeze("a"), gx.sgd(0.1))
    new, _ = jax.jit(lambda g, s, p: gx.apply_gradients(tx, g, s, p))(
        {"a": None, "b": jnp.ones(1)}, tx.init(params), params
    )
    assert np.asarray(new["a"]).tobytes() == np.asarray(params["a"]).tobytes()


@pytest.mark.parametrize("kind", ["dict", "nnx", "equinox"])
def test_trainable_and_merge_are_inverses(kind):
    params = {
        "dict": PARAMS | {"count": 3},
        "nnx": nnx.state(nnx.Linear(2, 3, rngs=nnx.Rngs(0)), nnx.Param),
        "equinox": eqx.filter(eqx.nn.Linear(2, 3, key=jax.random.key(0)), eqx.is_array),
    }[kind]
    selector = {"dict": "head/*", "nnx": "kernel", "equinox": "weight"}[kind]
    trained, frozen = gx.trainable(params, selector)
    assert len(jax.tree.leaves(trained)) == 1
    again = gx.merge(trained, frozen)
    assert jax.tree.structure(again) == jax.tree.structure(params)
    chex.assert_trees_all_equal(jax.tree.leaves(again), jax.tree.leaves(params))


def test_errors():
    for call, message in (
        (lambda: gx.freeze("nix").init(PARAMS), "freeze: only selects no parameter: 'nix'; the paths are 'body/bias'"),
        (lambda: gx.trainable(PARAMS, "nix"), "trainable: selector selects no parameter: 'nix'"),
        (lambda: gx.merge(PARAMS, PARAMS), "merge: both trees have a value for 'body/bias', 'body/kernel', 'head/ker"),
        (lambda: gx.merge(PARAMS, {"body": None}), "merge"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
