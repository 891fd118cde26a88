"""Mini-batches have every example once an epoch, and are the same however they are drawn and after any restart."""

import contextlib
import math
import os
import pickle
import signal
import subprocess
import sys
from functools import cache, partial

import chex
import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import gradtx as gx
from gradtx.inputs import _minibatches, minibatches
from tests.helpers import assert_close, relaxed, trials


def data(n):
    """Return the example numbers in leaves of several shapes and dtypes. One leaf's rows are copied as vectors."""
    i = np.arange(n, dtype=np.float32)
    return {
        "i": jnp.asarray(i, jnp.int32),
        "rows": jnp.asarray(i[:, None] + 0.1 * np.arange(8, dtype=np.float32)),
        "odd": [jnp.asarray(i[:, None, None] * np.ones((1, 3, 1), np.float32)), None],
    }


@jax.jit
def step(batches, state):
    return batches.next(state)


@partial(jax.jit, static_argnums=2)
def scan(batches, state, length):
    return batches.scan(lambda c, batch: (c, batch), None, state, length)[1:]


def run(batches, state, length):
    """Return [(mini-batch, next state)] from `next`, after checking every mini-batch against the data."""
    out = []
    for _ in range(length):
        batch, state = step(batches, state)
        i = np.asarray(batch.data["i"])
        whole = jax.tree.map(lambda x, i=i: np.asarray(x)[i], batches.data)
        chex.assert_trees_all_equal(batch.data, whole)
        out.append((batch, state))
    return out


def keyed(flags, key):
    """Without shuffling there is no key."""
    return {} if "shuffle" in flags else {"key": key}


def real(out):
    return [np.asarray(batch.data["i"])[np.asarray(batch.mask)].tolist() for batch, _ in out]


@pytest.mark.parametrize(
    ("n", "batch_size", "flags"),
    [
        (1, 1, {}),
        (24, 8, {}),
        (31, 9, {}),
        (31, 9, {"drop_last": True}),
        (31, 9, {"shuffle": False}),
        (31, 9, {"drop_last": True, "shuffle": False}),
    ],
)
@trials(5)
@given(key=st.integers(0, 2**32 - 1))
def test_every_example_once_an_epoch_however_drawn(n, batch_size, flags, key):
    batches = minibatches(data(n), batch_size, **keyed(flags, key), **flags)
    steps = batches.steps_per_epoch
    assert steps == (n // batch_size if "drop_last" in flags else math.ceil(n / batch_size))
    first = batches.init()
    out = run(batches, first, 2 * steps)
    for epoch in (out[:steps], out[steps:]):
        seen = [i for numbers in real(epoch) for i in numbers]
        assert len(set(seen)) == len(seen) == (steps * batch_size if "drop_last" in flags else n)
        if "shuffle" in flags:
            assert seen == list(range(len(seen)))
    assert [int(s.epoch) for _, s in out] == [0] * (steps - 1) + [1] * steps + [2]

    scanned, last = scan(batches, first, 2 * steps)
    chex.assert_trees_all_equal(scanned, jax.tree.map(lambda *x: np.stack(x), *[batch for batch, _ in out]))
    chex.assert_trees_all_equal(last, out[-1][1])
    host = minibatches(jax.tree.map(np.asarray, batches.data), batch_size, **keyed(flags, key), **flags)
    for iterated in (batches.iterate(first, 2 * steps), host.iterate(first, 2 * steps, prefetch=0)):
        chex.assert_trees_all_equal(list(iterated), out)


def test_shorter_last_batch():
    batches, padded = (minibatches(data(10), 4, key=3, pad_last=pad) for pad in (False, True))
    for b in (batches, minibatches(jax.tree.map(np.asarray, data(10)), 4, key=3, pad_last=False)):
        out = list(b.iterate(b.init(), 6))
        assert [batch.data["rows"].shape for batch, _ in out] == [(4, 8), (4, 8), (2, 8)] * 2
        assert real(out) == real(run(padded, padded.init(), 6))
        assert all(batch.mask.all() for batch, _ in out)
    for f in (batches.next, lambda s: batches.scan(lambda c, b: (c, b), None, s)):
        with pytest.raises(ValueError, match=r"one shape, but .* the last one has 2 of 4 examples"):
            f(batches.init())


@pytest.mark.parametrize("n", [2, 3, 4, 5, 6, 7])
def test_all_orders_are_equally_likely(n):
    """The χ² of the orders of 50 n! epochs is within five standard deviations of n! - 1."""
    batches, epochs = minibatches(jnp.arange(n), n, key=5), 50 * math.factorial(n)
    _, out, _ = jax.jit(lambda s: batches.scan(lambda c, b: (c, b.data), None, s, epochs))(batches.init())
    _, counts = np.unique(np.asarray(out) @ n ** np.arange(n), return_counts=True)
    cells = math.factorial(n)
    chi = ((counts - 50) ** 2 / 50).sum() + (cells - len(counts)) * 50
    assert abs(chi - (cells - 1)) < 5 * math.sqrt(2 * cells)


@pytest.mark.parametrize("n", [37, 1000, 1024, 100_003])
def test_neighbours_are_independent(n):
    """Neighbours in one order, and equal positions in two epochs, are uniform over 10 × 10 equal parts of the data."""
    batches, epochs = minibatches(jnp.arange(n), n, key=5), 200_000 // n + 1
    _, out, _ = jax.jit(lambda s: batches.scan(lambda c, b: (c, b.data), None, s, epochs))(batches.init())
    part = np.asarray(out) * 10 // n
    sizes = np.bincount(part[0], minlength=10)
    pairs = np.outer(sizes, sizes)
    unlike = (pairs - np.diag(sizes)) / n / (n - 1)  # the two neighbours are different examples
    for a, b, share in ((part[:, :-1], part[:, 1:], unlike), (part[:-1], part[1:], pairs / n**2)):
        counts, expected = np.bincount((10 * a + b).ravel(), minlength=100), share.ravel() * a.size
        assert ((counts - expected) ** 2 / expected).sum() < 99 + 5 * math.sqrt(2 * 99)


def test_goes_on_at_every_position(tmp_path):
    batches = minibatches(data(11), 3, key=jax.random.key(1))
    out = run(batches, batches.init(), 12)
    for i, (_, state) in enumerate(out[:8]):
        back = pickle.loads(pickle.dumps(state))
        chex.assert_trees_all_equal(run(batches, back, 11 - i), out[i + 1 :])
        assert batches.steps_left(state) == 4 - (i + 1) % 4
        chex.assert_trees_all_equal(list(batches.iterate(back)), out[i + 1 :][: 4 - (i + 1) % 4])
    packed = flax.serialization.from_bytes(batches.init(), flax.serialization.to_bytes(out[4][1]))
    with relaxed(), ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "state", out[4][1])
        checkpointer.wait_until_finished()
        restored = checkpointer.restore(tmp_path / "state", batches.init())
    for back in (packed, restored):
        chex.assert_trees_all_equal(run(batches, back, 7), out[5:])


def test_goes_on_with_another_batch_size():
    state = run(minibatches(data(23), 4, key=0), minibatches(data(23), 4, key=0).init(), 2)[-1][1]
    rest = [minibatches(data(23), m, key=0) for m in (1, 5, 23)]
    lefts = [[i for numbers in real(run(b, state, b.steps_left(state))) for i in numbers] for b in rest]
    assert lefts[0] == lefts[1] == lefts[2]
    assert len(lefts[0]) == 15
    dropping = minibatches(data(23), 16, key=0, drop_last=True)  # 15 examples remain, fewer than a mini-batch
    following = state._replace(epoch=np.int32(1), position=np.int32(0))
    chex.assert_trees_all_equal(step(dropping, state), step(dropping, following))


KILLED = """
import os, pickle, signal, sys
import numpy as np
from gradtx.inputs import minibatches

path, kill_at = sys.argv[1], int(sys.argv[2])
batches = minibatches(np.arange(103), 10, key=7)
state = pickle.load(open(path, "rb")) if os.path.exists(path) else batches.init()
for i, (batch, state) in enumerate(batches.iterate(state)):
    print(*batch.data[batch.mask].tolist(), flush=True)
    pickle.dump(state, open(path, "wb"))
    if i == kill_at:
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_goes_on(tmp_path):
    def process(path, kill_at):
        command = [sys.executable, "-c", KILLED, path, str(kill_at)]
        return subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": ROOT})

    killed, rest = process(tmp_path / "state", 3), process(tmp_path / "state", -1)
    whole = process(tmp_path / "other", -1)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert rest.returncode == whole.returncode == 0, rest.stderr
    assert killed.stdout + rest.stdout == whole.stdout
    assert sorted(map(int, whole.stdout.split())) == list(range(103))


ROOT = os.path.dirname(os.path.dirname(gx.__file__))


def test_the_mean_is_over_the_real_examples():
    x = {"x": jnp.asarray(np.random.RandomState(0).standard_normal((7, 3)), jnp.float32)}
    batches = minibatches(x | {"i": jnp.arange(7)}, 5, key=0)
    batch = run(batches, batches.init(), 2)[-1][0]
    short = np.asarray(batch.data["i"])[:2]

    def loss(w, x):
        return (x @ w) ** 2

    def padded(w):
        values = loss(w, batch.data["x"])
        return batch.mean(jnp.where(batch.mask, values, jnp.nan))  # the padding has no effect

    w = jnp.asarray([1.0, -2.0, 0.5])
    assert_close(jax.grad(padded)(w), jax.grad(lambda w: loss(w, x["x"][short]).mean())(w))
    means = batch.mean({"x": jnp.asarray(batch.data["x"], jnp.bfloat16), "hit": batch.data["i"] == short[0]})
    assert_close(means["x"], jnp.asarray(x["x"][short], jnp.bfloat16).astype(jnp.float32).mean(0))
    assert_close(means["hit"], jnp.asarray(0.5))


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_batch_stochastic_and_mini_batch_gradient_descent(momentum):
    rng = np.random.RandomState(0)
    x, truth = rng.standard_normal((60, 3)).astype(np.float32), np.asarray([1.0, -2.0, 0.5], np.float32)
    examples = {"x": jnp.asarray(x), "y": jnp.asarray(x @ truth)}

    def loss(w, x, y):
        return (x @ w - y) ** 2

    tx = gx.sgd(0.05 * (1 - momentum), momentum=momentum)
    for batch_size in (60, 1, 16):
        batches = minibatches(examples, batch_size, key=0)

        def step(carry, batch):
            value, grads = jax.value_and_grad(lambda p: batch.mean(loss(p, **batch.data)))(carry[0])
            return gx.apply_gradients(tx, grads, carry[1], carry[0]), value

        @jax.jit
        def train(batches, w):
            return batches.scan(step, (w, tx.init(w)), batches.init(), 200 * batches.steps_per_epoch)

        (w, state), losses, last = train(batches, jnp.zeros(3))
        assert_close(w, jnp.asarray(truth), rtol=1e-3)
        assert int(state.step) == len(losses) == 200 * math.ceil(60 / batch_size)
        assert int(last.epoch) == 200
        if batch_size == 60:
            full = jnp.mean(loss(jnp.zeros(3), **examples))
            assert_close(losses[0], full, rtol=1e-6)


def test_full_batch_gradient():
    x = jnp.asarray(np.random.RandomState(0).standard_normal((50, 4)), jnp.float32)
    batch, _ = minibatches(x, 50, key=0).next(minibatches(x, 50, key=0).init())
    w = jnp.arange(4.0)
    by_batch, by_all = (
        jax.grad(lambda w, f=f, x=x: f(jnp.tanh(x @ w)))(w) for f, x in ((batch.mean, batch.data), (jnp.mean, x))
    )
    assert_close(by_batch, by_all, rtol=1e-5)


def test_one_compilation():
    batches = minibatches(data(10), 4, key=0)

    @jax.jit
    @chex.assert_max_traces(1)
    def step(batches, state):
        return batches.next(state)

    state = batches.init()
    for _ in range(7):
        _, state = step(batches, state)
    for _, after in batches.iterate(state):
        step(batches, after)
    step(minibatches(data(10), 4, key=5), state)


@pytest.mark.parametrize("key", [3, jax.random.key(3)], ids=["seed", "key"])
def test_compiled_ahead_with_the_state_donated(key):
    batches = minibatches(data(10), 4, key=key)
    first = batches.init()
    step = jax.jit(lambda b, s: b.next(s), donate_argnums=1).lower(batches, first).compile()
    out, state = [], first
    for _ in range(3):
        batch, state = step(batches, state)
        out.append((batch, jax.device_get(state)))
    chex.assert_trees_all_equal(out, list(batches.iterate(batches.init())))
    assert first.epoch.is_deleted()


def test_vmapped_over_keys():
    keys = jax.random.split(jax.random.key(0), 3)
    examples = data(10)
    states = jax.vmap(lambda key: minibatches(examples, 4, key=key).init())(keys)
    batches = minibatches(examples, 4, key=0)
    many, after = jax.jit(jax.vmap(batches.next))(states)
    for i, key in enumerate(keys):
        alone = minibatches(examples, 4, key=key)
        one = step(alone, alone.init())
        chex.assert_trees_all_equal(jax.tree.map(lambda x, i=i: np.asarray(x)[i], (many, after)), one)


def examples():
    return {"w": np.arange(32 * 6, dtype=np.float32).reshape(32, 6), "y": np.arange(32, dtype=np.int32)}


@cache
def unsharded():
    """Return the first mini-batch, all mini-batches of an epoch, and the totals of a scan."""
    whole = minibatches(jax.tree.map(jnp.asarray, examples()), 12, key=0)
    found = [step(whole, whole.init()), *whole.iterate(whole.init()), totals(whole, whole.init())]
    return jax.device_get(found)


@pytest.mark.parametrize(
    ("axis_type", "inside"),
    [(AxisType.Auto, False), (AxisType.Explicit, False), (AxisType.Explicit, True)],
    ids=["auto", "explicit", "explicit, inside set_mesh"],
)
def test_sharded_equals_unsharded(axis_type, inside):
    mesh = jax.make_mesh((4, 2), ("x", "y"), axis_types=(axis_type,) * 2)
    expected = unsharded()
    with jax.set_mesh(mesh) if inside else contextlib.nullcontext():
        specs = {"w": P("x", "y"), "y": P("x")}
        split = {name: jax.device_put(x, NamedSharding(mesh, specs[name])) for name, x in examples().items()}
        batches = minibatches(split, 12, key=0)
        found = [step(batches, batches.init()), *batches.iterate(batches.init())]
        for batch, _ in [*found, batches.next(batches.init())]:
            for name, x in [*batch.data.items(), ("y", batch.mask)]:
                assert x.sharding.is_equivalent_to(NamedSharding(mesh, specs[name]), x.ndim), x.sharding
        found.append(totals(batches, batches.init()))
        to = NamedSharding(mesh, P("x"))
        host = minibatches(examples(), 12, key=0)
        for (batch, _), (wanted, _) in zip(host.iterate(host.init(), sharding=to), expected[1:], strict=False):
            assert batch.data["w"].sharding.is_equivalent_to(to, 2)
            chex.assert_trees_all_equal(jax.device_get(batch), wanted)
        with pytest.raises(
            ValueError, match="split into 4 parts over the mesh, so batch_size must be a multiple of 4, got 6"
        ):
            minibatches(split, 6, key=0)
    assert_close(jax.device_get(found), expected, rtol=1e-6)


@jax.jit
def totals(batches, state):
    return batches.scan(lambda carry, batch: (carry + batch.mean(batch.data["y"]), None), 0.0, state, 5)


def test_is_data():
    batches = minibatches({"x": jnp.arange(6.0), "n": None}, 4, key=7, drop_last=True)
    assert repr(batches) == "minibatches({'n': None, 'x': float32[6]}, 4, key=7, drop_last=True)"
    again = minibatches({"x": jnp.arange(6.0), "n": None}, np.int64(4), key=jax.random.key(7), drop_last=True)
    assert batches == again
    assert hash(batches) == hash(again)
    assert batches != minibatches({"x": jnp.arange(6.0) + 1, "n": None}, 4, key=7, drop_last=True)
    assert batches != minibatches({"x": jnp.arange(6.0), "n": None}, 4, key=7)
    assert pickle.loads(pickle.dumps(batches)) == batches == jax.tree.map(lambda x: x, batches)
    assert repr(again) == "minibatches({'n': None, 'x': float32[6]}, 4, key=key<fry>[], drop_last=True)"
    with pytest.raises(AttributeError):
        batches.batch_size = 3


def test_iterate_draws_ahead_and_no_more(monkeypatch):
    put, on_device = [], _minibatches.on_device
    monkeypatch.setattr(_minibatches, "on_device", lambda batch: put.append(batch) or on_device(batch))
    batches = minibatches(np.arange(20.0), 2, key=0)
    iterator = batches.iterate(batches.init(), prefetch=3)
    assert len(put) == 0
    next(iterator)
    assert len(put) == 4
    assert len(list(iterator)) == 9
    assert len(put) == 10


def test_is_an_argument_of_what_is_compiled_ahead():
    batches = minibatches(jnp.arange(6.0), 4, key=7)
    arguments = batches, batches.init()
    compiled = jax.jit(lambda b, s: b.next(s)).lower(*arguments).compile()
    chex.assert_trees_all_equal(compiled(*arguments), batches.next(batches.init()))


def test_long_scans_go_block_by_block():
    """The order is computed for 2²⁰ examples at a time."""
    batches, length = minibatches(jnp.arange(2**19 + 1), 2**18, key=0), 14

    @jax.jit
    def run(batches):
        first = jnp.asarray(0), jnp.zeros(2**18, bool)
        return batches.scan(lambda c, b: ((c[0] + 1, b.mask), b.data.sum()), first, batches.init(), length)

    (count, _), scanned, last = run(batches)
    wanted = [(batch.data.sum(), state) for batch, state in batches.iterate(batches.init(), length)]
    assert int(count) == length
    np.testing.assert_array_equal(scanned, [total for total, _ in wanted])
    chex.assert_trees_all_equal(last, wanted[-1][1])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((jnp.arange(5), 0, 0), ValueError, r"minibatches: batch_size must be in \[1, inf\), got 0"),
        ((jnp.arange(5), 6, 0), ValueError, "batch_size must be at most the number of examples, 5, got 6"),
        ((jnp.arange(5), 2.5, 0), ValueError, "batch_size must be a whole number, got 2.5"),
        ((jnp.arange(5), "2", 0), TypeError, "batch_size must be a number, got '2'"),
        ((jnp.arange(0), 1, 0), ValueError, "the data must have 1 to 2³¹ - 1 examples, got 0"),
        (({}, 1, 0), ValueError, "the data must have 1 to 2³¹ - 1 examples, got 0"),
        (
            ({"a": jnp.arange(3), "b": np.arange(4)}, 1, 0),
            ValueError,
            r"one length, got \{\"\['a'\]\": 3, \"\['b'\]\": 4",
        ),
        (({"a": [1.0]}, 1, 0), TypeError, r"the data\['a'\]\[0\] must be an array of numbers .* got 1.0 \(float\)"),
        ((jnp.asarray(1.0), 1, 0), TypeError, r"with the examples on axis 0, got float32\[\]"),
        ((np.asarray(["a", "b"]), 1, 0), TypeError, "must be an array of numbers"),
        ((jnp.arange(5), 2, 0.5), TypeError, "key must be an integer seed or a key made by jax.random.key, got 0.5"),
        ((jnp.arange(5), 2, np.zeros(2, np.uint32)), TypeError, "key must be an integer seed or a key"),
        ((jnp.arange(5), 2, -1), ValueError, r"key must be a seed in \[0, 2\*\*32\), got -1"),
    ],
)
def test_errors(arguments, error, message):
    examples, batch_size, key = arguments
    with pytest.raises(error, match=message):
        minibatches(examples, batch_size, key=key)


def test_errors_of_flags_and_of_what_is_traced():
    with pytest.raises(TypeError, match="drop_last must be True or False"):
        minibatches(jnp.arange(5), 2, key=0, drop_last=1)
    with pytest.raises(TypeError, match="batch_size must be a number, not traced"):
        jax.jit(lambda m: minibatches(jnp.arange(5), m, key=0).init())(2)
    batches = minibatches(jnp.arange(5), 2, key=0)
    with pytest.raises(TypeError, match="a traced state does not tell what is left of its epoch"):
        jax.jit(lambda s: batches.scan(lambda c, b: (c, None), 0, s))(batches.init())
    with pytest.raises(ValueError, match=r"iterate: prefetch must be in \[0, inf\), got -1"):
        batches.iterate(batches.init(), prefetch=-1)
    with pytest.raises(ValueError, match=r"iterate: length must be in \[0, inf\), got -1"):
        batches.iterate(batches.init(), -1)
    with pytest.raises(ValueError, match=r"scan: length must be a whole number, got 1.5"):
        batches.scan(lambda c, b: (c, None), 0, batches.init(), 1.5)


def test_arguments_without_effect_are_refused():
    x = jnp.arange(5)
    with pytest.raises(ValueError, match="minibatches: pad_last=False has no effect with drop_last=True"):
        minibatches(x, 2, key=0, drop_last=True, pad_last=False)
    with pytest.raises(ValueError, match="minibatches: key=0 has no effect with shuffle=False"):
        minibatches(x, 2, key=0, shuffle=False)
    with pytest.raises(TypeError, match="minibatches: the argument key is missing; write key=0, or shuffle=False"):
        minibatches(x, 2)
    with pytest.raises(TypeError, match=r"minibatches: takes 2 positional arguments \(data, batch_size\), got 3"):
        minibatches(x, 2, 0)
    assert repr(minibatches(x, 2, shuffle=False)) == "minibatches(int32[5], 2, shuffle=False)"
