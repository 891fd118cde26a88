"""Tools of all benchmarks: timing in turns, the phases of a compilation, and plain tables."""

import argparse
import gc
import importlib.util
import itertools
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend.core import Jaxpr, JaxprEqn
from rich.console import Console
from rich.table import Table

from gradtx._tools import Tree
from gradtx.core._leaf import leaf_function

Times = Mapping[str, Sequence[float]]
Figures = dict[str, Any]
HAS_TORCH = importlib.util.find_spec("torch") is not None
HAS_KERAS = importlib.util.find_spec("keras") is not None


def machine() -> str:
    """Describe the CPU, its cores and the versions of the libraries in one line."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    peers = {"torch": "torch", "keras": "keras", "flax": "flax", "scikit-learn": "sklearn"}
    packages = ["gradtx", "jax", "optax", *(name for name, module in peers.items() if importlib.util.find_spec(module))]
    versions = [f"python {platform.python_version()}", *(f"{name} {version(name)}" for name in packages)]
    cpu = models[0] if models else platform.processor() or platform.machine()
    return f"{cpu}, {os.cpu_count()} cores, {jax.default_backend()}; {', '.join(versions)}"


def turns(names: Iterable[str], number: int) -> list[str]:
    """Order the libraries for one repetition: each repetition starts with the next library.

    After each cycle the direction changes. So no library always comes first, on a cold machine, or last, on a hot
    one, or always after the same other library.
    """
    names = list(names)
    start = number % len(names)
    order = names[start:] + names[:start]
    return order if number // len(names) % 2 == 0 else order[::-1]


def interleaved(peers: Mapping[str, Callable[[], object]], rounds: int, warmup: int = 2) -> Times:
    """Measure the seconds of each call, `rounds` for each peer.

    The peers take turns, so that a slow spell of the machine hits all of them.
    """
    times: dict[str, list[float]] = {name: [] for name in peers}
    for number in range(-warmup, rounds):
        for name in turns(peers, number):
            start = time.perf_counter()
            jax.block_until_ready(peers[name]())
            if number >= 0:
                times[name].append(time.perf_counter() - start)
    return times


def ratio(times: Times, name: str, to: str) -> float | None:
    """Give the median of the ratios of the rounds, because rounds differ by more than peers do."""
    if name not in times or to not in times:
        return None
    return statistics.median(a / b for a, b in zip(times[name], times[to], strict=True))


class Phases(NamedTuple):
    """The seconds of each phase of a compilation from scratch, and the result."""

    seconds: Mapping[str, float]
    equations: int
    expanded: int
    temporary: int  # bytes
    compiled: jax.stages.Compiled


def phases(step: Callable[..., Tree], *args: Tree, donate: tuple[int, ...] = ()) -> Phases:
    """Trace, lower and compile `step` with empty caches."""
    jax.clear_caches()
    leaf_function.cache_clear()  # gradtx has a cache that jax.clear_caches does not empty
    # A garbage collection during tracing must only scan the objects of this trace. A scan of the whole process takes as
    # long as tracing hundreds of parameters, and hits a peer by chance.
    gc.collect()
    gc.freeze()
    clock = [time.perf_counter()]
    traced = jax.jit(step, donate_argnums=donate).trace(*args)
    clock.append(time.perf_counter())
    lowered = traced.lower()
    clock.append(time.perf_counter())
    compiled = lowered.compile()
    clock.append(time.perf_counter())
    gc.unfreeze()
    trace, lower, compile_ = (end - start for start, end in itertools.pairwise(clock))
    seconds = {"trace": trace, "lower": lower, "trace + lower": trace + lower, "compile": compile_}
    seconds |= {"to the first step": trace + lower + compile_}
    memory = compiled.memory_analysis()
    assert memory is not None, "this backend reports no sizes"
    return Phases(seconds, *equations(traced.jaxpr.jaxpr), memory.temp_size_in_bytes, compiled)


def warm_up_jax() -> None:
    """Compile a small function, so that no peer pays for the first use of JAX."""
    phases(lambda x: jnp.where(x > 0, jnp.sqrt(jnp.sum(x * x)), x), jnp.ones(8), donate=(0,))


def equations(jaxpr: Jaxpr) -> tuple[int, int]:
    """Count the equations of a jaxpr: with each inner jaxpr counted once, and with every call expanded."""
    sizes: dict[int, int] = {}
    seen: list[Jaxpr] = []

    def expanded(jaxpr: Jaxpr) -> int:
        if id(jaxpr) not in sizes:
            seen.append(jaxpr)
            inner = map(_inner, jaxpr.eqns)
            sizes[id(jaxpr)] = sum(sum(map(expanded, called)) if called else 1 for called in inner)
        return sizes[id(jaxpr)]

    total = expanded(jaxpr)
    return sum(len(inner.eqns) for inner in seen), total


def _inner(eqn: JaxprEqn) -> list[Jaxpr]:
    """List the jaxprs that an equation calls."""
    values = [v for value in eqn.params.values() for v in (value if isinstance(value, tuple | list) else [value])]
    jaxprs = [getattr(value, "jaxpr", value) for value in values]
    return [jaxpr for jaxpr in jaxprs if hasattr(jaxpr, "eqns")]


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table with names in the first column and figures in the others."""
    out = Table(title_justify="left")
    for i, column in enumerate(columns):
        out.add_column(column, justify="right" if i else "left", no_wrap=True)
    for row in rows:
        out.add_row(*row)
    print(f"\n{title}")
    # rich cuts off figures that do not fit into the terminal, so the table chooses the width.
    Console(width=Console(width=1000).measure(out).maximum).print(out)


def number(value: float | None, form: str = ".2f") -> str:
    """Format a value, and None as a dash."""
    return "–" if value is None else format(value, form)


def verdicts(rows: Sequence[tuple[str, float | None, float]]) -> list[dict[str, Any]]:
    """Compare each measured value with its upper bound: print a table, and give the same as data."""
    bars = [
        {"bar": name, "measured": value, "at most": bar, "reached": None if value is None else value <= bar}
        for name, value, bar in rows
    ]
    verdict = {True: "yes", False: "NO", None: "not measured"}
    text = [[b["bar"], number(b["measured"], ".3f"), f"{b['at most']:g}", verdict[b["reached"]]] for b in bars]
    table("Bars, for the full sizes", ["", "measured", "at most", "reached"], text)
    return bars


def main(doc: str | None, measure: Callable[[bool], Figures]) -> None:
    """Run the command line of a benchmark: print the tables of `measure(quick)`, and write its figures to a file."""
    parser = argparse.ArgumentParser(description=(doc or "").partition("\n")[0])
    parser.add_argument(
        "--quick",
        action="store_true",
        help="small sizes, which show that the benchmark works; the figures mean nothing",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file")
    args = parser.parse_args()
    print(machine(), flush=True)
    figures = {"machine": machine(), **measure(args.quick)}
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2) + "\n")
