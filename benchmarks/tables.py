"""The tables of README.md and docs/measurements.md, from the figures that the benchmarks left in benchmarks/results.

python benchmarks/tables.py

Between `<!-- name -->` and `<!-- /name -->` stands what the function of that name gives. `make bench` measures first.
"""

import json
import re
from collections.abc import Callable, Iterable
from functools import cache, partial
from pathlib import Path
from typing import Any

import claims as said

ROOT = Path(__file__).parents[1]
DOCUMENTS = (ROOT / "README.md", ROOT / "docs" / "measurements.md")
SHOWN = "`tests/interop/test_comparison.py`"


@cache
def figures(benchmark: str) -> Any:
    """What `benchmarks/{benchmark}.py --json` wrote."""
    return json.loads((ROOT / "benchmarks" / "results" / f"{benchmark}.json").read_text())


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    header = list(header)
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def two(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def machine(benchmark: str) -> str:
    return f"Measured on {figures(benchmark)['machine']}."


def median_error(peer: str, technique: str, ours: bool) -> str:
    """Of an update after the last step, in ulps."""
    for row in figures("accuracy")["rows"]:
        if (row["peer"], row["technique"]) == (peer, technique):
            return two(row["gradtx" if ours else "theirs"][2])
    raise KeyError(f"{peer} has no {technique}")


def comparison() -> str:
    """What each has; a row is shown by a test, or measured."""
    step, epoch = figures("step")["clip + AdamW"]["gradtx"], figures("inputs")["mini-batches"]["256"]["gradtx, scan"]
    adam = ("optax", "adam()"), ("PyTorch", "Adam()"), ("Keras", "Adam()")
    ours = " / ".join(median_error(*case, ours=True) for case in adam)
    theirs = [median_error(*case, ours=False) for case in adam]
    rows = [
        ("prints as the code that makes it", "yes", "no", "no", "no", SHOWN),
        ("equal arguments make equal optimizers", "yes", "no", "no", "no", SHOWN),
        ("can be pickled before there are parameters", "yes", "no", "no", "as a configuration", SHOWN),
        ("any hyperparameter takes a schedule", "yes", "in a wrapper", "no", "no", SHOWN),
        ("counters in the state of Adam with a schedule", "1", "2", "one a parameter", "1", SHOWN),
        ("bfloat16: 1 after 1,000 steps of 0.0001", "0.9", "1", "1", "1", SHOWN),
        ("a mask that selects nothing", "is an error", "goes unnoticed", "–", "goes unnoticed", SHOWN),
        ("computes as", "optax, PyTorch or Keras", "itself", "itself", "itself", "`tests/interop/`"),
        (
            "Adam's update after 200 steps: median error, ulp, under the convention of each",
            *(ours, *theirs, "`benchmarks/accuracy.py`"),
        ),
        (
            "clip + AdamW on 64 Mi parameters: time",
            *("1", two(1 / step["to optax"]), two(1 / step["to torch"]), "–", "`benchmarks/step.py`"),
        ),
        (
            "an epoch of mini-batches over 1,000,000 × 32: time",
            *("1", "–", f"{1 / epoch['to torch']:.0f}", "–", "`benchmarks/inputs.py`"),
        ),
    ]
    return table(["", "gradtx", "optax", "PyTorch", "Keras", "shown by"], rows)


def step() -> str:
    found = figures("step")
    one, alone, tree = (found[name]["gradtx"] for name in ("clip + AdamW", "AdamW", "tree"))
    imported, quietly = (two(found["import"][name]["to optax"]) for name in ("gradtx", "gradtx, no gc"))
    theirs = found["clip + AdamW"]["optax"]["temporary to gradients"]
    around = found["tree"]["gradtx, only"]
    rows = [
        ("a step on 64 Mi float32 parameters in one array", two(one["to optax"]), two(one["to torch"])),
        ("the same without clipping", two(alone["to optax"]), two(alone["to torch"])),
        (
            "temporary memory of the clipped step, in arrays of gradients",
            f"{one['temporary to gradients']:.2f}, optax {theirs:.2f}",
            "",
        ),
        *(
            (f"1,200 arrays: {what}", two(tree[key]["to optax"]), "")
            for what, key in (
                ("tracing and lowering", "trace + lower"),
                ("compiling", "compile"),
                ("all before the first step", "to the first step"),
                ("a step", "step"),
            )
        ),
        *(
            (
                f"1,200 arrays, `only` around every stage: {what}",
                f"{two(around[key]['to gradtx'])} of gradtx without",
                "",
            )
            for what, key in (("tracing and lowering", "trace + lower"), ("a step", "step"))
        ),
        ("`import gradtx`, against `import optax`", f"{imported}; {quietly} without garbage collection", ""),
    ]
    return table(["clip by global norm + AdamW", "against optax", "against torch, fused"], rows)


def accuracy() -> str:
    names = {
        "SGD with momentum": ("SGD(momentum=0.9)", "SGD(momentum=0.9)", "sgd(momentum=0.8)"),
        "RMSprop": ("RMSprop()", "RMSprop()", "rmsprop()"),
        "Adam": ("Adam()", "Adam()", "adam()"),
        "NAdam": ("NAdam()", "Nadam()", "nadam(momentum_decay=None)"),
        "RAdam": ("RAdam()", None, "radam(b2=0.99)"),
    }
    peers = ("PyTorch", "Keras", "optax")
    rows = [
        [title]
        + [
            median_error(peer, name, ours) if name else "–"
            for peer, name in zip(peers, own, strict=True)
            for ours in (False, True)
        ]
        for title, own in names.items()
    ]
    return table(["", *(text for peer in peers for text in (peer, f"as {peer}"))], rows)


def minibatches() -> str:
    found = figures("inputs")["mini-batches"]
    cases = [
        ("`scan`", "gradtx, scan", "numpy", "NumPy's `take` into one buffer"),
        ("`scan`", "gradtx, scan", "torch", "PyTorch's `DataLoader`"),
        ("`iterate`, from the device", "gradtx, iterate", "torch", "PyTorch's `DataLoader`"),
        ("`iterate`, from NumPy", "gradtx, iterate over numpy", "torch", "PyTorch's `DataLoader`"),
    ]
    rows = [[how, title, *(f"{f[name][f'to {to}']:.3f}" for f in found.values())] for how, name, to, title in cases]
    return table(["an epoch over 1,000,000 × 32", "against", *(f"batches of {size}" for size in found)], rows)


def fit() -> str:
    found = figures("inputs")["fit"]
    cases = [
        ("from the device", "gradtx, from the device", "fit"),
        ("from NumPy", "gradtx, from numpy", "fit"),
        ("in batches of 65,536", "gradtx, in batches", "partial_fit"),
    ]
    rows = [[how, f"`{to}`", two(found[name][f"scikit-learn, {to}"])] for how, name, to in cases]
    return table(["fitting `standardize` to 1,000,000 × 32", "against scikit-learn's", ""], rows)


def norms() -> str:
    rows = [
        [case, what, two(peers["gradtx"]["flax.nnx"]), two(peers["gradtx"]["flax.linen"])]
        for case, passes in figures("inputs")["batch norm"].items()
        for what, peers in passes.items()
    ]
    return table(["`batch_norm` in training", "", "against Flax NNX", "against Linen"], rows)


def claims(short: bool = True) -> str:
    return said.markdown(said.claims(figures("claims")), short)


BLOCKS: dict[str, Callable[[], str]] = {
    f.__name__: f for f in (comparison, step, accuracy, minibatches, fit, norms, claims)
} | {
    "claims in full": partial(claims, short=False),
    **{f"machine: {name}": partial(machine, name) for name in ("step", "accuracy", "inputs", "claims")},
}


def rendered(text: str) -> str:
    """`text` with every block filled anew."""
    for name, block in BLOCKS.items():
        pattern = rf"(<!-- {re.escape(name)} -->\n).*?(<!-- /{re.escape(name)} -->)"
        text = re.sub(pattern, lambda m, b=block: f"{m[1]}\n{b()}\n\n{m[2]}", text, flags=re.DOTALL)
    return text


if __name__ == "__main__":
    for document in DOCUMENTS:
        document.write_text(rendered(document.read_text()))
