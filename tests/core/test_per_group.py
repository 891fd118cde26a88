"""A hyperparameter with a value for each group of parameters: PyTorch's parameter groups, and partitions."""

import re

import chex
import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

import gradtx as gx
from gradtx.core import Real, Rule, Stage, Transformation
from tests.helpers import assert_close, gradients, trajectory, tree

S = gx.schedules
PARAMS = {"embed": {"table": jnp.ones((3, 2))}, "head": {"kernel": jnp.full((2, 2), 0.5), "bias": jnp.ones(2)}}
GRADS = [
    jax.tree.map(lambda p, k=k: jnp.cos(k + jnp.arange(p.size, dtype=p.dtype)).reshape(p.shape), PARAMS)
    for k in range(6)
]
RATES = {"embed/*": 0.3, re.compile("kernel$"): S.linear(0.1, 0.0, 5), "*": gx.tunable(0.05)}


@pytest.mark.parametrize(
    "make", [gx.sgd, gx.adam, gx.rmsprop, gx.lion, gx.adamax, gx.adagrad], ids=lambda f: f.__name__
)
def test_a_rate_for_each_group_equals_a_transformation_for_each_group(make):
    grouped = make(gx.per_group(RATES))
    labels = {"embed": "embed/*", "kernel": "*kernel", "bias": "*bias"}
    values = dict(zip(labels, RATES.values(), strict=True))
    apart = gx.partition({label: make(value) for label, value in values.items()}, labels)
    assert_close(trajectory(grouped, PARAMS, GRADS)[:2], trajectory(apart, PARAMS, GRADS)[:2], rtol=1e-6)


def test_equals_pytorchs_parameter_groups():
    torch = pytest.importorskip("torch")
    options = {
        "embed/table": {"lr": 0.3, "betas": (0.5, 0.9), "weight_decay": 0.0},
        "head/kernel": {"lr": 0.1, "betas": (0.9, 0.99), "weight_decay": 0.2},
        "head/bias": {"lr": 0.05, "betas": (0.9, 0.9), "weight_decay": 0.0},
    }
    b1, b2 = ({path: o["betas"][i] for path, o in options.items()} for i in (0, 1))
    tx = gx.adamw(
        gx.per_group({path: o["lr"] for path, o in options.items()}),
        gx.per_group(b1),
        gx.per_group(b2),
        weight_decay=gx.per_group({path: o["weight_decay"] for path, o in options.items()}),
    )
    order = [("embed", "table"), ("head", "kernel"), ("head", "bias")]
    tensors = [torch.nn.Parameter(torch.tensor(np.asarray(PARAMS[a][b]))) for a, b in order]
    theirs = torch.optim.AdamW([{"params": [t]} | o for t, o in zip(tensors, options.values(), strict=True)])
    for grads in GRADS:
        for tensor, (a, b) in zip(tensors, order, strict=True):
            tensor.grad = torch.tensor(np.asarray(grads[a][b]))
        theirs.step()
    _, params, _ = trajectory(tx, PARAMS, GRADS)
    for tensor, (a, b) in zip(tensors, order, strict=True):
        np.testing.assert_allclose(params[a][b], tensor.detach().numpy(), rtol=1e-5)


def test_the_chain_keeps_one_counter_and_one_norm():
    tx = gx.chain(gx.clip_by_global_norm(1.0), gx.sgd(gx.per_group({"embed/*": 1.0, "*": 2.0})))
    updates, state = tx.update(PARAMS, tx.init(PARAMS))
    norm = gx.global_norm(PARAMS)
    assert_close(updates["head"]["bias"], -2 * PARAMS["head"]["bias"] / norm)
    assert int(state.step) == 1


def test_values_of_a_group_are_read_and_set_by_name():
    tx = gx.sgd(gx.per_group(RATES), momentum=gx.per_group({"embed/*": gx.tunable(0.5, name="beta"), "*": 0.9}))
    state = tx.init(PARAMS)
    assert state.hyperparams.keys() == {"scale_by_learning_rate.learning_rate.*", "beta"}
    _, state = jax.jit(tx.update)(GRADS[0], state, PARAMS)
    values = {name: float(value) for name, value in gx.hyperparams(tx, state).items()}
    assert values == pytest.approx(
        {
            "trace.momentum.embed/*": 0.5,
            "trace.momentum.*": 0.9,
            "trace.dampening": 0.0,
            "scale_by_learning_rate.learning_rate.embed/*": 0.3,
            "scale_by_learning_rate.learning_rate.kernel$": 0.08,
            "scale_by_learning_rate.learning_rate.*": 0.05,
        }
    )
    state = gx.set_hyperparams(tx, state, beta=0.25, **{"learning_rate.*": 0.5})
    assert float(gx.hyperparams(tx, state)["scale_by_learning_rate.learning_rate.*"]) == 0.5
    with pytest.raises(ValueError, match=r"must be in \[0, 1\], got 2"):
        gx.set_hyperparams(tx, state, beta=2.0)


def test_a_plateau_of_one_group():
    tx = gx.sgd(gx.per_group({"embed/*": S.reduce_on_plateau(1.0, factor=0.5, patience=0), "*": 1.0}))
    state = tx.init(PARAMS)
    for _ in range(2):
        updates, state = tx.update(GRADS[0], state, value=1.0)
    assert_close(updates["embed"]["table"], -0.5 * GRADS[0]["embed"]["table"])
    assert_close(updates["head"], jax.tree.map(jnp.negative, GRADS[0]["head"]))


def test_two_stages_read_one_rate():
    rates = gx.per_group({"embed/*": gx.tunable(0.1), "*": gx.tunable(0.2)})
    tx = gx.adamw(rates, weight_decay=0.1, weight_decay_mode="after")
    state = gx.set_hyperparams(tx, tx.init(PARAMS), **{"learning_rate.embed/*": 0.0})
    updates, _ = tx.update(GRADS[0], state, PARAMS)
    assert not jnp.any(updates["embed"]["table"])
    assert jnp.any(updates["head"]["bias"])


def test_goes_with_views_and_other_groups():
    layers = {"layers": [{"kernel": jnp.ones((2, 2, 3))}, {"kernel": jnp.ones((2, 2, 3))}]}
    rates = gx.per_group({"layers/0/*": 0.1, "*": 0.2})
    grads = jax.tree.map(lambda p: p * jnp.arange(1.0, 3.0)[:, None, None], layers)
    for tx in (
        gx.only("layers/*", gx.adam(rates)),
        gx.chain(gx.stacked("*", gx.clip_by_norm(1.0)), gx.sgd(rates)),
        gx.chain(gx.sgd(rates), gx.layerwise_decay(gx.per_group({"layers/0/*": 0.5, "*": 0.25}))),
        gx.by_parts(gx.adam(rates)),
    ):
        updates, _ = tx.update(grads, tx.init(layers), layers)
        first, second = (updates["layers"][i]["kernel"] for i in (0, 1))
        factor = 0.25 if "layerwise" in repr(tx) else 0.5
        assert_close(first, factor * second)


def test_is_data_and_compiles_once():
    tx = gx.sgd(gx.per_group({"embed/*": 0.1, "*": S.linear(0.1, 0.0, 9)}))
    assert eval(repr(tx), vars(S) | vars(gx)) == tx
    update = jax.jit(chex.assert_max_traces(tx.update, 1))
    state = tx.init(PARAMS)
    for grads in GRADS:
        _, state = update(grads, state, PARAMS)
    listed = gx.sgd(gx.per_group([(["embed/*", "*bias"], 0.1), (jax.tree.map(lambda _: True, PARAMS), 0.2)]))
    assert eval(repr(listed), vars(gx)) == listed


def test_equal_arrays_of_one_group_are_traced_once():
    traces = []

    class Traced(Rule):
        rate: Real

        def update(self, g, slot, at):
            traces.append(1)
            return self.rate * g, {}

    many = {f"layer{i}": {"kernel": jnp.ones(3), "bias": jnp.ones(3)} for i in range(20)}
    tx = Transformation((Stage(Traced(gx.per_group({"*bias": lambda step: jnp.asarray(0.1), "*": 0.2}))),))
    jax.make_jaxpr(tx.update)(many, tx.init(many))
    assert len(traces) == 2


def test_checkpoints(tmp_path):
    tx = gx.sgd(gx.per_group({"embed/*": gx.tunable(0.1), re.compile(r"\.*kernel"): gx.tunable(0.2), "*": 0.3}))
    state = gx.set_hyperparams(tx, tx.init(PARAMS), **{"learning_rate.embed/*": 0.7})
    with ocp.StandardCheckpointer() as saver:
        saver.save(tmp_path / "state", state)
        saver.wait_until_finished()
        chex.assert_trees_all_equal(saver.restore(tmp_path / "state", tx.init(PARAMS)), state)
    data = flax.serialization.to_bytes(state)
    chex.assert_trees_all_equal(flax.serialization.from_bytes(tx.init(PARAMS), data), state)


def test_update_without_parameters_and_with_none():
    tx = gx.adam(gx.per_group({"w": 0.1, "*": 0.2}))
    params = tree(1)
    for grads in gradients(2):
        with_params, _ = tx.update(grads, tx.init(params), params)
        without, _ = tx.update(grads, tx.init(params))
        assert_close(with_params, without)
    updates, _ = tx.update(grads | {"w": None}, tx.init(params), params)
    assert updates["w"] is None


def test_describe_shows_the_groups():
    described = gx.describe(gx.adam(gx.per_group({"embed/*": 0.3, "*": 0.1}), b1=0.5), PARAMS)
    groups = described.stages[1].groups
    assert [(g.name, dict(g.hyperparams), g.paths) for g in groups] == [
        ("embed/*", {"learning_rate": "0.3"}, ("embed/table",)),
        ("*", {"learning_rate": "0.1"}, ("head/bias", "head/kernel")),
    ]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: gx.sgd(gx.per_group({"embed/*": 0.1})),
            ValueError,
            "has no value for 'head/bias', 'head/kernel'; add",
        ),
        (
            lambda: gx.sgd(gx.per_group({"*": 0.1, "head/*": 1})),
            ValueError,
            "'head/*' is the first selector of no param",
        ),
        (lambda: gx.sgd(gx.per_group({"nix": 0.1, "*": 1})), ValueError, "'nix' is the first selector of no parameter"),
        (lambda: gx.sgd(gx.per_group({"*": -1.0})), ValueError, r"sgd: learning_rate must be in .*got -1.0, for '*'"),
        (lambda: gx.sgd(gx.per_group({"*": "fast"})), TypeError, r"a number, a schedule.*got 'fast'"),
        (lambda: gx.sgd(gx.per_group({})), ValueError, "per_group: values is empty; give at least one selector"),
        (lambda: gx.sgd(gx.per_group(0.1)), TypeError, "per_group: values must be a dictionary from selectors to val"),
        (
            lambda: gx.sgd(gx.per_group({"*": gx.per_group({"*": 1})})),
            TypeError,
            "is another per_group; write one dict",
        ),
        (lambda: gx.clip_by_global_norm(gx.per_group({"*": 1})), TypeError, "max_norm goes with a measure of all grad"),
        (
            lambda: gx.nadam(0.1, b1=gx.per_group({"*": 0.5})),
            TypeError,
            "b1 goes with product, one number for all para",
        ),
        (lambda: gx.switch(gx.sgd(1), gx.sgd(2), at=gx.per_group({"*": 3})), TypeError, "at belongs to the whole tree"),
        (
            lambda: S.linear(gx.per_group({"*": 1.0}), 0.0, 9),
            TypeError,
            "linear: init_value must be a number, got per_g",
        ),
    ],
)
def test_errors(make, error, message):
    with pytest.raises(error, match=message.replace("*", r"\*") if ".*" not in message else message):
        make().init(PARAMS)
