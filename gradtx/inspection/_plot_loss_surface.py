"""The loss around trained parameters, on a plane through them."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from gradtx._tools import Seed, check_real_scalar, typed_key
from gradtx.core import Interval
from gradtx.inspection._axes import MARK, axes, legend
from gradtx.inspection._contours import around, contours, heights
from gradtx.inspection._plane import Vectors
from gradtx.inspection._styles import styles

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WHERE = "plot_loss_surface"
_AT_ONCE = 2**22  # numbers in the parameters that are tried at one time


def plot_loss_surface(
    loss: Callable[[Any], Any],
    params: Any,
    *,
    span: float | None = None,
    points: int = 41,
    directions: Sequence[Any] | None = None,
    normalize: str | None = "filter",
    key: Any = 0,
    path: Any = None,
    ax: "Axes | None" = None,
) -> "Figure":
    """A figure of the contours of L(θ + a·d₁ + b·d₂) over a and b.

    d₁ and d₂ are drawn from N(0, I), and normalised so that networks whose weights differ in size look alike: each
    filter of d, that is all that leads to one output feature, gets the norm of that filter of θ. Features are the last
    axis of a kernel, as in Flax, Haiku and Keras. Arrays of fewer than two axes, biases and scales, are left as they
    are. With a `path` they are its first two principal directions from θ, of length 1.

    Args:
        loss: L, a tree like `params` → a real scalar. It runs under `vmap`.
        params: θ, where a = b = 0. Only arrays of floating numbers are moved.
        span: a and b are in [-span, span]. None for 1, or for what holds the path.
        points: How many values of a, and of b; at least 3. An odd number has θ itself among them.
        directions: (d₁, d₂), trees like `params`, taken as they are; 0 where None.
        normalize: "filter"; "layer", where each array of d gets the norm of that of θ; or None, where d is left as it
            was drawn, in all arrays. It concerns random directions alone.
        key: An integer seed for them, or a key made by `jax.random.key`.
        path: Parameters along the way, a tree like `params` with an axis of steps in front of each array, whose
            projections on the plane are drawn.
        ax: Axes of matplotlib to draw into; otherwise a figure is made, which pyplot does not know of.

    Raises:
        ImportError: matplotlib is not installed.
        TypeError: `loss` gives no real scalar, or a parameter is complex.
        ValueError: There is nothing to move, a tree is not like `params`, the directions are not independent, the path
            goes nowhere or is not finite, L is finite nowhere, or an argument is out of its range.

    Source: Li, Xu, Taylor, Studer & Goldstein 2018, arXiv:1712.09913, sections 4 and 7, whose principal directions are
    of the path less its mean; these give the plane through θ that is nearest to the path.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> params = {"kernel": jnp.ones((3, 2)), "bias": jnp.zeros(2)}
    >>> figure = gx.inspection.plot_loss_surface(lambda p: jnp.sum((p["kernel"] - 1) ** 2), params, points=11)
    >>> [ax.get_ylabel() for ax in figure.axes]
    ['direction 2', 'loss']
    """
    points = int(Interval(3, hyper=False, whole=True).check(f"{_WHERE}: points", points))
    if span is not None:
        span = float(Interval(0.0, above=True, hyper=False).check(f"{_WHERE}: span", span))
    if normalize not in ("filter", "layer", None):
        raise ValueError(f"{_WHERE}: normalize must be 'filter', 'layer' or None, got {normalize!r}")
    vectors = Vectors(_WHERE, params)
    check_real_scalar(f"{_WHERE}: loss", jax.eval_shape(loss, params))
    names = ["direction 1", "direction 2"]
    way = None if path is None else vectors.way(path)
    if directions is not None:
        plane = vectors.given(directions)
    elif way is not None:
        plane, shares = vectors.principal(way)
        names = [f"{name} ({share:.0%} of the path)" for name, share in zip(names, shares, strict=True)]
    else:
        plane = vectors.random(normalize, typed_key(Seed().check(f"{_WHERE}: key", key)))
    coordinates = np.empty((0, 2)) if way is None else vectors.on(plane, way)
    if span is None and way is not None:
        limits = around(np.vstack([coordinates[np.isfinite(coordinates).all(1)], np.zeros((1, 2))]))
    else:
        limits = np.array([[-1.0, 1.0]] * 2) * (span or 1.0)

    def at(point: jax.Array, theta: jax.Array, plane: jax.Array) -> Any:
        return loss(vectors.tree(theta + point @ plane))

    x, y = np.linspace(limits[:, 0], limits[:, 1], points).T
    z = heights(f"{_WHERE}: loss", at, x, y, vectors.theta, plane, at_once=max(1, _AT_ONCE // plane.size))
    labels = ["path", "its beginning"] * (way is not None) + ["the parameters"]
    own = ax is None
    ax = axes(_WHERE, labels, 4.6) if ax is None else ax
    ax.grid(visible=False)
    ax.set(xlabel=names[0], ylabel=names[1], xlim=limits[0], ylim=limits[1])
    contours(ax, x, y, z, "loss")
    lines = []
    if way is not None:
        style = next(styles())
        lines += ax.plot(*coordinates.T, color=style.colour, linewidth=1.5, marker=".")
        lines += ax.plot(*coordinates[:1].T, **MARK, marker="o", markersize=8)
    lines += ax.plot(0.0, 0.0, **MARK, marker="*", markersize=14)
    legend([ax], lines, labels, own)
    return ax.figure  # type: ignore[return-value]
