"""The rules by which benchmarks/claims.py judges published claims about optimizers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx


@pytest.fixture
def claims(benchmark):
    return benchmark("claims")


def test_a_ratio_is_reproduced_within_a_quarter(claims):
    verdicts = [claims.about([ratio * 2.0, ratio * 4.0], [2.0, 4.0], 0.5)[1] for ratio in (0.39, 0.41, 0.62, 0.63)]
    assert verdicts == ["not reproduced: less", "reproduced", "reproduced", "not reproduced: more"]
    assert claims.about([1.0, 4.0], [2.0, 4.1], 0.75)[1] == "not reproduced"  # the difference can be chance
    assert claims.about([None], [1.0], 0.5)[1] == "not reproduced"
    assert claims.about([3.0, 1.0], [2.0, 1.0], 1.0)[0] == "1.25 (1.00–1.50) times"


def test_a_difference_is_reproduced_within_half_a_point(claims):
    verdicts = [claims.points([more, more], 1.0, 2.0)[1] for more in (0.004, 0.006, 0.024, 0.026)]
    assert verdicts == ["not reproduced: less", "reproduced", "reproduced", "not reproduced: more"]
    assert claims.points([0.04, -0.01], 1.0, 2.0)[1] == "not reproduced"  # the difference can be chance


def test_less_means_by_more_than_two_standard_errors(claims):
    assert claims.less([1.0, 2.0, 3.0], [2.0, 3.1, 3.9])
    assert not claims.less([1.0, 2.0, 3.0], [1.1, 1.9, 3.1])


def test_a_verdict_tells_if_the_cases_disagree(claims):
    yes, no, more = ("", "reproduced"), ("", "not reproduced"), ("", "not reproduced: more")
    verdicts = [
        claims.said("", "", dict(enumerate(cases)), "the rate")["verdict"]
        for cases in ([yes, yes], [yes, no], [no, more])
    ]
    assert verdicts == ["reproduced", "depends on the rate", "not reproduced: depends on the rate"]


def test_passing_the_minimum_is_not_arriving(claims):
    terrain = claims.Terrain(None, tolerance=0.1)
    losses = np.ones((2, 301))
    losses[:, 20] = 0.01
    losses[0, 150:] = 0.1
    np.testing.assert_equal(claims.arrival(terrain, losses), [150, np.inf])


def test_a_row_of_the_table(claims):
    rows = [{"claim": "a", "said": "b", "verdict": "c", "cases": {"v (1)": {"found": "+1.0 (-0.5–+2.0) points"}}}]
    assert claims.markdown(rows).endswith("| a | b | v (1): +1.0 (-0.5–+2.0) points | c |")


def test_losses_equal_those_of_the_recursion(claims):
    terrain = claims.Terrain(claims.quadratic(4.0, 1.0))
    losses = claims.losses(terrain, gx.sgd, [0.1, 0.25], seeds=2, steps=3)
    start = np.asarray(terrain.starts(2))[:, None, None]
    decay = (1 - np.array([0.1, 0.25])[:, None, None] * [4.0, 1.0]) ** np.arange(4)[:, None]
    np.testing.assert_allclose(losses, 0.5 * ((start * decay) ** 2 @ [4.0, 1.0]), rtol=1e-5, atol=1e-7)


def test_the_deceptive_example_has_the_properties_in_the_paper(benchmark):
    x, y = benchmark("_problems").deceptive(jax.random.key(0), 50)
    signs = jnp.sign(y @ x)
    assert bool(jnp.all((signs != 0) == jnp.any(x != 0, 0)))
    np.testing.assert_allclose(x @ signs, 4 * y)  # the adaptive solution fits and weighs all features equally
    least = jnp.linalg.lstsq(x, y)[0]
    assert float(jnp.abs(least[1] + least[2])) < float(least[0])  # the solution of least norm follows the label
