"""Bad steps: what is skipped, and that nothing of a skipped step remains."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gradtx as gx
from tests.cases import CASES
from tests.helpers import AS_USERS, DTYPES, assert_close, trained, tree, trials

BASE = gx.chain(gx.clip_by_global_norm(1.0), gx.adamw(gx.schedules.linear(0.1, 0.01, 5), weight_decay=0.1))
WRAPPED = [case for case in CASES if case.optimizer and not case.skips][::3]


@pytest.mark.crossed
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", WRAPPED, ids=str)
def test_the_next_good_step_is_the_one_that_would_have_been(case, dtype):
    params, grads = tree(1, dtype), [tree(i, dtype) for i in range(4)]
    limits = jnp.finfo(dtype)
    tx, plain = gx.skip_nonfinite(case.tx()), case.tx()
    bad = [
        grads[1] | {"w": grads[1]["w"].at[i, j].set(x)}
        for (i, j), x in zip([(0, 0), (3, 2)], [np.nan, -np.inf], strict=True)
    ]
    good = [grads[2] | {"w": grads[2]["w"].at[1, 1].set(x)} for x in (limits.max, limits.smallest_subnormal, 0.0)]
    sequence = [grads[0], bad[0], good[1], bad[1], good[2], grads[3]]
    found, state = trained(tx, params, sequence)
    expected, inner = trained(plain, params, [g for g in sequence if not any(g is b for b in bad)])
    chex.assert_trees_all_equal(found, expected)
    stage = state.stages["skip_nonfinite"]
    chex.assert_trees_all_equal(stage["inner"], inner)
    assert (int(stage["skipped"]), int(stage["consecutive"])) == (2, 0)
    _, state = trained(tx, params, good[:1])  # the largest number is finite
    assert int(state.stages["skip_nonfinite"]["skipped"]) == 0


@trials(30)
@given(st.lists(st.sampled_from([0.0, 1e-45, 1.0, 3e38, -3e38, np.inf, -np.inf, np.nan]), min_size=1, max_size=6))
def test_finite_is_finite(values):
    grads = jnp.asarray(values, jnp.float32)
    _, state = gx.skip_nonfinite(gx.sgd(0.0)).update(grads, gx.skip_nonfinite(gx.sgd(0.0)).init(grads))
    assert bool(state.stages["skip_nonfinite"]["skipped"]) == (not np.isfinite(values).all())


def test_gives_up_and_counts():
    tx, ones = gx.skip_nonfinite(gx.sgd(1.0), max_consecutive=2), jnp.ones(1)
    state, seen = tx.init(ones), []
    for bad in (1, 1, 0, 1, 1, 1, 0):
        updates, state = tx.update(ones * (jnp.nan if bad else 1), state)
        stage = state.stages["skip_nonfinite"]
        seen.append((float(updates[0]), int(stage["skipped"]), int(stage["consecutive"]), bool(stage["gave_up"])))
    assert seen == [
        (0.0, 1, 1, False),
        (0.0, 2, 2, False),
        (-1.0, 2, 0, False),
        (0.0, 3, 1, False),
        (0.0, 4, 2, False),
        (0.0, 5, 3, True),
        (-1.0, 5, 0, True),
    ]


def reference(values, window, sigmas, min_steps, floor, bessel, keeps):
    """Say for each value whether it is a spike, in float64."""
    kept, spikes = [], []
    for x in values:
        last = np.asarray(kept[-window:], float)
        spread = max(np.std(last, ddof=bessel) if len(last) > bessel else 0.0, floor) if len(last) else 0.0
        spikes.append(bool(len(last) >= min_steps and x - np.mean(last) > sigmas * spread))
        if keeps or not spikes[-1]:
            kept.append(x)
    return spikes


@trials(20)
@given(
    st.integers(0, 1000),
    st.fixed_dictionaries(
        {
            "sigmas": st.sampled_from([1.0, 2.0, 6.0]),
            "floor": st.sampled_from([0.0, 0.5]),
            "bessel": st.booleans(),
            "keeps_spikes": st.booleans(),
        }
    ),
)
def test_spikes_are_those_of_the_formula(seed, options):
    rng = np.random.RandomState(seed)
    norms = np.abs(rng.standard_normal(40)).astype(np.float32) + 0.1
    norms[rng.randint(40, size=6)] *= 20
    tx = gx.skip_nonfinite(gx.sgd(0.0), spike=gx.rolling(8, min_steps=3, **options))

    def step(state, norm):
        _, after = tx.update(norm[None], state)
        return after, after.stages["skip_nonfinite"]["skipped"] > state.stages["skip_nonfinite"]["skipped"]

    found = jax.jit(lambda n: jax.lax.scan(step, tx.init(jnp.ones(1)), n)[1])(jnp.asarray(norms))
    keeps = options.pop("keeps_spikes")
    assert found.tolist() == reference(norms, 8, min_steps=3, keeps=keeps, **options)


def test_spikes_of_the_loss():
    tx, ones = gx.skip_nonfinite(gx.sgd(1.0), spike=gx.rolling(4, of="both", min_steps=2)), jnp.ones(1)
    state, skipped = tx.init(ones), []
    for loss in (1.0, 1.1, 0.9, 50.0, 1.0, jnp.nan, 1.0):
        _, state = tx.update(ones, state, value=loss)
        skipped.append(int(state.stages["skip_nonfinite"]["skipped"]))
    assert skipped == [0, 0, 0, 1, 1, 1, 1]
    with pytest.raises(TypeError, match="skip_nonfinite needs the argument value"):
        tx.update(ones, state)


def test_with_accumulation_inside_and_outside():
    ones, bad = jnp.ones(1), jnp.full(1, jnp.nan)
    inside = gx.accumulate(gx.skip_nonfinite(gx.sgd(1.0)), 2)
    params, _ = trained(inside, ones, [ones, bad, ones, ones])
    assert_close(params, jnp.zeros(1))  # the first window is skipped
    outside = gx.skip_nonfinite(gx.accumulate(gx.sgd(1.0), 2))
    params, state = trained(outside, ones, [ones, bad, ones, ones])
    assert_close(params, jnp.zeros(1))  # the window of the first and the third
    assert int(state.stages["skip_nonfinite"]["inner"].stages["accumulate"]["micro_step"]) == 1


@pytest.mark.usefixtures("optimized")
def test_copies_nothing():
    params = {"w": jnp.ones(1 << 18)}
    tx = gx.skip_nonfinite(BASE, spike=gx.rolling(128))
    step = functools.partial(jax.jit, donate_argnums=(0, 1))(lambda p, s, g: gx.apply_gradients(tx, g, s, p))
    compiled = step.lower(params, tx.init(params), params).compile(AS_USERS)
    assert compiled.memory_analysis().temp_size_in_bytes < 0.02 * params["w"].nbytes


def test_the_metric_of_a_skipped_step_is_not_observed():
    inner = gx.sgd(gx.schedules.reduce_on_plateau(1.0, factor=0.5, patience=0))
    tx, ones = gx.skip_nonfinite(inner), jnp.ones(1)
    _, state = trained(tx, ones, [ones, ones * jnp.nan, ones], value=[jnp.float32(x) for x in (1.0, 9.0, 0.5)])
    assert (
        float(state.stages["skip_nonfinite"]["inner"].hyperparams["scale_by_learning_rate.learning_rate"]["scale"]) == 1
    )


def test_needs_no_gradients_and_stops_everything_inside():
    tx = gx.skip_nonfinite(gx.switch(gx.adam(0.1), gx.sgd(0.1), at=1))
    params = {"a": jnp.ones(2), "b": jnp.ones(2)}
    found, _ = trained(tx, params, [{"a": jnp.ones(2), "b": None}, {"a": jnp.full(2, jnp.nan), "b": None}])
    assert_close(found, {"a": jnp.full(2, 0.9), "b": jnp.ones(2)})
    empty = gx.skip_nonfinite(gx.sgd(0.1))
    assert empty.update({}, empty.init({}))[0] == {}


def test_is_data():
    tx = gx.skip_nonfinite(BASE, max_consecutive=3, spike=gx.rolling(16, sigmas=3, of="value", bessel=True))
    assert eval(repr(tx), vars(gx) | vars(gx.schedules)) == tx
    for options, message in (
        ({"window": 0}, "rolling: window must be"),
        ({"window": 4, "sigmas": 0}, "rolling: sigmas must be"),
        ({"window": 4, "of": "loss"}, "rolling: of must be one of 'norm', 'value', 'both', got 'loss'"),
    ):
        with pytest.raises(ValueError, match=message):
            gx.rolling(**options)
