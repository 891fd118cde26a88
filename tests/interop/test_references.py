"""The float64 references equal the files that the libraries wrote."""

import pytest

from tests.interop.recipes import RECIPES
from tests.interop.rows import KERAS, TORCH
from tests.interop.trajectories import golden, named, relative_error, run_keras_reference, run_torch_reference

RUNS = {"torch": (TORCH, run_torch_reference), "keras": (KERAS, run_keras_reference)}


@pytest.mark.parametrize("library", RUNS)
def test_every_row_has_a_golden_trajectory(library):
    more = {"torch": {"clip_gradients"}, "keras": {recipe.code for recipe in RECIPES}}[library]
    rows = {name for name, _, _ in named(RUNS[library][0])}
    assert set(golden(library)[1]) == rows | more, "run python -m tests.golden.make"


@pytest.mark.parametrize("library", RUNS)
def test_references_are_exact(library):
    steps, expected = golden(library)
    rows, run = RUNS[library]
    errors = {name: relative_error(run(row, varies)[steps - 1], expected[name]) for name, row, varies in named(rows)}
    # The files are rounded to float32. Before rounding, the difference is 2e-15 at most.
    assert max(errors.values()) < 2**-24, max(errors, key=errors.get)
