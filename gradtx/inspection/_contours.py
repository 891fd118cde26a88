"""Contours of a function of two numbers."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from gradtx._tools import Number, Tree

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SERIES = (1, 2, 5), (1, 3), (1,)
_ULPS = 1e3  # the least width of an axis, in units of the last place: several for each of some hundred grid points


def limits_around(points: np.ndarray, narrow: tuple[bool, bool] = (False, False)) -> np.ndarray:
    """The limits of both axes that hold the points and a margin of a tenth on each side.

    An axis is at least a twentieth as wide as the other one, unless it may be `narrow`. If all points are equal, the
    axes are as wide as the largest coordinate, or 1 wide at the origin. No axis is so narrow that JAX's default dtype
    cannot tell the grid points apart.

    Args:
        points: Finite points, (points, 2).
        narrow: Whether each of the axes may be much narrower than the other one.

    Returns:
        ((x₀ low, x₀ high), (x₁ low, x₁ high)), (2, 2).
    """
    low, high = points.min(0), points.max(0)
    middle, extent = (low + high) / 2, high - low
    ulp = float(jnp.finfo(jnp.result_type(float)).eps) * np.abs(points).max(0)
    extent = np.where(extent > 4 * ulp, extent, 0.0)  # points that differ by rounding are equal
    if (extent > 0).any():
        extent = np.where(narrow & (extent > 0), extent, np.maximum(extent, extent.max() / 20))
    else:
        extent = np.full(2, np.abs(middle).max() or 1.0)
    extent = np.maximum(extent, _ULPS * ulp)
    return np.stack([middle - 0.6 * extent, middle + 0.6 * extent], 1)


def values_on_grid(
    name: str, fn: Callable[..., Number], x: np.ndarray, y: np.ndarray, *args: Tree, at_once: int
) -> np.ndarray:
    """The values of `fn(point, *args)` on a grid.

    Args:
        name: The public function and its argument, for the error message.
        fn: A function of a vector of two numbers, and of `args`.
        x: The first coordinates, (columns,).
        y: The second coordinates, (rows,).
        *args: Trees of arrays that are the same for all points.
        at_once: The number of points that are evaluated at one time.

    Returns:
        The values, (rows, columns), as float64.
    """
    grid = jnp.asarray(np.stack(np.meshgrid(x, y), -1).reshape(-1, 2), float)
    values = jax.jit(lambda grid, *args: jax.lax.map(lambda at: fn(at, *args), grid, batch_size=at_once))(grid, *args)
    if not jnp.isfinite(values).any():
        raise ValueError(f"{name} is finite nowhere on {x[0]:g} … {x[-1]:g} × {y[0]:g} … {y[-1]:g}")
    return np.asarray(values, float).reshape(len(y), len(x))


def draw_contours(ax: "Axes", x: np.ndarray, y: np.ndarray, z: np.ndarray, label: str, floor: float = np.inf) -> None:
    """Draws the contours of z in pale greys, with a colour bar, unless z is constant.

    Args:
        ax: The axes.
        x: The first coordinates, (columns,).
        y: The second coordinates, (rows,).
        z: The values, (rows, columns).
        label: The label of the colour bar.
        floor: A value at or below all of z, above which the levels rise. A floor that is not finite is ignored.
    """
    from matplotlib.colors import BoundaryNorm, LinearSegmentedColormap

    z = np.ma.masked_invalid(z)
    base, levels = _levels(z, floor)
    if not len(levels):
        return
    greys = LinearSegmentedColormap.from_list("greys", ["1", "0.72"])
    filled = ax.contourf(
        x, y, z - base, levels, cmap=greys, norm=BoundaryNorm(levels, greys.N, extend="both"), extend="both", zorder=0.2
    )
    ax.contour(x, y, z - base, levels, colors="0.6", linewidths=0.6, linestyles="solid", zorder=0.3)
    label += f" {'+' if base < 0 else '−'} {abs(base):.4g}" if base else ""
    bar = ax.figure.colorbar(filled, ax=ax, label=label, ticks=levels, format=_number, aspect=30, pad=0.02)
    bar.ax.tick_params(labelsize="small", length=0)


def _levels(z: np.ma.MaskedArray, floor: float) -> tuple[float, np.ndarray]:
    """The least value, and levels above it that are 1, 2, 5, 10, … times a power of ten, as ravines need them.

    If z is lowest at the border, as on a slope or a saddle, the picture has no bottom. Then the first result is 0, and
    the levels are quantiles: the same number of grid points lies between each two neighbours.
    """
    values = z.compressed()
    floor = floor if np.isfinite(floor) else np.inf
    low, high = min(floor, values.min()), values.max()
    if low == high:
        return low, np.empty(0)
    near = np.quantile(values, 0.002) - low
    if near > 0 and (floor < np.inf or values.min() in z[1:-1, 1:-1]):
        low = 0.0 if abs(low) <= near else low
        decades = 10.0 ** np.arange(np.floor(np.log10(near)), np.log10(high - low))
        candidates = (np.outer(decades, series).ravel() for series in _SERIES)
        candidates = [levels[(levels >= near) & (levels < high - low)] for levels in candidates]
        levels = next((levels for levels in candidates if len(levels) <= 12), candidates[-1])
        if len(levels) >= 5:
            return low, levels
    levels = np.unique(np.quantile(values, np.linspace(0, 1, 14)[1:-1]))
    return 0.0, levels if len(levels) >= 5 else np.linspace(low, high, 14)[1:-1]


def _number(value: float, _: int | None = None) -> str:
    """The label of a level; matplotlib also gives its position."""
    return f"{value:,.0f}" if 1e3 <= abs(value) < 1e6 else f"{value:.3g}"
