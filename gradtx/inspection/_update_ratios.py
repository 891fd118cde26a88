"""The size of the steps of training, relative to the parameters."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from gradtx._tools import Tree, check_leaves, check_structure, checked, flatten, is_trainable, widen
from gradtx.core import abs_sq
from gradtx.inspection._axes import Figure, OptionalAxes, add_legend, new_axes
from gradtx.inspection._styles import styles


def update_ratios(updates: Tree, params: Tree) -> dict[str, jax.Array]:
    """Computes ‖u‖/‖θ‖ for each array, under the path of the array, such as "dense/kernel".

    The norms are Euclidean norms, in float32 or wider. If a parameter is all 0, as biases are at first, the ratio is
    infinity, or NaN if the update is 0 too. Arrays without an update have no ratio. The function runs under `jax.jit`
    and in a `jax.lax.scan`. `plot_update_ratios` draws the stacked ratios of a scan.

    Args:
        updates: u, the updates that `tx.update` returned, a tree like `params`.
        params: θ, the parameters before the step, a tree of arrays.

    Raises:
        TypeError: An update is complex and its parameter is real, or the other way round, or the parameter is not
            trained.
        ValueError: The structures of the trees or the shapes of the arrays differ.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> params = {"dense": {"kernel": jnp.full((3, 3), 2.0), "bias": None}}
    >>> gx.inspection.update_ratios({"dense": {"kernel": jnp.full((3, 3), -0.01), "bias": None}}, params)
    {'dense/kernel': Array(0.005, dtype=float32)}
    """
    new, old = flatten(updates), flatten(params)
    check_structure("update_ratios", new, old, "parameters", "updates")
    check_leaves("update_ratios", new, old, "parameters", what="update")
    arrays = zip(old.paths(), new.leaves, old.leaves, strict=True)
    return {path: _norm(u) / _norm(p) for path, u, p in arrays if is_trainable(u)}


def _norm(x: ArrayLike) -> jax.Array:
    return jnp.sqrt(jnp.sum(abs_sq(widen(x))))


@checked
def plot_update_ratios(ratios: Mapping[str, ArrayLike], *, ax: OptionalAxes = None) -> "Figure":
    """Draws update-to-parameter ratios over the steps, on a logarithmic axis, with a line at 10⁻³.

    The line is a rule of thumb. Ratios far below 10⁻³ suggest that the learning rate is too low, and ratios far above
    10⁻³ that the learning rate is too high. A curve has a gap at each step whose ratio is 0 or not finite.

    Args:
        ratios: The ratios of all steps, (steps,), under the paths of their arrays, as a `jax.lax.scan` of
            `update_ratios` stacks them.
        ax: Matplotlib's axes to draw into. By default a new figure is made that pyplot does not manage.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: There is no ratio, no ratio is finite and positive, or an entry is not a row of numbers.

    Source of the rule: A. Karpathy's notes for Stanford's course CS231n, "Neural Networks Part 3".

    >>> import gradtx as gx
    >>> figure = gx.inspection.plot_update_ratios({"kernel": [0.01, 0.005, 0.002], "bias": [0.1, 0.02, 0.01]})
    >>> [text.get_text() for text in figure.legends[0].get_texts()]
    ['kernel', 'bias', '10⁻³, a rule of thumb']
    """
    rows = {str(path): np.asarray(row, float) for path, row in ratios.items()}
    bad = next((path for path, row in rows.items() if row.ndim != 1), None)
    if bad is not None:
        raise ValueError(
            f"plot_update_ratios: ratios[{bad!r}] must be a row with one number for each step, got the shape "
            f"{rows[bad].shape}"
        )
    rows = {path: np.where(np.isfinite(row) & (row > 0), row, np.nan) for path, row in rows.items()}
    if not any(np.isfinite(row).any() for row in rows.values()):
        raise ValueError("plot_update_ratios: ratios have no finite positive number")
    labels = [*rows, "10⁻³, a rule of thumb"]
    above = ax is None
    ax = new_axes("plot_update_ratios", labels, counts_steps=True) if ax is None else ax
    ax.set(xlabel="step", ylabel="‖update‖ / ‖parameters‖", yscale="log")
    lines = []
    for row, style in zip(rows.values(), styles(), strict=False):
        marker = style.marker if len(row) == 1 else ""
        lines += ax.plot(row, color=style.colour, linestyle=style.dashes, linewidth=style.width, marker=marker)
    lines.append(ax.axhline(1e-3, color="0.5", linewidth=1))
    add_legend([ax], lines, labels, above=above)
    return ax.figure  # type: ignore[return-value]
