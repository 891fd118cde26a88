"""Bounds the memory of the tests."""

import jax
import pytest


@pytest.fixture(autouse=True, scope="module")
def _clear_caches():
    """The next file seldom needs what this one has compiled, and finds it on disk."""
    yield
    jax.clear_caches()
