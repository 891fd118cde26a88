"""What a training loop logs: hyperparameters as they are now, and what stages measured."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradtx as gx
from tests.helpers import assert_close

PARAMS = {"embed": {"table": jnp.ones((3, 2))}, "head": {"kernel": jnp.ones((2, 2)), "bias": jnp.zeros(2)}}
GRADS = jax.tree.map(lambda p: p + 0.5, PARAMS)


def norm(*arrays):
    return np.sqrt(sum(np.sum(np.abs(np.asarray(x, np.float64)) ** 2) for x in arrays))


def test_learning_rates_and_what_varies():
    rates = gx.per_group({"embed/*": gx.schedules.linear(0.1, 0.0, 10), "*": gx.tunable(0.2)})
    tx = gx.chain(gx.clip_by_global_norm(1.0), gx.adamw(rates, b1=lambda step: jnp.where(step > 0, 0.8, 0.9)))
    _, state = tx.update(GRADS, tx.init(PARAMS), PARAMS)
    found = gx.metrics(tx, state)
    assert {name: round(float(x), 6) for name, x in found.items()} == {
        "b1": 0.8,
        "learning_rate.embed/*": 0.09,
        "learning_rate.*": 0.2,
    }
    assert gx.metrics(gx.adam(0.1), gx.adam(0.1).init(PARAMS)).keys() == {"learning_rate"}
    assert all(x.shape == () for x in jax.jit(lambda s: gx.metrics(tx, s))(state).values())


def test_names_are_as_short_as_they_can_be():
    inner = gx.chain(gx.monitor("norm"), gx.sgd(0.1))
    tx = gx.switch(inner, gx.named("second", inner), at=3)
    found = gx.metrics(tx, tx.init(PARAMS))
    assert list(found) == [
        "switch.first.monitor.norm",
        "switch.first.scale_by_learning_rate.learning_rate",
        "switch.second.second.monitor.norm",
        "switch.second.second.scale_by_learning_rate.learning_rate",
    ]


def test_before_and_after_a_clip():
    tx = gx.chain(
        gx.monitor("norm", "max", "nonfinite", above=2.0),
        gx.clip_by_global_norm(2.0),
        gx.named("after", gx.monitor("norm")),
    )
    state = tx.init(PARAMS)
    for scale in (0.1, 1.0, 3.0):
        _, state = tx.update(jax.tree.map(lambda g, s=scale: s * g, GRADS), state)
    found = gx.metrics(tx, state)
    assert_close(found["monitor.norm"], jnp.float32(3 * norm(*jax.tree.leaves(GRADS))), rtol=1e-6)
    assert {n: float(found[n]) for n in ("max", "nonfinite", "above", "after.norm")} == pytest.approx(
        {"max": 4.5, "nonfinite": 0, "above": 2, "after.norm": 2}, rel=1e-6
    )


def test_ratios_of_groups_and_parameters():
    tx = gx.chain(
        gx.sgd(0.1),
        gx.monitor("ratio", "param_norm", groups={"embed": "embed/*", "head": "head/*"}),
        gx.named("each", gx.monitor("ratio", per_parameter=True)),
    )
    _, state = tx.update(GRADS, tx.init(PARAMS), PARAMS)
    found = gx.metrics(tx, state)
    steps = jax.tree.map(lambda g: 0.1 * g, GRADS)
    expected = norm(*jax.tree.leaves(steps["head"])) / norm(*jax.tree.leaves(PARAMS["head"]))
    np.testing.assert_allclose(found["ratio.head"], expected, rtol=1e-6)
    np.testing.assert_allclose(found["param_norm.embed"], norm(PARAMS["embed"]["table"]), rtol=1e-6)
    np.testing.assert_allclose(found["ratio.embed.table"], 0.15, rtol=1e-6)
    assert found["ratio.head.bias"] == 0  # the parameter is zero


def test_asking_changes_no_bit_and_measures_what_is_bad():
    watched = gx.chain(
        gx.monitor("norm", "nonfinite", "max", above=0.1),
        gx.clip_by_global_norm(1.0),
        gx.named("b", gx.monitor("ratio", per_parameter=True)),
        gx.adam(0.1),
        gx.named("c", gx.monitor("norm")),
    )
    plain = gx.chain(gx.clip_by_global_norm(1.0), gx.adam(0.1))
    a, b = (jax.jit(tx.update)(GRADS, tx.init(PARAMS), PARAMS)[0] for tx in (watched, plain))
    chex.assert_trees_all_equal(a, b)
    bad = {"x": jnp.asarray([jnp.nan, jnp.inf, 1.0]), "n": None}
    tx = gx.monitor("norm", "nonfinite", per_parameter=False)
    _, state = tx.update(bad, tx.init({"x": jnp.ones(3), "n": None}))
    assert gx.metrics(tx, state)["nonfinite"] == 2
    assert not jnp.isfinite(gx.metrics(tx, state)["norm"])
    huge = gx.monitor("norm", "max")
    for dtype in (jnp.float32, jnp.bfloat16, jnp.float16):
        g = jnp.full(2, jnp.finfo(dtype).max, dtype)
        _, state = huge.update(g, huge.init(g))
        np.testing.assert_allclose(gx.metrics(huge, state)["max"], float(jnp.finfo(dtype).max), rtol=1e-3)


def test_skipped_steps_and_empty_trees():
    tx = gx.skip_nonfinite(gx.sgd(0.1))
    _, state = tx.update(jnp.asarray([jnp.nan]), tx.init(jnp.ones(1)))
    assert {n: float(x) for n, x in gx.metrics(tx, state).items()} == pytest.approx(
        {"skipped": 1, "consecutive": 1, "gave_up": 0, "learning_rate": 0.1}
    )
    tx = gx.monitor("norm", "max", "nonfinite", "ratio")
    _, state = tx.update({}, tx.init({}), {})
    assert all(x == 0 for x in gx.metrics(tx, state).values())


def test_is_data_and_goes_through_scan():
    tx = gx.chain(
        gx.monitor("norm", groups={"a": "embed/*"}, above=1.0),
        gx.sgd(0.1),
        gx.ema_params(0.9),
        gx.named("z", gx.monitor("max")),
    )
    assert eval(repr(tx), vars(gx)) == tx

    def step(carry, _):
        params, state = gx.apply_gradients(tx, GRADS, carry[1], carry[0])
        return (params, state), gx.metrics(tx, state)["norm.a"]

    norms = jax.lax.scan(step, (PARAMS, tx.init(PARAMS)), length=3)[1]
    np.testing.assert_allclose(norms, norm(GRADS["embed"]["table"]), rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: gx.monitor(), "quantities must be different ones of 'norm', .* got none"),
        (lambda: gx.monitor("size"), "got 'size'"),
        (lambda: gx.monitor("norm", "norm"), "got 'norm', 'norm'"),
        (lambda: gx.monitor("norm", groups={"a": "*"}, per_parameter=True), "has no effect with groups; leave out one"),
        (lambda: gx.monitor("norm", above=-1.0), "above must be in"),
        (lambda: gx.monitor("ratio").update(PARAMS, gx.monitor("ratio").init(PARAMS)), "monitor needs the parameters"),
        (
            lambda: gx.monitor("max", groups={"a": "nix"}).update(
                PARAMS, gx.monitor("max", groups={"a": "nix"}).init(PARAMS)
            ),
            "a selects no par",
        ),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_takes_only_transformations_of_gradtx():
    with pytest.raises(TypeError, match="metrics: the first argument must be a transformation of gradtx"):
        gx.metrics(optax.sgd(0.1), optax.sgd(0.1).init(PARAMS))
