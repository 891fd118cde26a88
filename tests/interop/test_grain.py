"""Grain's datasets: inputs scaled by statistics that stay, and by statistics that learn and are in the checkpoints."""

import json
import pickle
from typing import NamedTuple

import chex
import cloudpickle
import jax
import numpy as np
import pytest

import gradtx as gx
from gradtx.interop.grain import apply, learn, learned

grain = pytest.importorskip("grain")

X = np.random.RandomState(0).standard_normal((26, 3)).astype(np.float32) * [1.0, 10.0, 0.1] + np.float32(5)
X = X.astype(np.float32)
ROWS = [{"x": x, "y": i, "name": f"row {i}"} for i, x in enumerate(X)]
TX = gx.chain(gx.inputs.standardize(missing="count"), gx.clip(2.0))
STATE = gx.inputs.fit(TX, [X])
SCALED = np.asarray(TX.update(X, STATE, train=False)[0])


@pytest.fixture
def workers():
    flags = pytest.importorskip("absl.flags").FLAGS
    if not flags.is_parsed():  # Grain reads the flags before it starts processes
        flags.mark_as_parsed()
    return grain.multiprocessing.MultiprocessingOptions(num_workers=2)


class Row(NamedTuple):
    x: np.ndarray
    y: int


def examples():
    return grain.MapDataset.source(ROWS)


def batches(seed=3):
    return grain.MapDataset.source(X).shuffle(seed=seed).batch(4)


def assert_close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("iterable", [False, True])
def test_fit_takes_datasets(iterable):
    dataset = batches().to_iter_dataset() if iterable else batches()
    fitted = gx.inputs.fit(TX, dataset)
    assert int(fitted.step) == 7
    assert_close(TX.update(X, fitted, train=False)[0], SCALED)
    twice = gx.inputs.fit(gx.chain(TX, gx.inputs.max_abs()), dataset)
    assert int(twice.stages["max_abs"]["count"][0]) == 26


def test_applies_what_was_fitted():
    """A fitted state scales single examples and batches, in any order. Users may write to the resulting arrays."""
    single = apply(examples(), TX, STATE, select="x", batched=False)
    assert len(single) == 26
    for i in (25, 0, 27):  # beyond the end, a dataset begins again
        assert single[i].keys() == ROWS[0].keys()
        assert (single[i]["y"], single[i]["name"]) == (i % 26, f"row {i % 26}")
        assert_close(single[i]["x"], SCALED[i % 26])
    assert isinstance(single[0]["x"], np.ndarray)
    assert single[0]["x"].dtype == np.float32
    before = single.shuffle(seed=1).batch(4)
    after = apply(examples().shuffle(seed=1).batch(4), TX, STATE, select="x")
    for a, b in zip(before, after, strict=True):
        assert_close(a["x"], b["x"])
        np.testing.assert_array_equal(a["y"], b["y"])
    last = after.to_iter_dataset()
    for a, b in zip(last, after, strict=True):
        np.testing.assert_array_equal(a["x"], b["x"])
    after[0]["x"][:] = 0
    np.testing.assert_array_equal(ROWS[0]["x"], X[0])
    assert_close(after[2:4][0]["x"], before[2]["x"])
    assert_close(apply(batches(), TX, STATE)[2].sum(), TX.update(batches()[2], STATE, train=False)[0].sum())


def test_elements_of_any_kind():
    pair = apply(grain.MapDataset.source([(X[:4], 7), (X[4:8], 8)]), TX, STATE, select=0)[1]
    assert isinstance(pair, tuple)
    assert pair[1] == 8
    assert_close(pair[0], SCALED[4:8])
    row = apply(grain.MapDataset.source([Row(X[2], 5)]), TX, STATE, select=0, batched=False)[0]
    assert (type(row), row.y) == (Row, 5)
    assert_close(row.x, SCALED[2])
    tree = {"a": X, "b": [X[:, 0]]}
    tx = gx.inputs.max_abs()
    state = gx.inputs.fit(tx, [tree])
    dataset = grain.MapDataset.source([{"a": X[i], "b": [X[i, 0]], "c": i} for i in range(3)])
    found = apply(dataset, tx, state, select=["a", "b"], batched=False)[2]
    assert found["c"] == 2
    chex.assert_trees_all_close(
        {name: found[name] for name in tree}, jax.tree.map(lambda x: x[2] / np.abs(x).max(0), tree), rtol=1e-6
    )
    kept = apply(examples().filter(lambda row: row["y"] % 2), TX, STATE, select="x", batched=False)
    assert kept[0] is None
    assert [row["y"] for row in kept] == [*range(1, 26, 2)]


def test_processes_apply_it(workers):
    dataset = apply(examples().shuffle(seed=1), TX, STATE, select="x", batched=False).batch(4).to_iter_dataset()
    for dumps in (pickle.dumps, cloudpickle.dumps):
        np.testing.assert_array_equal(next(iter(pickle.loads(dumps(dataset))))["y"], next(iter(dataset))["y"])
    iterator = iter(dataset.mp_prefetch(workers))
    for found, expected in zip(iterator, dataset, strict=True):
        np.testing.assert_array_equal(found["x"], expected["x"])
    iterator.close()


def test_learns_from_what_passes():
    tx_state, dataset = TX.init(X), learn(batches(), TX, TX.init(X))
    iterator = iter(dataset)
    for i, (found, x) in enumerate(zip(iterator, batches(), strict=True)):
        expected, tx_state = TX.update(x, tx_state)
        assert_close(found, expected)
        assert int(learned(iterator, tx_state).step) == i + 1
    chex.assert_trees_all_close(learned(iterator, STATE), tx_state, rtol=1e-6)
    assert_close(TX.update(X, learned(iterator, STATE), train=False)[0], SCALED)
    np.testing.assert_array_equal(next(iter(dataset)), next(iter(dataset)))  # each iterator starts again
    rows = iter(learn(examples(), TX, TX.init(X), select="x", batched=False).batch(26))
    assert list(next(rows)["y"]) == [*range(26)]
    assert_close(TX.update(X, learned(rows, STATE), train=False)[0], SCALED)
    gaps = examples().filter(lambda row: row["y"] % 2).to_iter_dataset(allow_nones=True)
    assert sum(row is None for row in learn(gaps, TX, TX.init(X), select="x", batched=False)) == 13
    on = iter(learn(batches(), TX, STATE))
    next(on)
    assert int(learned(on, STATE).stages["standardize"]["count"][0]) == 30


CHAINS = {
    "standardize": (TX, X),
    "robust": (gx.inputs.robust(sample_size=9), np.where(X > 10, np.nan, X)),
    "max_abs, then a schedule": (
        gx.chain(gx.inputs.max_abs(), gx.scale_by_schedule(gx.schedules.linear(1.0, 0.0, 9))),
        X,
    ),
}


@pytest.mark.parametrize("name", CHAINS)
def test_interrupted_anywhere_it_goes_on_exactly(name):
    tx, x = CHAINS[name]
    dataset = learn(grain.MapDataset.source(x).seed(5).shuffle().repeat(2).batch(8).to_iter_dataset(), tx, tx.init(x))
    whole, checkpoints, elements, states = iter(dataset), [], [], []
    while True:
        checkpoints.append(json.dumps(whole.get_state()))
        states.append(learned(whole, tx.init(x)))
        if (element := next(whole, None)) is None:
            break
        elements.append(element)
    assert len(elements) == 7
    for i, checkpoint in enumerate(checkpoints):
        fresh, used = iter(dataset), iter(dataset)
        next(used)
        for iterator in (fresh, used):
            iterator.set_state(json.loads(checkpoint))
            chex.assert_trees_all_equal(learned(iterator, tx.init(x)), states[i])
            for j in range(i, len(elements)):
                np.testing.assert_array_equal(next(iterator), elements[j])
            chex.assert_trees_all_equal(learned(iterator, tx.init(x)), states[-1])


def test_is_a_dataset_to_grain():
    dataset = learn(batches(), TX, TX.init(X)).map(lambda x: x + 1)
    grain.experimental.assert_equal_output_after_checkpoint(dataset)
    ahead = iter(grain.experimental.ThreadPrefetchIterDataset(dataset, prefetch_buffer_size=3))
    next(ahead)
    assert int(learned(ahead, STATE).step) == 1  # more elements were read, and do not count
    limited = iter(grain.experimental.LimitIterDataset(dataset, 2))
    assert len(list(limited)) == 2
    assert int(learned(limited, STATE).step) == 2


def test_grains_checkpoints(tmp_path):
    dataset = learn(batches(), TX, TX.init(X))
    iterator, handler = iter(dataset), grain.checkpoint.CheckpointHandler()
    for _ in range(3):
        next(iterator)
    state = learned(iterator, STATE)
    handler.save(tmp_path, iterator)
    expected = list(iterator)
    restored = handler.restore(tmp_path, iter(dataset))
    chex.assert_trees_all_equal(learned(restored, STATE), state)
    chex.assert_trees_all_equal(list(restored), expected)


def test_orbax(tmp_path):
    ocp = pytest.importorskip("orbax.checkpoint")
    dataset = learn(batches(), TX, TX.init(X))
    iterator = iter(dataset)
    next(iterator), next(iterator)
    with ocp.CheckpointManager(tmp_path) as manager:
        manager.save(2, args=ocp.args.Composite(data=grain.checkpoint.CheckpointSave(iterator)))
        manager.wait_until_finished()
        expected, restored = list(iterator), iter(dataset)
        manager.restore(2, args=ocp.args.Composite(data=grain.checkpoint.CheckpointRestore(restored)))
    chex.assert_trees_all_equal(list(restored), expected)


def test_bad_calls():
    for wrap in (apply, learn):
        with pytest.raises(TypeError, match=r"expected a grain.MapDataset or a grain.IterDataset, got list"):
            wrap([X], TX, STATE)
        with pytest.raises(TypeError, match="the state must be the one that init or fit returned, got dict"):
            wrap(batches(), TX, {})
    with pytest.raises(ValueError, match=r"apply: the state has learnt from no examples yet; call gx.inputs.fit"):
        apply(batches(), TX, TX.init(X))
    others = grain.MapDataset.source(X[:, :2]).batch(4)
    for dataset in (apply(others, TX, STATE), learn(others, TX, STATE)):
        with pytest.raises(ValueError, match=r"expected \(2,\) for the inputs float32\[4, 2\]"):
            next(iter(dataset))
    with pytest.raises(ValueError, match=r"expected \(\) for the inputs float32\[3\]") as error:
        apply(examples(), TX, STATE, select="x")[0]
    assert error.value.__notes__[-1:] == ["apply: batched=True, so each element was taken as a batch"]
    with pytest.raises(KeyError, match=r"apply: select='z' is no part of an element of the keys \['x', 'y', 'name'\]"):
        apply(examples(), TX, STATE, select="z")[0]
    with pytest.raises(KeyError, match="learn: select=7 is no part of an element of type tuple"):
        next(iter(learn(grain.MapDataset.source([(X[:4], 7)]), TX, STATE, select=7)))
    with pytest.raises(TypeError, match="must be real floating arrays, but are int"):
        next(iter(learn(grain.MapDataset.range(5).batch(2), TX, STATE)))
    with pytest.raises(ValueError, match="learns in no places"):
        learned(iter(batches()), STATE)
    twice = iter(learn(learn(batches(), TX, STATE), TX, STATE))
    with pytest.raises(ValueError, match="learns in 2 places"):
        learned(twice, STATE)


def test_checkpoints_of_others():
    iterator = iter(learn(batches(), TX, STATE))
    checkpoint = iterator.get_state()
    for other, words in (
        (gx.inputs.standardize(), r"'missing'\] is int32\[3\], expected absent"),
        (gx.inputs.max_abs(), r"'max_abs'\]\['count'\] is absent, expected int32\[3\]"),
    ):
        iterator = iter(learn(batches(), other, other.init(X)))
        next(iterator)
        before = iterator.get_state()
        with pytest.raises(ValueError, match=f"learn: the checkpoint is of another .* or of other inputs: .*{words}"):
            iterator.set_state(checkpoint)
        assert iterator.get_state() == before
    narrow = grain.MapDataset.source(X[:, :2]).batch(4)
    with pytest.raises(ValueError, match=r"is float32\[3\], expected float32\[2\]"):
        iter(learn(narrow, TX, TX.init(X[:, :2]))).set_state(checkpoint)
    with pytest.raises(ValueError, match=r"is float32\[3\], expected float32\[2\]"):
        learned(iter(learn(batches(), TX, STATE)), TX.init(X[:, :2]))


def test_workers_do_not_learn_each_for_itself(workers):
    dataset = learn(batches(), TX, TX.init(X))
    iterator = iter(dataset.mp_prefetch(workers))
    with pytest.raises(ValueError, match="each of the 2 workers of mp_prefetch would learn from its own share"):
        next(iterator)
    iterator.close()
    before = learn(batches().to_iter_dataset().mp_prefetch(workers), TX, TX.init(X))
    iterator = iter(before)
    assert len(list(iterator)) == 7
    assert_close(TX.update(X, learned(iterator, STATE), train=False)[0], SCALED)
    iterator.close()
