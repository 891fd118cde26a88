"""`describe` shows the stages, groups and state of a chain in a table."""

import re

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
    assert [stage.name for stage in found.stages if stage.name in tx.stages] == list(tx.stages)
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


W = jnp.ones((2, 2))
TRANSFORMER = {
    "embed": {"tokens": jnp.ones((9, 4)), "positions": jnp.ones((5, 4))},
    "blocks": [{"attention": {"kernel": jnp.ones((4, 4)), "bias": jnp.ones(4)}, "scale": jnp.ones(4)}] * 12,
    "frozen": None,
    "head": {"kernel": jnp.ones((4, 9)), "bias": jnp.ones(9)},
}


def test_groups_tell_layers_and_masks():
    tx = gx.chain(gx.adamw(1e-3, weight_decay=0.1, mask="*kernel"), gx.named("rates", gx.layerwise_decay(0.5)))
    found = gx.describe(tx, TRANSFORMER)
    _, mask, rate, layers = found.stages
    assert rate.groups == ()
    assert [(g.name, g.hyperparams, len(g.paths)) for g in mask.groups] == [
        ("selected", {}, 13),
        ("not selected", {}, 27),
    ]
    assert mask.groups[0].paths[-2:] == ("blocks/11/attention/kernel", "head/kernel")
    assert mask.groups[0].shown == ("blocks/*/attention/kernel", "head/kernel")
    assert [g.name for g in layers.groups] == [f"depth {i}" for i in range(14)]
    assert [g.hyperparams["decay"] for g in layers.groups[-3:]] == ["0.25", "0.5", "1"]
    assert [g.shown for g in layers.groups[:3]] == [("embed/*",), ("blocks/0/*",), ("blocks/1/*",)]
    assert layers.groups[1].paths == ("blocks/0/attention/bias", "blocks/0/attention/kernel", "blocks/0/scale")
    text = str(found)
    assert max(map(len, text.splitlines())) <= 120
    assert re.search(r"^rates +depth 0 +decay=0.0001221 +2 +embed/\*$", text, re.MULTILINE)
    assert re.search(r"^ +depth 13 +decay=1 +2 +head/\*$", text, re.MULTILINE)
    assert gx.describe(tx, jax.eval_shape(lambda: TRANSFORMER)) == found
    assert not any(stage.groups for stage in gx.describe(tx).stages)


@pytest.mark.parametrize("decay", [gx.tunable(0.5), gx.schedules.linear(0.5, 1.0, 9), jnp.asarray(0.5)])
def test_groups_have_their_hyperparameters_at_the_first_step(decay):
    (stage,) = gx.describe(gx.layerwise_decay(decay), TRANSFORMER).stages
    assert [g.hyperparams["decay"] for g in stage.groups[-3:]] == ["0.25", "0.5", "1"]


def test_what_has_no_common_names_is_cut_after_three_lines():
    params = {f"{'long' * 6}_{i}_{'name' * 3}": jnp.ones(1) for i in range(9)} | {"w": jnp.ones((1, 1))}
    *_, first, second, third, last = str(gx.describe(gx.add_decayed_weights(0.1, mask=gx.matrices_only), params)).split(
        "\n"
    )
    assert re.match(r" +not selected +9 +long", first)
    assert [line.strip()[:1] for line in (second, third)] == ["l", "l"]
    assert last.endswith("… 5 more")


def test_the_stages_of_parts_follow_their_own():
    tx = gx.switch(gx.adamw(0.1, mask=gx.matrices_only), gx.chain(gx.sgd(0.1), gx.layerwise_decay(0.5)), at=5)
    found = gx.describe(tx, TRANSFORMER)
    names = ["scale_by_adam", "add_decayed_weights", "scale_by_learning_rate"]
    second = ["second.scale_by_learning_rate", "second.layerwise_decay"]
    assert [s.name for s in found.stages] == [
        "switch",
        *(f"switch.{n}" for n in [*(f"first.{n}" for n in names), *second]),
    ]
    assert found.stages[0].hyperparams == {"at": "5"}
    assert found.stages[1].slots.keys() == {"mu", "nu"}
    assert [g.name for g in found.stages[2].groups] == ["selected", "not selected"]
    assert [g.name for g in found.stages[5].groups[:2]] == ["depth 0", "depth 1"]
    assert found.stages[5].groups[1].shown == ("blocks/0/*",)
    assert found.bytes_per_parameter == gx.describe(tx).bytes_per_parameter == 8


def test_a_mask_that_selects_all_has_one_group():
    (stage,) = gx.describe(gx.add_decayed_weights(0.1, mask="*"), TRANSFORMER).stages
    assert [(g.name, g.hyperparams, g.shown) for g in stage.groups] == [
        ("selected", {}, ("blocks/*", "embed/*", "head/*"))
    ]
    assert str(gx.describe(gx.add_decayed_weights(0.1, mask="*"), W)).endswith("the root")


def test_integers_and_none_cost_nothing():
    found = gx.describe(gx.adam(0.1), {"w": jnp.zeros(3), "n": jnp.asarray(1), "none": None})
    assert (found.parameters, found.bytes_per_parameter) == (3, 8)


def test_second_moments_of_complex_parameters_are_real():
    (stage, _) = gx.describe(gx.adam(0.1), jnp.zeros(2, jnp.complex64)).stages
    assert stage.slots["mu"].dtypes == ("complex64",)
    assert stage.slots["nu"].dtypes == ("float32",)
