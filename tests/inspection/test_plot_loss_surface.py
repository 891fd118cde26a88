"""The heights are the losses on the specified plane, and the path is drawn by its coordinates on this plane."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradtx.inspection import plot_loss_surface
from gradtx.inspection._contours import values_on_grid
from gradtx.inspection._parameter_space import ParameterSpace

RNG = np.random.default_rng(0)
PARAMS = {
    "conv": RNG.normal(size=(3, 2, 4)).astype(np.float32),
    "dense": [jnp.asarray(RNG.normal(size=(4, 5)), jnp.bfloat16), None],
    "bias": np.ones(5, np.float32),
    "step": np.int32(7),
}
SPACE = ParameterSpace("here", PARAMS)
ALONG = {"conv": np.ones((3, 2, 4), np.float32), "dense": [None, None], "bias": None, "step": None}
ACROSS = {**ALONG, "conv": None, "bias": np.ones(5, np.float32)}


def loss(params):
    return jnp.mean(params["conv"] ** 2) + 2.0 * jnp.mean((params["bias"] - 1.0) ** 2)


unpacked = jax.jit(SPACE.tree)


def test_vectors_are_trees():
    tree = unpacked(SPACE.theta)
    assert jax.tree.structure(tree) == jax.tree.structure(PARAMS)
    jax.tree.map(np.testing.assert_array_equal, tree, PARAMS)
    assert tree["dense"][0].dtype == jnp.bfloat16
    assert SPACE.theta.shape == (24 + 20 + 5,)


@pytest.mark.parametrize(
    ("normalize", "axes"), [("filter", lambda x: tuple(range(x.ndim - 1))), ("layer", lambda x: None)]
)
def test_random_directions_have_the_norms_of_the_parameters(normalize, axes):
    plane = np.asarray(SPACE.random_plane(normalize, jax.random.key(0)))
    for vector in plane:
        direction = unpacked(np.asarray(SPACE.theta) + vector)
        for moved, kept in ((direction["conv"], PARAMS["conv"]), (direction["dense"][0], PARAMS["dense"][0])):
            kept, moved = np.asarray(kept, float), np.asarray(moved, float)
            norms = [np.sqrt(np.sum(x**2, axes(x))) for x in (moved - kept, kept)]
            np.testing.assert_allclose(*norms, rtol=0.05)  # bfloat16
        np.testing.assert_array_equal(direction["bias"], PARAMS["bias"])
    assert abs(np.corrcoef(plane)[0, 1]) < 0.5


def test_random_directions_as_they_are_drawn():
    raw = np.asarray(SPACE.random_plane(None, jax.random.key(0)))
    assert (raw != 0).all()
    assert 0.8 < raw.std() < 1.2


def drawn(figure):
    ax = figure.axes[0]
    return {line.get_label(): line.get_xydata() for line in ax.get_lines()}, ax.get_xlim(), ax.get_ylim()


def test_heights_are_the_losses_on_the_plane(monkeypatch):
    seen = []

    def kept(*args, **kwargs):
        seen.append((args[2:4], values_on_grid(*args, **kwargs)))
        return seen[-1][1]

    monkeypatch.setattr("gradtx.inspection._plot_loss_surface.values_on_grid", kept)
    figure = plot_loss_surface(loss, PARAMS, span=2.0, points=5, directions=(ALONG, ACROSS))
    ((x, y), z) = seen[0]
    np.testing.assert_allclose(x, [-2, -1, 0, 1, 2])
    np.testing.assert_allclose(y, x)
    for i, b in enumerate(y):
        for j, a in enumerate(x):
            there = {**PARAMS, "conv": PARAMS["conv"] + np.float32(a), "bias": PARAMS["bias"] + np.float32(b)}
            assert z[i, j] == pytest.approx(float(loss(there)), rel=1e-5)
    lines, *limits = drawn(figure)
    assert limits == [(-2, 2), (-2, 2)]
    assert lines["the parameters"].tolist() == [[0, 0]]
    assert figure.axes[0].get_ylabel() == "direction 2"
    assert figure.axes[1].get_ylabel() == f"loss − {z.min():.4g}"


def test_blocks_do_not_change_the_heights():
    x = np.linspace(-1, 1, 5)
    found = [values_on_grid("f", lambda at: at[0] + 10 * at[1], x, x[:3], at_once=n) for n in (1, 4, 15, 99)]
    for z in found:
        np.testing.assert_allclose(z, x[None] + 10 * x[:3, None], rtol=1e-6)


def test_the_path_on_given_directions():
    a, b = np.array([3.0, 2.0, 1.0], np.float32), np.array([0.5, -1.0, 0.0], np.float32)
    path = jax.tree.map(lambda p: np.stack([np.asarray(p)] * 3), PARAMS)
    path["conv"] = path["conv"] + a[:, None, None, None]
    path["bias"] = path["bias"] + b[:, None]
    oblique = {**ACROSS, "conv": ALONG["conv"]}
    lines, (x0, x1), (y0, y1) = drawn(plot_loss_surface(loss, PARAMS, points=3, directions=(ALONG, oblique), path=path))
    np.testing.assert_allclose(lines["path"], np.stack([a - b, b], 1), atol=1e-5)
    np.testing.assert_allclose(lines["start of the path"], [[2.5, 0.5]], atol=1e-5)
    assert x0 < 0 < 3 < x1
    assert y0 < -1 < 0.5 < y1


def test_principal_directions_are_those_nearest_to_the_path():
    params, theta = {"w": np.zeros((4, 5), np.float32)}, np.arange(30)[:, None]
    frame = np.linalg.qr(RNG.normal(size=(20, 20)))[0]
    way = (5 * np.cos(theta / 10) * frame[0] + np.sin(theta / 5) * frame[1] + 0.01 * RNG.normal(size=(30, 20))).astype(
        "f"
    )
    figure = plot_loss_surface(lambda p: jnp.sum(p["w"] ** 2), params, points=5, path={"w": way.reshape(30, 4, 5)})
    path = drawn(figure)[0]["path"]
    squares = np.linalg.svd(way, compute_uv=False) ** 2
    np.testing.assert_allclose((path**2).sum(0), squares[:2], rtol=1e-3)
    assert (path[0] >= 0).all()
    assert figure.axes[0].get_xlabel() == f"direction 1 ({squares[0] / squares.sum():.0%} of the path)"
    assert "direction 2 (" in figure.axes[0].get_ylabel()


def test_a_path_that_diverged_needs_directions():
    path = jax.tree.map(lambda p: np.stack([np.asarray(p)] * 2), PARAMS)
    path["bias"][1] = np.nan
    with pytest.raises(ValueError, match="the path must be finite; otherwise give directions"):
        plot_loss_surface(loss, PARAMS, path=path)
    plot_loss_surface(loss, PARAMS, points=3, path=path, directions=(ALONG, ACROSS)).draw_without_rendering()


def test_bfloat16_and_axes_that_are_given():
    params = jnp.ones((2, 2), jnp.bfloat16)
    figure = plot_loss_surface(lambda x: jnp.sum(x**2), params, points=3)
    assert plot_loss_surface(lambda x: jnp.sum(x**2), params, points=3, ax=figure.axes[0]) is figure
    figure.draw_without_rendering()


STILL = jax.tree.map(lambda p: np.stack([np.asarray(p)] * 2), PARAMS)


@pytest.mark.parametrize(
    ("fn", "params", "more", "error", "words"),
    [
        (
            loss,
            {"a": None, "b": 3},
            {},
            ValueError,
            "params have no floating-point numbers, so that nothing can be moved",
        ),
        (loss, {}, {}, ValueError, "params have no floating-point numbers"),
        (jnp.sum, jnp.ones((2, 2), complex), {}, TypeError, "the parameter at the root is complex"),
        (loss, {"w": jnp.ones(2, complex)}, {}, TypeError, "the parameter at w is complex; give its real and"),
        (lambda p: p["bias"], PARAMS, {}, TypeError, "loss must return a real scalar, got float32 of shape"),
        (lambda p: loss(p) * jnp.nan, PARAMS, {"points": 3}, ValueError, "loss is finite nowhere on -1 … 1 × -1 … 1"),
        (jnp.sum, jnp.ones(3), {}, ValueError, "params have no array of two or more axes that is not 0"),
        (loss, PARAMS, {"points": 2}, ValueError, r"points must be in \[3, inf\), got 2"),
        (loss, PARAMS, {"span": 0}, ValueError, r"span must be in \(0, inf\), got 0"),
        (
            loss,
            PARAMS,
            {"normalize": "weight"},
            ValueError,
            "normalize must be one of 'filter', 'layer', None, got 'weight'",
        ),
        (loss, PARAMS, {"key": 0.5}, TypeError, "key must be an integer seed"),
        (loss, PARAMS, {"directions": ALONG}, ValueError, "directions must be a pair of trees like params, got"),
        (loss, PARAMS, {"directions": (ALONG, ALONG)}, ValueError, "the directions must be linearly independent"),
        (
            loss,
            PARAMS,
            {"directions": (ALONG, {})},
            ValueError,
            "the directions and the parameters have different structures: missing",
        ),
        (
            loss,
            PARAMS,
            {"path": {}},
            ValueError,
            "the arrays of the path and the parameters have different structures: missing",
        ),
        (
            loss,
            PARAMS,
            {"path": PARAMS},
            ValueError,
            r"the path at bias must have the shape \(steps, \*\(5,\)\) with the same number of steps",
        ),
        (
            loss,
            PARAMS,
            {"path": {**STILL, "bias": np.ones((3, 5))}},
            ValueError,
            "the path at conv must have the shape",
        ),
        (
            loss,
            PARAMS,
            {"path": STILL},
            ValueError,
            "the path must have two points that differ from params; otherwise give directions",
        ),
    ],
)
def test_errors(fn, params, more, error, words):
    with pytest.raises(error, match=f"plot_loss_surface: {words}"):
        plot_loss_surface(fn, params, **more)


@pytest.mark.parametrize("source", [{"directions": (ALONG, ACROSS)}, {"path": STILL}])
@pytest.mark.parametrize(
    ("option", "shown"),
    [
        ({"normalize": "layer"}, "normalize='layer'"),
        ({"normalize": None}, "normalize=None"),
        ({"key": 1}, "key"),
        ({"key": jax.random.key(0)}, "key"),
    ],
)
def test_options_of_random_directions_are_refused_with_others(source, option, shown):
    (name,), (other,) = option, source
    words = f"plot_loss_surface: {shown} has no effect with {other}, which determines the directions; leave {name} out"
    with pytest.raises(ValueError, match=words):
        plot_loss_surface(loss, PARAMS, **source, **option)


def test_axes_that_are_none_of_matplotlib():
    with pytest.raises(
        TypeError, match="plot_loss_surface: ax must be the axes of a matplotlib figure, or None, got 3"
    ):
        plot_loss_surface(loss, PARAMS, ax=3)
