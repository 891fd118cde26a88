"""A law about roundings, with XLA's optimizations on, as users have them."""

import jax
import jax.numpy as jnp
import pytest

import gradtx as gx
from tests.cases import CASES
from tests.helpers import assert_close, gradients, trajectory, tree

pytestmark = pytest.mark.usefixtures("optimized")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_jit_eager_and_scan_agree(case):
    tx, params, grads = case.tx(), tree(1), gradients(6)
    jitted = trajectory(tx, params, grads, update=jax.jit(tx.update))
    eager = trajectory(tx, params, grads, update=tx.update)

    def step(carry, g):
        params, state = carry
        u, state = tx.update(g, state, params)
        return (gx.apply_updates(params, u), state), u

    stacked = jax.tree.map(lambda *x: jnp.stack(x), *grads)
    (final, state), updates = jax.lax.scan(step, (params, tx.init(params)), stacked)
    scanned = [jax.tree.map(lambda x, i=i: x[i], updates) for i in range(6)], final, state
    assert_close(jitted, eager, rtol=1e-6)
    assert_close(jitted, scanned, rtol=1e-6)
