"""What is said of batch normalisation, tried on handwritten digits: higher rates, its cost, small batches, depth.

python benchmarks/batch_norm.py [--quick] [--json FILE]

Networks of dense layers, scikit-learn's digits (three fifths to train on, a fifth each for validation and for the
test), plain SGD with a constant rate unless told otherwise. Figures are means over the seeds, with the least and the
largest; a seed divides the data, and draws the parameters and the mini-batches. Where one learning rate of several is
chosen, the validation chooses it, by its mean over the seeds, and the test is reported.
"""

import itertools
import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import _measure as m
import jax
import jax.numpy as jnp
import numpy as np
from _digits import CLASSES, FEATURES, TRAINED_ON, Network, train
from _measure import Figures

import gradtx as gx

SEEDS, BATCH = 5, 32
TRAINS, GOOD = 0.9, 0.95  # of the accuracy
POOR = 1.0  # points of it less than with batches of 32
YES, NO, LESS, MORE = "reproduced", "not reproduced", "not reproduced: less", "not reproduced: more"
SGD, ADAM = gx.sgd(gx.tunable(0.01)), gx.adam(gx.tunable(0.001))
NONE, NORM, RENORM = "none", "batch_norm", "batch_renorm"
NORMS = {NONE: None, NORM: gx.inputs.batch_norm(), RENORM: gx.inputs.batch_renorm()}
SHORT = gx.inputs.batch_norm(momentum=0.9)  # for a few hundred steps
ACTIVATIONS: dict[str, Callable[[Any], Any]] = {"relu": jax.nn.relu, "sigmoid": jax.nn.sigmoid, "tanh": jnp.tanh}


def spread(values: Any, form: str = ".3f") -> str:
    """Mean, least and largest."""
    if None in values:
        return m.number(None)
    return f"{np.mean(values):{form}} ({np.min(values):{form}}–{np.max(values):{form}})"


def at_best_rate(rates: Sequence[float], found: dict[str, np.ndarray]) -> Figures:
    """The rate that the validation chooses, and there the accuracy of each seed on the test."""
    best = int(found["valid"][..., -1].mean(0).argmax())
    return {"rate": rates[best], "test": found["test"][:, best, -1].tolist()}


def learning_rates(quick: bool) -> Figures:
    """How high a rate a network bears, and how soon it is good at its best one."""
    seeds, epochs, every = (2, 2, 11) if quick else (SEEDS, 20, 11)
    rates = [2 ** (i / 2) for i in range(-8, 11, 4 if quick else 1)]
    steps = epochs * TRAINED_ON // BATCH // every * every
    figures: Figures = {}
    for activation, name in itertools.product(("relu",) if quick else ("relu", "sigmoid"), (NONE, NORM)):
        network = Network(SHORT if name == NORM else None, activation=ACTIVATIONS[activation])
        valid = train(network, SGD, seeds, rates, batch_size=BATCH, steps=steps, every=every)["valid"]
        highest = np.where(valid[..., -1] >= TRAINS, rates, np.nan)
        soon = np.where((valid >= GOOD).any(2), ((valid >= GOOD).argmax(2) + 1.0) * every, np.inf)
        best = int(soon.mean(0).argmin())
        figures.setdefault(activation, {})[name] = {
            "highest": [None if np.isnan(r).all() else np.nanmax(r) for r in highest],
            "quickest": None if np.isinf(soon[:, best]).any() else rates[best],
            "steps": [None if np.isinf(s) else s for s in soon[:, best]],
        }
    for found in figures.values():
        pairs = zip(found[NORM]["highest"], found[NONE]["highest"], strict=True)
        found["ratio"] = [None if None in pair else pair[0] / pair[1] for pair in pairs]
    m.table(
        f"Highest constant rate with which {TRAINS:.0%} of the validation is right after {epochs} epochs of batches of "
        f"{BATCH},\n4 hidden layers of 64; the rates go by √2. Steps: until {GOOD:.0%} is right, at the best rate.",
        ["", "", "highest rate", "ratio", "best rate", "steps"],
        [
            [
                activation,
                name,
                spread(f["highest"], ".2f"),
                spread(found["ratio"], ".1f") if name == NORM else "",
                m.number(f["quickest"]),
                spread(f["steps"], ".0f"),
            ]
            for activation, found in figures.items()
            for name, f in found.items()
            if name != "ratio"
        ],
    )
    return figures


def cost(quick: bool) -> Figures:
    """A step of training with batch normalisation, against one without."""
    figures: Figures = {}
    for width, size, repeat in ((64, BATCH, 50), (512, 256, 4)):
        batch = some_batch(size)
        peers = {name: Steps(Network(norm, width=width), batch, repeat) for name, norm in NORMS.items()}
        times = m.interleaved(peers, 3 if quick else 31)
        figures[f"4 × {width}, batches of {size}"] = {
            name: {"seconds": statistics.median(t) / repeat, "ratio": m.ratio(times, name, NONE)}
            for name, t in times.items()
        }
    m.table(
        "A step of SGD under jit, 4 hidden layers, relu.",
        ["", *(f"{name} ms" for name in NORMS), *(f"{name} × {NONE}" for name in (NORM, RENORM))],
        [
            [case, *(f"{1e3 * f['seconds']:.3f}" for f in found.values())]
            + [f"{found[name]['ratio']:.2f}" for name in (NORM, RENORM)]
            for case, found in figures.items()
        ],
    )
    return figures


def some_batch(size: int) -> Any:
    """A mini-batch of noise."""
    x, y = jax.random.normal(jax.random.key(0), (size, FEATURES)), jnp.arange(size, dtype=jnp.int32) % CLASSES
    (batch, _) = (batches := gx.inputs.minibatches((x, y), size, key=0)).next(batches.init())
    return batch


class Steps:
    """A network of its own; each call goes on by `repeat` steps."""

    def __init__(self, network: Network, batch: Any, repeat: int, tx: Any = SGD):
        params, states = network.init(jax.random.key(0))
        self.carry, self.batch, self.repeat = (params, states, tx.init(params)), batch, repeat
        self.step = jax.jit(partial(network.step, tx), donate_argnums=0)

    def __call__(self) -> Any:
        for _ in range(self.repeat):
            self.carry, _ = self.step(self.carry, self.batch)
        return self.carry


def small_batches(quick: bool) -> Figures:
    """Mini-batches of few examples, and of few classes."""
    seeds, epochs, powers = (2, 1, (-5, -3)) if quick else (2 * SEEDS, 10, (-7, -5, -3, -1))
    figures: Figures = {}
    for size, classes in (
        [(4, 2), (32, None)] if quick else [(2, None), (4, None), (8, None), (32, None), (4, 2), (32, 2)]
    ):
        steps, found = epochs * TRAINED_ON // size, {}
        tx = gx.chain(gx.scale_by_schedule(gx.schedules.cosine_decay(1.0, steps)), SGD)  # few examples are much noise
        for name, norm in (NORMS | {RENORM: renorm(steps)}).items():
            rates = [2.0**i for i in powers]
            out = train(Network(norm), tx, seeds, rates, batch_size=size, steps=steps, classes=classes)
            found[name] = at_best_rate(rates, out)
        figures[f"{size}, {'of two classes' if classes else 'of all examples'}"] = found
    m.table(
        f"Accuracy on the test after {epochs} epochs, in inference, {seeds} seeds, 4 hidden layers of 64, relu; at the "
        f"best of the rates\n{', '.join(f'2^{i}' for i in powers)}, decayed as a cosine. Batches of two classes have "
        "equal parts of two that are drawn for each anew.",
        ["batches of", *NORMS],
        [[case, *(spread(f["test"]) for f in found.values())] for case, found in figures.items()],
    )
    return figures


def renorm(steps: int) -> Any:
    """With the paper's bounds, whose ramps end at 40,000 and 25,000 of 130,000 steps, shrunk to so many."""
    begin, r, d = (max(round(steps * at / 130), i) for i, at in enumerate((5, 40, 25), 1))
    ramp = gx.schedules.piecewise_interpolate
    return gx.inputs.batch_renorm(r_max=ramp([1, 1, 3], [begin, r]), d_max=ramp([0, 0, 5], [begin, d]))


def depth(quick: bool) -> Figures:
    """A hundred layers."""
    layers, seeds, epochs = (12, 2, 1) if quick else (100, SEEDS, 15)
    rates = [0.1] if quick else [0.001, 0.003, 0.01, 0.03, 0.1, 0.3]
    steps, figures = epochs * TRAINED_ON // 64, {}
    cases = [
        (True, "tanh", SGD),
        (True, "relu", SGD),
        (False, "tanh", SGD),
        (False, "relu", SGD),
        (False, "relu", ADAM),
    ]
    for residual, kind, tx in cases[: 1 if quick else None]:
        own, found = [rate / 10 if tx is ADAM else rate for rate in rates], {}
        for name, norm in ((NONE, None), (NORM, SHORT)):
            network = Network(norm, layers, 32, ACTIVATIONS[kind], residual)
            found[name] = at_best_rate(own, train(network, tx, seeds, own, batch_size=64, steps=steps))
        figures[f"{kind}, {'residual' if residual else 'plain'}, {'Adam' if tx is ADAM else 'SGD'}"] = found
    m.table(
        f"{layers} hidden layers of 32: accuracy on the test after {epochs} epochs of batches of 64, at the best of "
        f"the rates\n{', '.join(f'{r:g}' for r in rates)}, a tenth for Adam. Residual: x + activation(norm(x @ W)).",
        ["", "rate", NONE, "rate", NORM],
        [
            [case] + [text for f in found.values() for text in (f"{f['rate']:g}", spread(f["test"]))]
            for case, found in figures.items()
        ],
    )
    return figures


def within(value: float, low: float, high: float) -> str:
    """Whether what was found is what is said."""
    return LESS if value < low else MORE if value > high else YES


def claims(figures: Figures) -> list[Figures]:
    """What is said, for each case what was found and whether it is so, and what follows from all of them."""
    rates, costs, batches, depths = {}, {}, {}, {}
    for case, found in figures["learning rates"].items():
        if None not in found["ratio"]:
            rates[case] = f"{spread(found['ratio'], '.1f')} times", within(np.mean(found["ratio"]), 2, 5)
        else:
            alone = None not in found[NORM]["highest"]
            rates[case] = "trains only with it" if alone else "does not train", MORE if alone else NO
    for case, found in figures["cost"].items():
        more = found[NORM]["ratio"] - 1
        costs[case] = f"{more:+.0%}", within(more, 0.1, 0.2)
    many = figures["batches"]["32, of all examples"]
    for case, found in figures["batches"].items():
        lost, mended = (100 * (np.mean(many[name]["test"]) - np.mean(found[name]["test"])) for name in (NORM, RENORM))
        few = int(case.partition(",")[0]) < 8
        batches[case] = f"{lost:.1f} points lost, {mended:.1f} by renorm", YES if (lost > POOR) == few else NO
    for case, found in figures["depth"].items():
        without, trained = (float(np.mean(found[name]["test"])) for name in (NONE, NORM))
        depths[case] = f"{trained:.2f}, without it {without:.2f}", YES if without < TRAINS <= trained else NO
    return [
        said("batch normalisation bears higher rates", "2 to 5 times", rates, "the activation"),
        said("batch normalisation costs time in training", "10 to 20 %", costs, "the width"),
        said("batch normalisation does poorly with small batches", "below 8", batches, "what is in them"),
        said("batch normalisation makes 100 layers trainable", f"here to {TRAINS:.0%}", depths, "residual connections"),
    ]


def said(claim: str, figure: str, cases: Mapping[str, tuple[str, str]], on: str) -> Figures:
    """A row of what is said: for each case what was found and whether it is so, and what follows from all of them."""
    so = {verdict for _, verdict in cases.values()}
    parts = f"depends on {on}" if YES in so else f"{NO}: depends on {on}"
    return {
        "claim": claim,
        "said": figure,
        "verdict": so.pop() if len(so) == 1 else parts,
        "cases": {case: dict(zip(("found", "so"), found, strict=True)) for case, found in cases.items()},
    }


def show(title: str, rows: Sequence[Figures]) -> None:
    """Prints what `said` has made."""
    m.table(
        title,
        ["", "said", "", "found", "", "verdict"],
        [
            [
                *("" if i else row[name] for name in ("claim", "said")),
                case,
                *found.values(),
                "" if i else row["verdict"],
            ]
            for row in rows
            for i, (case, found) in enumerate(row["cases"].items())
        ],
    )


def measure(quick: bool) -> Figures:
    figures = {
        "learning rates": learning_rates(quick),
        "cost": cost(quick),
        "batches": small_batches(quick),
        "depth": depth(quick),
    }
    show("What is said of batch normalisation.", claims(figures))
    return figures


if __name__ == "__main__":
    m.main(__doc__, measure)
