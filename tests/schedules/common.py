"""Strategies and checks that the tests of schedules share."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import optax
from hypothesis import strategies as st

import gradtx as gx
from tests.helpers import relaxed

END = 2**31 - 1
values = st.floats(1e-6, 10)
lengths = st.integers(1, 10_000_000)
begins = st.integers(0, 1_000_000)


def marks(*steps):
    """Return the steps around `steps` and many steps over the whole range, up to the largest int32."""
    near = {int(s) + d for s in steps for d in (-1, 0, 1)}
    far = {int(x) for x in np.linspace(0, max(steps) * 1.2, 100)}
    return np.array(sorted(s for s in near | far if 0 <= s <= END), np.int64)


def check(schedule, expected, steps, rtol=1e-6, atol=1e-37):
    """Compare a schedule with `expected`, under jit for an array of steps and without jit for one step."""
    found = jax.jit(schedule)(jnp.asarray(steps, jnp.int32))
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(np.asarray(found, np.float64), expected, rtol=rtol, atol=atol)
    middle = len(steps) // 2
    np.testing.assert_allclose(schedule(int(steps[middle])), expected[middle], rtol=rtol, atol=atol)


def check_is_data(schedule, rtol=1e-6, atol=1e-7):
    """Check that a schedule prints, compares, hashes and pickles, accepts any kind of step, and works in optax."""
    again = eval(repr(schedule), vars(gx.schedules))
    assert again == schedule
    assert hash(again) == hash(schedule)
    assert pickle.loads(pickle.dumps(schedule)) == schedule
    assert gx.sgd(again) == gx.sgd(schedule)
    steps = np.arange(36)
    expected = [schedule(int(i)) for i in steps]
    for batched in (schedule(steps), jax.jit(schedule)(steps), jax.vmap(schedule)(jnp.asarray(steps))):
        np.testing.assert_allclose(batched, expected, rtol=1e-6)
    assert schedule(steps.reshape(6, 6)).shape == (6, 6)
    for kind in (jnp.float32, np.uint8):
        np.testing.assert_allclose([schedule(kind(i)) for i in steps], expected, rtol=rtol, atol=atol)
    with relaxed():
        tx = optax.sgd(schedule)
        updates, _ = tx.update(jnp.ones(2), tx.init(jnp.ones(2)))
    np.testing.assert_allclose(updates, -schedule(0), rtol=1e-6)


def torch_values(make, count, key="lr", rate=1.0):
    """Return the hyperparameter `key` that PyTorch's optimizer uses at each step under a scheduler.

    The scheduler takes no step after the last: a `OneCycleLR` with an empty last phase would divide by zero.
    """
    import torch

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], rate, momentum=0.9)
    scheduler, found = make(optimizer), []
    for step in range(count):
        if step:
            optimizer.step()
            scheduler.step()
        found.append(optimizer.param_groups[0][key])
    return np.array(found)
