"""A run resumed at step n equals the uninterrupted run bit for bit, with the saved state or with offset schedules."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx
from tests.test_surface import SCHEDULES

S = gx.schedules
DECAY = S.exponential_decay(0.3, 70, 0.6)
ALL = [
    S.constant(0.3),
    S.linear(0.3, 0.01, 150, 20),
    S.polynomial(0.3, 0.01, 1.7, 150),
    S.polynomial(0.3, 0.01, 2.0, 30, cycle=True),
    DECAY,
    S.exponential_decay(0.3, 17, 0.6, 10, staircase=True, end_value=0.01),
    S.inverse_time_decay(0.3, 30, 0.7, transition_begin=10),
    S.power_decay(0.3, 40, 0.75),
    S.inverse_sqrt(0.3, 50),
    S.piecewise_constant([0.3, 0.1, 0.02], [60, 120]),
    S.piecewise_interpolate([0.3, 0.1, 0.02], [60, 120], kind="cosine"),
    S.cosine_decay(0.3, 150, 0.1, 1.5),
    S.cosine_decay(0.3, 40, end_value=0.02, periodic=True),
    S.cosine_restarts(0.3, 20, 1.5, 0.8, 0.1),
    S.warmup_cosine(0.01, 0.3, 40, 160),
    S.warmup_stable_decay(0.01, 0.3, 30, 60, 150, kind="sqrt"),
    S.cyclic(0.01, 0.3, 17, 25, "exp_range", 0.99),
    S.cyclic(0.01, 0.3, 17, 25, "triangular2").momentum,
    S.one_cycle(0.3, 173),
    S.one_cycle(0.3, 173, phases=3, kind="linear").momentum,
    S.join([S.linear(0.01, 0.3, 50), DECAY], [50]),
    S.warmup(DECAY, 50, init_value=0.01, kind="exponential"),
    S.product(S.linear(0.0, 1.0, 50), DECAY),
    S.floor(DECAY, 0.1),
    S.scaled(DECAY, 0.3),
    S.offset(DECAY, 9),
    S.delayed(DECAY, 40),
    S.of_run(S.warmup_cosine(0.01, 0.3, 0.1, 1.0), 128),
    S.warmup(DECAY, 50, skip_init_value=True),
    S.per_epoch(DECAY, 3),
]
UNTIL = 200
BEFORE = (1, 37, 150)


def test_every_schedule_is_here():
    functions_of_the_step = {name for name, each in SCHEDULES.items() if issubclass(each, S.Schedule)}
    assert {type(schedule).__name__ for schedule in ALL} >= functions_of_the_step


@pytest.mark.parametrize("schedule", ALL, ids=repr)
def test_offset_continues(schedule):
    whole = jax.jit(schedule)(jnp.arange(UNTIL))
    for n in BEFORE:
        again = S.offset(schedule, n)
        np.testing.assert_array_equal(jax.jit(again)(jnp.arange(UNTIL - n)), whole[n:])
        np.testing.assert_array_equal(again(170 - n), schedule(170))


def _run(tx, params, state, steps):
    @jax.jit
    def step(params, state, t):
        return gx.apply_gradients(tx, jnp.cos(params + t) + params**3, state, params)

    for t in steps:
        params, state = step(params, state, jnp.float32(t))
    return params, state


@pytest.mark.parametrize("n", BEFORE)
def test_training_continues(n):
    cycle, params = S.one_cycle(0.05, 180), jnp.asarray([0.5, -1.0, 2.0])
    tx = gx.sgd(cycle.learning_rate, momentum=cycle.momentum)
    whole, end = _run(tx, params, tx.init(params), range(UNTIL))
    half, state = _run(tx, params, tx.init(params), range(n))
    state = pickle.loads(pickle.dumps(jax.device_get(state)))
    kept, kept_end = _run(tx, half, state, range(n, UNTIL))
    # A new chain counts from 0, but starts from the saved buffers.
    again = gx.sgd(S.offset(cycle.learning_rate, n), momentum=S.offset(cycle.momentum, n))
    rebuilt, rebuilt_end = _run(again, half, again.init(half)._replace(stages=state.stages), range(n, UNTIL))
    for params, state in ((kept, kept_end), (rebuilt, rebuilt_end)):
        np.testing.assert_array_equal(params, whole)
        jax.tree.map(np.testing.assert_array_equal, state.stages, end.stages)
    assert (int(end.step), int(kept_end.step), int(rebuilt_end.step)) == (UNTIL, UNTIL, UNTIL - n)
