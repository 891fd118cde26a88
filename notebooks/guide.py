"""Tools of several chapters: tables, the style of the pictures, and a network on handwritten digits.

The chapters and the benchmarks share one training loop on the digits, `trained` in benchmarks/_digits.py.
"""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from cycler import cycler
from IPython.display import Markdown
from sklearn.datasets import load_digits

from gradtx.inspection import styles

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
from _digits import CLASSES, FEATURES, Layer, Make, Network, Params, Problem, Values, trained
from _digits import train as train

EVERY = 5  # steps of `train_small` between two checks of the accuracy

_looks = [style for style, _ in zip(styles(), range(14), strict=False)]
plt.rcParams.update(
    {
        "figure.figsize": (8, 4),
        "figure.dpi": 110,
        "figure.constrained_layout.use": True,
        "axes.grid": True,
        "grid.color": "0.85",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "legend.frameon": False,
        # The colours are colour-blind safe, and the dashes work without any colour.
        "axes.prop_cycle": cycler(
            color=[style.colour for style in _looks],
            linestyle=[style.dashes for style in _looks],
            linewidth=[style.width for style in _looks],
        ),
    }
)

Cell = str | int | float | np.generic | np.ndarray


def table(header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> Markdown:
    """Show a table, in which numbers have three significant digits."""
    lines = [header, ["---", *["--:"] * (len(header) - 1)], *([_text(cell) for cell in row] for row in rows)]
    return Markdown("\n".join(f"| {' | '.join(line)} |" for line in lines))


def spread(values: Sequence[float] | np.ndarray, form: str = ".3g") -> str:
    """Format the mean over several seeds, with the least and the largest value."""
    values = np.asarray(values, float)
    return f"{values.mean():{form}} ({values.min():{form}} – {values.max():{form}})"


def train_small(
    make: Make,
    values: Values,
    seeds: int = 5,
    steps: int = 250,
    batch_size: int | None = 32,
) -> np.ndarray:
    """Train a network with one hidden layer of 32 units on the digits, by several optimizers of one kind.

    Args:
        make: Gives the optimizer for one of `values`.
        values: The learning rates, or the values of another hyperparameter, (values,). For several hyperparameters,
            the arguments of `make` side by side, (values, arguments).
        seeds: The number of seeds. Each seed divides the data, and draws the parameters and the mini-batches.
        steps: The number of steps.
        batch_size: The number of examples in a mini-batch; None for all examples.

    Returns:
        The accuracy on held-out digits after every `EVERY` steps, (values, seeds, checks).
    """
    network = Network(depth=1, width=32)
    curves = trained(network, make, values, _small(network.width, seeds, steps, batch_size), EVERY)
    return curves["valid"].swapaxes(0, 1)


def _small(width: int, seeds: int, steps: int, batch_size: int | None) -> Problem:
    """Draw the problem of `train_small`: four fifths of the digits are for training, and the layers have no bias."""
    draw = np.random.default_rng(0)
    x, y = load_digits(return_X_y=True)
    x, y = (x / 8 - 1).astype(np.float32), y.astype(np.int32)
    orders = np.stack([draw.permutation(len(y)) for _ in range(seeds)])
    held_out, seen = orders[:, : len(y) // 5], orders[:, len(y) // 5 :]
    if batch_size is None:
        rows = np.broadcast_to(seen[:, None], (seeds, steps, seen.shape[1]))
    else:
        rows = np.stack([draw.choice(row, (steps, batch_size)) for row in seen])
    first, last = (
        Layer(jnp.asarray(draw.normal(0, shape[0] ** -0.5, (seeds, *shape)), jnp.float32))
        for shape in ((FEATURES, width), (width, CLASSES))
    )
    none = Layer(jnp.zeros((seeds, 0, width, width)))  # there is only one hidden layer
    everything = np.broadcast_to(x, (seeds, *x.shape)), np.broadcast_to(y, (seeds, *y.shape))
    data = {"train": everything, "valid": (x[held_out], y[held_out])}  # the rows leave out what is held out
    return Problem(
        {name: (jnp.asarray(x), jnp.asarray(y)) for name, (x, y) in data.items()},
        (Params(first, none, last), (None, None)),
        jnp.asarray(rows),
    )


def steps_to(accuracy: np.ndarray, goal: float = 0.95) -> np.ndarray:
    """Count the steps of `train_small` until the accuracy first reaches the goal; NaN if it never does.

    The last axis of `accuracy`, the checks, is reduced.
    """
    reached = accuracy >= goal
    return np.where(reached.any(-1), EVERY * (1.0 + reached.argmax(-1)), np.nan)


def _text(cell: Cell) -> str:
    if isinstance(cell, str):
        return cell
    return f"{cell:,}" if isinstance(cell, int | np.integer) else f"{float(cell):.3g}"
