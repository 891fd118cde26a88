"""The gradtx lines in recipes.py equal the libraries' lines, live and in files that the libraries wrote."""

import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx
from tests.interop.recipes import MAX_NORM, RECIPES, run_clip_gradients
from tests.interop.trajectories import (
    assert_equal,
    golden,
    gradients,
    run_transformation,
    split,
)

LINES = [(recipe, line) for recipe in RECIPES for line in recipe.ours]
RTOL, RTOL_FLOAT32 = 1e-6, 3e-6  # the same tolerance as in test_keras.py


@pytest.mark.parametrize(("recipe", "line"), LINES, ids=[f"{line} for {r.code}" for r, line in LINES])
def test_gradtx_does_what_the_line_for_keras_does(recipe, line):
    ours = run_transformation(recipe.transformation(line), gradients(recipe.scale))
    steps, expected = golden("keras")
    assert_equal(ours[steps - 1], expected[recipe.code], RTOL)
    if importlib.util.find_spec("keras"):
        assert_equal(ours, recipe.run_keras(), RTOL_FLOAT32)


def test_clip_by_global_norm_is_the_clipping_by_hand_in_pytorch():
    tx = gx.clip_by_global_norm(MAX_NORM, eps=1e-6)
    update = jax.jit(lambda g: tx.update(g, tx.init(g))[0])
    ours = np.array([np.concatenate(jax.tree.map(np.ravel, update(split(jnp.asarray(g))))) for g in gradients()])
    steps, expected = golden("torch")
    assert_equal(ours[steps - 1], expected["clip_gradients"], 2e-7)
    if importlib.util.find_spec("torch"):
        assert_equal(ours, run_clip_gradients(), 4e-7)
