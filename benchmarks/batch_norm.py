"""Claims about batch normalisation, tested on handwritten digits: higher rates, cost, small batches, depth.

python benchmarks/batch_norm.py [--quick] [--json FILE]

The networks have dense layers. Three fifths of scikit-learn's digits are for training, one fifth is for validation and
one for the test. The optimizer is plain SGD with a constant rate, unless a table specifies another. Each figure is the
mean over the seeds, with the least and the largest. A seed divides the data, and draws the parameters and the
mini-batches. If several learning rates are tried, the rate with the best mean accuracy on the validation data is
chosen, and its accuracy on the test data is reported.
"""

import itertools
import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import _measure as m
import jax
import jax.numpy as jnp
import numpy as np
from _digits import CLASSES, FEATURES, TRAINED_ON, Examples, Make, Network, Training, train
from _measure import Figures

import gradtx as gx

SEEDS, BATCH = 5, 32
TRAINS, GOOD = 0.9, 0.95  # accuracies of a network that trains, and of a good one
POOR = 1.0  # points of accuracy lost against batches of 32
YES, NO, LESS, MORE = "reproduced", "not reproduced", "not reproduced: less", "not reproduced: more"
SGD = gx.sgd(gx.tunable(0.01))
NONE, NORM, RENORM = "none", "batch_norm", "batch_renorm"
NORMS = {NONE: None, NORM: gx.inputs.batch_norm(), RENORM: gx.inputs.batch_renorm()}
SHORT = gx.inputs.batch_norm(momentum=0.9)  # statistics that settle within a few hundred steps
ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "relu": jax.nn.relu,
    "sigmoid": jax.nn.sigmoid,
    "tanh": jnp.tanh,
}


def spread(values: Sequence[float | None] | np.ndarray, form: str = ".3f") -> str:
    """Format the mean, the least and the largest value; a dash if a value is missing."""
    present = np.array([value for value in values if value is not None], float)
    if len(present) < len(values):
        return m.number(None)
    return f"{present.mean():{form}} ({present.min():{form}}–{present.max():{form}})"


def at_best_rate(rates: Sequence[float], curves: dict[str, np.ndarray]) -> Figures:
    """Choose the rate by the validation data, and give the accuracy of each seed on the test data at this rate."""
    best = int(curves["valid"][..., -1].mean(0).argmax())
    return {"rate": rates[best], "test": curves["test"][:, best, -1].tolist()}


def learning_rates(quick: bool) -> Figures:
    """Find the highest rate at which a network trains, and the steps to a good accuracy at its best rate."""
    seeds, epochs, every = (2, 2, 11) if quick else (SEEDS, 20, 11)
    rates = [2 ** (i / 2) for i in range(-8, 11, 4 if quick else 1)]
    steps = epochs * TRAINED_ON // BATCH // every * every
    figures: Figures = {}
    for activation, name in itertools.product(("relu",) if quick else ("relu", "sigmoid"), (NONE, NORM)):
        network = Network(SHORT if name == NORM else None, activation=ACTIVATIONS[activation])
        valid = train(network, gx.sgd, rates, seeds, batch_size=BATCH, steps=steps, every=every)["valid"]
        figures.setdefault(activation, {})[name] = borne(rates, valid, every)
    for forms in figures.values():
        pairs = zip(forms[NORM]["highest"], forms[NONE]["highest"], strict=True)
        forms["ratio"] = [None if None in pair else pair[0] / pair[1] for pair in pairs]
    m.table(
        f"Highest constant rate with an accuracy of {TRAINS:.0%} on the validation data after {epochs} epochs, batches "
        f"of {BATCH},\n4 hidden layers of 64. Neighbouring rates differ by √2. Steps: to an accuracy of {GOOD:.0%}, at "
        "the best rate.",
        ["", "", "highest rate", "ratio", "best rate", "steps"],
        [
            [
                activation,
                name,
                spread(f["highest"], ".2f"),
                spread(forms["ratio"], ".1f") if name == NORM else "",
                m.number(f["quickest"]),
                spread(f["steps"], ".0f"),
            ]
            for activation, forms in figures.items()
            for name, f in forms.items()
            if name != "ratio"
        ],
    )
    return figures


def borne(rates: Sequence[float], valid: np.ndarray, every: int) -> Figures:
    """Give the highest rate of each seed at which the network trains, and the rate with the fewest steps."""
    highest = np.where(valid[..., -1] >= TRAINS, rates, np.nan)
    soon = np.where((valid >= GOOD).any(2), ((valid >= GOOD).argmax(2) + 1.0) * every, np.inf)
    best = int(soon.mean(0).argmin())
    return {
        "highest": [None if np.isnan(seed).all() else np.nanmax(seed) for seed in highest],
        "quickest": None if np.isinf(soon[:, best]).any() else rates[best],
        "steps": [None if np.isinf(count) else count for count in soon[:, best]],
    }


def cost(quick: bool) -> Figures:
    """Measure a step of training with batch normalisation against a step without it."""
    figures: Figures = {}
    for width, size, repeat in ((64, BATCH, 50), (512, 256, 4)):
        examples = some_examples(size)
        peers = {name: Steps(Network(norm, width=width), examples, repeat) for name, norm in NORMS.items()}
        times = m.interleaved(peers, 3 if quick else 31)
        figures[f"4 × {width}, batches of {size}"] = {
            name: {"seconds": statistics.median(t) / repeat, "ratio": m.ratio(times, name, NONE)}
            for name, t in times.items()
        }
    show_cost(figures)
    return figures


def show_cost(figures: Figures) -> None:
    """Print the figures of `cost`."""
    m.table(
        "A step of SGD under jit, 4 hidden layers, relu.",
        ["", *(f"{name} ms" for name in NORMS), f"{NORM} × {NONE}", f"{RENORM} × {NONE}"],
        [
            [case, *(f"{1e3 * f['seconds']:.3f}" for f in norms.values())]
            + [f"{norms[name]['ratio']:.2f}" for name in (NORM, RENORM)]
            for case, norms in figures.items()
        ],
    )


def some_examples(size: int) -> Examples:
    """Give a mini-batch of noise."""
    return jax.random.normal(jax.random.key(0), (size, FEATURES)), jnp.arange(size, dtype=jnp.int32) % CLASSES


class Steps:
    """A network that is trained by `repeat` further steps in each call."""

    def __init__(self, network: Network, examples: Examples, repeat: int, tx: gx.Transformation = SGD):
        params, states = network.init(jax.random.key(0))
        self.carry, self.examples, self.repeat = Training(params, states, tx.init(params)), examples, repeat
        self.step = jax.jit(partial(network.step, tx), donate_argnums=0)

    def __call__(self) -> Training:
        for _ in range(self.repeat):
            self.carry, _ = self.step(self.carry, self.examples)
        return self.carry


def small_batches(quick: bool) -> Figures:
    """Compare the normalisations on mini-batches of few examples, and on mini-batches of few classes."""
    seeds, epochs, powers = (2, 1, (-5, -3)) if quick else (2 * SEEDS, 10, (-7, -5, -3, -1))
    figures: Figures = {}
    for size, classes in (
        [(4, 2), (32, None)] if quick else [(2, None), (4, None), (8, None), (32, None), (4, 2), (32, 2)]
    ):
        steps, at_best = epochs * TRAINED_ON // size, {}
        make = decayed(steps)  # a constant rate would leave the noise of small batches
        for name, norm in (NORMS | {RENORM: renorm(steps)}).items():
            rates = [2.0**i for i in powers]
            curves = train(Network(norm), make, rates, seeds, batch_size=size, steps=steps, classes=classes)
            at_best[name] = at_best_rate(rates, curves)
        figures[f"{size}, {'of two classes' if classes else 'of all examples'}"] = at_best
    m.table(
        f"Accuracy on the test data after {epochs} epochs, in inference, {seeds} seeds, 4 hidden layers of 64, relu; "
        f"at the best of the rates\n{', '.join(f'2^{i}' for i in powers)}, with cosine decay. Each batch of two "
        "classes has equal parts of two classes that are drawn for this batch.",
        ["batches of", *NORMS],
        [[case, *(spread(f["test"]) for f in at_best.values())] for case, at_best in figures.items()],
    )
    return figures


def decayed(steps: int) -> Make:
    """Give the optimizer of a rate: SGD with a rate that falls to 0 as half a cosine."""
    schedule = gx.scale_by_schedule(gx.schedules.cosine_decay(1.0, steps))
    return lambda rate: gx.chain(schedule, gx.sgd(rate))


def renorm(steps: int) -> gx.Transformation:
    """Give batch renormalisation with the ramps of the paper, shortened to so many steps.

    In the paper the ramps of the two bounds end at 40,000 and 25,000 of 130,000 steps.
    """
    begin, r, d = (max(round(steps * at / 130), i) for i, at in enumerate((5, 40, 25), 1))
    ramp = gx.schedules.piecewise_interpolate
    return gx.inputs.batch_renorm(r_max=ramp([1, 1, 3], [begin, r]), d_max=ramp([0, 0, 5], [begin, d]))


def depth(quick: bool) -> Figures:
    """Compare networks of a hundred layers with and without batch normalisation."""
    layers, seeds, epochs = (12, 2, 1) if quick else (100, SEEDS, 15)
    rates = [0.1] if quick else [0.001, 0.003, 0.01, 0.03, 0.1, 0.3]
    steps, figures = epochs * TRAINED_ON // 64, {}
    cases = [
        (True, "tanh", gx.sgd),
        (True, "relu", gx.sgd),
        (False, "tanh", gx.sgd),
        (False, "relu", gx.sgd),
        (False, "relu", gx.adam),
    ]
    for residual, kind, make in cases[: 1 if quick else None]:
        tried, at_best = [rate / 10 if make is gx.adam else rate for rate in rates], {}
        for name, norm in ((NONE, None), (NORM, SHORT)):
            network = Network(norm, layers, 32, ACTIVATIONS[kind], residual)
            at_best[name] = at_best_rate(tried, train(network, make, tried, seeds, batch_size=64, steps=steps))
        figures[f"{kind}, {'residual' if residual else 'plain'}, {'Adam' if make is gx.adam else 'SGD'}"] = at_best
    m.table(
        f"{layers} hidden layers of 32: accuracy on the test data after {epochs} epochs of batches of 64, at the best "
        f"of the rates\n{', '.join(f'{r:g}' for r in rates)}, for Adam a tenth of these. Residual: x + "
        "activation(norm(x @ W)).",
        ["", "rate", NONE, "rate", NORM],
        [
            [case] + [text for f in at_best.values() for text in (f"{f['rate']:g}", spread(f["test"]))]
            for case, at_best in figures.items()
        ],
    )
    return figures


def within(value: float | np.floating, low: float, high: float) -> str:
    """Give the verdict on a value: reproduced if it lies within the range of the claim."""
    return LESS if value < low else MORE if value > high else YES


def claims(figures: Figures) -> list[Figures]:
    """Give the rows of the claims: for each case the result and its verdict, and the verdict on all cases."""
    rates, costs, batches, depths = {}, {}, {}, {}
    for case, forms in figures["learning rates"].items():
        if None not in forms["ratio"]:
            rates[case] = f"{spread(forms['ratio'], '.1f')} times", within(np.mean(forms["ratio"]), 2, 5)
        else:
            trains = None not in forms[NORM]["highest"]
            rates[case] = "trains only with it" if trains else "does not train", MORE if trains else NO
    for case, norms in figures["cost"].items():
        more = norms[NORM]["ratio"] - 1
        costs[case] = f"{more:+.0%}", within(more, 0.1, 0.2)
    many = figures["batches"]["32, of all examples"]
    for case, norms in figures["batches"].items():
        lost, mended = (100 * (np.mean(many[name]["test"]) - np.mean(norms[name]["test"])) for name in (NORM, RENORM))
        few = int(case.partition(",")[0]) < 8
        batches[case] = (
            f"{lost:.1f} points lost, {mended:.1f} with renormalisation",
            YES if (lost > POOR) == few else NO,
        )
    for case, norms in figures["depth"].items():
        without, trained = (float(np.mean(norms[name]["test"])) for name in (NONE, NORM))
        depths[case] = f"{trained:.2f}, without it {without:.2f}", YES if without < TRAINS <= trained else NO
    reach = f"here to an accuracy of {TRAINS:.0%}"
    return [
        said("batch normalisation allows higher rates", "2 to 5 times", rates, "the activation"),
        said("batch normalisation costs time in training", "10 to 20 %", costs, "the width"),
        said("batch normalisation works poorly with small batches", "below 8", batches, "the examples in them"),
        said("batch normalisation makes 100 layers trainable", reach, depths, "residual connections"),
    ]


def said(claim: str, figure: str, cases: Mapping[str, tuple[str, str]], on: str) -> Figures:
    """Give the row of a claim: for each case the result and its verdict, and the verdict on all cases.

    If the verdicts on the cases differ, the verdict on all of them names the condition `on` which the claim depends.
    """
    verdicts = {verdict for _, verdict in cases.values()}
    differ = f"depends on {on}" if YES in verdicts else f"{NO}: depends on {on}"
    return {
        "claim": claim,
        "said": figure,
        "verdict": verdicts.pop() if len(verdicts) == 1 else differ,
        "cases": {case: dict(zip(("found", "so"), result, strict=True)) for case, result in cases.items()},
    }


def show(title: str, rows: Sequence[Figures]) -> None:
    """Print the rows that `said` makes."""
    m.table(
        title,
        ["", "claim", "", "result", "", "verdict"],
        [
            [
                *("" if i else row[name] for name in ("claim", "said")),
                case,
                *result.values(),
                "" if i else row["verdict"],
            ]
            for row in rows
            for i, (case, result) in enumerate(row["cases"].items())
        ],
    )


def measure(quick: bool) -> Figures:
    figures = {
        "learning rates": learning_rates(quick),
        "cost": cost(quick),
        "batches": small_batches(quick),
        "depth": depth(quick),
    }
    show("Claims about batch normalisation.", claims(figures))
    return figures


if __name__ == "__main__":
    m.main(__doc__, measure)
