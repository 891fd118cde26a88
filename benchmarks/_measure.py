"""What the benchmarks share: peers timed in turn, the phases of a compilation, and plain tables."""

import argparse
import gc
import importlib.util
import itertools
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from rich.console import Console
from rich.table import Table

from gradtx.core._leaf import leaf_function

Times = Mapping[str, Sequence[float]]
Figures = dict[str, Any]
HAS_TORCH = importlib.util.find_spec("torch") is not None
HAS_KERAS = importlib.util.find_spec("keras") is not None


def machine() -> str:
    """CPU, cores and versions in one line."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    peers = {"torch": "torch", "keras": "keras", "flax": "flax", "scikit-learn": "sklearn"}
    packages = ["gradtx", "jax", "optax", *(name for name, module in peers.items() if importlib.util.find_spec(module))]
    versions = [f"python {platform.python_version()}", *(f"{name} {version(name)}" for name in packages)]
    cpu = models[0] if models else platform.processor() or platform.machine()
    return f"{cpu}, {os.cpu_count()} cores, {jax.default_backend()}; {', '.join(versions)}"


def interleaved(peers: Mapping[str, Callable[[], Any]], rounds: int, warmup: int = 2) -> Times:
    """Seconds of each call, `rounds` a peer.

    The peers take turns, so that a slow spell of the machine hits all of them, and each round starts with the next
    one, so that none always runs in the wake of the same other.
    """
    names, times = list(peers), {name: [] for name in peers}
    for i in range(-warmup, rounds):
        for name in names[i % len(names) :] + names[: i % len(names)]:
            start = time.perf_counter()
            jax.block_until_ready(peers[name]())
            if i >= 0:
                times[name].append(time.perf_counter() - start)
    return times


def ratio(times: Times, name: str, to: str) -> float | None:
    """The median of the ratios round by round: rounds differ by more than peers do."""
    if name not in times or to not in times:
        return None
    return statistics.median(a / b for a, b in zip(times[name], times[to], strict=True))


class Phases(NamedTuple):
    """What one compilation from scratch cost, in seconds, and what came out of it."""

    seconds: Mapping[str, float]
    equations: int
    expanded: int
    temporary: int  # bytes
    compiled: Any


def phases(step: Callable[..., Any], *args: Any, donate: tuple[int, ...] = ()) -> Phases:
    """Traces, lowers and compiles `step`, with nothing left over from an earlier time."""
    jax.clear_caches()
    leaf_function.cache_clear()  # gradtx's own, which outlives JAX's
    # A collection in mid-trace shall scan what this trace made, not all that the process holds: that takes as long as
    # tracing hundreds of parameters, and falls on a peer by chance.
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
    temporary = compiled.memory_analysis().temp_size_in_bytes
    return Phases(seconds, *equations(traced.jaxpr.jaxpr), temporary, compiled)


def warm_up_jax() -> None:
    """What JAX does at its first use of anything shall fall on no peer."""
    phases(lambda x: jnp.where(x > 0, jnp.sqrt(jnp.sum(x * x)), x), jnp.ones(8), donate=(0,))


def equations(jaxpr: Any) -> tuple[int, int]:
    """The equations of a jaxpr, counting each inner jaxpr once, and with every call expanded in its place."""
    sizes: dict[int, int] = {}
    seen: list[Any] = []

    def expanded(jaxpr: Any) -> int:
        if id(jaxpr) not in sizes:
            seen.append(jaxpr)
            inner = map(_inner, jaxpr.eqns)
            sizes[id(jaxpr)] = sum(sum(map(expanded, called)) if called else 1 for called in inner)
        return sizes[id(jaxpr)]

    total = expanded(jaxpr)
    return sum(len(inner.eqns) for inner in seen), total


def _inner(eqn: Any) -> list[Any]:
    """The jaxprs that an equation calls."""
    values = [v for value in eqn.params.values() for v in (value if isinstance(value, tuple | list) else [value])]
    jaxprs = [getattr(value, "jaxpr", value) for value in values]
    return [jaxpr for jaxpr in jaxprs if hasattr(jaxpr, "eqns")]


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a table: the first column holds names, the others figures."""
    out = Table(title_justify="left")
    for i, column in enumerate(columns):
        out.add_column(column, justify="right" if i else "left", no_wrap=True)
    for row in rows:
        out.add_row(*row)
    print(f"\n{title}")
    # Figures that are cut off are of no use.
    Console(width=Console(width=1000).measure(out).maximum).print(out)


def number(value: float | None, form: str = ".2f") -> str:
    """`value` as text, a dash where there is none."""
    return "–" if value is None else format(value, form)


def verdicts(rows: Sequence[tuple[str, float | None, float]]) -> list[dict[str, Any]]:
    """What was measured against what it may be at most, as a table and as data."""
    found = [
        {"bar": what, "measured": value, "at most": bar, "reached": None if value is None else value <= bar}
        for what, value, bar in rows
    ]
    verdict = {True: "yes", False: "NO", None: "not measured"}
    text = [[b["bar"], number(b["measured"], ".3f"), f"{b['at most']:g}", verdict[b["reached"]]] for b in found]
    table("Bars, for the full sizes", ["", "measured", "at most", "reached"], text)
    return found


def main(doc: str, measure: Callable[[bool], Figures]) -> None:
    """The command line of a benchmark: prints the tables of `measure(quick)`, and writes its figures to a file."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes: shows that it works, not how well")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    args = parser.parse_args()
    print(machine(), flush=True)
    figures = {"machine": machine(), **measure(args.quick)}
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2) + "\n")
