"""Helpers that several test files share."""

import contextlib
import functools
import os
import warnings
import zlib

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
from hypothesis import settings

import gradtx as gx

DTYPES = (jnp.float32, jnp.bfloat16, jnp.float16)
PATIENCE = 900  # seconds to wait for another process: only a hanging process takes longer, even on a busy machine


def trials(count):
    """Draw `count` examples of a property, or five times as many if the seed is random (see conftest.py)."""
    return settings(max_examples=count if settings.default.derandomize else 5 * count)


def environment():
    """Return the environment variables of a process that runs gradtx as a user does.

    The process has the devices of the machine, not the eight devices of the tests. If two processes use one entry of
    the compilation cache at the same time, JAX warns and compiles again. The tests compare the output of the process,
    so these warnings are silenced.
    """
    flags = os.environ.get("XLA_FLAGS", "").split()
    silent = (f"ignore:Error {verb} persistent compilation cache entry:UserWarning" for verb in ("reading", "writing"))
    return {
        "XLA_FLAGS": " ".join(flag for flag in flags if "device_count" not in flag),
        "PYTHONWARNINGS": ",".join([*silent, *filter(None, [os.environ.get("PYTHONWARNINGS")])]),
    }


@contextlib.contextmanager
def relaxed():
    """Allow JAX's standard promotion, which optax and other libraries need."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def tree(seed, dtype=np.float32, scale=1.0):
    """Return a tree with a matrix, a vector, a scalar, an empty leaf and a None leaf."""
    rng = np.random.RandomState(seed)

    def leaf(*shape):
        x = rng.standard_normal(shape) * scale
        if jnp.issubdtype(dtype, jnp.complexfloating):
            x = x + 1j * rng.standard_normal(shape) * scale
        return jnp.asarray(x, dtype)

    return {"w": leaf(4, 3), "deep": [leaf(5), None], "s": leaf(), "z": leaf(0, 2)}


def gradients(steps, dtype=np.float32):
    """Return gradients over six orders of magnitude, with zeros and changes of sign."""
    rng = np.random.RandomState(7)
    trees = [tree(100 + i, dtype, scale=10.0 ** rng.uniform(-3, 3)) for i in range(steps)]
    for i in range(3, steps, 5):
        trees[i] = jax.tree.map(jnp.zeros_like, trees[i])
    return trees


def noise(key, stage, step, leaf, like):
    """Return the normal numbers that a rule draws: its key depends on the stage, the step and the leaf's number."""
    key = jax.random.key(key) if isinstance(key, int) else key
    for number in (zlib.crc32(stage.encode()), step, leaf):
        key = jax.random.fold_in(key, number)
    return np.asarray(jax.random.normal(key, like.shape, np.complex64 if np.iscomplexobj(like) else np.float32))


# XLA's own choices, where a test is about what they decide: the last bit of a number, or what is stored in between.
AS_USERS = {"xla_backend_optimization_level": 3}
if "xla_cpu_use_fusion_emitters" in os.environ.get("XLA_FLAGS", ""):  # which `conftest.py` sets where XLA knows it
    AS_USERS["xla_cpu_use_fusion_emitters"] = True


@functools.lru_cache(32)
def compiled(tx):
    """Compile an update once for all laws of a row, because these laws run one after another."""
    return jax.jit(tx.update)


def trajectory(tx, params, grads, update=None, **extra):
    """Run every step. Return the updates of all steps, the last parameters and the last state."""
    update = update or compiled(tx)
    state, updates = tx.init(params), []
    for g in grads:
        u, state = update(g, state, params, **extra)
        params = gx.apply_updates(params, u)
        updates.append(u)
    return updates, params, state


def trained(tx, params, grads, **extra):
    """Apply the gradients of every step. Return the last parameters and the last state.

    `extra` has a sequence for each extra argument, with a value for each step.
    """
    step = jax.jit(lambda g, s, p, extra: gx.apply_gradients(tx, g, s, p, **extra))
    state = tx.init(params)
    for i, g in enumerate(grads):
        params, state = step(g, state, params, {name: values[i] for name, values in extra.items()})
    return params, state


def optax_trajectory(tx, params, grads):
    """Run every step as `trajectory` does, but with optax's promotion and `optax.apply_updates`."""
    with relaxed():
        state, updates = tx.init(params), []
        for g in grads:
            u, state = compiled(tx)(g, state, params)
            params = optax.apply_updates(params, u)
            updates.append(u)
        return updates, params, state


def assert_close(a, b, rtol=1e-6, atol=1e-7):
    chex.assert_trees_all_equal_shapes_and_dtypes(a, b)
    chex.assert_trees_all_close(a, b, rtol=rtol, atol=atol)
