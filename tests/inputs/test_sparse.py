"""`max_abs` gives the same results for sparse inputs as for the equal dense inputs."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse
import sklearn.preprocessing
from jax.experimental.sparse import BCOO, BCSR
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import gradtx as gx
from gradtx.interop.sklearn import from_sklearn, to_sklearn

TX = gx.inputs.max_abs(missing="count")
update = jax.jit(TX.update, static_argnames="train")
OTHERS = [
    gx.inputs.standardize(),
    gx.inputs.min_max(),
    gx.inputs.robust(),
    gx.inputs.batch_norm(),
    gx.inputs.batch_renorm(),
]


def examples(n=24, features=(5,), seed=0, dtype=np.float32, lost=True):
    """Return an array with a third of its entries nonzero, one feature of zeros, and NaN in another feature."""
    rng = np.random.RandomState(seed)
    x = rng.standard_normal((n, *features)) * (rng.uniform(size=(n, *features)) < 0.35)
    if features:
        x[..., 0] = 0
        x[:: 5 if lost else n + 1, ..., -1] = np.nan
    return jnp.asarray(x, dtype)


def padded(x):
    return BCOO.fromdense(x, nse=int((x != 0).sum()) + 7)


def halves(x):
    """Store each entry as a sum of two large parts, in random order, with NaN in the padding."""
    data, indices = BCOO.fromdense(x).data, BCOO.fromdense(x).indices
    rest = jnp.full((3, x.ndim), jnp.asarray(x.shape, jnp.int32))
    order = np.random.RandomState(1).permutation(2 * len(data) + 3)
    values = jnp.concatenate([data * 4, data * -3, jnp.full(3, jnp.nan, x.dtype)])
    return BCOO((values[order], jnp.concatenate([indices, indices, rest])[order]), shape=x.shape)


def partly_outside(x):
    """Add entries with one index out of bounds. JAX ignores these entries."""
    stored = BCOO.fromdense(x)
    strange = jnp.asarray([[x.shape[0], 1], [1, x.shape[1]]])
    both = jnp.concatenate([stored.data, jnp.full(2, 1e9, x.dtype)]), jnp.concatenate([stored.indices, strange])
    return BCOO(both, shape=x.shape, unique_indices=True)


LAYOUTS = {"stored": BCOO.fromdense, "padded": padded, "halves": halves, "partly outside": partly_outside}
every_layout = pytest.mark.parametrize("layout", LAYOUTS.values(), ids=list(LAYOUTS))


def assert_same(found, expected, x):
    """Check that the result is sparse with the indices of x, and equals the result and the state of dense inputs."""
    (y, state), (dense, dense_state) = found, expected
    assert isinstance(y, BCOO)
    np.testing.assert_array_equal(y.indices, x.indices)
    assert (y.shape, y.dtype, y.unique_indices, y.indices_sorted) == (
        x.shape,
        x.dtype,
        x.unique_indices,
        x.indices_sorted,
    )
    np.testing.assert_allclose(y.todense(), dense, rtol=2e-6, atol=1e-6)
    chex.assert_trees_all_close(state, dense_state, rtol=1e-6)


@every_layout
def test_is_what_the_dense_array_gives(layout):
    x, probe = examples(), examples(9, seed=1)
    found, expected = update(layout(x), TX.init(layout(x))), update(x, TX.init(x))
    assert_same(found, expected, layout(x))
    chex.assert_trees_all_close(TX.update(layout(x), TX.init(layout(x))), found, rtol=1e-6)
    again, dense = update(layout(probe), found[1]), update(probe, expected[1])
    assert_same(again, dense, layout(probe))
    frozen = update(layout(x), again[1], train=False)
    assert_same(frozen, update(x, dense[1], train=False), layout(x))
    back = gx.inputs.inverse(TX, frozen[0], frozen[1])
    np.testing.assert_array_equal(back.indices, layout(x).indices)
    np.testing.assert_allclose(back.todense(), x, rtol=2e-6, atol=1e-6)


@every_layout
def test_mask_and_weights(layout):
    x, rng = examples(), np.random.RandomState(2)
    rows, elements = jnp.asarray(rng.uniform(size=24) < 0.5), jnp.asarray(rng.uniform(size=x.shape) < 0.5)
    weights = jnp.asarray(rng.randint(0, 3, 24), jnp.float32)
    for given in ({"mask": rows}, {"mask": elements}, {"weights": weights}, {"mask": elements, "weights": weights}):
        found, expected = (update(a, TX.init(x), **given) for a in (layout(x), x))
        assert_same(found, expected, layout(x))
    with pytest.raises(ValueError, match=r"mask has shape \(3,\); expected \(24,\) or \(24, 5\)"):
        TX.update(layout(x), TX.init(x), mask=rows[:3])


@pytest.mark.parametrize(("n", "features"), [(10, ()), (1, (1,)), (10, (4, 3))])
def test_features_of_any_shape(n, features):
    x = examples(n, features)
    assert_same(update(halves(x), TX.init(x)), update(x, TX.init(x)), halves(x))


def test_nothing_stored_and_no_examples():
    some = update(examples(), TX.init(examples()))[1]
    outside = BCOO((jnp.zeros(2), jnp.full((2, 2), 5)), shape=(0, 5))
    for x in (BCOO.fromdense(jnp.zeros((3, 5))), outside):
        y, state = update(x, some, mask=jnp.ones(x.shape[0], bool))
        assert y.nse == x.nse
        chex.assert_trees_all_equal(state, update(jnp.zeros(x.shape), some)[1])
        chex.assert_trees_all_equal(state, update(x, some)[1])


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.float32])
def test_dtypes_stay_and_it_compiles_once(dtype):
    chex.clear_trace_counter()
    step, state = jax.jit(chex.assert_max_traces(TX.update, 1)), TX.init(padded(examples(dtype=dtype)))
    for seed in range(3):
        stored = BCOO.fromdense(examples(seed=seed, dtype=dtype), nse=80)
        y, after = step(stored, state)
        assert y.dtype == dtype
        chex.assert_trees_all_equal_shapes_and_dtypes(after, state)
        state = after
    expected = gx.inputs.fit(TX, [examples(seed=seed, dtype=dtype) for seed in range(3)])
    chex.assert_trees_all_equal(state, expected)
    assert state.stages["max_abs"]["max_abs"].dtype == jnp.float32


@pytest.mark.parametrize(
    ("places", "largest"),
    [
        ([(0, 0), (0, 0), (1, 0)], [2, 0]),
        ([(1, 0), (0, 2), (1, 0)], [2, 0]),  # the index out of bounds breaks the order
        ([(0, 1), (0, 0), (0, 1)], [1, 2]),
        ([(0, 0), (2, 2), (2, 2)], [1, 0]),
        ([(0, 0), (0, 1), (1, 0)], [1, 1]),
        ([(0, 0), (1, 0), (0, 1)], [1, 1]),  # ordered by columns
    ],
)
def test_entries_of_one_place_add_up(places, largest):
    x = BCOO((jnp.ones(3), jnp.asarray(places)), shape=(2, 2))
    np.testing.assert_array_equal(jnp.abs(x.todense()).max(0), largest)
    np.testing.assert_array_equal(update(x, TX.init(x))[1].stages["max_abs"]["max_abs"], largest)


def test_sums_are_rounded_once():
    """In bfloat16, 256 + 1 is 256. The state has the float32 sum, 257."""
    x = BCOO((jnp.asarray([256, 1], jnp.bfloat16), jnp.zeros((2, 2), jnp.int32)), shape=(1, 1))
    np.testing.assert_array_equal(TX.update(x, TX.init(x))[1].stages["max_abs"]["max_abs"], 257)


def test_missing_values_are_refused():
    tx = gx.inputs.max_abs(missing="refuse")
    x, clean = padded(examples()), padded(examples(lost=False))
    x.data = jnp.where(jnp.arange(x.nse) < x.nse - 7, x.data, jnp.nan)  # padding can have any value
    fitted = gx.inputs.fit(tx, [clean])
    for train in (True, False):
        with pytest.raises(ValueError, match="5 of the inputs are NaN"):
            tx.update(x, fitted, train=train)
    y, state = jax.jit(tx.update)(x, fitted)
    stored = np.arange(y.nse) < y.nse - 7
    np.testing.assert_array_equal(np.isnan(y.data), stored & (np.asarray(y.indices[:, 1]) == 4))
    chex.assert_trees_all_equal(state, jax.jit(tx.update)(examples(), fitted)[1])


def test_fit_takes_an_iterator_and_chains_learn_in_turn():
    batches = [examples(seed=seed, n=n) for seed, n in enumerate((7, 20))]
    fitted = gx.inputs.fit(TX, (halves(x) for x in batches))
    chex.assert_trees_all_close(fitted, gx.inputs.fit(TX, batches), rtol=1e-6)
    twice = gx.chain(TX, gx.inputs.max_abs())
    found, expected = (gx.inputs.fit(twice, data) for data in ([padded(x) for x in batches], batches))
    chex.assert_trees_all_close(found, expected, rtol=1e-6)
    frozen = jax.jit(lambda x, state: twice.update(x, state, train=False))
    assert_same(frozen(padded(batches[0]), found), frozen(batches[0], expected), padded(batches[0]))


def test_trees_of_sparse_and_dense_arrays():
    x = examples()
    tree, dense = {"a": padded(x), "b": [None, x]}, {"a": x, "b": [None, x]}
    y, state = update(tree, TX.init(tree))
    expected, dense_state = update(dense, TX.init(dense))
    chex.assert_trees_all_equal(state, dense_state)
    np.testing.assert_allclose(y["a"].todense(), expected["a"], rtol=1e-6)
    chex.assert_trees_all_equal(y["b"], expected["b"])
    assert "max_abs" in str(gx.describe(TX, tree))


def test_scan():
    xs = [padded(examples(seed=seed, lost=False)) for seed in range(4)]
    nse = max(x.nse for x in xs)
    xs = [BCOO.fromdense(x.todense(), nse=nse) for x in xs]

    def step(state, batch):
        y, state = TX.update(BCOO(batch, shape=(24, 5), unique_indices=True), state)
        return state, y.data

    data = jnp.stack([x.data for x in xs]), jnp.stack([x.indices for x in xs])
    state, ys = jax.lax.scan(step, TX.init(xs[0]), data)
    chex.assert_trees_all_equal(state, gx.inputs.fit(TX, xs))
    assert ys.shape == (4, nse)


def test_merges_over_an_axis():
    x, spread = examples(48), gx.inputs.max_abs(missing="count", axis_name="devices")
    expected, nse = update(x, TX.init(x)), 30
    parts = BCOO.fromdense(x.reshape(8, 6, 5), n_batch=1, nse=nse)
    ys, states = jax.vmap(spread.update, in_axes=(0, None), axis_name="devices")(parts, TX.init(x))
    np.testing.assert_allclose(ys.todense().reshape(48, 5), expected[0], rtol=1e-6)
    for i in range(8):
        chex.assert_trees_all_equal(jax.tree.map(lambda a, i=i: a[i], states), expected[1])

    def part(data, indices, state):
        stored = BCOO((data[0], indices[0]), shape=(6, 5), unique_indices=True)
        y, state = spread.update(stored, state)
        return y.data[None], state

    mesh = jax.make_mesh((8,), ("devices",), axis_types=(AxisType.Auto,))
    specs = {"in_specs": (P("devices"), P("devices"), P()), "out_specs": (P("devices"), P())}
    data, state = jax.jit(jax.shard_map(part, mesh=mesh, **specs))(parts.data, parts.indices, TX.init(x))
    np.testing.assert_allclose(data, ys.data, rtol=1e-6)
    chex.assert_trees_all_equal(jax.device_get(state), jax.device_get(expected[1]))


def test_sharded_equals_unsharded():
    """The axes are Auto. On Explicit axes, JAX cannot scatter the entries of a sparse array."""
    mesh = jax.make_mesh((8,), ("x",), axis_types=(AxisType.Auto,))
    x = BCOO.fromdense(examples(), nse=48)
    expected = update(x, TX.init(x))
    spread = jax.device_put(x, NamedSharding(mesh, P("x")))
    y, state = update(spread, TX.init(x))
    np.testing.assert_allclose(y.data, expected[0].data, rtol=1e-6)
    chex.assert_trees_all_equal(jax.device_get(state), jax.device_get(expected[1]))


def test_is_scikit_learns_on_scipys_matrices():
    x = np.asarray(examples(60, (9,), lost=False), np.float64)
    matrix = scipy.sparse.csr_matrix(x)
    theirs = sklearn.preprocessing.MaxAbsScaler().fit(matrix[:40])
    tx, stored = gx.inputs.max_abs(), BCOO.from_scipy_sparse(matrix.astype(np.float32))
    assert not stored.unique_indices
    state = gx.inputs.fit(tx, [BCOO.from_scipy_sparse(m.astype(np.float32)) for m in (matrix[:11], matrix[11:40])])
    y, expected = tx.update(stored, state, train=False)[0], theirs.transform(matrix)
    np.testing.assert_allclose(y.todense(), expected.todense(), rtol=1e-6)
    np.testing.assert_allclose(
        gx.inputs.inverse(tx, y, state).todense(), theirs.inverse_transform(expected).todense(), rtol=1e-6
    )
    given = to_sklearn(tx, state)
    np.testing.assert_allclose(given.transform(matrix).todense(), expected.todense(), rtol=1e-6)
    given.partial_fit(matrix[40:])
    tx, taken = from_sklearn(theirs)
    taken = gx.inputs.fit(tx, [BCOO.from_scipy_sparse(matrix[40:].astype(np.float32))], taken)
    np.testing.assert_allclose(taken.stages["max_abs"]["max_abs"], given.max_abs_, rtol=1e-6)
    np.testing.assert_array_equal(taken.stages["max_abs"]["count"], given.n_samples_seen_)


@pytest.mark.parametrize("tx", OTHERS, ids=str)
def test_the_others_say_why_they_refuse(tx):
    (name,) = tx.stages
    words = rf"{name}: the inputs at a are sparse, and to shift .* nonzero .*; use only gx.inputs.max_abs, .* x.todense"
    x = {"a": padded(examples()), "b": examples()}
    dense = jax.tree.map(jnp.zeros_like, {"a": examples(), "b": examples()})
    calls = [
        lambda: tx.init(x),
        lambda: tx.update(x, tx.init(dense)),
        lambda: jax.jit(tx.update)(x, tx.init(dense)),
        lambda: gx.inputs.parameters(tx, x),
        lambda: gx.inputs.fit(tx, [x]),
        lambda: gx.chain(gx.inputs.max_abs(), tx).init(x),
    ]
    if name not in ("batch_norm", "batch_renorm"):
        calls.append(lambda: gx.inputs.inverse(tx, x, gx.inputs.fit(tx, [dense])))
    for call in calls:
        with pytest.raises(TypeError, match=words):
            call()


def test_without_centering_they_say_that_they_take_dense_arrays():
    for tx in (gx.inputs.standardize(centering=False), gx.inputs.robust(centering=False)):  # unlike scikit-learn
        with pytest.raises(
            TypeError, match="the inputs are sparse, and its statistics are computed only for dense arrays"
        ):
            tx.init(padded(examples()))


def test_bad_calls():
    x = examples(lost=False)
    stored = padded(x)
    for tx in (gx.chain(TX, gx.clip(1.0)), gx.chain(gx.clip(1.0), TX)):
        with pytest.raises(TypeError, match="clip: the inputs are sparse, and this stage takes only dense arrays"):
            tx.init(stored)
    for other in (BCOO.fromdense(x, n_batch=1), BCOO.fromdense(x, n_dense=1), BCSR.fromdense(x)):
        with pytest.raises(TypeError, match=r"max_abs: .* must be a BCOO with n_batch = n_dense = 0, but are BC"):
            TX.init(other)
    with pytest.raises(TypeError, match="real floating arrays, but are int32; convert them"):
        TX.init(BCOO.fromdense(jnp.ones((2, 2), int)))
    with pytest.raises(TypeError, match=r"real floating arrays, but are csr_matrix; .*BCOO.from_scipy_sparse\(x\)"):
        TX.init(scipy.sparse.csr_matrix(np.eye(3, dtype=np.float32)))
    with pytest.raises(ValueError, match="learnt from no examples"):
        TX.update(stored, TX.init(stored), train=False)
    with pytest.raises(ValueError, match=r"count .* \(5,\); expected \(4,\) for the inputs float32\[24, 4\]"):
        TX.update(BCOO.fromdense(x[:, 1:]), TX.init(stored))


def test_gradient_chains_see_the_numbers_of_sparse_parameters():
    """The indices of sparse parameters are not trained."""
    params = padded(examples(lost=False))
    tx = gx.sgd(0.5)
    grads = jax.tree.map(lambda a: jnp.ones_like(a) if a.dtype == jnp.float32 else None, params)
    updates, _ = tx.update(grads, tx.init(params), params)
    np.testing.assert_array_equal(updates.data, -0.5)
