"""Where the tests' time goes, per file and phase: `python -m pytest -p tests.phases -n auto`.

Seconds of all workers together: JAX's tracing, lowering and compiling, as it reports them, without what is nested in
another; and the rest of a test, which is running and Python. Before its first test, a worker imports and collects.
"""

import time
from collections import Counter, defaultdict

import jax
import pytest

STARTED = time.monotonic()
PHASES = {
    "jaxpr_trace_duration": "tracing",
    "jaxpr_to_mlir_module_duration": "lowering",
    "backend_compile_duration": "compiling",
}
spent = defaultdict(Counter)
current = Counter()
nested: list[tuple[float, float]] = []


def _listen(event, duration, **_):
    phase = PHASES.get(event.rpartition("/")[2])
    if phase is None:
        return
    start = time.monotonic() - duration
    inner = 0.0
    while nested and nested[-1][0] >= start:
        inner += nested.pop()[1]
    nested.append((start, duration))
    current[phase] += duration - inner


jax.monitoring.register_event_duration_secs_listener(_listen)


def pytest_collection_finish(session):
    spent["before the first test"]["importing and collecting"] += time.monotonic() - STARTED


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    current.clear()
    nested.clear()
    start = time.monotonic()
    try:
        return (yield)
    finally:
        row = spent[item.location[0]]
        row["running"] += time.monotonic() - start - current.total()
        row.update(current)
        row["tests"] += 1


def pytest_sessionfinish(session):
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["spent"] = {name: dict(row) for name, row in spent.items()}


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    for name, row in getattr(node, "workeroutput", {}).get("spent", {}).items():
        spent[name].update(row)


def pytest_terminal_summary(terminalreporter):
    columns = ("tests", "importing and collecting", "tracing", "lowering", "compiling", "running")
    rows = sorted(spent.items(), key=lambda item: item[1]["tests"] - item[1].total())
    everything = sum((row for _, row in rows), Counter())
    terminalreporter.section("where the time goes (seconds of all workers)")
    terminalreporter.line(" | ".join(["file", *columns, "together"]))
    for name, row in [("everything", everything), *rows]:
        seconds = row.total() - row["tests"]
        terminalreporter.line(" | ".join([name, *(f"{row[column]:.0f}" for column in columns), f"{seconds:.0f}"]))
