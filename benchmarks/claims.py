"""What is often said of optimizers, tried: each figure beside what was found, and whether it is so.

python benchmarks/claims.py [--quick] [--json FILE]

Each figure is tried on a stated problem with five seeds: problems of two parameters (`_problems.py`), and dense
networks on scikit-learn's digits (three fifths to train on, a fifth each for validation and for the test). A rate is
chosen by the validation, by its mean over the seeds, and the test is reported. Figures are means, with the least and
the largest of the seeds; ratios and differences are taken seed by seed. A ratio is reproduced within a quarter of what
is said, a difference in accuracy within half a point, if it is beyond two standard errors of the seeds. Times are steps
times the seconds of one step, measured in turn. Of hours on ImageNet or on WikiText, only the ratio can be tried, and
on digits.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import _measure as m
import batch_norm
import jax
import jax.numpy as jnp
import numpy as np
from _digits import TRAINED_ON, Network, train
from _measure import Figures
from _problems import STAY, Terrain, arrival, fit_deceptive, losses, quadratic, slope
from batch_norm import ACTIVATIONS, BATCH, LESS, NO, SEEDS, YES, Steps, said, show, some_batch, spread, within

import gradtx as gx

GOOD = 0.94  # of the validation is right
RATE = gx.tunable(1.0)
FORMS: dict[str, Callable[[Any], Any]] = {
    "plain": gx.sgd,
    "average": partial(gx.sgd, momentum=0.9, momentum_form="average"),
    "heavy ball": partial(gx.sgd, momentum=0.9),
    "nesterov": partial(gx.sgd, momentum=0.9, nesterov=True),
}
PLAIN, MOMENTUM, NESTEROV = (FORMS[form](RATE) for form in ("plain", "heavy ball", "nesterov"))
ADVISED = 0.01  # "start with β = 0.9, η = 0.01"
# Curved so, and as noisy, that the plain descent takes about the steps that are said at the rate that is advised.
TERRAINS = {
    "steep ravine": Terrain(quadratic(100, 0.26)),
    "gentle slope": Terrain(slope(1, 0.1), start=(3.2, 3.2), tolerance=1e-3),
    "noisy terrain": Terrain(quadratic(100, 0.26), noise=0.08, tolerance=1e-5),
}
STEPS = {"steep ravine": (1500, 220), "gentle slope": (450, 300), "noisy terrain": (1200, 600)}
# The rate that Keras has by default, and the quarters of decades from it that are tried.
OPTIMIZERS: dict[str, tuple[Any, float, range]] = {
    "sgd": (PLAIN, 0.01, range(9)),
    "momentum": (MOMENTUM, 0.01, range(-3, 6)),
    "nesterov": (NESTEROV, 0.01, range(-3, 6)),
    "adagrad": (gx.adagrad(RATE), 0.001, range(4, 13)),
    "rmsprop": (gx.rmsprop(RATE), 0.001, range(-2, 7)),
    "adam": (gx.adam(RATE), 0.001, range(-2, 7)),
    "nadam": (gx.nadam(RATE), 0.001, range(-2, 7)),
}
COLUMNS = ["rate", "steps", "rate", "test", "variance", "deviation / mean"]


def terrains(quick: bool) -> Figures:
    """Steps with and without momentum, at the rate that is advised and each at its best one."""
    figures: Figures = {}
    rates = [ADVISED * 2 ** (i / 2) for i in range(-6, 15, 3 if quick else 1)]
    for name, terrain in TERRAINS.items():
        figures[name] = {}
        for form, make in FORMS.items():
            steps = arrival(terrain, losses(terrain, make, [ADVISED, *rates], SEEDS, 3000))
            at, found = quickest(rates, steps[:, 1:])
            figures[name][form] = {"advised": finite(steps[:, 0]), "rate": at, "best": found}
    m.table(
        "Steps until 1e-6 of the loss is left, on the slope 1e-3, with noise 1e-5, and for "
        f"{STAY} steps.\nMomentum 0.9; the rates go by √2.",
        ["", "", f"rate {ADVISED}", "best rate", "steps"],
        [
            [name, form, spread(f["advised"], ".0f"), f"{f['rate']:.3g}", spread(f["best"], ".0f")]
            for name, found in figures.items()
            for form, f in found.items()
        ],
    )
    return figures


def conditions(quick: bool) -> Figures:
    """How much momentum helps, by the condition number of a ravine."""
    figures: Figures = {}
    for kappa in (10, 100) if quick else (3, 10, 30, 100, 1000):
        terrain = Terrain(quadratic(1, 1 / kappa), start=(1.0, kappa**0.5))  # either direction has half of the loss
        best = ((kappa**0.5 - 1) / (kappa**0.5 + 1)) ** 2
        rates, found = [3.9 * 2 ** (-i / 4) for i in range(12)], {}
        for name, momentum in (("plain", 0.0), ("0.9", 0.9), ("best", best)):
            make = partial(gx.sgd, momentum=momentum)
            steps = arrival(terrain, losses(terrain, make, rates, SEEDS, 400 + 8 * kappa))
            found[name] = quickest(rates, steps)[1]
        figures[str(kappa)] = found
    m.table(
        "Steps until 1e-6 of the loss is left, on quadratic ravines, each at its best rate; the best momentum is "
        "((√κ-1) / (√κ+1))².",
        ["κ", "plain", "momentum 0.9", "times", "best momentum", "times"],
        [
            [kappa, spread(f["plain"], ".0f")]
            + [
                t
                for name in ("0.9", "best")
                for t in (spread(f[name], ".0f"), spread(over(f["plain"], f[name]), ".1f"))
            ]
            for kappa, f in figures.items()
        ],
    )
    return figures


def optimizers(quick: bool) -> Figures:
    """Steps to an accuracy, the accuracy at the end, and how much the loss varies then, on digits."""
    seeds, epochs, every, figures = (2, 4, 11, {}) if quick else (SEEDS, 20, 11, {})
    for kind in ("relu",) if quick else ("relu", "tanh"):
        network, steps = Network(activation=ACTIVATIONS[kind]), epochs * TRAINED_ON // BATCH // every * every
        figures[kind] = {}
        for name, (tx, default, quarters) in OPTIMIZERS.items():
            tried = sorted({0, *quarters[:: 4 if quick else 1]})
            rates = [default * 10 ** (i / 4) for i in tried]
            out = train(network, tx, seeds, rates, batch_size=BATCH, steps=steps, every=every)
            figures[kind][name] = {
                "best": ended(rates, out, every, slice(None)),
                "default": ended(rates, out, every, slice(tried.index(0), tried.index(0) + 1)),
            }
    m.table(
        f"Digits, 4 hidden layers of 64, batches of {BATCH}, {epochs} epochs. Steps until {GOOD:.0%} of the validation "
        "is right, at the rate that needs the fewest;\naccuracy on the test at the end, at the rate that is best there "
        "by the validation, and the variance of the mini-batches' loss in the last epoch.",
        ["", "", "", *COLUMNS],
        described(figures),
    )
    return figures


def decay(quick: bool) -> Figures:
    """A rate that decays, against a fixed one: where all can be learned by heart, and where noise is left."""
    seeds, epochs, size, figures = (2, 1, 8, {}) if quick else (SEEDS, 10, 8, {})
    every = TRAINED_ON // size // 4  # a quarter of an epoch
    steps, rates = 4 * epochs * every, [2.0**i for i in range(-8, 1, 4 if quick else 1)]
    schedules = {
        "fixed": gx.schedules.constant(1.0),
        "exponential": gx.schedules.exponential_decay(1.0, steps, 0.01),
        "cosine": gx.schedules.cosine_decay(1.0, steps),
    }
    for kind, network, good in (("4 layers of 64", Network(), GOOD), ("2 layers of 6", Network(depth=2, width=6), 0.8)):
        figures[kind] = {}
        for name, schedule in schedules.items():
            tx = gx.chain(gx.scale_by_schedule(schedule), PLAIN)
            out = train(network, tx, seeds, rates, batch_size=size, steps=steps, every=every)
            if name == "fixed":
                place = int(out["valid"][..., -1].mean(0).argmax())
            figures[kind][name] = {
                "best": ended(rates, out, every, slice(None), good),
                "same": ended(rates, out, every, slice(place, place + 1), good),
                "twice": ended(rates, out, every, slice(place + 1, place + 2), good),
            }
    m.table(
        f"Digits, SGD, batches of {size}, {epochs} epochs, each at its best rate, at the best rate of a fixed one, "
        "and at twice that;\ncolumns as above, but 80 % for the small network. The exponential goes to a hundredth.",
        ["", "", "", *COLUMNS],
        described(figures),
    )
    return figures


def batch_sizes(quick: bool) -> Figures:
    """Steps and time to an accuracy, by the size of the batch."""
    figures: Figures = {}
    plan = {32: 66, TRAINED_ON: 66} if quick else {1: 2200, 8: 1320, 32: 660, 128: 440, 512: 330, TRAINED_ON: 330}
    rates, every = [2.0**i for i in range(-7, 2, 4 if quick else 1)], 11
    for size, steps in plan.items():
        valid = train(Network(), PLAIN, SEEDS, rates, batch_size=size, steps=steps, every=every)["valid"]
        at, found = quickest(rates, steps_to_good(valid, every))
        figures[str(size)] = {"rate": at, "steps": found}
    times = m.interleaved({size: Steps(Network(), some_batch(int(size)), 20) for size in figures}, 3 if quick else 21)
    for size, found in figures.items():
        found["seconds"] = float(np.median(times[size])) / 20
        found["milliseconds"] = [None if s is None else 1e3 * s * found["seconds"] for s in found["steps"]]
    m.table(
        f"Digits, 4 hidden layers of 64, SGD: until {GOOD:.0%} of the validation is right, at the quickest rate of "
        "2^-7 to 2.",
        ["batches of", "rate", "steps", "ms a step", "ms"],
        [
            [
                size,
                f"{f['rate']:.3g}",
                spread(f["steps"], ".0f"),
                f"{1e3 * f['seconds']:.2f}",
                spread(f["milliseconds"], ".0f"),
            ]
            for size, f in figures.items()
        ],
    )
    return figures


def seconds(quick: bool) -> Figures:
    """A step of each optimizer, and what it keeps."""
    batch, figures = some_batch(BATCH), {}
    peers = {name: Steps(Network(), batch, 20, tx) for name, (tx, *_) in OPTIMIZERS.items()}
    times, weights = m.interleaved(peers, 3 if quick else 21), jnp.zeros(2**20)
    for name, (tx, *_) in OPTIMIZERS.items():
        kept = sum(leaf.nbytes for leaf in jax.tree.leaves(tx.init(weights))) / weights.nbytes
        figures[name] = {"ratio": m.ratio(times, name, "sgd"), "kept": round(kept, 3)}
    m.table(
        f"A step, 4 hidden layers of 64, batches of {BATCH}, times sgd's; what is kept, times the parameters' bytes.",
        ["", "time", "kept"],
        [[name, m.number(f["ratio"]), m.number(f["kept"])] for name, f in figures.items()],
    )
    return figures


def overfitting(quick: bool) -> Figures:
    """Where adaptive rates fit as well and are wrong on all that is new of one class."""
    chains = {
        "sgd": gx.sgd(0.2),
        "momentum": gx.sgd(0.02, momentum=0.9),
        "nesterov": gx.sgd(0.02, momentum=0.9, nesterov=True),
        "adagrad": gx.adagrad(0.05, initial_accumulator_value=0.0),
        "adagrad from 0.1": gx.adagrad(0.05),  # more than its gradients: the rate hardly adapts
        "rmsprop": gx.rmsprop(0.001),
        "adam": gx.adam(0.001),
        "nadam": gx.nadam(0.001),
    }
    figures = {
        name: {key: values.tolist() for key, values in fit_deceptive(tx, SEEDS, steps=500 if quick else 3000).items()}
        for name, tx in chains.items()
    }
    m.table(
        "Least squares on 100 examples of arXiv:1705.08292, section 3.3: what is left of the loss, and accuracy on new "
        "examples, of which 60 % are positive.",
        ["", "loss", "test"],
        [[name, spread(f["loss"], ".0e"), spread(f["test"])] for name, f in figures.items()],
    )
    return figures


def shrinking(quick: bool) -> Figures:
    """The rate that AdaGrad has left, of its first, after steps with gradients of one size."""
    figures, grads = {}, jnp.sign(jax.random.normal(jax.random.key(0), (100 if quick else 10_000,)))
    for name, tx in (("adagrad", gx.adagrad(1.0)), ("rmsprop", gx.rmsprop(1.0, bias_correction=True))):

        def step(slots: Any, g: Any, tx: Any = tx) -> tuple[Any, Any]:
            u, slots = tx.update(g, slots)
            return slots, jnp.abs(u)

        rates = jax.lax.scan(step, tx.init(grads[0]), grads)[1]
        figures[name] = {str(n): float(rates[n - 1] / rates[0]) for n in (100, 10_000)[: 1 if quick else 2]}
    return figures


def quickest(rates: Sequence[float], steps: np.ndarray) -> tuple[float, list[float | None]]:
    """The rate with the fewest steps in the mean over the seeds, and the steps of each seed there."""
    best = int(steps.mean(0).argmin())
    return rates[best], finite(steps[:, best])


def finite(steps: np.ndarray) -> list[float | None]:
    return [None if np.isinf(s) else float(s) for s in steps]


def steps_to_good(valid: np.ndarray, every: int, good: float = GOOD) -> np.ndarray:
    reached = valid >= good
    return np.where(reached.any(-1), (reached.argmax(-1) + 1.0) * every, np.inf)


def ended(
    rates: Sequence[float], out: Mapping[str, np.ndarray], every: int, among: slice, good: float = GOOD
) -> Figures:
    """How soon it was good and how it ended, each at the best of the rates `among`."""
    rates, out = rates[among], {name: values[:, among] for name, values in out.items()}
    at, steps = quickest(rates, steps_to_good(out["valid"], every, good))
    best = int(out["valid"][..., -1].mean(0).argmax())
    last = out["loss"][:, best, -3:].reshape(len(out["loss"]), -1)
    return {
        "quickest": at,
        "steps": steps,
        "rate": rates[best],
        "test": out["test"][:, best, -1].tolist(),
        "variance": last.var(-1).tolist(),
        "relative": (last.std(-1) / last.mean(-1)).tolist(),
    }


def described(figures: Figures) -> list[list[str]]:
    """The rows of what has `ended`, by kind, name and place."""
    forms, rows = {"steps": ".0f", "test": ".3f", "variance": ".1e", "relative": ".2g"}, []
    for kind, found in figures.items():
        for name, places in found.items():
            for place, f in places.items():
                steps, *ends = (spread(f[what], form) for what, form in forms.items())
                rows.append([kind, name, place, f"{f['quickest']:.3g}", steps, f"{f['rate']:.3g}", *ends])
    return rows


def over(a: Sequence[float | None], b: Sequence[float | None]) -> list[float | None]:
    """Ratios, seed by seed."""
    return [None if None in pair else pair[0] / pair[1] for pair in zip(a, b, strict=True)]


def about(
    a: Sequence[float | None], b: Sequence[float | None], low: float, high: float | None = None, slack: float = 1.25
) -> tuple[str, str]:
    """What a is, times b, and whether that is what is said, give or take a quarter, and more than chance."""
    if None in a:
        return "does not get there", NO
    if None in b:
        return "only this one gets there", LESS
    ratios = over(a, b)
    so = within(float(np.mean(ratios)), low / slack, slack * (high or low))
    return f"{spread(ratios, '.2f')} times", so if so != YES or less(*np.log((a, b) if low < 1 else (b, a))) else NO


def points(more: Sequence[float], low: float, high: float | None = None) -> tuple[str, str]:
    """Differences in accuracy, and whether they are what is said, give or take half a point, and more than chance."""
    more = 100 * np.array(more)
    so = within(float(more.mean()), low - 0.5, (high or low) + 0.5)
    return f"{spread(more, '+.1f')} points", so if so != YES or less(np.zeros_like(more), more) else NO


def less(a: Sequence[float], b: Sequence[float]) -> bool:
    """By two standard errors, pair by pair."""
    more = np.subtract(a, b)
    return bool(more.mean() < -2 * more.std(ddof=1) / len(more) ** 0.5)


def pooled(figures: Figures, name: str, place: str, what: str) -> list[Any]:
    """Of all seeds on all networks; "time" is steps times what one costs."""
    key, cost = ("steps", figures["seconds"][name]["ratio"]) if what == "time" else (what, 1)
    values = [value for found in figures["optimizers"].values() for value in found[name][place][key]]
    return [None if value is None else value * cost for value in values]


def of_momentum(figures: Figures) -> list[Figures]:
    rows = []
    for name, found in figures["terrains"].items():
        before, after = STEPS[name]
        cases = {
            case: about(found[form][place], found["plain"][place], after / before)
            for case, form, place in (
                (f"vₜ = βvₜ₋₁ + (1-β)gₜ, rate {ADVISED}", "average", "advised"),
                (f"vₜ = βvₜ₋₁ + gₜ, rate {ADVISED}", "heavy ball", "advised"),
                ("each at its best rate", "heavy ball", "best"),
            )
        }
        figure = f"{before:,} → {after}, {after / before:.2f} times"
        rows.append(said(f"steps with momentum: {name}", figure, cases, "its form and the rates"))
    cases = {f"κ = {k}": about(f["plain"], f["0.9"], 2, 10, slack=1) for k, f in figures["conditions"].items()}
    slow, fast = (pooled(figures, name, "best", "steps") for name in ("sgd", "momentum"))
    cases["digits"] = about(slow, fast, 2, 10, slack=1)
    rows.append(said("momentum is faster, at best rates", "2 to 10 times", cases, "the condition number κ"))
    ravine = figures["terrains"]["steep ravine"]
    cases = {
        "steep ravine": sooner(ravine["nesterov"]["best"], ravine["heavy ball"]["best"]),
        "digits": sooner(pooled(figures, "nesterov", "best", "steps"), fast),
    }
    rows.append(said("Nesterov's momentum needs fewer steps than momentum", "typically", cases, "the problem"))
    return rows


def sooner(a: Sequence[float | None], b: Sequence[float | None]) -> tuple[str, str]:
    """What the steps a are, times b, and whether they are fewer."""
    return about(a, b, 1)[0], YES if None not in [*a, *b] and less(a, b) else NO


def of_adaptive(figures: Figures) -> list[Figures]:
    rows, hours = [], "72 → 68 h, 12 → 9 h, 45 → 32 min, 0.71 to 0.94 times"
    for name, title, time, factors, accuracy, more in (
        ("rmsprop", "RMSProp", "4.2 → 1.8 h, 0.43 times", (1.8 / 4.2,), "92.1 → 93.6 %", (1.5,)),
        ("adam", "Adam", hours, (32 / 45, 68 / 72), "0.4 to 1.2 points", (0.4, 1.2)),
    ):
        where = {
            "default rates, SGD": ("sgd", "default"),
            "best rates, SGD": ("sgd", "best"),
            "best rates, with momentum": ("momentum", "best"),
        }
        cases = {
            case: about(*(pooled(figures, n, place, "time") for n in (name, peer)), *factors)
            for case, (peer, place) in where.items()
        }
        rows.append(said(f"{title}'s time, of SGD's, to an accuracy", time, cases, "the rates"))
        cases = {
            case: points(np.subtract(*(pooled(figures, n, place, "test") for n in (name, peer))), *more)
            for case, (peer, place) in where.items()
        }
        rows.append(said(f"{title} ends more accurate than SGD", accuracy, cases, "the rates"))
    cases = {}
    for case, what in (("variance", "variance"), ("deviation / mean", "relative")):
        a, b = (pooled(figures, name, "best", what) for name in ("rmsprop", "sgd"))
        cases[case] = f"{np.median(b):.1g} → {np.median(a):.1g}", YES if less(np.log(a), np.log(b)) else NO
    rows.append(said("RMSProp's loss varies less between batches", "high → low", cases, "what it is measured by"))
    kept = {name: f["kept"] for name, f in figures["seconds"].items() if name in ("sgd", "momentum", "rmsprop", "adam")}
    text = ", ".join(f"{name} {times:g}" for name, times in kept.items())
    rows.append(
        said("Adam keeps little", "2 × the parameters", {"times": (text, YES if kept["adam"] == 2 else NO)}, "")
    )
    cases = {"digits": sooner(*(pooled(figures, name, "best", "steps") for name in ("nadam", "adam")))}
    rows.append(said("Nadam needs slightly fewer steps than Adam", "often", cases, ""))
    left = figures["shrinking"]["adagrad"]
    tests = [pooled(figures, name, "best", "test") for name in ("adagrad", "rmsprop")]
    cases = {f"after {int(n):,} steps": (f"{part:.2g} of the first", YES) for n, part in left.items()}
    cases["digits, against RMSProp"] = points(np.subtract(*tests), 0)[0], YES if less(*tests) else NO
    rows.append(said("AdaGrad's rate shrinks until it stops too early", "infinitesimal", cases, "how long one trains"))
    return rows


def of_generalisation(figures: Figures) -> Figures:
    cases = {}
    for name in ("adam", "rmsprop"):
        tests = [pooled(figures, n, "best", "test") for n in (name, "nesterov")]
        cases[f"digits, {name}"] = points(np.subtract(*tests), 0)[0], YES if less(*tests) else NO
    found = {name: float(np.mean(f["test"])) for name, f in figures["overfitting"].items()}
    for name in ("adam", "adagrad", "adagrad from 0.1"):
        text = f"{100 * (found[name] - found['nesterov']):+.1f} points"
        cases[f"example of arXiv:1705.08292, {name}"] = text, YES if found[name] < found["nesterov"] - 0.01 else NO
    return said("adaptive rates generalise worse than Nesterov's momentum", "sometimes", cases, "the data")


def of_decay(figures: Figures) -> list[Figures]:
    found: dict[str, dict[str, tuple[str, str]]] = {"test": {}, "steps": {}, "variance": {}}
    for kind, schedules in figures["decay"].items():
        for place, where in (("best", "best rates"), ("twice", "twice the fixed one's")):
            fixed, decaying = (schedules[name][place] for name in ("fixed", "cosine"))
            case = f"{kind}, {where}"
            found["test"][case] = points(np.subtract(decaying["test"], fixed["test"]), 1.8)
            found["steps"][case] = about(decaying["steps"], fixed["steps"], 1.8 / 2.1)
            found["variance"][case] = about(decaying["variance"], fixed["variance"], 0.11 / 0.32)
    on = "the rate, and on whether noise is left"
    return [
        said("a decaying rate ends more accurate than a fixed one", "91.3 → 93.1 %", found["test"], on),
        said("a decaying rate takes less time", "2.1 → 1.8 h, 0.86 times", found["steps"], on),
        said("with a decaying rate the loss varies less", "0.32 → 0.11, 0.34 times", found["variance"], on),
    ]


def of_batches(figures: Figures) -> Figures:
    mean = {
        int(n): np.inf if None in f["milliseconds"] else np.mean(f["milliseconds"])
        for n, f in figures["batches"].items()
    }
    best = min(mean, key=lambda size: mean[size])
    text = ", ".join(f"{size}: {'–' if np.isinf(ms) else format(ms, '.0f')} ms" for size, ms in mean.items())
    cases = {"digits, SGD at its best rate": (text, YES if 32 <= best <= 512 else NO)}
    return said("mini-batches are the best balance", "32 to 512", cases, "")


def claims(figures: Figures) -> list[Figures]:
    """What is said, for each case what was found and whether it is so, and what follows from all of them."""
    rows = [*of_momentum(figures), *of_adaptive(figures), of_generalisation(figures)]
    return [*rows, *of_decay(figures), of_batches(figures), *batch_norm.claims(figures["batch norm"])]


def markdown(rows: Sequence[Figures], short: bool = False) -> str:
    """The table for those who read; a short one is without the least and the largest of the seeds."""
    lines = ["| claim | said | found | verdict |", "|---|---|---|---|"]
    for row in rows:
        found = "; ".join(f"{case}: {f['found']}" for case, f in row["cases"].items())
        found = re.sub(r" \([^()–]*–[^()]*\)", "", found) if short else found
        lines.append(f"| {row['claim']} | {row['said']} | {found} | {row['verdict']} |")
    return "\n".join(lines)


def measure(quick: bool) -> Figures:
    figures = {
        "terrains": terrains(quick),
        "conditions": conditions(quick),
        "optimizers": optimizers(quick),
        "seconds": seconds(quick),
        "overfitting": overfitting(quick),
        "shrinking": shrinking(quick),
        "decay": decay(quick),
        "batches": batch_sizes(quick),
        "batch norm": batch_norm.measure(quick),
    }
    show("What is said, and what is so.", claims(figures))
    return figures


if __name__ == "__main__":
    m.main(__doc__, measure)
