"""Each row of the comparison in docs/measurements.md, for gradtx and for the other libraries."""

import importlib.util
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradtx as gx
from tests.helpers import relaxed
from tests.interop.trajectories import keras_with


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


@pytest.fixture
def keras():
    if importlib.util.find_spec("keras") is None:  # an import would choose a backend here
        pytest.skip("keras is not installed")
    with keras_with("float32") as module:
        yield module


def _evaluates(text, original, names):
    try:
        return eval(text, names) == original
    except (NameError, SyntaxError):
        return False


def test_prints_as_the_code_that_makes_it(torch, keras):
    weight = torch.nn.Parameter(torch.zeros(2))
    ours, names = gx.chain(gx.clip(1.0), gx.adam(1e-3)), vars(gx)
    assert _evaluates(repr(ours), ours, names)
    assert not _evaluates(repr(optax.adam(1e-3)), optax.adam(1e-3), vars(optax))
    assert not _evaluates(repr(torch.optim.Adam([weight])), None, vars(torch.optim))
    assert not _evaluates(repr(keras.optimizers.Adam(1e-3)), None, vars(keras.optimizers))


def test_equal_arguments_make_equal_optimizers(torch, keras):
    weight = torch.nn.Parameter(torch.zeros(2))
    for equal, make in [
        (True, lambda: gx.adam(1e-3)),
        (False, lambda: optax.adam(1e-3)),
        (False, lambda: torch.optim.Adam([weight])),
        (False, lambda: keras.optimizers.Adam(1e-3)),
    ]:
        assert (make() == make()) is equal


def test_pickles_without_parameters(torch, keras):
    assert pickle.loads(pickle.dumps(gx.adam(1e-3))) == gx.adam(1e-3)
    with pytest.raises((pickle.PicklingError, AttributeError)):
        pickle.dumps(optax.adam(1e-3))
    with pytest.raises(TypeError):
        torch.optim.Adam()  # PyTorch's optimizers need parameters
    config = keras.optimizers.Adam(1e-3).get_config()
    assert keras.optimizers.Adam.from_config(config).get_config() == config


def test_any_hyperparameter_follows_a_schedule(torch, keras):
    def schedule(step):
        return 0.9 - 0.1 / (1.0 + step)

    params = jnp.ones(2)
    with relaxed():
        tx = gx.adam(1e-3, b1=schedule)
        tx.update(params, tx.init(params), params)
        tx = optax.adam(1e-3, b1=schedule)
        state = tx.init(params)
        with pytest.raises(TypeError):
            tx.update(params, state, params)
        tx = optax.inject_hyperparams(optax.adam)(1e-3, b1=schedule)  # a wrapper with another state
        tx.update(params, tx.init(params), params)
        with pytest.raises(TypeError):
            torch.optim.Adam([torch.nn.Parameter(torch.zeros(2))], betas=(schedule, 0.999))
        optimizer = keras.optimizers.Adam(1e-3, beta_1=schedule)
        pair = np.ones(2, np.float32), keras.Variable(np.ones(2, np.float32))
        with pytest.raises((TypeError, ValueError)):
            optimizer.apply_gradients([pair])


def _counters(state):
    return sum(jnp.issubdtype(leaf.dtype, jnp.integer) for leaf in jax.tree.leaves(state))


def test_counts_steps_once(torch, keras):
    params = {"w": jnp.ones((2, 2)), "b": jnp.ones(2)}
    schedule = optax.cosine_decay_schedule(1e-3, 10)
    assert _counters(gx.chain(gx.clip(1.0), gx.adam(gx.schedules.cosine_decay(1e-3, 10))).init(params)) == 1
    assert _counters(optax.chain(optax.clip(1.0), optax.adam(schedule)).init(params)) == 2
    weights = [torch.nn.Parameter(torch.zeros(2)) for _ in range(3)]
    optimizer = torch.optim.Adam(weights)
    sum(w.sum() for w in weights).backward()
    optimizer.step()
    assert sum("step" in state for state in optimizer.state.values()) == 3
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(1e-3, 10))
    optimizer.build([keras.Variable(np.ones(2, np.float32))])
    assert sum("int" in str(v.dtype) for v in optimizer.variables) == 1


def test_small_updates_of_bfloat16_parameters_arrive(torch, keras):
    """A thousand steps of 1e-4 from 1. The next smaller bfloat16 is 1 - 2⁻⁸."""
    steps, step = 1000, 1e-4
    ones = jnp.ones(64, jnp.bfloat16)
    tx = gx.sgd(step)

    def one(params, i):
        key = jax.random.fold_in(jax.random.key(0), i)
        return gx.apply_gradients(tx, ones, tx.init(params), params, rounding="stochastic", key=key)[0], None

    ours = jax.jit(lambda p: jax.lax.scan(one, p, jnp.arange(steps))[0])(ones)
    assert abs(float(ours.astype(jnp.float32).mean()) - (1 - steps * step)) < 0.01
    with relaxed():
        peer = optax.sgd(step)
        moved = optax.apply_updates(ones, peer.update(ones, peer.init(ones), ones)[0])
    assert jnp.array_equal(moved, ones)  # any number of steps changes nothing
    weight = torch.nn.Parameter(torch.ones(4, dtype=torch.bfloat16))
    weight.grad = torch.ones_like(weight)
    torch.optim.SGD([weight], lr=step).step()
    assert torch.equal(weight.data, torch.ones(4, dtype=torch.bfloat16))
    variable = keras.Variable(np.ones(4), dtype="bfloat16")
    optimizer = keras.optimizers.SGD(step)
    optimizer.apply_gradients([(jnp.ones(4, jnp.bfloat16), variable)])
    assert jnp.array_equal(variable.value, jnp.ones(4, jnp.bfloat16))


def test_a_mask_that_selects_nothing_is_an_error(keras):
    params = {"dense": {"w": jnp.ones(2), "b": jnp.ones(2)}}
    with pytest.raises(ValueError, match="selects no parameter"):
        gx.adamw(1e-3, weight_decay=0.1, mask="*/kernel").init(params)
    with relaxed():
        nothing = jax.tree.map(lambda _: False, params)
        optax.adamw(1e-3, weight_decay=0.1, mask=nothing).init(params)
    optimizer = keras.optimizers.AdamW(1e-3, weight_decay=0.1)
    optimizer.exclude_from_weight_decay(var_names=["no such name"])
    optimizer.build([keras.Variable(np.ones(2, np.float32))])
