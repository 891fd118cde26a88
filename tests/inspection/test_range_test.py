"""The rates grow geometrically, each step is a step of the chain, and the loss falls fastest at the suggested rate."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx
from gradtx.inspection import RangeTest, plot_range_test, range_test
from gradtx.inspection._range_test import _fall


def loss(x, batch):
    return jnp.sum((x - batch) ** 2)


def ones(step):
    return 1.0


ZEROS = np.zeros(2, np.float32)


def smoothed(losses, beta):
    return np.asarray(_fall(jnp.asarray(losses, jnp.float32), beta, 0, 1)[0])


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
    assert found.suggested == found.rates[2]  # the steeper fall from 9 is not suggested


@pytest.mark.parametrize("smoothing", [0.0, 0.8])
def test_smoothing(smoothing):
    losses = np.array([4.0, 3.0, 5.0, 1.0, 2.0, 100.0, 1.0], np.float32)
    weights = smoothing ** np.abs(np.subtract.outer(range(5), range(5)))
    found = smoothed(losses, smoothing)
    np.testing.assert_allclose(found[:5], weights @ losses[:5] / weights.sum(1), rtol=1e-6)
    assert np.isnan(found[5:]).all()  # the loss diverged here


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
    assert np.isfinite(smoothed(losses, 0.0)).tolist() == [True] * used + [False] * (5 - used)


def test_the_suggestion_is_where_the_loss_falls_fastest():
    found = range_test(gx.sgd, loss, ZEROS, ones, low=1e-4, high=10.0, steps=200, smoothing=0.0)
    slopes = np.gradient(np.asarray(found.smoothed, float))
    assert found.suggested == found.rates[np.nanargmin(slopes)]
    # The distance to the minimum is exp(-2Ση); the loss, its square, falls fastest where 4·Ση = 1 with Ση = η/log(q).
    assert float(found.suggested) == pytest.approx(np.log(1e5) / 199 / 4, rel=0.3)


def test_the_rate_is_that_of_the_steepest_fall_of_the_smoothed_losses_up_to_the_least_mean():
    rng = np.random.default_rng(0)
    losses = np.concatenate([3 - np.tanh(np.linspace(-3, 3, 60)), np.geomspace(2, 30, 20)]) + 0.2 * rng.normal(size=80)
    beta, at = 0.9, np.arange(80)
    past = np.tril(beta ** np.abs(np.subtract.outer(at, at)))
    mean = past @ losses / past.sum(1)
    bottom = 8 + np.argmin(mean[8:])
    weights = beta ** np.abs(np.subtract.outer(at[: bottom + 1], at[: bottom + 1]))
    slopes = np.gradient(weights @ losses[: bottom + 1] / weights.sum(1))
    for skip_end in (0, 1, 40):
        _, index = _fall(jnp.asarray(losses, jnp.float32), beta, 8, skip_end)
        assert index == 8 + np.argmin(slopes[8 : bottom + 1 - skip_end])


def noisy_losses(seed, steps=100):
    """Return data for linear regression on 16 random examples a step, where the loss of a single batch is noisy."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(steps, 16, 20)).astype(np.float32)
    y = x @ rng.normal(size=20).astype(np.float32) + rng.normal(size=(steps, 16)).astype(np.float32)
    return jnp.asarray(x), jnp.asarray(y)


@pytest.mark.parametrize("seed", range(5))
def test_the_noise_of_single_batches_does_not_choose_the_rate(seed):
    x, y = noisy_losses(seed)

    def test(smoothing, **skip):
        return range_test(
            gx.sgd, lambda w, t: jnp.mean((x[t] @ w - y[t]) ** 2), np.zeros(20, np.float32), lambda t: t,
            smoothing=smoothing, **skip,
        )  # fmt: skip

    found, raw = test(0.9), test(0.0, skip_begin=0)
    np.testing.assert_array_equal(found.losses, raw.losses)
    # The loss is constant up to about 1e-3, has its minimum at about 0.05, and rises from there.
    assert 5e-3 < found.suggested < 0.1
    assert not 5e-3 < raw.suggested < 0.1
    assert np.abs(np.diff(found.losses[:50])).max() > 10 * np.abs(np.diff(found.smoothed[:50])).max()


def test_low_losses_of_the_first_steps_are_no_divergence():
    losses = np.full(50, 4.0)
    losses[0] = 0.5
    assert np.isnan(_fall(jnp.asarray(losses, jnp.float32), 0.5, 0, 1)[0]).any()
    assert np.isfinite(_fall(jnp.asarray(losses, jnp.float32), 0.5, 5, 1)[0]).all()


def test_a_tenth_of_the_steps_is_skipped_at_the_beginning():
    losses = np.array([9.0, 5.0, 4.9, 4.8, 4.0, 3.9, 3.8, 3.7, 3.6, 3.5] * 2, np.float32)
    losses[10:] = np.linspace(3.4, 3.0, 10)

    def test(**skip):
        table = jnp.asarray(losses)
        return range_test(gx.sgd, lambda x, b: b + 0 * x, 1.0, lambda t: table[t], steps=20, smoothing=0.0, **skip)

    assert test(skip_begin=0).suggested == test(skip_begin=0).rates[0]
    assert test().suggested == test().rates[3]
    assert test(skip_begin=10, skip_end=1).suggested >= test().rates[10]


def test_no_suggestion_where_the_loss_does_not_fall():
    assert np.isnan(range_test(gx.sgd, loss, ZEROS, ones, low=100.0, high=1000.0).suggested)
    assert np.isnan(range_test(gx.sgd, loss, ZEROS, lambda t: jnp.nan).suggested)


def test_many_tests_at_once():
    starts = jnp.array([[0.0, 0.0], [5.0, -3.0]])
    many = jax.vmap(lambda x: range_test(gx.adam, loss, x, ones, steps=20))(starts)
    for found, alone in zip(many, range_test(gx.adam, loss, starts[1], ones, steps=20), strict=True):
        np.testing.assert_allclose(found[1], alone, rtol=1e-5)
    with pytest.raises(ValueError, match=r"results\['a'\] holds 2 tests; give one result for each test"):
        plot_range_test({"a": many})


@pytest.mark.parametrize(
    ("arguments", "more", "error", "words"),
    [
        ((gx.sgd, loss, ZEROS, [1.0]), {}, TypeError, "batches must be mini-batches or a function of the step, got"),
        ((lambda rate: 0.1, loss, ZEROS, ones), {}, TypeError, r"make\(rate\): expected a gradient transformation"),
        ((gx.sgd, lambda x, batch: x, ZEROS, ones), {}, TypeError, "loss must return a real scalar, got float32 of"),
        ((gx.sgd, loss, ZEROS, ones), {"low": 0}, ValueError, r"low must be in \(0, inf\), got 0"),
        ((gx.sgd, loss, ZEROS, ones), {"high": 1e-7}, ValueError, "high must be greater than low=1e-06, got 1e-07"),
        ((gx.sgd, loss, ZEROS, ones), {"steps": 2}, ValueError, r"steps must be in \[3, inf\), got 2"),
        ((gx.sgd, loss, ZEROS, ones), {"smoothing": 1.0}, ValueError, r"smoothing must be in \[0, 1\), got 1"),
        ((gx.sgd, loss, ZEROS, ones), {"skip_begin": -1}, ValueError, r"skip_begin must be in \[0, inf\), got -1"),
        ((gx.sgd, loss, ZEROS, ones), {"skip_end": 0.5}, ValueError, "skip_end must be a whole number, got 0.5"),
        (
            (gx.sgd, loss, ZEROS, ones),
            {"steps": 9, "skip_begin": 4, "skip_end": 4},
            ValueError,
            "skip_begin=4 and skip_end=4 leave no step of 9; skip fewer steps or run more",
        ),
    ],
)
def test_errors(arguments, more, error, words):
    with pytest.raises(error, match=f"range_test: {words}"):
        range_test(*arguments, **more)


def result(losses, suggested):
    losses = np.array(losses, np.float32)
    return RangeTest(np.geomspace(1e-3, 1, len(losses)), losses, smoothed(losses, 0.0), suggested)


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
    with pytest.raises(TypeError, match=r"plot_range_test: results must be results of range_test, got 0.1 .* for 'a'"):
        plot_range_test({"a": 0.1})
