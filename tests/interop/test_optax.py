"""gradtx against files that optax wrote. tests/test_laws.py runs gradtx and optax side by side."""

import jax
import numpy as np
import pytest

from tests.cases import CASES
from tests.helpers import gradients, trajectory, tree
from tests.interop.trajectories import golden


@pytest.mark.parametrize("case", [c for c in CASES if c.optax], ids=str)
def test_equals_what_optax_wrote(case):
    steps, expected = golden("optax")
    assert str(case) in expected, "run python -m tests.golden.make optax"
    params, grads = tree(1), gradients(steps[-1])
    updates, _, _ = trajectory(case.tx(), params, grads)
    rows = [np.concatenate([np.ravel(x) for x in jax.tree.leaves(u)]) for u in [params, *updates]]
    ours = np.cumsum(np.array(rows, np.float64), 0)[steps]
    # optax rounds 1 - β₂ᵗ to float32, which is an error of 1e-5 at the first step.
    np.testing.assert_allclose(ours, expected[str(case)], rtol=2e-5, atol=2e-5)
