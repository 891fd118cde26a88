"""Writes the tables of docs/measurements.md from the figures in benchmarks/results.

python benchmarks/tables.py

`BLOCKS` has a function for every name. The text of the function stands between `<!-- name -->` and `<!-- /name -->`.
`make bench` measures first.
"""

import json
import re
from collections.abc import Callable, Iterable
from functools import cache, partial
from pathlib import Path
from typing import Any

import claims as said

ROOT = Path(__file__).parents[1]
DOCUMENTS = (ROOT / "docs" / "measurements.md",)
TESTED = "`tests/interop/test_comparison.py`"


@cache
def figures(benchmark: str) -> Any:
    """Reads the file that `benchmarks/{benchmark}.py --json` wrote."""
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
    """Gives the median error of an update after the last step, in ulps."""
    for row in figures("accuracy")["rows"]:
        if (row["peer"], row["technique"]) == (peer, technique):
            return two(row["gradtx" if ours else "theirs"][2])
    raise KeyError(f"{peer} has no {technique}")


def comparison() -> str:
    """Compares the frameworks. The last column names the test or the benchmark behind the row."""
    step, epoch = figures("step")["clip + AdamW"]["gradtx"], figures("inputs")["mini-batches"]["256"]["gradtx, scan"]
    adam = ("optax", "adam()"), ("PyTorch", "Adam()"), ("Keras", "Adam()")
    ours = " / ".join(median_error(*case, ours=True) for case in adam)
    theirs = [median_error(*case, ours=False) for case in adam]
    rows = [
        ("its `repr` is the code that makes it", "yes", "no", "no", "no", TESTED),
        ("optimizers with equal arguments are equal", "yes", "no", "no", "no", TESTED),
        ("can be pickled before the parameters exist", "yes", "no", "no", "as a configuration", TESTED),
        ("every hyperparameter takes a schedule", "yes", "in a wrapper", "no", "no", TESTED),
        ("step counters in the state of Adam with a schedule", "1", "2", "one per parameter", "1", TESTED),
        (
            "a bfloat16 parameter of 1 after 1,000 steps of -0.0001",
            *("0.9, rounded stochastically", "1", "1", "1", TESTED),
        ),
        ("a mask that selects nothing", "an error", "no error", "–", "no error", TESTED),
        ("conventions", "optax's, PyTorch's or Keras's", "optax's", "PyTorch's", "Keras's", "`tests/interop/`"),
        (
            "median error of Adam's update after 200 steps, in ulps (gradtx: as optax / PyTorch / Keras)",
            *(ours, *theirs, "`benchmarks/accuracy.py`"),
        ),
        (
            "time of `clip_by_global_norm` and AdamW on 64 Mi parameters (PyTorch: fused)",
            *("1", two(1 / step["to optax"]), two(1 / step["to torch"]), "–", "`benchmarks/step.py`"),
        ),
        (
            "time of an epoch over 1,000,000 × 32 in mini-batches of 256",
            *("1", "–", f"{1 / epoch['to torch']:.0f}", "–", "`benchmarks/inputs.py`"),
        ),
    ]
    return table(["", "gradtx", "optax", "PyTorch", "Keras", "tested or measured by"], rows)


def step() -> str:
    measured = figures("step")
    clipped, plain, tree = (measured[name]["gradtx"] for name in ("clip + AdamW", "AdamW", "tree"))
    imports = measured["import"]
    imported, without_gc = (two(imports[name]["to optax"]) for name in ("gradtx", "gradtx, no gc"))
    theirs = measured["clip + AdamW"]["optax"]["temporary to gradients"]
    selected = measured["tree"]["gradtx, only"]
    trees = [
        ("tracing and lowering", "trace + lower"),
        ("compiling", "compile"),
        ("everything before the first step", "to the first step"),
        ("a step", "step"),
    ]
    rows = [
        ("a step on 64 Mi float32 parameters in one array", two(clipped["to optax"]), two(clipped["to torch"])),
        ("the same step without clipping", two(plain["to optax"]), two(plain["to torch"])),
        (
            "temporary memory of the clipped step, as a multiple of the gradients",
            f"gradtx {clipped['temporary to gradients']:.2f}, optax {theirs:.2f}",
            "",
        ),
        *((f"1,200 arrays: {phase}", two(tree[key]["to optax"]), "") for phase, key in trees),
        *(
            (
                f"1,200 arrays, `only` around every stage: {phase}",
                f"{two(selected[key]['to gradtx'])} of gradtx without `only`",
                "",
            )
            for phase, key in (trees[0], trees[-1])
        ),
        ("`import gradtx`, against `import optax`", f"{imported}; {without_gc} without garbage collection", ""),
    ]
    return table(["`clip_by_global_norm` and AdamW", "against optax", "against PyTorch, fused"], rows)


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
            for peer, name in zip(peers, theirs, strict=True)
            for ours in (False, True)
        ]
        for title, theirs in names.items()
    ]
    return table(["", *(text for peer in peers for text in (peer, f"as {peer}"))], rows)


def minibatches() -> str:
    sizes = figures("inputs")["mini-batches"]
    cases = [
        ("`scan`", "gradtx, scan", "numpy", "NumPy's `take` into one buffer"),
        ("`scan`", "gradtx, scan", "torch", "PyTorch's `DataLoader`"),
        ("`iterate`, from the device", "gradtx, iterate", "torch", "PyTorch's `DataLoader`"),
        ("`iterate`, from NumPy", "gradtx, iterate over numpy", "torch", "PyTorch's `DataLoader`"),
    ]
    rows = [
        [method, title, *(f"{size[name][f'to {peer}']:.3f}" for size in sizes.values())]
        for method, name, peer, title in cases
    ]
    return table(["an epoch over 1,000,000 × 32", "against", *(f"batches of {size}" for size in sizes)], rows)


def fit() -> str:
    measured = figures("inputs")["fit"]
    cases = [
        ("from the device", "gradtx, from the device", "fit"),
        ("from NumPy", "gradtx, from numpy", "fit"),
        ("in batches of 65,536", "gradtx, in batches", "partial_fit"),
    ]
    rows = [[data, f"`{peer}`", two(measured[name][f"scikit-learn, {peer}"])] for data, name, peer in cases]
    return table(["fitting `standardize` to 1,000,000 × 32", "against scikit-learn's", ""], rows)


def norms() -> str:
    rows = [
        [shape, direction, two(peers["gradtx"]["flax.nnx"]), two(peers["gradtx"]["flax.linen"])]
        for shape, passes in figures("inputs")["batch norm"].items()
        for direction, peers in passes.items()
    ]
    return table(["`batch_norm` in training", "", "against Flax NNX", "against Linen"], rows)


def claims() -> str:
    return said.markdown(said.claims(figures("claims")))


BLOCKS: dict[str, Callable[[], str]] = {
    f.__name__: f for f in (comparison, step, accuracy, minibatches, fit, norms, claims)
} | {f"machine: {name}": partial(machine, name) for name in ("step", "accuracy", "inputs", "claims")}


def rendered(text: str) -> str:
    """Fills every block of a document again."""
    for name, block in BLOCKS.items():
        pattern = rf"(<!-- {re.escape(name)} -->\n).*?(<!-- /{re.escape(name)} -->)"
        text = re.sub(pattern, lambda m, b=block: f"{m[1]}\n{b()}\n\n{m[2]}", text, flags=re.DOTALL)
    return text


if __name__ == "__main__":
    for document in DOCUMENTS:
        document.write_text(rendered(document.read_text()))
