"""The table of a chain."""

import jax
import jax.numpy as jnp
import optax
import pytest

import gradtx as gx
from tests.cases import CASES
from tests.helpers import tree


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_bytes_are_those_of_the_state(case, dtype):
    tx, params = case.tx(), tree(1, dtype)
    found = gx.describe(tx, params)
    assert found.bytes == sum(x.nbytes for x in jax.tree.leaves(tx.init(params)))
    assert found.parameters == sum(x.size for x in jax.tree.leaves(params))
    assert [stage.name for stage in found.stages] == list(tx.stages)
    for stage in found.stages:
        assert stage.name in str(found)
        for name in stage.hyperparams:
            assert f"{name}=" in str(found)


def test_shapes_alone_are_enough():
    tx, params = gx.adamw(1e-3), tree(1)
    shapes = jax.eval_shape(lambda: params)
    assert gx.describe(tx, shapes) == gx.describe(tx, params)


def test_without_parameters():
    found = gx.describe(gx.adam(gx.tunable(0.1), b1=gx.schedules.linear(0.0, 0.9, 10)))
    assert found.bytes_per_parameter == 8
    assert "learning_rate=tunable(0.1)" in str(found)
    assert "b1=linear(0.0, 0.9, 10)" in str(found)
    assert "float32 assumed" in str(found)
    assert str(gx.describe(gx.chain())).endswith("0 bytes of slots per parameter (float32 assumed)")


def test_foreign_stages_are_opaque():
    found = gx.describe(gx.chain(optax.trace(0.9), gx.sgd(0.1)), {"w": jnp.zeros((2, 3))})
    assert found.stages[0].slots["state"].role == "opaque"
    assert found.stages[0].slots["state"].bytes == 24
    assert gx.describe(optax.adam(0.1), jnp.zeros(4)).bytes >= 32


def test_integers_and_none_cost_nothing():
    found = gx.describe(gx.adam(0.1), {"w": jnp.zeros(3), "n": jnp.asarray(1), "none": None})
    assert (found.parameters, found.bytes_per_parameter) == (3, 8)


def test_second_moments_of_complex_parameters_are_real():
    (stage, _) = gx.describe(gx.adam(0.1), jnp.zeros(2, jnp.complex64)).stages
    assert stage.slots["mu"].dtypes == ("complex64",)
    assert stage.slots["nu"].dtypes == ("float32",)
