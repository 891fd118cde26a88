"""What several chapters use: tables, the look of the pictures, and the network on handwritten digits."""

import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Markdown
from sklearn.datasets import load_digits

import gradtx as gx
from gradtx.inspection import styles

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
from _digits import Network as Network
from _digits import train as train

EVERY = 5  # steps of `train_small` between two looks at the accuracy

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
        # Colours that the colour-blind can tell apart, and dashes for those who see none.
        "axes.prop_cycle": plt.cycler(
            color=[style.colour for style in _looks],
            linestyle=[style.dashes for style in _looks],
            linewidth=[style.width for style in _looks],
        ),
    }
)


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Markdown:
    """A table to look at; numbers are given three significant digits."""
    lines = [header, ["---", *["--:"] * (len(header) - 1)], *([_text(cell) for cell in row] for row in rows)]
    return Markdown("\n".join(f"| {' | '.join(line)} |" for line in lines))


def spread(values: Any, form: str = ".3g") -> str:
    """The mean, the least and the largest of several seeds."""
    values = np.asarray(values, float)
    return f"{values.mean():{form}} ({values.min():{form}} – {values.max():{form}})"


def train_small(
    make: Callable[..., Any], *values: Any, seeds: int = 5, steps: int = 250, batch_size: int | None = 32
) -> dict[str, np.ndarray]:
    """One hidden layer of 32 on the digits, by many optimizers of a kind at once.

    What is drawn at random is drawn before, so that a program has a step only, and compiles in a fraction of the time
    of `train`.

    Args:
        make: Gives the optimizer for a value of each of `values`, all of one length.
        values: Learning rates, or any other hyperparameters.
        seeds: How many. Each divides the data, and draws the parameters and the mini-batches.
        steps: How many.
        batch_size: How many examples are drawn for a step; None for all.

    Returns:
        "accuracy" on the fifth held out after every `EVERY` steps: (values, seeds, checks). "loss" of each step's
        mini-batch: (values, seeds, checks, EVERY). And the last "params".
    """
    draw = np.random.default_rng(0)
    x, y = load_digits(return_X_y=True)
    x, y = jnp.asarray(x / 8 - 1, jnp.float32), jnp.asarray(np.eye(10)[y], jnp.float32)
    orders = np.stack([draw.permutation(len(y)) for _ in range(seeds)])
    held, kept = orders[:, : len(y) // 5], orders[:, len(y) // 5 :]
    if batch_size is None:
        batches = np.broadcast_to(kept[:, None], (seeds, steps, kept.shape[1]))
    else:
        batches = np.stack([draw.choice(rows, (steps, batch_size)) for rows in kept])
    shapes = {"first": (64, 32), "last": (32, 10)}
    start = {name: jnp.asarray(draw.normal(0, s[0] ** -0.5, (seeds, *s)), jnp.float32) for name, s in shapes.items()}

    def logits(params: Any, x: Any) -> Any:
        return jax.nn.relu(x @ params["first"]) @ params["last"]

    def loss(params: Any, rows: Any) -> Any:
        return -jnp.mean(jnp.sum(jax.nn.log_softmax(logits(params, x[rows])) * y[rows], -1))

    @jax.jit
    def train(start: Any, batches: Any, held: Any, values: Any) -> Any:
        def one(start: Any, batches: Any, held: Any, values: Any) -> Any:
            tx = make(*values)

            def step(carry: Any, rows: Any) -> Any:
                params, state = carry
                value, grads = jax.value_and_grad(loss)(params, rows)
                return gx.apply_gradients(tx, grads, state, params), value

            def checked(carry: Any, batches: Any) -> Any:
                carry, losses = jax.lax.scan(step, carry, batches)
                right = jnp.argmax(logits(carry[0], x[held]), -1) == jnp.argmax(y[held], -1)
                return carry, {"accuracy": jnp.mean(right), "loss": losses}

            (params, _), curves = jax.lax.scan(
                checked, (start, tx.init(start)), batches.reshape(-1, EVERY, batches.shape[-1])
            )
            return curves | {"params": params}

        seeded = jax.vmap(one, (0, 0, 0, None))
        return jax.vmap(seeded, (None, None, None, 0))(start, batches, held, values)

    return jax.tree.map(np.asarray, train(start, batches, held, [jnp.asarray(v, jnp.float32) for v in values]))


def steps_to(accuracy: np.ndarray, goal: float = 0.95) -> np.ndarray:
    """After how many steps of `train_small` the accuracy was reached first, NaN if never: the last axis is gone."""
    reached = accuracy >= goal
    return np.where(reached.any(-1), EVERY * (1.0 + reached.argmax(-1)), np.nan)


def _text(cell: Any) -> str:
    if isinstance(cell, str):
        return cell
    return f"{cell:,}" if isinstance(cell, int | np.integer) else f"{float(cell):.3g}"
