"""Feature scalers equal scikit-learn's, for any batches and on any devices."""

import contextlib
import pickle
from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.datasets
import sklearn.preprocessing
from hypothesis import given
from hypothesis import strategies as st
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import gradtx as gx
from gradtx.inputs._scaler import two_sum
from tests.helpers import trials

SCALERS = {
    "standardize": (gx.inputs.standardize, sklearn.preprocessing.StandardScaler),
    "min_max": (gx.inputs.min_max, sklearn.preprocessing.MinMaxScaler),
    "max_abs": (gx.inputs.max_abs, sklearn.preprocessing.MaxAbsScaler),
    "robust": (gx.inputs.robust, sklearn.preprocessing.RobustScaler),
}
DATA = ("iris", "wine", "breast_cancer", "digits", "diabetes")
every_scaler = pytest.mark.parametrize("make", [make for make, _ in SCALERS.values()], ids=list(SCALERS))


def load(name):
    return np.asarray(getattr(sklearn.datasets, f"load_{name}")().data, np.float32)


def examples(n=40, features=3, seed=0, dtype=np.float32):
    rng = np.random.RandomState(seed)
    return (rng.standard_normal((n, features)) * [1.0, 10.0, 0.01][:features] + 5.0).astype(dtype)


def applied(tx, state, x):
    return tx.update(x, state, train=False)[0]


@partial(jax.jit, static_argnums=0)
def there_and_back(tx, state, x):
    y = applied(tx, state, x)
    return y, gx.inputs.inverse(tx, y, state)


def mean_and_std(state):
    slot = {name: np.asarray(x, np.float64) for name, x in state.stages["standardize"].items()}
    total = {name: slot[name] + slot[f"{name}_low"] for name in ("count", "mean", "m2")}
    return total["mean"], slot["scale"] * np.sqrt(total["m2"] / total["count"])


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("scaler", SCALERS)
def test_equals_scikit_learn(scaler, data):
    make, peer = SCALERS[scaler]
    x, tx = load(data), make()
    x = x[: len(x) // 7 * 7]
    size = np.maximum(np.abs(x).max(0), 1e-30)
    for batches in (np.split(x, 7), [x]):
        theirs = peer()
        if scaler != "robust":
            for batch in batches:
                theirs.partial_fit(batch.astype(np.float64))
        else:
            theirs.fit(x.astype(np.float64))
        y, back = there_and_back(tx, gx.inputs.fit(tx, batches), x)
        np.testing.assert_allclose(y, theirs.transform(x.astype(np.float64)), rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(np.asarray(back) / size, x / size, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("make", "theirs"),
    [
        (gx.inputs.standardize(centering=False), sklearn.preprocessing.StandardScaler(with_mean=False)),
        (gx.inputs.standardize(scaling=False), sklearn.preprocessing.StandardScaler(with_std=False)),
        (gx.inputs.min_max((-2, 5)), sklearn.preprocessing.MinMaxScaler((-2, 5))),
        (gx.inputs.min_max(clip=True), sklearn.preprocessing.MinMaxScaler(clip=True)),
        (gx.inputs.robust(quantile_range=(10, 70)), sklearn.preprocessing.RobustScaler(quantile_range=(10, 70))),
        (gx.inputs.robust(centering=False), sklearn.preprocessing.RobustScaler(with_centering=False)),
        (gx.inputs.robust(scaling=False), sklearn.preprocessing.RobustScaler(with_scaling=False)),
        (gx.inputs.robust(unit_variance=True), sklearn.preprocessing.RobustScaler(unit_variance=True)),
    ],
    ids=str,
)
def test_options_are_scikit_learns(make, theirs):
    x = load("wine")
    train, test = x[:100], x[100:]
    expected = theirs.fit(train.astype(np.float64)).transform(test.astype(np.float64))
    y = applied(make, gx.inputs.fit(make, [train]), jnp.asarray(test))
    spread = expected.std(0)
    np.testing.assert_allclose(np.asarray(y) / spread, expected / spread, rtol=2e-6, atol=1e-6)


def test_weights_are_scikit_learns():
    x, w = load("wine"), np.random.RandomState(0).uniform(0, 3, 178).astype(np.float32)
    w[::5] = 0
    tx = gx.inputs.standardize()
    state = tx.init(x)
    for rows in np.array_split(np.arange(178), 6):
        _, state = tx.update(jnp.asarray(x[rows]), state, weights=jnp.asarray(w[rows]))
    theirs = sklearn.preprocessing.StandardScaler().fit(x.astype(np.float64), sample_weight=w.astype(np.float64))
    np.testing.assert_allclose(applied(tx, state, x), theirs.transform(x), rtol=1e-6, atol=2e-6)
    np.testing.assert_allclose(state.stages["standardize"]["count"], theirs.n_samples_seen_, rtol=1e-6)


@every_scaler
def test_weight_zero_and_mask_leave_examples_out(make):
    x, tx = examples(), make()
    kept = np.arange(40) % 3 > 0
    expected = gx.inputs.fit(tx, [x[kept]])
    spoilt = jnp.asarray(np.where(kept[:, None], x, 1e9))
    found = [tx.update(spoilt, tx.init(x), mask=jnp.asarray(kept))[1]]
    found += [tx.update(spoilt, tx.init(x), mask=jnp.asarray(np.broadcast_to(kept[:, None], x.shape)))[1]]
    if make is not gx.inputs.robust:
        found += [tx.update(spoilt, tx.init(x), weights=jnp.asarray(kept, jnp.float32))[1]]
    for state in found:
        chex.assert_trees_all_close(applied(tx, state, x), applied(tx, expected, x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("parts", [1, 50])
def test_a_large_mean_with_a_small_spread_comes_out_right(parts):
    """In float32 a difference of sums of squares would be smaller than their rounding errors."""
    x = (1e4 + 0.1 * np.random.RandomState(0).standard_normal((5000, 2))).astype(np.float32)
    true = x.astype(np.float64)
    state = gx.inputs.fit(gx.inputs.standardize(), np.array_split(x, parts))
    mean, std = mean_and_std(state)
    np.testing.assert_allclose((mean - true.mean(0)) / true.std(0), 0, atol=1e-7)
    np.testing.assert_allclose(std, true.std(0), rtol=1e-6)
    y = applied(gx.inputs.standardize(), state, x)
    np.testing.assert_allclose(y, (true - true.mean(0)) / true.std(0), rtol=1e-6, atol=1e-6)

    sums = [sum(jnp.sum(part**power, 0) for part in np.array_split(x, parts)) / 5000 for power in (1, 2)]
    naive = np.sqrt(np.maximum(sums[1] - sums[0] ** 2, 0))
    assert (np.abs(naive / true.std(0) - 1) > 0.1).all()


@pytest.mark.parametrize("size", [1e30, 1e-30])
def test_huge_and_tiny_values(size):
    x = (np.random.RandomState(0).standard_normal((300, 2)) * size + size).astype(np.float32)
    state = gx.inputs.fit(gx.inputs.standardize(), np.array_split(x, 4))
    true = x.astype(np.float64)
    np.testing.assert_allclose(mean_and_std(state), (true.mean(0), true.std(0)), rtol=1e-6)
    y = applied(gx.inputs.standardize(), state, x)
    np.testing.assert_allclose(y, (true - true.mean(0)) / true.std(0), rtol=1e-6, atol=1e-6)


def test_an_outlier_leaves_the_others_their_digits():
    x = np.random.RandomState(0).standard_normal((1000, 1)).astype(np.float32)
    x[0] = 1e6
    true = x.astype(np.float64)
    for parts in (1, 10):
        mean, std = mean_and_std(gx.inputs.fit(gx.inputs.standardize(), np.array_split(x, parts)))
        np.testing.assert_allclose((mean - true.mean(0)) / true.std(0), 0, atol=1e-6)
        np.testing.assert_allclose(std, true.std(0), rtol=1e-6)


def test_counts_beyond_2_24():
    """Every example is counted, even one more than float32 can count."""
    tx = gx.inputs.standardize()
    state = tx.init(jnp.zeros((1, 1)))
    _, state = tx.update(jnp.array([[1.0], [3.0]]), state, weights=jnp.array([2.0**24, 2.0**24]))
    for _ in range(3):
        _, state = tx.update(jnp.array([[2.0]]), state)
    slot = state.stages["standardize"]
    assert int(slot["count"][0]) + int(slot["count_low"][0]) == 2**25 + 3


def test_two_sum_is_exact_under_jit():
    rng = np.random.RandomState(0)
    a, b = ((rng.standard_normal(1000) * 10.0 ** rng.uniform(-6, 6, 1000)).astype(np.float32) for _ in range(2))
    for f in (two_sum, jax.jit(two_sum)):
        s, rest = (np.asarray(x, np.float64) for x in f(a, b))
        np.testing.assert_array_equal(s + rest, a.astype(np.float64) + b)
        assert rest.any()


@trials(6)
@given(st.lists(st.sampled_from([0, 1, 2, 9]), min_size=2, max_size=8), st.randoms(use_true_random=False))
def test_neither_batches_nor_order_matter(sizes, random):
    sizes = [2, *sizes]
    x, probe = examples(sum(sizes)), examples(10, seed=1)
    order = random.sample(range(len(x)), len(x))
    for make, theirs in SCALERS.values():
        expected = theirs().fit(x.astype(np.float64)).transform(probe.astype(np.float64))
        for rows in (x, x[order]):
            state = gx.inputs.fit(make(), np.split(rows, np.cumsum(sizes)[:-1]))
            np.testing.assert_allclose(applied(make(), state, probe), expected, rtol=1e-6, atol=1e-6)


@every_scaler
def test_constant_features_become_zeros(make):
    x = np.full((30, 3), [0.0, 0.1, 1e7], np.float32)
    for parts in (1, 4):
        state = gx.inputs.fit(make(), np.array_split(x, parts))
        y = applied(make(), state, x)
        if make is not gx.inputs.max_abs:
            np.testing.assert_array_equal(y, 0)
        np.testing.assert_allclose(gx.inputs.inverse(make(), y, state), x, rtol=1e-7)
    np.testing.assert_array_equal(applied(make(), state, x)[:, 0], 0)


@every_scaler
def test_one_example_and_none(make):
    x, tx = examples(1), make()
    y, state = tx.update(x, tx.init(x))
    assert np.isfinite(y).all()
    empty, after = tx.update(x[:0], state)
    assert empty.shape == (0, 3)
    chex.assert_trees_all_equal(after.stages, state.stages)
    _, first = tx.update(x[:0], tx.init(x))
    chex.assert_trees_all_equal(first.stages, tx.init(x).stages)


@every_scaler
@pytest.mark.parametrize("missing", ["ignore", "count"])
def test_missing_values_are_left_out(make, missing):
    x, tx = examples(), make(missing=missing)
    x[np.random.RandomState(1).uniform(size=x.shape) < 0.3] = np.nan
    theirs = SCALERS[make.__name__][1]().fit(x.astype(np.float64))
    state = gx.inputs.fit(tx, [x] if make is gx.inputs.robust else np.array_split(x, 3))
    y = applied(tx, state, x)
    np.testing.assert_allclose(y, theirs.transform(x.astype(np.float64)), rtol=1e-5, atol=2e-6)
    np.testing.assert_array_equal(np.isnan(y), np.isnan(x))
    slot = state.stages[make.__name__]
    assert ("missing" in slot) == (missing == "count")
    if missing == "count":
        np.testing.assert_array_equal(slot["missing"], np.isnan(x).sum(0))


@every_scaler
def test_missing_values_are_refused(make):
    x, tx = examples(), make(missing="refuse")
    clean = gx.inputs.fit(tx, [x])
    bad = jnp.asarray(x).at[3, 1].set(np.nan)
    for train in (True, False):
        with pytest.raises(ValueError, match="1 of the inputs are NaN"):
            tx.update(bad, clean, train=train)
    y, state = jax.jit(tx.update)(bad, clean)
    np.testing.assert_array_equal(np.isnan(y), np.broadcast_to([False, True, False], y.shape))
    np.testing.assert_array_equal(np.isnan(applied(tx, state, x)).any(0), [False, True, False])


def test_jitted_functions_may_close_over_state_and_inputs():
    tx, x = gx.inputs.standardize(missing="refuse"), jnp.array([[1.0], [3.0]])
    state, unfitted, bad = gx.inputs.fit(tx, [x]), tx.init(x), x * jnp.nan
    expected, _ = tx.update(x, state, train=False)
    chex.assert_trees_all_equal(jax.jit(lambda: tx.update(x, state, train=False)[0])(), expected)
    with pytest.raises(ValueError, match="2 of the inputs are NaN"):
        jax.jit(lambda: tx.update(bad, state, train=False)[0])()
    with pytest.raises(ValueError, match="learnt from no examples"):
        jax.jit(lambda: tx.update(x, unfitted, train=False)[0])()


@every_scaler
def test_unfitted(make):
    x, tx = examples(), make()
    state = tx.init(x)
    with pytest.raises(ValueError, match=rf"{make.__name__}: it has learnt from no examples"):
        tx.update(x, state, train=False)
    with pytest.raises(ValueError, match="learnt from no examples"):
        gx.inputs.inverse(tx, x, state)
    assert np.isnan(jax.jit(lambda s: applied(tx, s, x))(state)).all()


@every_scaler
def test_frozen_state_is_as_it_was(make):
    x, tx = examples(), make()
    state = gx.inputs.fit(tx, [x])
    chex.assert_trees_all_equal(tx.update(x + 1, state, train=False)[1], state)


@every_scaler
def test_jit_eager_scan_and_vmap_agree(make):
    x, tx = examples(48).reshape(4, 12, 3), make(**({"sample_size": 20} if make is gx.inputs.robust else {}))
    eager = tx.init(x[0])
    for batch in x:
        y, eager = tx.update(batch, eager)
    scanned, ys = jax.jit(lambda s, x: jax.lax.scan(lambda s, b: tx.update(b, s)[::-1], s, x))(tx.init(x[0]), x)
    chex.assert_trees_all_close(scanned, eager, rtol=1e-6)
    chex.assert_trees_all_close(ys[-1], y, rtol=1e-5, atol=1e-6)
    chex.assert_trees_all_close(gx.inputs.fit(tx, x), eager, rtol=1e-6)

    several = jax.device_get(jax.jit(jax.vmap(lambda b: tx.update(b, tx.init(b))))(x))
    for i, batch in enumerate(x):
        alone = tx.update(batch, tx.init(batch))
        chex.assert_trees_all_close(jax.tree.map(lambda a, i=i: a[i], several), alone, rtol=1e-5, atol=1e-6)


@every_scaler
@pytest.mark.parametrize("lost", [False, True])
def test_merges_over_an_axis(make, lost):
    x = examples(48)
    if lost:
        x[::7, 1] = np.nan
    batches = jnp.asarray(x.reshape(8, 6, 3))
    alone, spread = make(), make(axis_name="devices")
    state = alone.init(x)
    expected = alone.update(x, state)
    several = jax.jit(jax.vmap(spread.update, in_axes=(0, None), axis_name="devices"))(batches, state)
    ys, states = jax.device_get(several)
    np.testing.assert_allclose(ys.reshape(48, 3), expected[0], rtol=1e-5, atol=1e-6)
    for i in range(8):
        chex.assert_trees_all_close(jax.tree.map(lambda a, i=i: a[i], states), expected[1], rtol=1e-5, atol=1e-6)
    mesh = jax.make_mesh((8,), ("devices",), axis_types=(AxisType.Auto,))
    mapped = jax.shard_map(
        lambda b, s: spread.update(b, s), mesh=mesh, in_specs=(P("devices"), P()), out_specs=(P("devices"), P())
    )
    found = jax.jit(mapped)(jnp.asarray(x), state)
    chex.assert_trees_all_close(jax.device_get(found), jax.device_get(expected), rtol=1e-5, atol=1e-6)


@every_scaler
@pytest.mark.parametrize("axis_type", [AxisType.Auto, AxisType.Explicit])
@pytest.mark.parametrize("inside", [False, True])
def test_sharded_equals_unsharded(make, axis_type, inside):
    mesh = jax.make_mesh((8,), ("x",), axis_types=(axis_type,))
    x, tx = jnp.asarray(examples(48)), make()
    expected = tx.update(x, tx.init(x))
    with jax.set_mesh(mesh) if inside else contextlib.nullcontext():
        spread = jax.device_put(x, NamedSharding(mesh, P("x")))
        found = jax.jit(tx.update)(spread, tx.init(x))
        frozen = jax.jit(lambda x, s: applied(tx, s, x))(spread, found[1])
    chex.assert_trees_all_close(jax.device_get(found), jax.device_get(expected), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(frozen, expected[0], rtol=1e-5, atol=1e-6)


@every_scaler
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
def test_dtypes_stay_and_it_compiles_once(make, dtype):
    chex.clear_trace_counter()
    tx, x = make(missing="count"), jnp.asarray(examples(), dtype)
    state = tx.init(x)
    step = jax.jit(chex.assert_max_traces(tx.update, 1))
    for _ in range(3):
        y, new = step(x, state)
        assert y.dtype == dtype
        chex.assert_trees_all_equal_shapes_and_dtypes(new, state)
        state = new
    kept = [a.dtype for a in jax.tree.leaves(state.stages) if jnp.issubdtype(a.dtype, jnp.floating)]
    assert set(kept) == {np.dtype(np.float32)}
    wide = make().update(jnp.asarray(x, jnp.float32), make().init(x))[0]
    np.testing.assert_allclose(np.asarray(y, np.float64), wide, rtol=0.02, atol=0.02)


@every_scaler
def test_state_may_be_donated(make):
    x, tx = jnp.asarray(examples()), make()
    expected = tx.update(x, tx.init(x))[1]
    found = jax.jit(lambda s, x: tx.update(x, s)[1], donate_argnums=0)(tx.init(x), x)
    chex.assert_trees_all_close(found, expected, rtol=1e-6, atol=1e-7)


@every_scaler
def test_is_data(make):
    tx = gx.chain(make(missing="count", axis_name="batch"), gx.clip(3.0))
    assert eval(repr(tx), vars(gx) | vars(gx.inputs)) == tx
    assert pickle.loads(pickle.dumps(tx)) == tx
    assert tx != gx.chain(make(), gx.clip(3.0))
    state = make().init(examples())
    chex.assert_trees_all_equal(pickle.loads(pickle.dumps(state)), state)
    assert make.__name__ in str(gx.describe(make(), examples()))


@every_scaler
def test_trees_with_none_and_features_of_any_shape(make):
    x = examples(24, 2)
    tree = {"a": jnp.asarray(x), "b": [None, jnp.asarray(x[:, 0])], "c": jnp.asarray(x.reshape(6, 4, 2))}
    update = jax.jit(lambda x: make().update(x, make().init(x)))
    y, state = update(tree)
    assert y["b"][0] is None
    for found, leaf in ((y["a"], tree["a"]), (y["b"][1], tree["b"][1]), (y["c"], tree["c"])):
        np.testing.assert_allclose(found, update(leaf)[0], rtol=1e-6)
    back = jax.jit(partial(gx.inputs.inverse, make()))(y, state)
    chex.assert_trees_all_close(back, tree, rtol=1e-5)


def test_stages_of_a_chain_learn_one_after_the_other():
    x = load("wine")[:176]
    tx = gx.chain(gx.inputs.robust(), gx.clip(3.0), gx.inputs.standardize(), gx.inputs.standardize())
    batches = np.split(x, 4)  # equal shapes need only one compilation
    state = gx.inputs.fit(tx, batches)
    y = sklearn.preprocessing.RobustScaler().fit_transform(x.astype(np.float64)).clip(-3, 3)
    y = (y - y.mean(0)) / y.std(0)
    np.testing.assert_allclose(applied(tx, state, x), y, rtol=1e-5, atol=3e-6)
    assert int(state.step) == 4
    again = gx.inputs.fit(tx, batches, state)
    assert int(again.step) == 8
    np.testing.assert_array_equal(again.stages["standardize"]["count"], 352)
    with pytest.raises(TypeError, match="3 stages learn one after the other"):
        gx.inputs.fit(tx, iter(batches))
    with pytest.raises(TypeError, match="clip has no inverse"):
        gx.inputs.inverse(tx, x, state)
    undone = gx.chain(gx.inputs.min_max((-1, 1)), gx.inputs.standardize())
    state = gx.inputs.fit(undone, batches)
    np.testing.assert_allclose(gx.inputs.inverse(undone, applied(undone, state, x), state), x, rtol=1e-5)


def test_fit_takes_an_iterator_and_goes_on():
    x, tx = examples(), gx.chain(gx.inputs.standardize(), gx.clip(3.0))
    state = gx.inputs.fit(tx, iter([x[:10]]))
    state = gx.inputs.fit(tx, (part for part in (x[10:20], x[20:])), state)
    assert int(state.step) == 3
    expected = (x - x.mean(0, dtype=float)) / x.std(0, dtype=float)
    np.testing.assert_allclose(applied(tx, state, x), expected.clip(-3, 3), rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="no batch"):
        gx.inputs.fit(tx, [])
    with pytest.raises(TypeError, match="no stage of clip"):
        gx.inputs.fit(gx.clip(1.0), [x])


def test_a_full_sample_is_uniform_and_does_not_depend_on_batches():
    x = np.arange(4000, dtype=np.float32)[:, None]
    tx = gx.inputs.robust(sample_size=500, key=3)
    state = gx.inputs.fit(tx, [x])
    sample = np.sort(np.asarray(state.stages["robust"]["sample"]).ravel())
    assert len(np.unique(sample)) == 500
    positions = np.abs(sample / 4000 - (np.arange(500) + 0.5) / 500)  # the Kolmogorov-Smirnov bound at level 0.001
    assert positions.max() < 1.95 / np.sqrt(500)
    parts = gx.inputs.fit(tx, np.array_split(x, 13))
    np.testing.assert_array_equal(np.sort(parts.stages["robust"]["sample"].ravel()), sample)
    other = gx.inputs.fit(gx.inputs.robust(sample_size=500, key=jax.random.key(4)), [x])
    assert (np.sort(other.stages["robust"]["sample"].ravel()) != sample).any()


def test_bad_calls():
    x = jnp.asarray(examples())
    state = gx.inputs.standardize().init(x)
    with pytest.raises(ValueError, match=r"expected \(2,\) for the inputs float32\[40, 2\]"):
        gx.inputs.standardize().update(x[:, :2], state)
    with pytest.raises(ValueError, match=r"weights has shape \(39,\); expected \(40,\)"):
        gx.inputs.standardize().update(x, state, weights=jnp.ones(39))
    with pytest.raises(ValueError, match=r"mask has shape \(3,\)"):
        gx.inputs.standardize().update(x, state, mask=jnp.ones(3, bool))
    with pytest.raises(ValueError, match="the inputs must have the examples on axis 0"):
        gx.inputs.standardize().init(jnp.zeros(()))
    with pytest.raises(TypeError, match="must be real floating arrays"):
        gx.inputs.standardize().init(jnp.zeros((2, 2), int))
    with pytest.raises(TypeError, match="robust: takes no weights"):
        gx.inputs.robust().update(x, gx.inputs.robust().init(x), weights=jnp.ones(40))
    with pytest.raises(ValueError, match="min_max: feature_range must be two numbers of which the first is less"):
        gx.inputs.min_max((1, 1))
    with pytest.raises(ValueError, match=r"feature_range must be in \(-inf, inf\)"):
        gx.inputs.min_max((-np.inf, 0))
    with pytest.raises(TypeError, match="feature_range must be two numbers"):
        gx.inputs.min_max(3.0)
    with pytest.raises(ValueError, match=r"quantile_range must be in \[0, 100\]"):
        gx.inputs.robust(quantile_range=(-1, 50))
    with pytest.raises(ValueError, match="unit_variance"):
        gx.inputs.robust(quantile_range=(0, 50), unit_variance=True)
    with pytest.raises(ValueError, match="missing must be one of 'ignore', 'count', 'refuse'"):
        gx.inputs.max_abs(missing="drop")


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: gx.inputs.standardize(False), TypeError, "standardize: takes no positional arguments, got 1"),
        (lambda: gx.inputs.min_max((0, 1), True), TypeError, r"min_max: takes 1 positional argument \(feature_range\)"),
        (lambda: gx.inputs.max_abs("count"), TypeError, "max_abs: takes no positional arguments, got 1"),
        (lambda: gx.inputs.robust((10, 80)), TypeError, "robust: takes no positional arguments, got 1"),
        (lambda: gx.inputs.max_abs(axis_name=1), TypeError, "max_abs: axis_name must be the name of an axis"),
        (
            lambda: gx.inputs.robust(quantile_range=(10, 80), scaling=False),
            ValueError,
            r"robust: quantile_range=\(10.0, 80.0\) has no effect with scaling=False",
        ),
        (
            lambda: gx.inputs.robust(unit_variance=True, scaling=False),
            ValueError,
            "robust: unit_variance=True has no effect with scaling=False",
        ),
    ],
)
def test_bad_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()


@every_scaler
@pytest.mark.parametrize("argument", ["weights", "mask"])
def test_learning_arguments_are_refused_in_inference(make, argument):
    x, tx = jnp.asarray(examples()), make()
    state = gx.inputs.fit(tx, [x])
    with pytest.raises(
        TypeError, match=rf"update: {argument}= has no effect with train=False, because {make.__name__}"
    ):
        tx.update(x, state, train=False, **{argument: jnp.ones(40, bool)})
    chex.assert_trees_all_equal(tx.update(x, state, train=False, **{argument: None})[0], applied(tx, state, x))
    # Batch normalisation uses a mask in inference too.
    both = gx.chain(tx, gx.inputs.batch_norm())
    state = both.update(x, both.init(x))[1]
    mask = jnp.arange(40) < 3
    assert not np.any(both.update(x, state, train=False, mask=mask)[0][3:])


def test_a_rule_may_use_weights_in_inference():
    class Weigh(gx.inputs.InputRule):
        def run(self, x, slot, at):
            return x * at.weights[:, None], {}

    tx, x = gx.chain(gx.core.as_transformation(Weigh)(), gx.inputs.max_abs()), jnp.asarray(examples())
    state = tx.update(x, tx.init(x), weights=jnp.ones(40))[1]
    y = tx.update(x, state, train=False, weights=jnp.full(40, 2.0))[0]
    chex.assert_trees_all_close(y, 2 * tx.update(x, state, train=False, weights=jnp.ones(40))[0], rtol=1e-6)


def test_parameters_of_other_stages_are_refused():
    x, tx = jnp.asarray(examples()), gx.inputs.standardize()
    state = gx.inputs.fit(tx, [x])
    for params, words in (
        ({"batch_norm": {}}, "inverse: params must be .* there is no stage batch_norm, only standardize"),
        (
            {"standardize": {"scale": jnp.ones(3)}},
            "standardize, for the inputs: there is no parameter scale, only none",
        ),
        (
            {"standardize": jnp.ones(3)},
            r"inverse: params must be .* for standardize expected \{parameter name: array\}",
        ),
        (jnp.ones(3), r"inverse: params must be .*, got float32\[3\]"),
    ):
        with pytest.raises(ValueError, match=words):
            gx.inputs.inverse(tx, x, state, params)


@every_scaler
@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit])
def test_examples_and_features_may_be_split_over_a_mesh(make, kind):
    mesh, tx, x = jax.make_mesh((4, 2), ("n", "f"), axis_types=(kind, kind)), make(), examples(16)[:, :2]
    expected, state = jax.jit(tx.update)(jnp.asarray(x), tx.init(x))
    split = jax.device_put(x, NamedSharding(mesh, P("n", "f")))
    with jax.set_mesh(mesh):
        y, after = jax.jit(tx.update)(split, tx.init(split))
    chex.assert_trees_all_close(jax.device_get((y, after)), jax.device_get((expected, state)), rtol=1e-6, atol=1e-6)
    if make is not gx.inputs.robust:  # every device has the whole sample
        assert all(leaf.sharding.spec == P("f") for leaf in jax.tree.leaves(after.stages))
