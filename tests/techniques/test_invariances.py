"""Invariances: adaptive methods ignore the scale of the gradients, and opposite gradients give opposite updates."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gradtx as gx
from tests.helpers import trials

SCALE_FREE = [
    gx.adam(0.1, eps=0.0),
    gx.adam(0.1, eps=0.0, amsgrad="raw"),
    gx.adam(0.1, eps=0.0, amsgrad="corrected"),
    gx.adamax(0.1, eps=0.0),
    gx.nadam(0.1, eps=0.0),
    gx.rmsprop(0.1, eps=0.0, centered=True, momentum=0.9),
    gx.adagrad(0.1, initial_accumulator_value=0.0, eps=0.0),
    gx.lion(0.1, weight_decay=0.0),
    gx.rprop(0.1),
]
ODD = [  # techniques that are odd functions of the gradients
    *SCALE_FREE,
    gx.sgd(0.1, momentum=0.9, dampening=0.5),
    gx.radam(0.1, b2=0.9),
    gx.clip(1.0),
    gx.clip_by_global_norm(1.0, eps=1e-6),
    gx.centralize(),
]
# These multiples of 1/64 cannot cancel to sums so small that their squares underflow in float32.
GRADIENTS = st.lists(
    st.lists(st.integers(-100, 100).map(lambda i: i / 64), min_size=3, max_size=3), min_size=1, max_size=8
)


def run(tx, gradients):
    """Return the updates of all steps. One compiled function serves any number of steps."""
    padded = np.zeros((8, 3), np.float32)
    padded[: len(gradients)] = gradients

    def step(state, g):
        updates, state = tx.update(g, state)
        return state, updates

    return np.asarray(_scan(tx, step)(padded)[: len(gradients)])


def _scan(tx, step, compiled={}):  # noqa: B006, a cache that all examples share
    if tx not in compiled:
        compiled[tx] = jax.jit(lambda g: jax.lax.scan(step, tx.init(jnp.zeros(3)), g)[1])
    return compiled[tx]


@pytest.mark.parametrize("tx", SCALE_FREE, ids=str)
@trials(20)
@given(gradients=GRADIENTS, exponent=st.integers(-20, 20))
def test_a_power_of_two_times_the_gradients_changes_no_update(tx, gradients, exponent):
    gradients = np.asarray(gradients, np.float32)
    np.testing.assert_array_equal(run(tx, gradients * 2.0**exponent), run(tx, gradients))


@pytest.mark.parametrize("tx", ODD, ids=str)
@trials(20)
@given(gradients=GRADIENTS)
def test_opposite_gradients_give_opposite_updates(tx, gradients):
    gradients = np.asarray(gradients, np.float32)
    np.testing.assert_array_equal(run(tx, -gradients), -run(tx, gradients))
