"""A trajectory equals a hand-written loop, and the picture shows its path and whether it diverged."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from matplotlib.figure import Figure
from PIL import Image

import gradtx as gx
from gradtx.inspection import animate_trajectories, plot_trajectories, trajectory
from gradtx.inspection._contours import _levels, _number
from tests.helpers import relaxed

CHAINS = {"plain": gx.sgd(0.04), "Adam": gx.adam(0.3)}
START = (-4.0, 1.0)


def ravine(x):
    return x[0] ** 2 + 20 * x[1] ** 2


def noisy(x, key):
    return ravine(x) + x @ jax.random.normal(key, (2,))


def lines(figure):
    return {line.get_label(): line for line in figure.axes[0].get_lines()}


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_gradient_descent_on_a_parabola():
    found = trajectory(ravine, gx.sgd(0.01), np.array(START), 20)
    factors = np.array([0.98, 0.6]) ** np.arange(21)[:, None]
    np.testing.assert_allclose(found.points, START * factors, rtol=1e-5)
    np.testing.assert_allclose(found.values, jax.vmap(ravine)(found.points), rtol=1e-6)


def test_a_tree_whose_numbers_keep_their_dtypes():
    start = {"a": 3, "b": [jnp.ones(2, jnp.bfloat16), None], "c": np.float32(1.0)}
    found = trajectory(lambda x: x["a"] ** 2 + jnp.sum(x["b"][0]).astype(float) + x["c"], gx.sgd(0.25), start, 2)
    assert found.points["a"].tolist() == [3, 1.5, 0.75]
    assert (found.points["b"][0].shape, found.points["b"][0].dtype) == ((3, 2), jnp.bfloat16)
    assert found.points["b"][1] is None
    assert found.points["c"].tolist() == [1, 0.75, 0.5]


def test_noise_is_that_of_the_key_and_the_step_and_values_are_without():
    key, x = jax.random.key(3), np.array(START)
    found = trajectory(ravine, gx.sgd(0.01), x, 4, sample=noisy, key=3)
    for t in range(4):
        np.testing.assert_allclose(found.points[t], x, rtol=1e-5)
        np.testing.assert_allclose(found.values[t], ravine(x), rtol=1e-5)
        x = x - 0.01 * ([2, 40] * x + np.asarray(jax.random.normal(jax.random.fold_in(key, t), (2,))))


def test_many_ways_at_once():
    starts, keys = jnp.array([[1.0, 2.0], [3.0, 4.0]]), jax.random.split(jax.random.key(0))

    def way(rate, start, key):
        return trajectory(ravine, gx.sgd(rate), start, 5, sample=noisy, key=key)

    many = jax.vmap(way)(jnp.array([0.01, 0.02]), starts, keys)
    np.testing.assert_allclose(many.points[1], way(0.02, starts[1], keys[1]).points, rtol=1e-5)


def test_a_function_that_changes_is_seen_to_have_changed():
    scale = [1.0]

    def fn(x):
        return scale[0] * x

    first, scale[0] = trajectory(fn, gx.sgd(1.0), 0.0, 1).points[1], 2.0
    assert (first, trajectory(fn, gx.sgd(1.0), 0.0, 1).points[1]) == (-1, -2)


@pytest.mark.parametrize(
    "make",
    [
        lambda: gx.sgd(gx.schedules.reduce_on_plateau(0.04, patience=2)),
        lambda: optax.chain(optax.sgd(0.04), optax.contrib.reduce_on_plateau(patience=2)),
        lambda: gx.chain(gx.clip(1.0), optax.lbfgs()),
    ],
)
def test_what_follows_the_loss_or_searches_along_a_line(make):
    with relaxed():
        values = np.asarray(trajectory(ravine, make(), np.array(START), 30).values)
    assert values[-1] < 0.5 * values[0]


def test_a_way_to_infinity_goes_on():
    values = np.asarray(trajectory(ravine, gx.sgd(1.0), np.array(START), 100).values)
    assert not np.isfinite(values[-1])
    assert values[3] > values[0]


@pytest.mark.parametrize(
    ("fn", "tx", "start", "more", "error", "words"),
    [
        (lambda x: x, gx.sgd(0.1), START, {}, TypeError, r"trajectory: fn must return a real scalar, .* shape \(2,\)"),
        (lambda x: None, gx.sgd(0.1), START, {}, TypeError, "trajectory: fn must return a real scalar, got NoneType"),
        (ravine, gx.sgd(0.1), START, {"sample": lambda x, key: x}, TypeError, "sample must return a real scalar"),
        (ravine, 0.1, START, {}, TypeError, "trajectory: tx: expected a gradient transformation"),
        (ravine, gx.sgd(0.1), "ab", {}, TypeError, "start must be a tree of numbers and arrays, got 'ab'"),
        (ravine, gx.sgd(0.1), None, {}, ValueError, "start must have at least one number, got None"),
        (ravine, gx.sgd(0.1), START, {"key": "a"}, TypeError, "trajectory: key must be an integer seed or a key"),
    ],
)
def test_errors_of_trajectory(fn, tx, start, more, error, words):
    with pytest.raises(error, match=words):
        trajectory(fn, tx, jnp.array(start) if isinstance(start, tuple) else start, 3, **more)


@pytest.mark.parametrize("call", [trajectory, plot_trajectories, animate_trajectories])
@pytest.mark.parametrize("key", [1, jax.random.key(0)])
def test_a_key_without_a_sample_is_refused(call, key):
    words = f"{call.__name__}: key has no effect without sample; give sample, or leave key out"
    with pytest.raises(ValueError, match=words):
        call(ravine, gx.sgd(0.1), jnp.array(START), 3, key=key)


def test_a_key_of_the_default_is_not_refused():
    trajectory(ravine, gx.sgd(0.1), jnp.array(START), 3, key=0)


@pytest.mark.parametrize("call", [plot_trajectories, animate_trajectories])
def test_errors_about_the_function_name_the_picture(call):
    with pytest.raises(TypeError, match=f"{call.__name__}: fn must return a real scalar"):
        call(lambda x: x, CHAINS, START, 3)
    with pytest.raises(TypeError, match=f"{call.__name__}: sample must return a real scalar"):
        call(ravine, CHAINS, START, 3, sample=lambda x, key: x)
    with pytest.raises(ValueError, match=rf"{call.__name__}: steps must be in \[1, inf\), got 0"):
        call(ravine, CHAINS, START, 0)
    with pytest.raises(TypeError, match=f"{call.__name__}: ax must be the axes of a matplotlib figure, or None, got"):
        call(ravine, CHAINS, START, 3, ax=Figure())


@pytest.mark.parametrize("steps", [0, 1.5])
def test_steps_are_a_whole_number(steps):
    with pytest.raises(ValueError, match=f"trajectory: steps must be .*got {steps}"):
        trajectory(ravine, gx.sgd(0.1), 1.0, steps)


def test_the_picture_shows_the_ways():
    figure = plot_trajectories(ravine, CHAINS, START, 30, minimum=(0, 0))
    ax, bar = figure.axes
    assert (ax.get_xlabel(), ax.get_ylabel(), bar.get_ylabel()) == ("x₀", "x₁", "f")
    assert legend(figure) == [*CHAINS, "start", "minimum"]
    drawn = lines(figure)
    for label, tx in CHAINS.items():
        way = trajectory(ravine, tx, np.array(START), 30).points
        np.testing.assert_array_equal(drawn[label].get_xydata(), way)
        assert drawn[label].get_markevery() == [30]
        (x0, x1), (y0, y1) = ax.get_xlim(), ax.get_ylim()
        assert x0 < way[:, 0].min() < way[:, 0].max() < x1
        assert y0 < way[:, 1].min() < way[:, 1].max() < y1
    assert len({(line.get_color(), line.get_marker()) for line in drawn.values()}) == 4
    assert drawn["start"].get_xydata().tolist() == [list(START)]
    assert drawn["minimum"].get_xydata().tolist() == [[0, 0]]
    levels = [text.get_text() for text in bar.get_yticklabels()]
    assert 5 <= len(levels) <= 12
    assert {text.lstrip("0.").rstrip("0")[0] for text in levels} <= set("1235")


def test_a_way_that_diverges_is_drawn_until_it_has_left_and_said_to():
    chains = {"good": gx.sgd(0.01), "slowly": gx.sgd(0.051), "at once": gx.sgd(1e30)}
    figure = plot_trajectories(ravine, chains, START, 100)
    alone = plot_trajectories(ravine, {"good": chains["good"]}, START, 100)
    assert legend(figure) == ["good", "slowly (diverged)", "at once (diverged)", "start"]
    x0, x1 = figure.axes[0].get_xlim()
    assert x1 - x0 < 2 * np.ptp(alone.axes[0].get_xlim())
    low, high = np.transpose([(x0, x1), figure.axes[0].get_ylim()])
    drawn = lines(figure)
    for label in ("slowly (diverged)", "at once (diverged)"):
        points, (last,) = drawn[label].get_xydata(), drawn[label].get_markevery()
        inside = ((low <= points) & (points <= high)).all(1)
        assert inside[last]
        assert not inside[last + 1 :].any()
        assert np.isnan(points[last + 2 :]).all()
        assert drawn[label].get_marker() == "x"
    figure.draw_without_rendering()


def test_limits_that_are_given():
    figure = plot_trajectories(ravine, CHAINS, START, 5, xlim=(-1, 2), ylim=(0, 3))
    assert figure.axes[0].get_xlim() == (-1, 2)
    assert figure.axes[0].get_ylim() == (0, 3)
    assert legend(figure) == [*CHAINS, "start"]  # outside the picture, but lower than at the start, so not diverged


def limits(figure):
    return np.array([figure.axes[0].get_xlim(), figure.axes[0].get_ylim()])


def holds(figure, *points):
    low, high = limits(figure).T
    return all(((low < point) & (point < high)).all() for point in points)


def test_limits_of_one_axis_follow_from_the_limits_of_the_other():
    (x0, x1), (y0, y1) = limits(plot_trajectories(ravine, gx.sgd(0.045), START, 100, xlim=(-0.5, 0.2)))
    assert (x0, x1) == (-0.5, 0.2)
    assert -0.2 < y0 < 0 < y1 < 0.2  # x₁ = 1 only at the start


def rosenbrock(x):
    return (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2


def test_trajectories_that_diverge_do_not_set_the_scale():
    good = {"good": gx.sgd(1e-3, momentum=0.9)}
    bad = {"too high": gx.sgd(5e-3), "at once": gx.sgd(1.0)}
    points = np.asarray(trajectory(rosenbrock, good["good"], np.array([-1.5, 2.0]), 300).points)
    figure = plot_trajectories(rosenbrock, good | bad, (-1.5, 2), 300, minimum=(1, 1))
    assert holds(figure, *points, (1, 1))
    assert legend(figure)[:3] == ["good", "too high (diverged)", "at once (diverged)"]
    assert (np.ptp(limits(figure), axis=1) < 5).all()


def test_if_all_diverge_the_marks_or_the_shortest_first_step_set_the_scale():
    chains = {"far": gx.sgd(1e3), "farther": gx.sgd(1e6)}
    with_minimum = plot_trajectories(rosenbrock, chains, (-1.5, 2), 20, minimum=(1, 1))
    np.testing.assert_allclose(limits(with_minimum), [(-1.75, 1.25), (0.9, 2.1)], rtol=1e-6)
    first = trajectory(rosenbrock, chains["far"], np.array([-1.5, 2.0]), 1).points[1]
    without = plot_trajectories(rosenbrock, chains, (-1.5, 2), 20)
    assert holds(without, (-1.5, 2), first)
    assert (np.ptp(limits(without), axis=1) < 1.5 * np.abs(first - np.array([-1.5, 2])).max()).all()


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        ((0, 0), [(-0.6, 0.6), (-0.6, 0.6)]),
        ((4, 1), [(1.6, 6.4), (-1.4, 3.4)]),
        ((1e8, -1e8), [(0.4e8, 1.6e8), (-1.6e8, -0.4e8)]),
        ((0, 1e-8), [(-0.6e-8, 0.6e-8), (0.4e-8, 1.6e-8)]),
    ],
)
def test_the_margin_of_a_single_point_is_that_of_its_scale(start, expected):
    figure = plot_trajectories(ravine, gx.sgd(0.0), start, 3)
    np.testing.assert_allclose(limits(figure), expected, rtol=1e-6)
    assert len(figure.axes) == 2  # contours are drawn, so the grid points are distinct
    figure.draw_without_rendering()


def test_scales_far_from_1():
    def scaled(x):
        return (x[0] / 1e8) ** 2 + 20 * x[1] ** 2

    figure = plot_trajectories(scaled, gx.sgd(0.02), (-4e8, 1), 30, minimum=(0, 0))
    (x0, x1), (y0, y1) = limits(figure)
    assert holds(figure, (-4e8, 1), (0, 0))
    assert x1 - x0 == pytest.approx(4.8e8)
    assert y1 - y0 == pytest.approx(1.2, rel=0.01)  # not a twentieth of 4.8e8: f changes along x₁
    figure = plot_trajectories(scaled, gx.sgd(0.02), (-4e8, 1), 30)  # moves only along x₁
    assert np.ptp(limits(figure), axis=1) == pytest.approx([5.7e4, 1.2], rel=0.01)  # float32 resolves 32 at 4e8


def test_an_axis_along_which_f_hardly_changes_is_not_narrow():
    figure = plot_trajectories(ravine, gx.sgd(0.01), (-4, 1e-4), 50)
    x, y = np.ptp(limits(figure), axis=1)
    assert y == pytest.approx(x / 20)


def test_a_descent_without_end_has_diverged():
    def saddle(x):
        return x[0] ** 2 - x[1] ** 2

    chains = {"GD": gx.sgd(0.1), "Adam": gx.adam(0.02)}
    figure = plot_trajectories(saddle, chains, (1, 0.01), 200)
    assert legend(figure) == ["GD (diverged)", "Adam", "start"]
    assert holds(figure, *np.asarray(trajectory(saddle, chains["Adam"], np.array([1.0, 0.01]), 200).points))
    assert (np.ptp(limits(figure), axis=1) < 10).all()
    only = plot_trajectories(saddle, {"GD": chains["GD"]}, (1, 0.01), 200)
    assert holds(only, (1, 0.01))
    assert np.ptp(limits(only), axis=1).max() < 1e5  # x₁ = 7e13 in the end


def test_a_detour_is_shown_unless_it_makes_all_else_small():
    def bowl(x):
        return jnp.log1p(x[0] ** 2 + x[1] ** 2)

    def leap(far):
        return gx.sgd(lambda t: jnp.where(t == 0, far, jnp.where(t < 30, 1.0, 0.3)))

    for far, shown in ((1.0, True), (12.0, True), (1e4, False)):
        points = np.asarray(trajectory(bowl, leap(far), np.array([2.0, 1.0]), 60).points)
        figure = plot_trajectories(bowl, leap(far), (2, 1), 60, minimum=(0, 0))
        assert holds(figure, *points) is shown, far


@pytest.mark.parametrize(
    ("fn", "start", "tx"),
    [
        (lambda x: x[0] ** 2, (1, 0), gx.sgd(0.1)),  # no height along x₁
        (lambda x: 0.0 * x[0], (0, 0), gx.sgd(0.1)),  # a plane
        (ravine, (0, 0), gx.sgd(0.1)),  # starts at the minimum
        (ravine, (1, 1), gx.sgd(2.0)),  # diverges from the first step
        (ravine, (1, 1), gx.sgd(1e30)),  # diverges and becomes infinite
        (lambda x: jnp.log(x[0]) + x[1] ** 2, (0.5, 0.1), gx.sgd(0.1)),  # not finite in a part of the picture
        (lambda x: x[0] ** 2 - x[1] ** 2, (1, 0.01), gx.sgd(0.1)),  # a saddle
        (lambda x: jnp.where(x[0] > 0.9, x[1], 0.0), (1, 1), gx.sgd(0.1)),  # mostly flat
    ],
)
def test_any_function_can_be_drawn(fn, start, tx):
    figure = plot_trajectories(fn, tx, start, 20)
    x, y = lines(figure)["start"].get_xydata()[0]
    (x0, x1), (y0, y1) = figure.axes[0].get_xlim(), figure.axes[0].get_ylim()
    assert x0 < x < x1
    assert y0 < y < y1
    figure.draw_without_rendering()


def test_levels():
    x, y = np.meshgrid(np.linspace(-1, 1, 101), np.linspace(-1, 1, 101))
    base, levels = _levels(np.ma.array(x**2 + 100 * y**2), math.inf)
    assert base == 0
    np.testing.assert_allclose(levels, [0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100])
    base, levels = _levels(np.ma.array(x**2 + y**2 - 7), -7)
    assert base == -7
    assert (levels > 0).all()
    base, levels = _levels(np.ma.array(x**2 - y**2), math.inf)  # a saddle is lowest at the border
    assert base == 0
    np.testing.assert_allclose(levels, -levels[::-1], atol=0.02)
    assert np.abs(levels).min() < 0.1
    for floor in (-math.inf, math.nan):
        np.testing.assert_array_equal(
            _levels(np.ma.array(x**2 + y**2), floor)[1], _levels(np.ma.array(x**2 + y**2), math.inf)[1]
        )
    numbers = {0.002: "0.002", 30.0: "30", 1000.0: "1,000", 123456.7: "123,457", -1.5e6: "-1.5e+06"}
    assert {value: _number(value) for value in numbers} == numbers


def test_axes_that_are_given():
    left, right = Figure(figsize=(8, 4)).subplots(1, 2)
    figure = plot_trajectories(ravine, [gx.sgd(0.01), optax.sgd(0.01)], START, 3, ax=right)
    assert figure is left.figure
    assert not left.lines
    assert not figure.legends
    names = [text.get_text() for text in right.get_legend().get_texts()]
    assert names[0] == "scale_by_learning_rate(0.01)"
    assert names[2] == "start"


def test_the_animation_ends_in_the_picture(tmp_path):
    still = plot_trajectories(ravine, CHAINS, START, 30, minimum=(0, 0))
    moving = animate_trajectories(ravine, CHAINS, START, 30, minimum=(0, 0), frames=4, fps=5)
    moving.save(tmp_path / "way.gif", writer="pillow")
    with Image.open(tmp_path / "way.gif") as image:
        assert image.n_frames == 4
        assert image.info["duration"] == 200
    ax = moving._fig.axes[0]
    assert ax.get_title() == "step 30"
    for label, line in lines(still).items():
        other = lines(moving._fig)[label]
        np.testing.assert_array_equal(other.get_xydata(), line.get_xydata())
        assert (other.get_color(), other.get_markevery()) == (line.get_color(), line.get_markevery())
    assert moving.to_jshtml().count("data:image/png") == 4


def test_a_frame_is_the_way_so_far():
    moving = animate_trajectories(ravine, CHAINS, START, 30, frames=100)
    assert list(moving.new_frame_seq()) == list(range(31))
    moving._draw_frame(7)
    moving._draw_was_started = True
    for label, tx in CHAINS.items():
        drawn, way = lines(moving._fig)[label], trajectory(ravine, tx, np.array(START), 30).points
        np.testing.assert_array_equal(drawn.get_xydata(), way[:8])
        assert drawn.get_markevery() == [7]


@pytest.mark.parametrize("draw", [plot_trajectories, animate_trajectories])
@pytest.mark.parametrize(
    ("chains", "start", "more", "error", "words"),
    [
        ({}, START, {}, ValueError, "chains is empty"),
        ([], START, {}, ValueError, "chains is empty"),
        ({"a": 0.1}, START, {}, TypeError, r"chains\['a'\]: expected a gradient transformation"),
        (CHAINS, (1, 2, 3), {}, ValueError, r"start must be two finite numbers, got \(1, 2, 3\)"),
        (CHAINS, "ab", {}, ValueError, "start must be two finite numbers, got 'ab'"),
        (CHAINS, START, {"minimum": (0, math.nan)}, ValueError, "minimum must be two finite numbers"),
        (CHAINS, START, {"xlim": (1, 1)}, ValueError, r"xlim must be two increasing numbers, got \(1, 1\)"),
        (CHAINS, START, {"ylim": 3}, ValueError, "ylim must be two increasing numbers, got 3"),
    ],
)
def test_errors_of_the_pictures(draw, chains, start, more, error, words):
    with pytest.raises(error, match=f"{draw.__name__}: {words}"):
        draw(ravine, chains, start, 3, **more)


def test_more_errors_of_the_pictures(monkeypatch):
    for bad in (jnp.nan, jnp.inf):
        with pytest.raises(ValueError, match=f"plot_trajectories: fn must be finite at the start, got {bad}"):
            plot_trajectories(lambda x: x[0] ** 2 * bad, CHAINS, START, 3)  # noqa: B023
    with pytest.raises(ValueError, match=r"animate_trajectories: frames must be in \[2, inf\), got 1"):
        animate_trajectories(ravine, CHAINS, START, 3, frames=1)
    with pytest.raises(ValueError, match="animate_trajectories: fps must be in"):
        animate_trajectories(ravine, CHAINS, START, 3, fps=0)
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match="plot_trajectories needs matplotlib; run: pip install"):
        plot_trajectories(ravine, CHAINS, START, 3)
