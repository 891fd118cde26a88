"""Fixtures that limit the memory of the tests, switch XLA's optimization on, and import benchmarks."""

import importlib
from pathlib import Path

import jax
import pytest


@pytest.fixture(autouse=True, scope="module")
def _clear_caches():
    """Free compiled programs after each file: the next file rarely needs them, and the disk cache has them."""
    yield
    jax.clear_caches()


@pytest.fixture(scope="module")
def optimized(pytestconfig):
    """Let XLA optimize as it does for users. Roundings change if XLA fuses a product and a sum."""
    jax.config.update("jax_disable_most_optimizations", False)
    jax.clear_caches()
    yield
    jax.config.update("jax_disable_most_optimizations", not pytestconfig.getoption("--exhaustive"))


@pytest.fixture
def benchmark(monkeypatch):
    """Return a function that imports a module of benchmarks/ by name."""
    pytest.importorskip("sklearn")
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "benchmarks")
    return importlib.import_module
