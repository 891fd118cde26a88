"""How large the steps of training are beside what they change."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx._tools import check_leaves, check_structure, flatten, is_trainable, widen
from gradtx.core import abs_sq
from gradtx.inspection._axes import axes, legend
from gradtx.inspection._styles import styles

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def update_ratios(updates: Any, params: Any) -> dict[str, jax.Array]:
    """‖u‖/‖θ‖ of each array, under its path, such as "dense/kernel"; in float32 or wider.

    Of parameters that are all 0, as biases are at first, it is infinity, and NaN if the update is 0 too. Arrays without
    an update have no ratio. It runs under `jax.jit`, and in a `lax.scan` whose stacked ratios `plot_update_ratios`
    draws.

    Args:
        updates: What `tx.update` gave, a tree like `params`.
        params: The parameters, before the step.

    Raises:
        TypeError: An update is of another kind than its parameter.
        ValueError: The trees or the shapes differ.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> params = {"dense": {"kernel": jnp.full((3, 3), 2.0), "bias": None}}
    >>> gx.inspection.update_ratios({"dense": {"kernel": jnp.full((3, 3), -0.01), "bias": None}}, params)
    {'dense/kernel': Array(0.005, dtype=float32)}
    """
    new, old = flatten(updates), flatten(params)
    check_structure("update_ratios", new, old, "parameters", "updates")
    check_leaves("update_ratios", new, old, "parameters", what="update")
    found = zip(old.paths(), new.leaves, old.leaves, strict=True)
    return {path: _norm(u) / _norm(p) for path, u, p in found if is_trainable(u)}


def _norm(x: Any) -> jax.Array:
    return jnp.sqrt(jnp.sum(abs_sq(widen(x))))


def plot_update_ratios(ratios: Mapping[str, Any], *, ax: "Axes | None" = None) -> "Figure":
    """A figure of update-to-parameter ratios over the steps, on a logarithmic axis, with a line at 10⁻³.

    That is a rule of thumb: ratios far below it may come from too low a learning rate, far above from too high a one.
    Where a ratio is 0 or not finite, its curve has a gap.

    Args:
        ratios: The ratios of each step under the paths of their arrays, as a `lax.scan` of `update_ratios` stacks them.
        ax: Axes of matplotlib to draw into; otherwise a figure is made, which pyplot does not know of.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: There is no ratio, none that is finite and positive, or what is under a path is no row of numbers.

    Source of the rule: A. Karpathy's notes for Stanford's course CS231n, "Neural Networks Part 3".

    >>> import gradtx as gx
    >>> figure = gx.inspection.plot_update_ratios({"kernel": [0.01, 0.005, 0.002], "bias": [0.1, 0.02, 0.01]})
    >>> [text.get_text() for text in figure.legends[0].get_texts()]
    ['kernel', 'bias', '10⁻³, a rule of thumb']
    """
    rows = {str(path): np.asarray(row, float) for path, row in ratios.items()}
    if bad := next((path for path, row in rows.items() if row.ndim != 1), None):
        raise ValueError(
            f"plot_update_ratios: ratios[{bad!r}] must be a row of numbers, one for each step, got the shape "
            f"{rows[bad].shape}"
        )
    rows = {path: np.where(np.isfinite(row) & (row > 0), row, np.nan) for path, row in rows.items()}
    if not any(np.isfinite(row).any() for row in rows.values()):
        raise ValueError("plot_update_ratios: ratios have no finite positive number")
    labels = [*rows, "10⁻³, a rule of thumb"]
    own = ax is None
    ax = axes("plot_update_ratios", labels, steps=True) if ax is None else ax
    ax.set(xlabel="step", ylabel="‖update‖ / ‖parameters‖", yscale="log")
    lines = []
    for row, style in zip(rows.values(), styles(), strict=False):
        marker = style.marker if len(row) == 1 else ""
        lines += ax.plot(row, color=style.colour, linestyle=style.dashes, linewidth=style.width, marker=marker)
    lines.append(ax.axhline(1e-3, color="0.5", linewidth=1))
    legend([ax], lines, labels, own)
    return ax.figure  # type: ignore[return-value]
