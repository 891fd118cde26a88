"""The curves show the values of the schedules, with the specified axes, styles and labels."""

import math
import subprocess
import sys

import jax
import jax.numpy as jnp
import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

import gradtx as gx
from gradtx import schedules as S
from gradtx.inspection import plot_schedule
from gradtx.inspection._styles import styles
from tests.helpers import relaxed, trials


class Joint:
    """A schedule of the learning rate that also has a schedule of the momentum."""

    momentum = S.linear(0.95, 0.85, 10)

    def __call__(self, step):
        return 0.1 * step


def curves(figure):
    """Return {label: (axis label, steps, values)} of the curves in a figure."""
    return {
        line.get_label(): (ax.get_ylabel(), *np.transpose(line.get_xydata()))
        for ax in figure.axes
        for line in ax.get_lines()
    }


def legend(figure):
    (found,) = figure.legends
    return [text.get_text() for text in found.get_texts()]


@pytest.mark.parametrize(
    "schedule",
    [
        S.cosine_restarts(0.1, 7, t_mul=2.0, m_mul=0.7),
        S.exponential_decay(0.1, 5, 0.5, staircase=True),
        S.piecewise_constant([0.1, 0.2], [3]),
        lambda step: 0.1 if step < 10 else 0.01,
        lambda step: 0.1 / math.sqrt(step + 1),
        lambda step: 0.1 * np.exp(-0.1 * step),
        lambda step: jax.lax.cond(step < 10, lambda: 0.1, lambda: 0.01),
        lambda step: [0.3, 0.2, 0.1][min(step, 2)],
        lambda step: 0.1,
        lambda step: jnp.asarray(0.5, jnp.bfloat16),
    ],
)
def test_the_curve_is_the_schedule(schedule):
    figure = plot_schedule({"x": schedule}, 40)
    label, steps, values = curves(figure)["x"]
    assert (label, figure.axes[0].get_xlabel()) == ("learning rate", "step")
    assert steps.tolist() == list(range(40))
    np.testing.assert_allclose(values, [float(schedule(step)) for step in range(40)], rtol=1e-6, atol=1e-9)


def test_optax_schedules_and_a_stretch_of_steps():
    schedule = optax.warmup_cosine_decay_schedule(0.0, 0.1, 10, 100)
    with relaxed():
        figure = plot_schedule(schedule, (95, 102))
        ((_, steps, values),) = curves(figure).values()
        np.testing.assert_allclose(values, schedule(jnp.arange(95, 102)), atol=1e-9)
    assert steps.tolist() == list(range(95, 102))


def test_numbers_are_constant():
    assert curves(plot_schedule([0.1, 1], 3))["1"][2].tolist() == [1, 1, 1]


def test_labels():
    def _hidden(step):
        return 0.1

    names = [0.1, S.constant(0.2), _hidden, lambda step: 0.1, lambda step: 0.2]
    shown = legend(plot_schedule(names, 2))
    assert shown[:2] == ["0.1", "constant(0.2)"]
    assert [name.rpartition(".")[2] for name in shown[2:]] == ["_hidden", "<lambda>", "<lambda>"]
    assert legend(plot_schedule({"_a $x^{": 0.1, 3: 0.2}, 2)) == ["_a $x^{", "3"]
    (long,) = legend(plot_schedule(S.join([0.1] * 50, list(range(1, 50))), 2))
    assert long.startswith("join((0.1, 0.1")
    assert (len(long), long[-1]) == (80, "…")
    plot_schedule({"a $x^{": 0.1}, 2).draw_without_rendering()


def test_momentum_is_dashed_on_an_axis_of_its_own_in_the_colour_of_its_rate():
    figure = plot_schedule({"a": Joint(), "b": 0.5}, 11)
    left, right = figure.axes
    assert (left.get_ylabel(), right.get_ylabel()) == ("learning rate", "momentum")
    assert right.get_shared_x_axes().joined(left, right)
    (a, b), (momentum,) = left.get_lines(), right.get_lines()
    assert legend(figure) == ["a", "a: momentum", "b"]
    assert momentum.get_color() == a.get_color() != b.get_color()
    assert [line.get_linestyle() for line in (a, b, momentum)] == ["-", "-", "--"]
    assert a.get_marker() == momentum.get_marker() != b.get_marker()
    np.testing.assert_allclose(momentum.get_ydata(), np.linspace(0.95, 0.85, 11), rtol=1e-6)


def test_momentum_that_is_given():
    figure = plot_schedule([Joint(), 0.1], 3, momentum=[0.9, None])
    assert [line.get_ydata().tolist() for line in figure.axes[1].get_lines()] == [[pytest.approx(0.9)] * 3]
    figure = plot_schedule(0.1, 3, momentum=S.linear(0.5, 0.9, 2))
    np.testing.assert_allclose(curves(figure)["0.1: momentum"][2], [0.5, 0.7, 0.9], rtol=1e-6)
    assert {line.get_marker() for ax in figure.axes for line in ax.get_lines()} <= {"", "None"}


def test_every_scheduled_hyperparameter_of_a_chain():
    tx = gx.chain(
        gx.clip(gx.tunable(1.0)),
        gx.sgd(S.linear(0.1, 0.0, 10), momentum=S.linear(0.5, 0.9, 10), weight_decay=lambda step: 0.01),
        gx.named("last", gx.scale_by_learning_rate(S.constant(2.0))),
        optax.identity(),
    )
    found = curves(plot_schedule(tx, 11))
    assert {name: label for name, (label, _, _) in found.items()} == {
        "trace.momentum": "momentum",
        "add_decayed_weights.weight_decay": "weight decay",
        "scale_by_learning_rate.learning_rate": "learning rate",
        "last.learning_rate": "learning rate",
    }
    state = tx.init(jnp.ones(2))._replace(step=jnp.asarray(4))
    now = gx.hyperparams(tx, state)
    for name, (_, _, values) in found.items():
        np.testing.assert_allclose(values[4], now[name], rtol=1e-6)
    axes = plot_schedule(tx, 11).axes
    assert [ax.get_ylabel() for ax in axes] == ["learning rate", "momentum", "weight decay"]
    assert len({str(ax.spines["right"].get_position()) for ax in axes[1:]}) == 2
    assert [ax.get_ylabel() for ax in plot_schedule(gx.adam(0.1, b1=S.constant(0.9)), 2).axes] == ["b1"]


@pytest.mark.parametrize(
    ("schedule", "stairs"),
    [
        (S.exponential_decay(0.1, 5, 0.5, staircase=True), True),
        (S.per_epoch(S.cosine_decay(0.1, 5), 10), True),
        (S.exponential_decay(0.1, 5, 0.5), False),
        (S.constant(0.1), False),
        (S.warmup(0.1, 5), False),
        (S.warmup_stable_decay(0.0, 0.1, 5, 30, 40), False),
    ],
)
def test_stairs_look_like_stairs(schedule, stairs):
    (line,) = plot_schedule(schedule, 50).axes[0].get_lines()
    assert line.get_drawstyle() == ("steps-post" if stairs else "default")


def test_a_million_steps_keep_every_jump_and_peak():
    spike = {17: 0.3, 123_456: 0.5, 999_998: 0.4}
    jumps = S.piecewise_constant([0.1, 0.01, 0.02], [333_333, 777_778])
    restarts = S.cosine_restarts(0.1, 1000, t_mul=1.5)
    figure = plot_schedule({"spike": lambda t: spike.get(t, 0.0), "jumps": jumps, "restarts": restarts}, 1_000_000)
    found = {name: dict(zip(steps, values, strict=True)) for name, (_, steps, values) in curves(figure).items()}
    assert max(map(len, found.values())) <= 5 * 1024
    assert spike.items() <= found["spike"].items()
    for step in (333_333, 777_778):
        assert found["jumps"][step] == pytest.approx(float(jumps(step)))
    for name, schedule in (("jumps", jumps), ("restarts", restarts)):
        at = np.array(list(found[name]))
        assert (at[0], at[-1]) == (0, 999_999)
        assert np.diff(at).max() <= 1000
        np.testing.assert_allclose(list(found[name].values()), schedule(jnp.asarray(at, int)), atol=1e-8)
    assert sum(value > 0.0999 for value in found["restarts"].values()) >= 14


def test_all_the_steps_that_there_are():
    _, steps, values = curves(plot_schedule({"x": S.piecewise_constant([0.1, 0.2], [10**9])}, 2**31 - 1))["x"]
    assert (steps[0], steps[-1]) == (0, 2**31 - 2)
    assert abs(steps[values > 0.15].min() - 10**9) <= 2**11


@trials(30)
@given(st.lists(st.floats(-1, 1, width=16) | st.just(math.nan), min_size=1, max_size=20_000).map(np.array))
def test_thinning_keeps_ends_extremes_and_gaps(values):
    values = np.resize(values, 20_000)
    values[7] = 0.5
    _, steps, drawn = curves(plot_schedule({"x": lambda step: values[int(step)]}, len(values)))["x"]
    at = steps.astype(int)
    np.testing.assert_array_equal(drawn, values[at])
    assert (at[0], at[-1]) == (0, len(values) - 1)
    for begin in range(0, len(values), 20):  # 20_000 steps in 1024 stretches, rounded up
        stretch, kept = values[begin : begin + 20], drawn[(at >= begin) & (at < begin + 20)]
        assert np.isnan(stretch).any() == np.isnan(kept).any()
        if not np.isnan(stretch).all():
            assert (np.nanmin(kept), np.nanmax(kept)) == (np.nanmin(stretch), np.nanmax(stretch))


def test_what_is_not_finite_is_a_gap():
    pole = lambda t: 0.1 / jnp.asarray(1 - t / 4, float)  # noqa: E731
    figure = plot_schedule({"pole": pole}, 8)
    assert np.isnan(curves(figure)["pole"][2]).tolist() == [step == 4 for step in range(8)]
    figure.draw_without_rendering()


def test_a_logarithmic_axis():
    figure = plot_schedule({"x": S.linear(0.0, 1.0, 4)}, 5, momentum=S.linear(-0.5, 0.5, 4), log=True)
    left, right = figure.axes
    assert (left.get_yscale(), right.get_yscale()) == ("log", "linear")
    np.testing.assert_allclose(curves(figure)["x"][2], [np.nan, 0.25, 0.5, 0.75, 1.0])
    assert curves(figure)["x: momentum"][2][0] == -0.5
    figure.draw_without_rendering()


def test_axes_of_the_user():
    fig, (ax, other) = plt.subplots(1, 2)
    try:
        ax.set_title("mine")
        assert plot_schedule(Joint(), 5, ax=ax) is fig
        assert len(ax.get_lines()) == 1
        assert (ax.get_title(), ax.get_xlabel(), other.get_xlabel()) == ("mine", "step", "")
        assert not fig.legends
        (right,) = (a for a in fig.axes if a not in (ax, other))
        assert len(right.get_legend().get_texts()) == 2
    finally:
        plt.close(fig)


def test_pyplot_knows_of_nothing(tmp_path):
    before = plt.get_fignums(), matplotlib.get_backend()
    figure = plot_schedule([Joint(), 0.1], 5)
    assert type(figure) is Figure
    for suffix in ("png", "svg", "pdf"):
        figure.savefig(tmp_path / f"x.{suffix}")
    assert (plt.get_fignums(), matplotlib.get_backend()) == before


def test_a_single_step_is_a_dot():
    (line,) = plot_schedule(0.1, 1).axes[0].get_lines()
    assert line.get_marker() not in ("", "None")


def test_49_looks():
    looks = [(to_hex(s.colour), str(s.dashes)) for s, _ in zip(styles(), range(49), strict=False)]
    assert len(set(looks)) == 49
    assert len({(c, s.marker) for (c, _), s in zip(looks, styles(), strict=False)}) == 49


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ((0.1, 0), ValueError, r"steps must be in \[1, 2\*\*31\), or \(start, stop\) with 0 ≤ start < stop, got 0"),
        ((0.1, -3), ValueError, "got -3"),
        ((0.1, 2**31), ValueError, "got 2147483648"),
        ((0.1, (5, 5)), ValueError, r"got \(5, 5\)"),
        ((0.1, (-1, 5)), ValueError, r"got \(-1, 5\)"),
        ((0.1, 2.5), TypeError, r"steps must be an integer or a pair \(start, stop\), got 2.5"),
        ((0.1, True), TypeError, "got True"),
        ((0.1, (1, 2, 3)), TypeError, r"got \(1, 2, 3\)"),
        (([], 5), ValueError, "schedules is empty"),
        (({}, 5), ValueError, "schedules is empty"),
        (("fast", 5), TypeError, "'fast' must give a number at every step, got 'fast'"),
        (([0.1, None], 5), TypeError, "None must give a number at every step, got None"),
        (({"x": lambda step: (0.1, 0.2)}, 5), TypeError, r"x must give a number at every step, got \(0.1, 0.2\)"),
        (({"x": lambda step: jnp.ones(5)}, 5), TypeError, "x must give a number at every step"),
        (({"x": lambda step: math.nan}, 5), ValueError, "x has no finite value at any of the steps"),
        ((gx.adam(0.1), 5), ValueError, r"no hyperparameter is a schedule in chain\(scale_by_adam"),
        ((optax.sgd(0.1), 5), ValueError, "no hyperparameter is a schedule"),
    ],
)
def test_errors(arguments, error, words):
    with pytest.raises(error, match=words):
        plot_schedule(*arguments)


@pytest.mark.parametrize(
    ("schedules", "more", "words"),
    [
        ({"x": lambda step: 1.0 - step}, {"log": True}, "x is negative at step 2, which a logarithmic axis cannot"),
        ({"x": 0.0}, {"log": True}, "x has no finite positive value"),
        ([0.1, 0.2], {"momentum": 0.9}, "momentum must have one entry for each of the 2 schedules, got 1"),
        ([0.1], {"momentum": [0.9, 0.8]}, "momentum must have one entry for each of the 1 schedules, got 2"),
        (
            gx.sgd(S.constant(0.1)),
            {"momentum": 0.9},
            "momentum has no effect with a transformation, which has its own momentum; leave",
        ),
    ],
)
def test_errors_of_the_options(schedules, more, words):
    with pytest.raises(ValueError, match=words):
        plot_schedule(schedules, 5, **more)


@pytest.mark.parametrize("error", [KeyError, ValueError, TypeError])
def test_an_error_of_the_schedule_is_not_hidden(error):
    def broken(step):
        raise error("mine")

    with pytest.raises(error, match="mine"):
        plot_schedule(broken, 5)


def test_only_a_schedule_that_cannot_be_traced_is_called_step_by_step():
    calls = []

    def counted(step):
        calls.append(step)
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        plot_schedule(counted, 5)
    assert len(calls) == 1


@pytest.mark.parametrize("more", [{"log": 1}, {"ax": 3}])
def test_options_of_another_kind(more):
    with pytest.raises(TypeError, match=f"plot_schedule: {next(iter(more))} must be "):
        plot_schedule(0.1, 5, **more)


def test_matplotlib_is_imported_by_the_call_alone():
    code = "import sys, gradtx, gradtx.inspection; print([m for m in sys.modules if m.startswith('matplotlib')])"
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert out.stdout.strip() == "[]"


def test_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"plot_schedule needs matplotlib; run: pip install 'gradtx\[plot\]'"):
        plot_schedule(0.1, 5)
