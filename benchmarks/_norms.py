"""A layer of batch normalisation in training, beside Flax's."""

import statistics
from collections.abc import Callable
from typing import Any

import _measure as m
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from _measure import Figures
from flax import nnx

import gradtx as gx

GRADTX, FLAX, LINEN = "gradtx", "flax.nnx", "flax.linen"
FORWARD, BOTH = "forward", "forward and backward"


def norm_peers(x: jax.Array) -> dict[str, tuple[Callable[..., Any], Any, Any]]:
    """Name → (layer(x, params, statistics) → (y, statistics), params, statistics)."""
    tx, linen = gx.inputs.batch_norm(), nn.BatchNorm(use_running_average=False, dtype=x.dtype)
    graph, params, stats = nnx.split(
        nnx.BatchNorm(x.shape[-1], dtype=x.dtype, rngs=nnx.Rngs(0)), nnx.Param, nnx.BatchStat
    )
    variables = linen.init(jax.random.key(0), x)

    def as_module(x: jax.Array, params: Any, stats: Any) -> Any:
        module = nnx.merge(graph, params, stats, copy=True)
        return module(x), nnx.state(module, nnx.BatchStat)

    def as_apply(x: jax.Array, params: Any, stats: Any) -> Any:
        return linen.apply({"params": params, "batch_stats": stats}, x, mutable=["batch_stats"])

    return {
        GRADTX: (lambda x, params, state: tx.update(x, state, params), gx.inputs.parameters(tx, x), tx.init(x)),
        FLAX: (as_module, params, stats),
        LINEN: (as_apply, variables["params"], variables["batch_stats"]),
    }


def norm(shape: tuple[int, ...], dtype: Any, repeat: int, rounds: int) -> Figures:
    """A layer in training: y and the statistics, and with the backward pass the gradients of x, scale and bias too."""
    x, slope = jnp.asarray(np.random.default_rng(0).standard_normal((2, *shape)), dtype)
    passes: dict[str, dict[str, Callable[[], Any]]] = {FORWARD: {}, BOTH: {}}
    results = {}
    for name, (layer, params, stats) in norm_peers(x).items():

        @jax.jit
        def both(x: jax.Array, params: Any, stats: Any, slope: jax.Array, layer: Any = layer) -> Any:
            y, pull, stats = jax.vjp(lambda x, params: layer(x, params, stats), x, params, has_aux=True)
            return (y, pull(slope)), stats

        def repeated(step: Callable[..., Any], *args: Any) -> Callable[[], Any]:
            return lambda: [step(*args) for _ in range(repeat)]

        passes[FORWARD][name] = repeated(jax.jit(layer), x, params, stats)
        passes[BOTH][name] = repeated(both, x, params, stats, slope)
        results[name] = [np.asarray(a, np.float32) for a in jax.tree.leaves(both(x, params, stats, slope)[0])]
    for name, found in results.items():  # a peer that does other work is no peer
        for ours, theirs in zip(results[GRADTX], found, strict=True):
            tolerance = 4 * float(jnp.finfo(dtype).eps) * max(np.abs(ours).max(), 8)
            np.testing.assert_allclose(theirs, ours, rtol=0, atol=tolerance, err_msg=name)
    figures = {}
    for what, peers in passes.items():
        times = m.interleaved(peers, rounds)
        figures[what] = {
            name: {"seconds": statistics.median(t) / repeat, **{to: m.ratio(times, name, to) for to in (FLAX, LINEN)}}
            for name, t in times.items()
        }
    return figures


def norms(rounds: int) -> Figures:
    """Batch normalisation of the outputs of a dense layer and of a convolution."""
    cases = [((256, 512), 20), ((32, 32, 32, 64), 1)]
    figures = {
        f"{' × '.join(map(str, shape))} {jnp.dtype(dtype)}": norm(shape, dtype, repeat, rounds)
        for dtype in (jnp.float32, jnp.bfloat16)
        for shape, repeat in cases
    }
    m.table(
        "Batch normalisation in training, under jit: y, the running statistics, and backward x's, scale's and bias's.",
        ["", "pass", "gradtx ms", *(f"{to} ms" for to in (FLAX, LINEN)), f"× {FLAX}", f"× {LINEN}"],
        [
            [case, what, *(f"{1e3 * f['seconds']:.3f}" for f in peers.values())]
            + [f"{peers[GRADTX][to]:.2f}" for to in (FLAX, LINEN)]
            for case, passes in figures.items()
            for what, peers in passes.items()
        ],
    )
    return figures
