"""Schedules that follow a metric equal PyTorch's scheduler, Keras's callback and optax's transformation."""

import inspect
import os
import pickle
from functools import partial
from types import SimpleNamespace

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from hypothesis import example, given
from hypothesis import strategies as st

import gradtx as gx
from gradtx.interop import torch as like_torch
from tests.helpers import assert_close, gradients, relaxed, tree, trials

S = gx.schedules
os.environ.setdefault("KERAS_BACKEND", "jax")
RATE = "scale_by_learning_rate.learning_rate"
shared = {
    "mode": st.sampled_from(["min", "max"]),
    "factor": st.floats(0.05, 0.95),
    "patience": st.integers(0, 6),
    "cooldown": st.integers(0, 5),
}


def metrics(seed, count=240):
    """Return float32 metrics with falling, rising and constant stretches. A few metrics are NaN or infinite."""
    rng = np.random.RandomState(seed)
    pace = np.repeat(rng.choice([-0.1, 0.0, 0.1, 1.3e-5], count // 12), 12)
    values = (
        rng.choice([0.0, 3.0, -3.0, -100.0]) + np.cumsum(pace) + rng.choice([0.0, 0.01]) * rng.standard_normal(count)
    )
    if seed % 3 == 0:
        values[rng.randint(count, size=3)] = [np.nan, np.inf, -np.inf]
    return values.astype(np.float32)


seeds = st.lists(st.integers(0, 10_000), min_size=4, max_size=4)


def followed(schedule, values):
    """Return the value of the schedule after each metric, for one series or for several."""

    @jax.jit
    @partial(jnp.vectorize, signature="(n)->(n)")
    def run(values):
        def one(carry, metric):
            state, step = carry
            state = schedule.observe(state, metric, step)
            return (state, step + 1), schedule.now(state, step)

        return jax.lax.scan(one, (schedule.init(), jnp.asarray(0)), values)[1]

    return np.asarray(run(values), np.float64)


def check(found, expected, rtol, roundings=1):
    """Check the relative error: at most rtol, or the error of `roundings` float32 roundings at every reduction."""
    reductions = np.cumsum(np.diff(expected, axis=1, prepend=expected[:, :1]) != 0, axis=1)
    allowed = np.maximum(rtol, 2.0**-24 * (roundings * reductions + 2)) * expected + 1e-37
    assert (abs(found - expected) <= allowed).all()


SLOW = {"mode": "min", "factor": 0.8977028708484852, "patience": 0, "cooldown": 0}  # the rate is reduced 200 times


@trials(20)
@example(seeds=[0, 0, 0, 0], options=SLOW | {"threshold": 0.0, "threshold_mode": "rel", "min_lr": 0.0, "eps": 0.0})
@given(
    seeds,
    st.fixed_dictionaries(
        shared
        | {
            "threshold": st.sampled_from([0.0, 1e-4, 0.02]),
            "threshold_mode": st.sampled_from(["rel", "abs"]),
            "min_lr": st.sampled_from([0.0, 1e-3, 0.05]),
            "eps": st.sampled_from([0.0, 1e-8, 0.0123]),
        }
    ),
)
def test_pytorch(seeds, options):
    torch = pytest.importorskip("torch")
    series = np.array([metrics(seed) for seed in seeds])
    expected = np.zeros(series.shape)
    for values, rates in zip(series, expected, strict=True):
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 0.1)
        scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, **options)
        for epoch, value in enumerate(values):
            scheduler.step(float(value))
            rates[epoch] = optimizer.param_groups[0]["lr"]
    found = followed(like_torch.ReduceLROnPlateau(0.1, **options), series)
    check(found, expected, 1e-6)


@trials(12)
@example(seeds=[0, 0, 0, 0], options=SLOW | {"min_delta": 0.0, "min_lr": 0.0})
@given(
    seeds,
    st.fixed_dictionaries(
        shared | {"min_delta": st.sampled_from([0.0, 1e-4, 0.02]), "min_lr": st.sampled_from([0.0, 1e-3])}
    ),
)
def test_keras(seeds, options):
    keras = pytest.importorskip("keras")
    series = np.array([metrics(seed) for seed in seeds])
    series[~np.isfinite(series)] = 7.0  # Keras starts with the first metric as best, even NaN, instead of infinity
    expected = np.zeros(series.shape)
    with relaxed():
        for values, rates in zip(series, expected, strict=True):
            callback = keras.callbacks.ReduceLROnPlateau("loss", **options)
            callback.set_model(SimpleNamespace(optimizer=keras.optimizers.SGD(0.1)))
            callback.on_train_begin()
            for epoch, value in enumerate(values):
                callback.on_epoch_end(epoch, {"loss": value.astype(np.float64)})
                rates[epoch] = np.asarray(callback.model.optimizer.learning_rate)
    options["atol"], options["min_value"] = options.pop("min_delta"), options.pop("min_lr")
    if options["patience"] or options["cooldown"]:  # otherwise both countings are the same
        options["counting"] = "keras"
    found = followed(S.reduce_on_plateau(0.1, rtol=0.0, **options), series)
    check(found, expected, 3e-6, roundings=2)  # Keras also rounds to float32 at every reduction


@trials(12)
@given(
    seeds,
    st.integers(1, 5),
    st.fixed_dictionaries(
        {name: shared[name] for name in ("factor", "patience", "cooldown")}
        | {"rtol": st.sampled_from([1e-4, 0.02]), "atol": st.sampled_from([0.0, 0.05])}
    ),
)
def test_optax(seeds, size, options):
    series = np.array([metrics(seed) for seed in seeds])
    with relaxed():
        theirs = optax.contrib.reduce_on_plateau(
            **options | {"patience": options["patience"] + 1}, accumulation_size=size
        )

        def one(state, value):
            _, state = theirs.update(jnp.ones(1), state, value=value)
            return state, state.scale

        _, expected = jax.jit(jax.vmap(lambda v: jax.lax.scan(one, theirs.init(jnp.ones(1)), v)))(series)
    found = followed(S.reduce_on_plateau(1.0, accumulation_size=size, relative_to="value", **options), series)
    check(found, np.asarray(expected, np.float64), 3e-5, roundings=3)  # optax also rounds the factor to float32


def test_a_negative_metric_that_stands_still():
    """optax and PyTorch never reduce the rate, because -1 < (1 - rtol)·(-1) counts as an improvement."""
    constant = np.full(12, -1.0, np.float32)
    assert (followed(S.reduce_on_plateau(1.0, patience=2, relative_to="value"), constant) == 1).all()
    with relaxed():
        tx = optax.contrib.reduce_on_plateau(patience=2)
        state = tx.init(jnp.ones(1))
        for value in constant:
            _, state = tx.update(jnp.ones(1), state, value=value)
    assert state.scale == 1
    for options in ({}, {"rtol": 0.0, "atol": 1e-4}):
        for sign in (1, -1):
            found = followed(
                S.reduce_on_plateau(1.0, patience=2, mode="min" if sign > 0 else "max", **options), sign * constant
            )
            np.testing.assert_allclose(found, np.repeat([1, 0.1, 0.01, 1e-3], 3), rtol=1e-6)
    worse = -1 + 1e-5 * np.arange(12)
    assert followed(S.reduce_on_plateau(1.0, patience=2), worse.astype(np.float32))[-1] < 1e-2


def test_the_table_of_countings():
    """A constant metric reduces the rate at these evaluations. The patience is 2 and the cooldown is 0 or 2."""

    def reduced_at(**options):
        found = followed(S.reduce_on_plateau(1.0, patience=2, **options), np.ones(13, np.float32))
        return [int(i) + 1 for i in np.flatnonzero(np.diff(found, prepend=1.0))]

    assert reduced_at() == [4, 7, 10, 13]
    assert reduced_at(cooldown=2) == [4, 9]
    assert reduced_at(counting="keras") == [3, 5, 7, 9, 11, 13]
    assert reduced_at(counting="keras", cooldown=2) == [3, 6, 9, 12]


def test_steps_without_a_metric_count_for_nothing():
    tx = gx.sgd(S.reduce_on_plateau(0.5, 0.1, patience=0, accumulation_size=2), momentum=0.9)
    x = jnp.ones(2)
    state, bare = tx.init(x), tx.init(x)
    update = jax.jit(tx.update)
    for i in range(12):
        _, state = update(x, state, x, value=jnp.asarray(1.0) if i % 3 == 0 else None)
        if i % 3 == 0:
            _, bare = update(x, bare, x, value=1)
    for name in ("scale", "best", "bad", "plateaus", "seen", "total"):
        assert optax.tree.get(state, name) == optax.tree.get(bare, name)
    np.testing.assert_allclose(optax.tree.get(state, "scale"), 0.1, rtol=1e-6)


@pytest.mark.parametrize("field", ["learning_rate", "momentum", "weight_decay", "max_norm", "eps"])
def test_drives_any_hyperparameter(field):
    """The update equals the update with the schedule's present value as a constant."""

    def make(**values):
        values = {"learning_rate": 0.1, "momentum": 0.9, "weight_decay": 0.1, "max_norm": 1.0, "eps": 1e-6} | values
        clip = gx.clip_by_global_norm(values.pop("max_norm"), eps=values.pop("eps"))
        return gx.chain(clip, gx.sgd(**values, weight_decay_mode="after", momentum_form="velocity"))

    params, grads = tree(1), gradients(8)
    tx = make(**{field: S.reduce_on_plateau(0.5, 0.5, patience=1)})
    state, now = tx.init(params), 0.5
    update = jax.jit(chex.assert_max_traces(tx.update, 1))
    chex.clear_trace_counter()
    for i, g in enumerate(grads):
        now = 0.5 ** (1 + i // 2) if i else 0.5  # from the third evaluation, every second evaluation ends a plateau
        constant = make(**{field: now})
        expected, _ = constant.update(g, state._replace(hyperparams={}), params)
        updates, state = update(g, state, params, value=jnp.asarray(1.0))
        assert_close(updates, expected, rtol=1e-5)
        found = {
            v.item()
            for k, v in gx.hyperparams(tx, state).items()
            if k.endswith(f".{field}") and k != "clip_by_global_norm.learning_rate"
        }
        np.testing.assert_allclose(list(found), now, rtol=1e-6)


def test_one_name_is_one_plateau_and_the_scale_can_be_set():
    rate = S.reduce_on_plateau(S.linear(1.0, 0.0, 10), 0.5, patience=0, name="rate")
    tx = gx.sgd(rate, momentum=0.9, momentum_form="velocity", weight_decay=0.1)
    x = jnp.ones(2)
    state = tx.init(x)
    assert list(state.hyperparams) == ["rate"]
    for _ in range(3):
        _, state = jax.jit(tx.update)(x, state, x, value=1.0)
    np.testing.assert_allclose(gx.hyperparams(tx, state)["scale_by_learning_rate.learning_rate"], 0.7 * 0.25, rtol=1e-6)
    state = gx.set_hyperparams(tx, state, scale=1.0)
    np.testing.assert_allclose(gx.hyperparams(tx, state)["scale_by_learning_rate.learning_rate"], 0.7, rtol=1e-6)


def test_adagrads_decay_is_within_the_plateau():
    tx, params, grads = (
        gx.adagrad(S.reduce_on_plateau(0.1, 0.5, patience=0), learning_rate_decay=0.1),
        tree(1),
        gradients(3),
    )
    constant = gx.adagrad(0.1, learning_rate_decay=0.1)
    state, expected = tx.init(params), constant.init(params)
    for g, scale in zip(grads, (1.0, 0.5, 0.25), strict=True):
        updates, state = tx.update(g, state, params, value=1.0)
        theirs, expected = constant.update(g, expected, params)
        assert_close(updates, jax.tree.map(lambda u, scale=scale: scale * u, theirs))


def test_scans_vmaps_and_resumes():
    tx = gx.adam(S.reduce_on_plateau(0.1, 0.5, patience=2, accumulation_size=2))
    values = jnp.asarray(np.random.RandomState(0).rand(3, 40), jnp.float32)
    x = jnp.ones(4)

    def run(state, values):
        def one(state, value):
            updates, state = tx.update(x, state, x, value=value)
            return state, updates

        return jax.lax.scan(one, state, values)

    many, updates = jax.jit(jax.vmap(run, in_axes=(None, 0)))(tx.init(x), values)
    for i, alone in enumerate(values):
        state, first = jax.jit(run)(tx.init(x), alone[:17])
        state, second = jax.jit(run)(pickle.loads(pickle.dumps(state)), alone[17:])
        chex.assert_trees_all_close(updates[i], jnp.concatenate([first, second]), rtol=1e-6)
        chex.assert_trees_all_equal(jax.tree.map(lambda a, i=i: a[i], many).hyperparams, state.hyperparams)


def test_the_metric_passes_through_optax_and_flax():
    tx, x = gx.sgd(S.reduce_on_plateau(1.0, patience=0)), jnp.ones(2)
    outer = optax.chain(optax.identity(), tx)
    model = nnx.Linear(2, 1, rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, tx, wrt=nnx.Param)
    grads = jax.tree.map(jnp.zeros_like, nnx.state(model, nnx.Param))
    state, own = outer.init(x), tx.init(x)
    for _ in range(3):
        _, state = outer.update(x, state, x, value=1.0)
        p, own = gx.apply_gradients(tx, x, own, x, value=1.0)
        optimizer.update(model, grads, value=1.0)
    for found in (state, own, nnx.to_pure_dict(nnx.state(optimizer))):
        np.testing.assert_allclose(optax.tree.get(found, "scale"), 0.01, rtol=1e-6)
    np.testing.assert_allclose(p, 0.99, rtol=1e-6)


def test_the_state_may_be_donated():
    tx = gx.switch(gx.sgd(S.reduce_on_plateau(1.0, accumulation_size=2)), gx.sgd(gx.tunable(1.0)), at=S.plateau())
    x = jnp.ones(2)
    step = jax.jit(lambda p, s: gx.apply_gradients(tx, x, s, p, value=1.0), donate_argnums=(0, 1))
    p, state = step(jnp.zeros(2), tx.init(x))
    np.testing.assert_array_equal(step(p, state)[0], -2.0)


def test_is_data():
    schedule = S.reduce_on_plateau(S.cosine_decay(0.1, 100), 0.5, patience=3, mode="max")
    tx = gx.sgd(schedule)
    assert eval(repr(tx), vars(gx) | vars(S)) == tx == pickle.loads(pickle.dumps(tx))
    assert tx != gx.sgd(S.reduce_on_plateau(S.cosine_decay(0.1, 100), 0.5, patience=4, mode="max"))
    assert len({tx, gx.sgd(schedule)}) == 1


def test_double_precision_and_half():
    x = jnp.ones(2, jnp.bfloat16)
    tx = gx.sgd(S.reduce_on_plateau(0.1))
    with jax.enable_x64(True):
        state = tx.init(x)
        updates, after = jax.jit(tx.update)(x, state, x, value=1.0)
        assert {a.dtype for a in jax.tree.leaves(after.hyperparams)} == {np.dtype(np.float64), np.dtype(np.int32)}
        chex.assert_trees_all_equal_dtypes(state, after)
    updates, _ = tx.update(x, tx.init(x), x, value=jnp.asarray(1.0, jnp.bfloat16))
    assert updates.dtype == jnp.bfloat16


def test_complains():
    tx, x = gx.sgd(S.reduce_on_plateau(0.1)), jnp.ones(2)
    state = tx.init(x)
    with pytest.raises(TypeError, match=rf"{RATE} follows a metric: call update\(..., value=metric\), or value=None"):
        tx.update(x, state, x)
    with pytest.raises(TypeError, match=rf"no stage takes values=; {RATE} needs value=. Did you mean that"):
        tx.update(x, state, x, values=1.0)
    for bad in (jnp.ones(2), "1", 1j, True):
        with pytest.raises(TypeError, match=f"{RATE} follows a metric: value must be a real scalar"):
            tx.update(x, state, x, value=bad)
    with pytest.raises(ValueError, match=f"{RATE}: the state has no entry of that name in its hyperparams"):
        tx.update(x, gx.sgd(0.1).init(x), x, value=1.0)
    with pytest.raises(TypeError, match="initial_accumulator_value must be a number, because a slot starts from it"):
        gx.adagrad(0.1, initial_accumulator_value=S.reduce_on_plateau(0.1)).init(x)
    with pytest.raises(ValueError, match=r"sgd: learning_rate must be in \[0, inf\), got -1"):
        gx.sgd(S.reduce_on_plateau(-1.0))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"patience": -1}, "patience must be in"),
        ({"patience": 1.5}, "patience must be a whole number, got 1.5"),
        ({"patience": None}, "patience must be a number"),
        ({"cooldown": -1}, "cooldown must be in"),
        ({"accumulation_size": 0}, "accumulation_size must be in"),
        ({"rtol": -1e-4}, "rtol must be in"),
        ({"atol": float("nan")}, "atol must be in"),
        ({"factor": 1.0}, r"factor must be in \[0, 1\)"),
        ({"min_value": -1.0}, "min_value must be in"),
        ({"min_change": -1.0}, "min_change must be in"),
        ({"mode": "auto"}, "mode must be one of 'min', 'max'"),
        ({"counting": "optax"}, "counting must be one of 'pytorch', 'keras'"),
        ({"relative_to": "best"}, "relative_to must be one of 'magnitude', 'value'"),
        ({"name": "a.b"}, "name must be an identifier"),
    ],
)
def test_names_the_argument_that_is_wrong(options, named):
    with pytest.raises((ValueError, TypeError), match=f"reduce_on_plateau: {named}"):
        S.reduce_on_plateau(0.1, **options)
    if options.keys() & inspect.signature(S.plateau).parameters.keys():
        with pytest.raises((ValueError, TypeError), match=f"plateau: {named}"):
            S.plateau(**options)


def test_has_pytorchs_signature_and_refuses_its_groups():
    torch = pytest.importorskip("torch")
    theirs = inspect.signature(torch.optim.lr_scheduler.ReduceLROnPlateau).parameters
    ours = inspect.signature(like_torch.ReduceLROnPlateau).parameters
    assert [(p.name, p.default) for p in list(theirs.values())[1:]] == [
        (p.name, p.default) for p in list(ours.values())[1:]
    ]
    with pytest.raises(NotImplementedError, match="parameter groups"):
        like_torch.ReduceLROnPlateau(0.1, min_lr=[0.1])
    bad = [
        ("lr", -0.1),
        ("mode", "auto"),
        ("factor", 1.0),
        ("patience", -1),
        ("threshold", -1),
        ("threshold_mode", "both"),
    ]
    for name, value in [*bad, ("cooldown", 0.5), ("min_lr", -1), ("eps", -1)]:
        with pytest.raises(ValueError, match=f"ReduceLROnPlateau: {name} must be"):
            like_torch.ReduceLROnPlateau(**{"lr": 0.1} | {name: value})


def test_target():
    values = np.array([0.1, np.nan, 0.6, 0.4, 0.9], np.float32)
    never = 2**31 - 1
    np.testing.assert_array_equal(followed(S.target(0.6, mode="max"), values), [never, never, 2, 2, 2])
    np.testing.assert_array_equal(followed(S.target(0.05), values), never)
    np.testing.assert_array_equal(followed(S.target(0.1), values), 0)
    np.testing.assert_array_equal(followed(S.plateau(patience=1), values), [never, never, 2, 2, 2])
