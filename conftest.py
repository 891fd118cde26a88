"""Configure JAX and Hypothesis for every test and doctest.

JAX is strict: it has eight devices, and it does not promote dtypes or ranks silently.

The tests are quick and repeatable. XLA does not optimize, because most compiled programs run only once. Hypothesis
draws its examples from one fixed seed. Only a sample of each large cross of rows, dtypes and wrappers runs.
`--exhaustive` runs every combination, with more examples from a new seed, compiled as users compile.
"""

import atexit
import contextlib
import os
import random
import shutil
import subprocess
import sys
import tempfile

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:  # workers inherit it and share compilations
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)

import jax
from hypothesis import HealthCheck, settings

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

DEVICES = "--xla_force_host_platform_device_count=8"
# On a busy machine a device can wait long for the other devices. XLA would then end the process.
PATIENT = {
    "xla_cpu_collective_call_warn_stuck_timeout_seconds": "900",
    "xla_cpu_collective_call_terminate_timeout_seconds": "900",
}
# With these flags and without optimization, a compilation takes a seventh of the time. Results differ by a rounding.
QUICK = {"xla_cpu_use_fusion_emitters": "false", "xla_cpu_parallel_codegen_split_count": "1"}


def _known(flags):
    """Return the flags that the installed XLA knows. XLA ends the process at an unknown flag."""
    flags = [f"--{name}={value}" for name, value in flags.items()]
    return flags if _start(flags) else [flag for flag in flags if _start([flag])]


def _start(flags):
    """Return whether JAX starts with these flags."""
    env = os.environ | {"XLA_FLAGS": " ".join(flags)}
    return (
        subprocess.run([sys.executable, "-c", "import jax; jax.devices()"], env=env, capture_output=True).returncode
        == 0
    )


# A slow machine must not fail a test. Without a database, a random failure prints how to reproduce the example.
settings.register_profile("any", deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("repeatable", settings.get_profile("any"), derandomize=True)
settings.register_profile("random", settings.get_profile("any"), max_examples=500, print_blob=True)


def pytest_addoption(parser):
    parser.addoption(
        "--exhaustive",
        action="store_true",
        help="whole crosses, more examples of each property from a new seed, and compiled as users have it",
    )


def pytest_configure(config):
    config.addinivalue_line("markers", "crossed: a sample of its parameters has each of them at least once")
    exhaustive = config.getoption("--exhaustive")
    settings.load_profile("random" if exhaustive else "repeatable")
    if "PYTEST_XDIST_WORKER" not in os.environ:  # workers inherit the flags
        flags = _known(PATIENT if exhaustive else PATIENT | QUICK)
        os.environ["XLA_FLAGS"] = " ".join([os.environ.get("XLA_FLAGS", ""), DEVICES, *flags])
        os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = str(not exhaustive)
    jax.config.update("jax_disable_most_optimizations", not exhaustive)
    _draw_without_constants()


def _draw_without_constants():
    """Make Hypothesis ignore the constants in imported modules: each worker has imported different modules."""
    with contextlib.suppress(ImportError, AttributeError):  # other versions lack these private names
        from hypothesis.internal.conjecture import providers

        none, _ = providers._local_constants, providers._get_local_constants
        providers._get_local_constants = lambda: none


def pytest_collection_modifyitems(config, items):
    """Run the same sample of each test that is marked as crossed in every run."""
    if config.getoption("--exhaustive"):
        return
    crosses = {}
    for item in items:
        if item.get_closest_marker("crossed"):
            crosses.setdefault(item.nodeid.partition("[")[0], []).append(item)
    dropped = {item for name, cross in crosses.items() for item in _redundant(name, cross)}
    config.hook.pytest_deselected(items=dropped)
    items[:] = [item for item in items if item not in dropped]


def _redundant(seed, cross):
    """Yield the items whose every parameter is in an item drawn before."""
    seen = set()
    for item in random.Random(seed).sample(cross, len(cross)):
        parameters = {(name, str(value)) for name, value in item.callspec.params.items()}
        if parameters <= seen:
            yield item
        seen |= parameters
