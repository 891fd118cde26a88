"""Contours of a function of two numbers."""

from typing import Any

import numpy as np

_SERIES = (1, 2, 5), (1, 3), (1,)


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
    low, high = min(floor, found.min()), found.max()
    if low == high:
        return low, np.empty(0)
    near = np.quantile(found, 0.002) - low
    if near > 0 and (np.isfinite(floor) or found.min() in z[1:-1, 1:-1]):
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
