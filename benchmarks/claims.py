"""Claims about optimizers, tested: each claimed figure beside the measured one, with a verdict.

python benchmarks/claims.py [--quick] [--json FILE]

Each figure is tested with five seeds on a stated problem: a problem of two parameters (`_problems.py`), or a dense
network on scikit-learn's digits. Three fifths of the digits are for training, one fifth is for validation and one for
the test. If several learning rates are tried, the rate with the best mean accuracy on the validation data is chosen,
and its accuracy on the test data is reported.

Each result is the mean over the seeds, with the least and the largest. Ratios and differences are taken seed by seed. A
ratio is reproduced if it lies within a quarter of the claim, and a difference in accuracy if it lies within half a
point. Both must also exceed two standard errors of the seeds. A time is the number of steps times the seconds of a
step, and the steps of all optimizers are measured in turns. Some claims are about hours on ImageNet or on WikiText: of
these only the ratio is tested, on the digits.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial

import _measure as m
import batch_norm
import jax
import jax.numpy as jnp
import numpy as np
import optax
from _digits import TRAINED_ON, Make, Network, train
from _measure import Figures
from _problems import STAY, Terrain, arrival, fit_deceptive, losses, quadratic, slope
from batch_norm import (
    ACTIVATIONS,
    BATCH,
    LESS,
    NO,
    SEEDS,
    YES,
    Steps,
    decayed,
    said,
    show,
    some_examples,
    spread,
    within,
)

import gradtx as gx

GOOD = 0.94  # accuracy on the validation data
RATE = gx.tunable(1.0)  # one program serves all rates
FORMS: dict[str, Make] = {
    "plain": gx.sgd,
    "average": partial(gx.sgd, momentum=0.9, momentum_form="average"),
    "heavy ball": partial(gx.sgd, momentum=0.9),
    "nesterov": partial(gx.sgd, momentum=0.9, nesterov=True),
}
ADVISED = 0.01  # "start with β = 0.9, η = 0.01"
# The curvatures and the noise are chosen so that plain descent at the advised rate takes about the claimed steps.
TERRAINS = {
    "steep ravine": Terrain(quadratic(100, 0.26)),
    "gentle slope": Terrain(slope(1, 0.1), start=(3.2, 3.2), tolerance=1e-3),
    "noisy terrain": Terrain(quadratic(100, 0.26), noise=0.08, tolerance=1e-5),
}
STEPS = {"steep ravine": (1500, 220), "gentle slope": (450, 300), "noisy terrain": (1200, 600)}
# The optimizer, the default rate of Keras, and the rates that are tried, in quarters of a decade from the default.
OPTIMIZERS: dict[str, tuple[Make, float, range]] = {
    "sgd": (FORMS["plain"], 0.01, range(9)),
    "momentum": (FORMS["heavy ball"], 0.01, range(-3, 6)),
    "nesterov": (FORMS["nesterov"], 0.01, range(-3, 6)),
    "adagrad": (gx.adagrad, 0.001, range(4, 13)),
    "rmsprop": (gx.rmsprop, 0.001, range(-2, 7)),
    "adam": (gx.adam, 0.001, range(-2, 7)),
    "nadam": (gx.nadam, 0.001, range(-2, 7)),
}
COLUMNS = ["rate", "steps", "rate", "test", "variance", "deviation / mean"]


def terrains(quick: bool) -> Figures:
    """Count the steps with and without momentum, at the advised rate and at the best rate of each."""
    figures: Figures = {}
    rates = [ADVISED * 2 ** (i / 2) for i in range(-6, 15, 3 if quick else 1)]
    for name, terrain in TERRAINS.items():
        figures[name] = {}
        for form, make in FORMS.items():
            steps = arrival(terrain, losses(terrain, make, [ADVISED, *rates], SEEDS, 3000))
            rate, best = quickest(rates, steps[:, 1:])
            figures[name][form] = {"advised": finite(steps[:, 0]), "rate": rate, "best": best}
    m.table(
        "Steps until the loss stays below 1e-6 of the first loss, on the slope below 1e-3, with noise below 1e-5, for "
        f"{STAY} steps.\nMomentum 0.9; neighbouring rates differ by √2.",
        ["", "", f"rate {ADVISED}", "best rate", "steps"],
        [
            [name, form, spread(f["advised"], ".0f"), f"{f['rate']:.3g}", spread(f["best"], ".0f")]
            for name, forms in figures.items()
            for form, f in forms.items()
        ],
    )
    return figures


def conditions(quick: bool) -> Figures:
    """Measure the gain of momentum by the condition number of a ravine."""
    figures: Figures = {}
    for kappa in (10, 100) if quick else (3, 10, 30, 100, 1000):
        terrain = Terrain(quadratic(1, 1 / kappa), start=(1.0, kappa**0.5))  # each direction has half of the loss
        best = ((kappa**0.5 - 1) / (kappa**0.5 + 1)) ** 2
        rates, counts = [3.9 * 2 ** (-i / 4) for i in range(12)], {}
        for name, momentum in (("plain", 0.0), ("0.9", 0.9), ("best", best)):
            make = partial(gx.sgd, momentum=momentum)
            steps = arrival(terrain, losses(terrain, make, rates, SEEDS, 400 + 8 * kappa))
            counts[name] = quickest(rates, steps)[1]
        figures[str(kappa)] = counts
    m.table(
        "Steps until the loss stays below 1e-6 of the first loss, on quadratic ravines, each at its best rate; the "
        "best momentum is ((√κ-1) / (√κ+1))².",
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
    """Measure each optimizer on digits: steps to an accuracy, the final accuracy, and the variance of the loss."""
    seeds, epochs, every, figures = (2, 4, 11, {}) if quick else (SEEDS, 20, 11, {})
    for kind in ("relu",) if quick else ("relu", "tanh"):
        network, steps = Network(activation=ACTIVATIONS[kind]), epochs * TRAINED_ON // BATCH // every * every
        figures[kind] = {}
        for name, (make, default, quarters) in OPTIMIZERS.items():
            tried = sorted({0, *quarters[:: 4 if quick else 1]})
            rates = [default * 10 ** (i / 4) for i in tried]
            curves = train(network, make, rates, seeds, batch_size=BATCH, steps=steps, every=every)
            figures[kind][name] = {
                "best": ended(rates, curves, every, slice(None)),
                "default": ended(rates, curves, every, slice(tried.index(0), tried.index(0) + 1)),
            }
    m.table(
        f"Digits, 4 hidden layers of 64, batches of {BATCH}, {epochs} epochs. Steps to an accuracy of {GOOD:.0%} on "
        "the validation data, at the rate with the fewest;\nthen the final accuracy on the test data, at the rate "
        "with the best final accuracy on the validation data,\nand the variance of the loss of the mini-batches in "
        "the last epoch.",
        ["", "", "", *COLUMNS],
        described(figures),
    )
    return figures


def decay(quick: bool) -> Figures:
    """Compare decaying rates with a fixed rate, on a network that can fit all data and on one that cannot."""
    seeds, epochs, size, figures = (2, 1, 8, {}) if quick else (SEEDS, 10, 8, {})
    every = TRAINED_ON // size // 4  # a quarter of an epoch
    steps, rates = 4 * epochs * every, [2.0**i for i in range(-8, 1, 4 if quick else 1)]
    exponential = gx.scale_by_schedule(gx.schedules.exponential_decay(1.0, steps, 0.01))
    schedules: dict[str, Make] = {
        "fixed": gx.sgd,
        "exponential": lambda rate: gx.chain(exponential, gx.sgd(rate)),
        "cosine": decayed(steps),
    }
    for kind, network, good in (("4 layers of 64", Network(), GOOD), ("2 layers of 6", Network(depth=2, width=6), 0.8)):
        figures[kind] = {}
        place = 0  # of the best fixed rate: the first schedule is the fixed one
        for name, make in schedules.items():
            curves = train(network, make, rates, seeds, batch_size=size, steps=steps, every=every)
            if name == "fixed":
                place = int(curves["valid"][..., -1].mean(0).argmax())
            figures[kind][name] = {
                "best": ended(rates, curves, every, slice(None), good),
                "same": ended(rates, curves, every, slice(place, place + 1), good),
                "twice": ended(rates, curves, every, slice(place + 1, place + 2), good),
            }
    m.table(
        f"Digits, SGD, batches of {size}, {epochs} epochs: each schedule at its best rate, at the best fixed rate, and "
        "at twice the best fixed rate.\nThe columns are those of the last table, with 80 % for the small network. The "
        "exponential decay ends at a hundredth.",
        ["", "", "", *COLUMNS],
        described(figures),
    )
    return figures


def batch_sizes(quick: bool) -> Figures:
    """Measure the steps and the time to an accuracy by the size of the batch."""
    figures: Figures = {}
    plan = {32: 66, TRAINED_ON: 66} if quick else {1: 2200, 8: 1320, 32: 660, 128: 440, 512: 330, TRAINED_ON: 330}
    rates, every = [2.0**i for i in range(-7, 2, 4 if quick else 1)], 11
    for size, steps in plan.items():
        valid = train(Network(), gx.sgd, rates, SEEDS, batch_size=size, steps=steps, every=every)["valid"]
        rate, counts = quickest(rates, steps_to_good(valid, every))
        figures[str(size)] = {"rate": rate, "steps": counts}
    peers = {size: Steps(Network(), some_examples(int(size)), 20) for size in figures}
    times = m.interleaved(peers, 3 if quick else 21)
    for size, f in figures.items():
        f["seconds"] = float(np.median(times[size])) / 20
        f["milliseconds"] = [None if count is None else 1e3 * count * f["seconds"] for count in f["steps"]]
    m.table(
        f"Digits, 4 hidden layers of 64, SGD: to an accuracy of {GOOD:.0%} on the validation data, at the quickest "
        "rate between 2^-7 and 2.",
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
    """Measure the time of a step of each optimizer, and the size of its state."""
    examples, figures = some_examples(BATCH), {}
    peers = {name: Steps(Network(), examples, 20, make(RATE)) for name, (make, *_) in OPTIMIZERS.items()}
    times, weights = m.interleaved(peers, 3 if quick else 21), jnp.zeros(2**20)
    for name, (make, *_) in OPTIMIZERS.items():
        size = sum(leaf.nbytes for leaf in jax.tree.leaves(make(RATE).init(weights))) / weights.nbytes
        figures[name] = {"ratio": m.ratio(times, name, "sgd"), "kept": round(size, 3)}
    m.table(
        f"A step, 4 hidden layers of 64, batches of {BATCH}: time over that of sgd, and bytes of the state over those "
        "of the parameters.",
        ["", "time", "state"],
        [[name, m.number(f["ratio"]), m.number(f["kept"])] for name, f in figures.items()],
    )
    return figures


def overfitting(quick: bool) -> Figures:
    """Train on data that adaptive rates fit, while they misclassify every new example of one class."""
    chains = {
        "sgd": gx.sgd(0.2),
        "momentum": gx.sgd(0.02, momentum=0.9),
        "nesterov": gx.sgd(0.02, momentum=0.9, nesterov=True),
        "adagrad": gx.adagrad(0.05, initial_accumulator_value=0.0),
        "adagrad from 0.1": gx.adagrad(0.05),  # 0.1 exceeds the squared gradients, so that the rate hardly adapts
        "rmsprop": gx.rmsprop(0.001),
        "adam": gx.adam(0.001),
        "nadam": gx.nadam(0.001),
    }
    figures = {
        name: {key: values.tolist() for key, values in fit_deceptive(tx, SEEDS, steps=500 if quick else 3000).items()}
        for name, tx in chains.items()
    }
    m.table(
        "Least squares on 100 examples of arXiv:1705.08292, section 3.3: final loss over first loss, and accuracy on "
        "new examples, of which 60 % are positive.",
        ["", "loss", "test"],
        [[name, spread(f["loss"], ".0e"), spread(f["test"])] for name, f in figures.items()],
    )
    return figures


def shrinking(quick: bool) -> Figures:
    """Measure the effective rate after steps with gradients of one size, as a part of the first effective rate."""
    figures, grads = {}, jnp.sign(jax.random.normal(jax.random.key(0), (100 if quick else 10_000,)))
    for name, tx in (("adagrad", gx.adagrad(1.0)), ("rmsprop", gx.rmsprop(1.0, bias_correction=True))):

        def step(slots: optax.OptState, g: jax.Array, tx: gx.Transformation = tx) -> tuple[optax.OptState, jax.Array]:
            u, slots = tx.update(g, slots)
            return slots, jnp.abs(jnp.asarray(u))

        rates = jax.lax.scan(step, tx.init(grads[0]), grads)[1]
        figures[name] = {str(n): float(rates[n - 1] / rates[0]) for n in (100, 10_000)[: 1 if quick else 2]}
    return figures


def quickest(rates: Sequence[float], steps: np.ndarray) -> tuple[float, list[float | None]]:
    """Give the rate with the fewest steps in the mean over the seeds, and the steps of each seed at this rate."""
    best = int(steps.mean(0).argmin())
    return rates[best], finite(steps[:, best])


def finite(steps: np.ndarray) -> list[float | None]:
    """Replace infinite numbers of steps by None, as JSON has no infinity."""
    return [None if np.isinf(count) else float(count) for count in steps]


def steps_to_good(valid: np.ndarray, every: int, good: float = GOOD) -> np.ndarray:
    """Count the steps to the first check with a good accuracy; infinite if there is none."""
    reached = valid >= good
    return np.where(reached.any(-1), (reached.argmax(-1) + 1.0) * every, np.inf)


def ended(
    rates: Sequence[float], curves: Mapping[str, np.ndarray], every: int, among: slice, good: float = GOOD
) -> Figures:
    """Give the steps to a good accuracy, and the end of the training, each at the best of the rates `among`."""
    rates, curves = rates[among], {name: values[:, among] for name, values in curves.items()}
    rate, steps = quickest(rates, steps_to_good(curves["valid"], every, good))
    best = int(curves["valid"][..., -1].mean(0).argmax())
    last = curves["loss"][:, best, -3:].reshape(len(curves["loss"]), -1)
    return {
        "quickest": rate,
        "steps": steps,
        "rate": rates[best],
        "test": curves["test"][:, best, -1].tolist(),
        "variance": last.var(-1).tolist(),
        "relative": (last.std(-1) / last.mean(-1)).tolist(),
    }


def described(figures: Figures) -> list[list[str]]:
    """Give the rows of a table of the results of `ended`, by network, optimizer and rate."""
    forms, rows = {"steps": ".0f", "test": ".3f", "variance": ".1e", "relative": ".2g"}, []
    for kind, names in figures.items():
        for name, places in names.items():
            for place, f in places.items():
                steps, *ends = (spread(f[quantity], form) for quantity, form in forms.items())
                rows.append([kind, name, place, f"{f['quickest']:.3g}", steps, f"{f['rate']:.3g}", *ends])
    return rows


def over(a: Sequence[float | None], b: Sequence[float | None]) -> list[float | None]:
    """Divide seed by seed; a ratio is None if one of its numbers is."""
    return [None if x is None or y is None else x / y for x, y in zip(a, b, strict=True)]


def about(
    a: Sequence[float | None], b: Sequence[float | None], low: float, high: float | None = None, slack: float = 1.25
) -> tuple[str, str]:
    """Give a as multiples of b, and the verdict: within a quarter of the claim, and more than chance."""
    if None in a:
        return "does not arrive", NO
    if None in b:
        return "only this one arrives", LESS
    ratios = np.array(over(a, b), float)
    verdict = within(ratios.mean(), low / slack, slack * (high or low))
    logs = np.log(np.array([a, b], float))
    certain = less(*(logs if low < 1 else logs[::-1]))
    return f"{spread(ratios, '.2f')} times", verdict if verdict != YES or certain else NO


def points(more: Sequence[float] | np.ndarray, low: float, high: float | None = None) -> tuple[str, str]:
    """Give differences in accuracy, and the verdict: within half a point of the claim, and more than chance."""
    more = 100 * np.array(more)
    verdict = within(more.mean(), low - 0.5, (high or low) + 0.5)
    certain = less(np.zeros_like(more), more)
    return f"{spread(more, '+.1f')} points", verdict if verdict != YES or certain else NO


def less(a: Sequence[float] | np.ndarray, b: Sequence[float] | np.ndarray) -> bool:
    """Tell whether a is less than b by two standard errors, pair by pair."""
    more = np.subtract(a, b)
    return bool(more.mean() < -2 * more.std(ddof=1) / len(more) ** 0.5)


def pooled(figures: Figures, name: str, place: str, quantity: str) -> list[float | None]:
    """Give a quantity of all seeds on all networks; the "time" is the number of steps times the cost of a step."""
    key, cost = ("steps", figures["seconds"][name]["ratio"]) if quantity == "time" else (quantity, 1)
    values = [value for kind in figures["optimizers"].values() for value in kind[name][place][key]]
    return [None if value is None else value * cost for value in values]


def pooled_pair(figures: Figures, names: Iterable[str], place: str, quantity: str) -> np.ndarray:
    """Give `pooled` of two optimizers, for a quantity that always exists: (2, seeds of all networks)."""
    return np.array([pooled(figures, name, place, quantity) for name in names], float)


def of_momentum(figures: Figures) -> list[Figures]:
    """Give the rows of the claims about momentum."""
    rows = []
    for name, forms in figures["terrains"].items():
        before, after = STEPS[name]
        cases = {
            case: about(forms[form][place], forms["plain"][place], after / before)
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
    rows.append(said("momentum is faster at the best rates", "2 to 10 times", cases, "the condition number κ"))
    ravine = figures["terrains"]["steep ravine"]
    cases = {
        "steep ravine": sooner(ravine["nesterov"]["best"], ravine["heavy ball"]["best"]),
        "digits": sooner(pooled(figures, "nesterov", "best", "steps"), fast),
    }
    rows.append(said("Nesterov's momentum needs fewer steps than momentum", "typically", cases, "the problem"))
    return rows


def sooner(a: Sequence[float | None], b: Sequence[float | None]) -> tuple[str, str]:
    """Give the steps a as multiples of b, and the verdict: fewer than b."""
    fewer = None not in [*a, *b] and less(np.array(a, float), np.array(b, float))
    return about(a, b, 1)[0], YES if fewer else NO


def of_adaptive(figures: Figures) -> list[Figures]:
    """Give the rows of the claims about adaptive rates."""
    rows, hours = [], "72 → 68 h, 12 → 9 h, 45 → 32 min, 0.71 to 0.94 times"
    for name, title, time, factors, accuracy, more in (
        ("rmsprop", "RMSProp", "4.2 → 1.8 h, 0.43 times", (1.8 / 4.2,), "92.1 → 93.6 %", (1.5,)),
        ("adam", "Adam", hours, (32 / 45, 68 / 72), "0.4 to 1.2 points", (0.4, 1.2)),
    ):
        times, accuracies = {}, {}
        for case, peer, place in (
            ("default rates, SGD", "sgd", "default"),
            ("best rates, SGD", "sgd", "best"),
            ("best rates, with momentum", "momentum", "best"),
        ):
            ours, theirs = (pooled(figures, optimizer, place, "time") for optimizer in (name, peer))
            times[case] = about(ours, theirs, *factors)
            accuracies[case] = points(np.subtract(*pooled_pair(figures, (name, peer), place, "test")), *more)
        rows.append(said(f"{title} reaches an accuracy in less time than SGD", time, times, "the rates"))
        rows.append(said(f"{title} ends more accurate than SGD", accuracy, accuracies, "the rates"))
    cases = {}
    for case, quantity in (("variance", "variance"), ("deviation / mean", "relative")):
        a, b = pooled_pair(figures, ("rmsprop", "sgd"), "best", quantity)
        cases[case] = f"{np.median(b):.1g} → {np.median(a):.1g}", YES if less(np.log(a), np.log(b)) else NO
    rows.append(said("RMSProp's loss varies less between batches", "high → low", cases, "the measure of variation"))
    return [*rows, of_state(figures), of_nadam(figures), of_shrinking(figures)]


def of_state(figures: Figures) -> Figures:
    """Give the row of the claim about the size of Adam's state."""
    sizes = {name: figures["seconds"][name]["kept"] for name in ("sgd", "momentum", "rmsprop", "adam")}
    text = ", ".join(f"{name} {times:g}" for name, times in sizes.items())
    verdict = YES if sizes["adam"] == 2 else NO
    return said("Adam needs little memory", "2 × the parameters", {"times": (text, verdict)}, "")


def of_nadam(figures: Figures) -> Figures:
    """Give the row of the claim about Nadam."""
    nadam, adam = (pooled(figures, name, "best", "steps") for name in ("nadam", "adam"))
    return said("Nadam needs slightly fewer steps than Adam", "often", {"digits": sooner(nadam, adam)}, "")


def of_shrinking(figures: Figures) -> Figures:
    """Give the row of the claim about AdaGrad's rate."""
    shrunk = figures["shrinking"]["adagrad"]
    adagrad, rmsprop = pooled_pair(figures, ("adagrad", "rmsprop"), "best", "test")
    cases = {f"after {int(n):,} steps": (f"{part:.2g} of the first", YES) for n, part in shrunk.items()}
    cases["digits, against RMSProp"] = points(adagrad - rmsprop, 0)[0], YES if less(adagrad, rmsprop) else NO
    claim = "AdaGrad's rate shrinks until it stops too early"
    return said(claim, "infinitesimal", cases, "the length of the training")


def of_generalisation(figures: Figures) -> Figures:
    """Give the row of the claim about generalisation."""
    cases = {}
    for name in ("adam", "rmsprop"):
        adaptive, nesterov = pooled_pair(figures, (name, "nesterov"), "best", "test")
        cases[f"digits, {name}"] = points(adaptive - nesterov, 0)[0], YES if less(adaptive, nesterov) else NO
    test = {name: float(np.mean(f["test"])) for name, f in figures["overfitting"].items()}
    for name in ("adam", "adagrad", "adagrad from 0.1"):
        text = f"{100 * (test[name] - test['nesterov']):+.1f} points"
        cases[f"example of arXiv:1705.08292, {name}"] = text, YES if test[name] < test["nesterov"] - 0.01 else NO
    return said("adaptive rates generalise worse than Nesterov's momentum", "sometimes", cases, "the data")


def of_decay(figures: Figures) -> list[Figures]:
    """Give the rows of the claims about decaying rates."""
    cases: dict[str, dict[str, tuple[str, str]]] = {"test": {}, "steps": {}, "variance": {}}
    for kind, schedules in figures["decay"].items():
        for place, where in (("best", "best rates"), ("twice", "twice the fixed one's")):
            fixed, decaying = (schedules[name][place] for name in ("fixed", "cosine"))
            case = f"{kind}, {where}"
            cases["test"][case] = points(np.subtract(decaying["test"], fixed["test"]), 1.8)
            cases["steps"][case] = about(decaying["steps"], fixed["steps"], 1.8 / 2.1)
            cases["variance"][case] = about(decaying["variance"], fixed["variance"], 0.11 / 0.32)
    on = "the rate and the remaining noise"
    return [
        said("a decaying rate ends more accurate than a fixed one", "91.3 → 93.1 %", cases["test"], on),
        said("a decaying rate takes less time", "2.1 → 1.8 h, 0.86 times", cases["steps"], on),
        said("with a decaying rate the loss varies less", "0.32 → 0.11, 0.34 times", cases["variance"], on),
    ]


def of_batches(figures: Figures) -> Figures:
    """Give the row of the claim about the size of mini-batches."""
    mean = {
        int(n): np.inf if None in f["milliseconds"] else float(np.mean(f["milliseconds"]))
        for n, f in figures["batches"].items()
    }
    best = min(mean, key=lambda size: mean[size])
    text = ", ".join(f"{size}: {'–' if np.isinf(ms) else format(ms, '.0f')} ms" for size, ms in mean.items())
    cases = {"digits, SGD at its best rate": (text, YES if 32 <= best <= 512 else NO)}
    return said("mini-batches are the best balance", "32 to 512", cases, "")


def claims(figures: Figures) -> list[Figures]:
    """Give the rows of the claims: for each case the result and its verdict, and the verdict on all cases."""
    rows = [*of_momentum(figures), *of_adaptive(figures), of_generalisation(figures)]
    return [*rows, *of_decay(figures), of_batches(figures), *batch_norm.claims(figures["batch norm"])]


def markdown(rows: Sequence[Figures]) -> str:
    """Give the rows as a Markdown table."""
    lines = ["| claim | claimed figure | result | verdict |", "|---|---|---|---|"]
    for row in rows:
        results = "; ".join(f"{case}: {f['found']}" for case, f in row["cases"].items())
        lines.append(f"| {row['claim']} | {row['said']} | {results} | {row['verdict']} |")
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
    show("Claims, results and verdicts.", claims(figures))
    return figures


if __name__ == "__main__":
    m.main(__doc__, measure)
