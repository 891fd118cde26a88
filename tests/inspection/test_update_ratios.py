"""Each ratio is a quotient of norms at a parameter's path, and the picture compares the ratios with the usual rule."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.figure import Figure

import gradtx as gx
from gradtx.inspection import plot_update_ratios, update_ratios

PARAMS = {
    "dense": {"kernel": jnp.full((2, 2), 3.0), "bias": jnp.zeros(2)},
    "half": jnp.full(4, 2.0, jnp.bfloat16),
    "complex": jnp.array([3 + 4j]),
    "frozen": jnp.ones(2),
    "none": None,
}
UPDATES = {
    "dense": {"kernel": jnp.full((2, 2), -0.3), "bias": jnp.array([1.0, 0.0])},
    "half": jnp.full(4, 0.5, jnp.bfloat16),
    "complex": jnp.array([0.5j]),
    "frozen": None,
    "none": None,
}


@pytest.mark.parametrize("compiled", [False, True])
def test_ratios_of_norms(compiled):
    found = (jax.jit(update_ratios) if compiled else update_ratios)(UPDATES, PARAMS)
    assert {path: float(ratio) for path, ratio in found.items()} == {
        "dense/kernel": pytest.approx(0.1),
        "dense/bias": np.inf,
        "half": 0.25,
        "complex": pytest.approx(0.1),
    }
    assert found["half"].dtype == jnp.float32


def test_nothing_over_nothing_and_a_single_array():
    assert np.isnan(update_ratios(jnp.zeros(3), jnp.zeros(3))[""])
    assert update_ratios(jnp.zeros(3), jnp.ones(3))[""] == 0


def test_the_ratio_of_gradient_descent_in_a_scan():
    tx, start = gx.sgd(0.1), {"w": jnp.array([3.0, 4.0])}

    def step(carry, _):
        params, state = carry
        updates, state = tx.update(params, state, params)  # the gradient of half the square is the parameter
        return (gx.apply_updates(params, updates), state), update_ratios(updates, params)

    _, ratios = jax.lax.scan(step, (start, tx.init(start)), length=5)
    np.testing.assert_allclose(ratios["w"], [0.1] * 5, rtol=1e-6)
    (line, rule) = plot_update_ratios(ratios).axes[0].get_lines()
    np.testing.assert_allclose(line.get_xydata(), np.stack([np.arange(5), ratios["w"]], 1))
    assert set(rule.get_ydata()) == {1e-3}


def test_trees_that_differ():
    with pytest.raises(
        ValueError, match="update_ratios: the updates and the parameters have different structures: missing b; unex"
    ):
        update_ratios({"a": jnp.ones(2)}, {"b": jnp.ones(2)})
    with pytest.raises(ValueError, match=r"update_ratios: the update at a is .* expected the same shape"):
        update_ratios({"a": jnp.ones(2)}, {"a": jnp.ones(3)})


def test_the_picture():
    figure = plot_update_ratios({"_a": [0.1, 0.0, np.inf, 0.01], "b": jnp.array([1e-4])})
    (ax,) = figure.axes
    assert (ax.get_xlabel(), ax.get_yscale()) == ("step", "log")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["_a", "b", "10⁻³, a rule of thumb"]
    a, b, _ = ax.get_lines()
    np.testing.assert_array_equal(a.get_ydata(), [0.1, np.nan, np.nan, 0.01])
    assert (a.get_marker(), b.get_marker()) == ("", "s")
    assert a.get_color() != b.get_color()
    given = Figure().subplots()
    assert plot_update_ratios({"a": [1.0]}, ax=given) is given.figure


@pytest.mark.parametrize(
    ("ratios", "words"),
    [
        ({}, "ratios have no finite positive number"),
        ({"a": [0.0, np.nan]}, "ratios have no finite positive number"),
        ({"": 0.1}, r"ratios\[''\] must be a row with one number for each step"),
        ({"a": 0.1}, r"ratios\['a'\] must be a row with one number for each step, got the shape \(\)"),
        ({"a": np.ones((2, 3))}, r"ratios\['a'\] must be a row with one number .* \(2, 3\)"),
    ],
)
def test_errors(ratios, words):
    with pytest.raises(ValueError, match=f"plot_update_ratios: {words}"):
        plot_update_ratios(ratios)
