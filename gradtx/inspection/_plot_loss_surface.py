"""The loss around trained parameters, on a plane through them."""

from collections.abc import Callable, Sequence
from typing import Annotated, Literal, NamedTuple

import jax
import numpy as np

from gradtx._tools import Interval, Key, Number, Tree, check_real_scalar, checked, typed_key
from gradtx.inspection._axes import MARK, Axes, Figure, OptionalAxes, add_legend, new_axes
from gradtx.inspection._contours import draw_contours, limits_around, values_on_grid
from gradtx.inspection._parameter_space import ParameterSpace
from gradtx.inspection._styles import styles

_FUNCTION = "plot_loss_surface"
_AT_ONCE = 2**22  # the number of parameters in all points that are evaluated at one time


class _Plane(NamedTuple):
    """Two directions with their labels, and the coordinates of the path on their plane, (points, 2)."""

    directions: jax.Array
    labels: tuple[str, str]
    path: np.ndarray | None


@checked
def plot_loss_surface(
    loss: Callable[..., Number],
    params: Tree,
    *,
    span: Annotated[float, Interval(0.0, above=True, hyper=False)] | None = None,
    points: Annotated[int, Interval(3, hyper=False, whole=True)] = 41,
    directions: Sequence[Tree] | None = None,
    normalize: Literal["filter", "layer"] | None = "filter",
    key: Key = 0,
    path: Tree | None = None,
    ax: OptionalAxes = None,
) -> "Figure":
    """Draws the contours of the loss L(θ + a·d₁ + b·d₂) over a and b.

    The directions d₁ and d₂ come from one of three sources. Given `directions` are used without changes. With a `path`,
    the directions are the first two principal directions of the path, seen from θ, of length 1. Otherwise the
    directions are drawn from N(0, I) and normalised, so that networks whose weights differ in size look alike: each
    filter of d gets the norm of the same filter of θ. A filter is all weights that lead to one output feature. Features
    are the last axis of a kernel, as in Flax, Haiku and Keras. Random directions do not move arrays of fewer than two
    axes, such as biases and scales.

    Args:
        loss: L, a function from a tree like `params` to a real scalar. It runs under `jax.vmap`.
        params: θ, the parameters at a = b = 0. Only floating-point arrays are moved.
        span: a and b are in [-span, span], span > 0. By default 1, or limits that hold the path.
        points: The number of values of a, and of b; at least 3. If it is odd, θ itself is a grid point.
        directions: (d₁, d₂), a pair of trees like `params`. None in place of an array is 0.
        normalize: "filter"; or "layer", with which each array of d gets the norm of the same array of θ; or None, with
            which all arrays are moved as drawn. Only random directions are normalised.
        key: An integer seed for random directions, or a key made by `jax.random.key`.
        path: The parameters at several times, a tree like `params` with an axis of steps in front of each array. The
            projections of these points on the plane are drawn.
        ax: Matplotlib's axes to draw into. By default a new figure is made that pyplot does not manage.

    Raises:
        ImportError: matplotlib is not installed.
        TypeError: `loss` does not return a real scalar, or a parameter is complex.
        ValueError: `params` have no floating-point number, a tree is not like `params`, the directions are not
            independent, the path does not move or is not finite, L is finite nowhere, an argument is out of its range,
            or `normalize` or `key` is given although the directions are not random.

    Source: Li, Xu, Taylor, Studer & Goldstein 2018, arXiv:1712.09913, sections 4 and 7. The principal directions there
    are computed of the path less its mean. The principal directions here span the plane through θ that is nearest to
    the path.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> params = {"kernel": jnp.ones((3, 2)), "bias": jnp.zeros(2)}
    >>> figure = gx.inspection.plot_loss_surface(lambda p: jnp.sum((p["kernel"] - 1) ** 2), params, points=11)
    >>> [ax.get_ylabel() for ax in figure.axes]
    ['direction 2', 'loss']
    """
    _check_random_only(directions, path, normalize, key)
    space = ParameterSpace(_FUNCTION, params)
    check_real_scalar(f"{_FUNCTION}: loss", jax.eval_shape(loss, params))
    plane = _plane(space, directions, path, normalize, key)
    limits = np.array([[-1.0, 1.0]] * 2) * (span or 1.0)
    if span is None and plane.path is not None:
        limits = limits_around(np.vstack([plane.path[np.isfinite(plane.path).all(1)], np.zeros((1, 2))]))

    def at(point: jax.Array, theta: jax.Array, directions: jax.Array) -> Number:
        return loss(space.tree(theta + point @ directions))

    x, y = np.linspace(limits[:, 0], limits[:, 1], points).T
    at_once = max(1, _AT_ONCE // plane.directions.size)
    z = values_on_grid(f"{_FUNCTION}: loss", at, x, y, space.theta, plane.directions, at_once=at_once)
    return _draw(ax, x, y, z, plane)


def _check_random_only(
    directions: Sequence[Tree] | None, path: Tree | None, normalize: str | None, key: int | jax.Array
) -> None:
    """Refuses the options of random directions if the directions are not random."""
    source = "directions" if directions is not None else "path"
    if directions is None and path is None:
        return
    for name, value, changed in (
        ("normalize", normalize, normalize != "filter"),
        ("key", key, not (isinstance(key, int) and key == 0)),
    ):
        if changed:
            shown = f"{name}={value!r}" if name == "normalize" else name
            raise ValueError(
                f"{_FUNCTION}: {shown} has no effect with {source}, which determines the directions; leave {name} out"
            )


def _plane(
    space: ParameterSpace,
    directions: Sequence[Tree] | None,
    path: Tree | None,
    normalize: str | None,
    key: int | jax.Array,
) -> _Plane:
    labels = ("direction 1", "direction 2")
    displacements = None if path is None else space.displacements(path)
    if directions is not None:
        plane = space.checked_plane(directions)
    elif displacements is not None:
        plane, (first, second) = space.principal_plane(displacements)
        labels = (f"{labels[0]} ({first:.0%} of the path)", f"{labels[1]} ({second:.0%} of the path)")
    else:
        plane = space.random_plane(normalize, typed_key(key))
    return _Plane(plane, labels, None if displacements is None else space.coordinates(plane, displacements))


def _draw(ax: "Axes | None", x: np.ndarray, y: np.ndarray, z: np.ndarray, plane: _Plane) -> "Figure":
    labels = ["the parameters"] if plane.path is None else ["path", "start of the path", "the parameters"]
    above = ax is None
    ax = new_axes(_FUNCTION, labels, height=4.6) if ax is None else ax
    ax.grid(visible=False)
    ax.set(xlabel=plane.labels[0], ylabel=plane.labels[1], xlim=(x[0], x[-1]), ylim=(y[0], y[-1]))
    draw_contours(ax, x, y, z, "loss")
    lines = []
    if plane.path is not None:
        lines += ax.plot(*plane.path.T, color=next(styles()).colour, linewidth=1.5, marker=".")
        lines += ax.plot(*plane.path[:1].T, **MARK, marker="o", markersize=8)
    lines += ax.plot([0.0], [0.0], **MARK, marker="*", markersize=14)
    add_legend([ax], lines, labels, above=above)
    return ax.figure  # type: ignore[return-value]
