"""The rates grow as they should, the steps are the chain's, and the suggestion is where the loss falls fastest."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx
from gradtx.inspection import RangeTest, plot_range_test, range_test
from gradtx.inspection._range_test import _smoothed


def loss(x, batch):
    return jnp.sum((x - batch) ** 2)


def ones(step):
    return 1.0


ZEROS = np.zeros(2, np.float32)


def test_each_step_is_one_of_the_chain_at_its_rate():
    found = range_test(gx.sgd, loss, ZEROS, lambda t: jnp.where(t % 2 == 0, 1.0, 3.0), low=1e-3, high=0.1, steps=5)
    np.testing.assert_allclose(found.rates, [1e-3, 10**-2.5, 1e-2, 10**-1.5, 0.1], rtol=1e-6)
    x = np.zeros(2)
    for t, rate in enumerate(np.asarray(found.rates, float)):
        batch = 3.0 if t % 2 else 1.0
        assert found.losses[t] == pytest.approx(np.sum((x - batch) ** 2), rel=1e-5)
        x -= rate * 2 * (x - batch)


def test_mini_batches_are_used_in_their_order_over_the_epochs():
    batches = gx.inputs.minibatches(np.arange(6.0, dtype=np.float32), 4, shuffle=False)
    found = range_test(gx.sgd, lambda x, batch: batch.mean(batch.data) + 0 * x, 1.0, batches, steps=5)
    assert found.losses.tolist() == [1.5, 4.5, 1.5, 4.5, 1.5]


def test_nothing_beyond_the_minimum_is_suggested():
    losses = jnp.array([5.0, 4.9, 4.0, 3.5, 3.4, 9.0, 3.6])
    found = range_test(gx.sgd, lambda x, batch: batch + 0 * x, 1.0, lambda t: losses[t], steps=7, smoothing=0.0)
    assert found.suggested == found.rates[2]  # not at the steeper fall from 9


@pytest.mark.parametrize("smoothing", [0.0, 0.8])
def test_smoothing(smoothing):
    losses = np.array([4.0, 3.0, 5.0, 1.0, 2.0, 100.0, 1.0], np.float32)
    weights = smoothing ** np.abs(np.subtract.outer(range(5), range(5)))
    smoothed = np.asarray(_smoothed(losses, smoothing))
    np.testing.assert_allclose(smoothed[:5], weights @ losses[:5] / weights.sum(1), rtol=1e-6)
    assert np.isnan(smoothed[5:]).all()  # diverged


@pytest.mark.parametrize(
    ("losses", "used"),
    [
        ([2, 1, np.nan, 1, 1], 2),
        ([2, 1, np.inf, 1, 1], 2),
        ([2, 1, 3.9, 4.1, 1], 3),
        ([-2, -4, -1, 7.9, 8.1], 4),
        ([np.nan, 1, 1, 1, 1], 0),
        ([5, 4, 3, 2, 1], 5),
    ],
)
def test_divergence(losses, used):
    assert np.isfinite(_smoothed(np.array(losses, np.float32), 0.0)).tolist() == [True] * used + [False] * (5 - used)


def test_the_suggestion_is_where_the_loss_falls_fastest():
    found = range_test(gx.sgd, loss, ZEROS, ones, low=1e-4, high=10.0, steps=200)
    slopes = np.gradient(np.asarray(found.smoothed, float))
    assert found.suggested == found.rates[np.nanargmin(slopes)]
    # The distance to the minimum is exp(-2Ση); the loss, its square, falls fastest where 4·Ση = 1 with Ση = η/log(q).
    assert float(found.suggested) == pytest.approx(np.log(1e5) / 199 / 4, rel=0.3)


def test_no_suggestion_where_the_loss_does_not_fall():
    assert np.isnan(range_test(gx.sgd, loss, ZEROS, ones, low=100.0, high=1000.0).suggested)
    assert np.isnan(range_test(gx.sgd, loss, ZEROS, lambda t: jnp.nan).suggested)


def test_many_tests_at_once():
    starts = jnp.array([[0.0, 0.0], [5.0, -3.0]])
    many = jax.vmap(lambda x: range_test(gx.adam, loss, x, ones, steps=20))(starts)
    for found, alone in zip(many, range_test(gx.adam, loss, starts[1], ones, steps=20), strict=True):
        np.testing.assert_allclose(found[1], alone, rtol=1e-5)
    with pytest.raises(ValueError, match="give the tests one by one, got 2 as 'a'"):
        plot_range_test({"a": many})


@pytest.mark.parametrize(
    ("arguments", "more", "error", "words"),
    [
        ((gx.sgd, loss, ZEROS, [1.0]), {}, TypeError, "batches must be minibatches or a function of the step, got"),
        ((lambda rate: 0.1, loss, ZEROS, ones), {}, TypeError, r"make\(rate\): expected a gradient transformation"),
        ((gx.sgd, lambda x, batch: x, ZEROS, ones), {}, TypeError, "loss must return a real scalar, got float32 of"),
        ((gx.sgd, loss, ZEROS, ones), {"low": 0}, ValueError, r"low must be in \(0, inf\), got 0"),
        ((gx.sgd, loss, ZEROS, ones), {"high": 1e-7}, ValueError, r"high must be in \(1e-06, inf\), got 1e-07"),
        ((gx.sgd, loss, ZEROS, ones), {"steps": 2}, ValueError, r"steps must be in \[3, inf\), got 2"),
        ((gx.sgd, loss, ZEROS, ones), {"smoothing": 1.0}, ValueError, r"smoothing must be in \[0, 1\), got 1"),
    ],
)
def test_errors(arguments, more, error, words):
    with pytest.raises(error, match=f"range_test: {words}"):
        range_test(*arguments, **more)


def result(losses, suggested):
    losses = np.array(losses, np.float32)
    return RangeTest(np.geomspace(1e-3, 1, len(losses)), losses, np.asarray(_smoothed(losses, 0.0)), suggested)


def test_the_picture():
    results = {"a": result([3, 2, 1, 9, 9], 0.1), "b": result([3, 4, 5, 6, 7], np.nan)}
    results["a"] = results["a"]._replace(suggested=results["a"].rates[1])
    figure = plot_range_test(results)
    (ax,) = figure.axes
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_xscale()) == ("learning rate", "loss", "log")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a: suggested 0.0056", "b: never falls"]
    a, raw_a, cross, b, raw_b = ax.get_lines()
    assert a.get_ydata().tolist() == raw_a.get_ydata().tolist() == [3, 2, 1]
    assert a.get_markevery().tolist() == [False, True, False]
    assert (cross.get_marker(), *cross.get_xydata()[0]) == ("x", pytest.approx(10**-1.5), 1)
    assert (len(b.get_xydata()), len(raw_b.get_xydata()), any(b.get_markevery())) == (5, 5, False)
    figure.draw_without_rendering()


def test_one_result_and_none_and_axes_of_ones_own():
    axes = plot_range_test(result([3, 2, 1], 0.1)).axes[0]
    assert axes.figure.legends[0].get_texts()[0].get_text() == "suggested 0.1"
    figure = plot_range_test(result([np.nan] * 3, np.nan), ax=axes)
    assert figure is axes.figure
    figure.draw_without_rendering()
    with pytest.raises(ValueError, match="plot_range_test: results is empty"):
        plot_range_test({})
    with pytest.raises(TypeError, match=r"plot_range_test: results must be of range_test, got 0.1 .* for 'a'"):
        plot_range_test({"a": 0.1})
