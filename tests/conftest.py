"""Bounds the memory of the tests, and finds the benchmarks."""

import importlib
from pathlib import Path

import jax
import pytest


@pytest.fixture(autouse=True, scope="module")
def _clear_caches():
    """The next file seldom needs what this one has compiled, and finds it on disk."""
    yield
    jax.clear_caches()


@pytest.fixture(scope="module")
def optimized(pytestconfig):
    """XLA optimizes, as for users; a rounding is another where it fuses a product and a sum."""
    jax.config.update("jax_disable_most_optimizations", False)
    jax.clear_caches()
    yield
    jax.config.update("jax_disable_most_optimizations", not pytestconfig.getoption("--exhaustive"))


@pytest.fixture
def benchmark(monkeypatch):
    """A module of benchmarks/ by its name."""
    pytest.importorskip("sklearn")
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "benchmarks")
    return importlib.import_module
