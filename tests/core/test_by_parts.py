"""`by_parts` treats complex parameters as pairs of real parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradtx as gx
from tests.helpers import assert_close, gradients, trajectory, tree

TRANSFORMATIONS = [
    gx.adam(0.01, amsgrad="raw"),
    gx.rmsprop(0.01, centered=True, momentum=0.9, initial_scale=0.5),
    gx.lion(0.01),
    gx.adamw(0.01, weight_decay=0.1, weight_decay_mode="cautious"),
    gx.adagrad(0.1),
    gx.chain(gx.clip_by_global_norm(1.0), gx.nadam(0.01)),
    gx.rprop(0.01),
    gx.ftrl(0.1, l1=0.01),
    gx.clip(0.5),
]


def pairs(t):
    return jax.tree.map(lambda z: jnp.stack([z.real, z.imag], -1), t)


@pytest.mark.parametrize("tx", TRANSFORMATIONS, ids=str)
def test_equals_the_transformation_of_the_pairs(tx):
    params, grads = tree(1, np.complex64), gradients(8, np.complex64)
    split, _, state = trajectory(gx.by_parts(tx), params, grads)
    real, _, _ = trajectory(tx, pairs(params), [pairs(g) for g in grads])
    assert_close(pairs(split), real)
    slots = [x for x in jax.tree.leaves(state.stages) if x.ndim]
    assert all(x.dtype == jnp.complex64 for x in slots)


@pytest.mark.parametrize("tx", TRANSFORMATIONS, ids=str)
def test_changes_nothing_for_real_parameters(tx):
    assert_close(trajectory(gx.by_parts(tx), tree(1), gradients(4)), trajectory(tx, tree(1), gradients(4)), rtol=0)


def test_is_data():
    tx = gx.by_parts(gx.adamw(0.1))
    assert repr(tx).startswith("by_parts(chain(scale_by_adam(")
    partly = gx.chain(gx.by_parts(gx.scale_by_adam()), gx.scale_by_learning_rate(0.1))
    assert repr(partly) == "chain(by_parts(scale_by_adam()), scale_by_learning_rate(0.1))"
    for t in (tx, partly, gx.named("a", gx.by_parts(gx.lion(0.1))), gx.by_parts(gx.chain(gx.rprop(0.1), gx.adam(0.1)))):
        assert eval(repr(t), vars(gx)) == t
        assert gx.by_parts(gx.by_parts(t)) == gx.by_parts(t)
    assert tx != gx.adamw(0.1)
    assert gx.by_parts(gx.rprop(0.1)) == gx.rprop(0.1)


def test_reaches_the_transformations_of_a_wrapper():
    tx = gx.switch(gx.adam(0.1), gx.lion(0.1), at=5)
    split = gx.by_parts(tx)
    assert split == gx.switch(gx.by_parts(gx.adam(0.1)), gx.by_parts(gx.lion(0.1)), at=5) == eval(repr(split), vars(gx))
    params, grads = tree(1, np.complex64), gradients(8, np.complex64)
    real, _, _ = trajectory(tx, pairs(params), [pairs(g) for g in grads])
    assert_close(pairs(trajectory(split, params, grads)[0]), real)


def test_transformations_that_it_cannot_change_are_refused():
    with pytest.raises(TypeError, match=r"by_parts: gradtx cannot look into <optax\.scale_by_adam>"):
        gx.by_parts(gx.chain(optax.scale_by_adam(), gx.sgd(0.1)))
