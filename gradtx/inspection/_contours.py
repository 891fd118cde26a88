"""Contours of a function of two numbers."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

_SERIES = (1, 2, 5), (1, 3), (1,)


def around(points: np.ndarray) -> np.ndarray:
    """Limits of both axes, (2, 2), that hold the points and a margin; neither is much narrower than the other."""
    low, high = points.min(0), points.max(0)
    width = np.maximum(high - low, (high - low).max() / 20) if (high > low).any() else np.ones(2)
    middle = (low + high) / 2
    return np.stack([middle - 0.6 * width, middle + 0.6 * width], 1)


def heights(name: str, fn: Callable[..., Any], x: np.ndarray, y: np.ndarray, *args: Any, at_once: int) -> np.ndarray:
    """The values of `fn(point, *args)` on the grid, (y, x), so many of them at one time."""
    grid = jnp.asarray(np.stack(np.meshgrid(x, y), -1).reshape(-1, 2), float)
    values = jax.jit(lambda grid, *args: jax.lax.map(lambda at: fn(at, *args), grid, batch_size=at_once))(grid, *args)
    if not jnp.isfinite(values).any():
        raise ValueError(f"{name} is finite nowhere on {x[0]:g} … {x[-1]:g} × {y[0]:g} … {y[-1]:g}")
    return np.asarray(values, float).reshape(len(y), len(x))


def contours(ax: Any, x: np.ndarray, y: np.ndarray, z: np.ndarray, label: str, floor: float = np.inf) -> None:
    """Those of z, (y, x), in pale greys that let colours stand out, with their values beside; none if z is constant.

    They rise above `floor`, where that is below all of z.
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


def _levels(z: Any, floor: float) -> tuple[float, np.ndarray]:
    """The least value, and levels above it of 1, 2, 5, 10, … times some power of ten, as ravines need it.

    Where z is lowest at the border, as on a slope or a saddle, there is no bottom to count from: (0, levels) between
    each of which and the next are as many points of the picture.
    """
    found = z.compressed()
    floor = floor if np.isfinite(floor) else np.inf
    low, high = min(floor, found.min()), found.max()
    if low == high:
        return low, np.empty(0)
    near = np.quantile(found, 0.002) - low
    if near > 0 and (floor < np.inf or found.min() in z[1:-1, 1:-1]):
        low = 0.0 if abs(low) <= near else low
        decades = 10.0 ** np.arange(np.floor(np.log10(near)), np.log10(high - low))
        each = (np.outer(decades, series).ravel() for series in _SERIES)
        each = [levels[(levels >= near) & (levels < high - low)] for levels in each]
        levels = next((levels for levels in each if len(levels) <= 12), each[-1])
        if len(levels) >= 5:
            return low, levels
    levels = np.unique(np.quantile(found, np.linspace(0, 1, 14)[1:-1]))
    return 0.0, levels if len(levels) >= 5 else np.linspace(low, high, 14)[1:-1]


def _number(value: float, _: int | None = None) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
