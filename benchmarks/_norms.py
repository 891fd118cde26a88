"""The time of a layer of batch normalisation in training, beside the layers of Flax."""

import statistics
from collections.abc import Callable
from typing import Any, NamedTuple

import _measure as m
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from _measure import Figures
from flax import nnx

import gradtx as gx
from gradtx._tools import Tree

GRADTX, FLAX, LINEN = "gradtx", "flax.nnx", "flax.linen"
FORWARD, BOTH = "forward", "forward and backward"


class Peer(NamedTuple):
    """A layer, called as layer(x, params, statistics) → (y, statistics), with its first parameters and statistics."""

    layer: Callable[..., tuple[jax.Array, Any]]
    params: Tree
    statistics: Tree


def norm_peers(x: jax.Array) -> dict[str, Peer]:
    """Make the layer of each library for inputs like x."""
    tx, linen = gx.inputs.batch_norm(), nn.BatchNorm(use_running_average=False, dtype=x.dtype)
    graph, params, stats = nnx.split(
        nnx.BatchNorm(x.shape[-1], dtype=x.dtype, rngs=nnx.Rngs(0)), nnx.Param, nnx.BatchStat
    )
    variables = linen.init(jax.random.key(0), x)

    def as_module(x: jax.Array, params: Any, stats: Any) -> tuple[Any, Any]:
        module = nnx.merge(graph, params, stats, copy=True)
        return module(x), nnx.state(module, nnx.BatchStat)

    def as_apply(x: jax.Array, params: Any, stats: Any) -> tuple[Any, Any]:
        return linen.apply({"params": params, "batch_stats": stats}, x, mutable=["batch_stats"])

    def as_update(x: jax.Array, params: optax.Params, state: optax.OptState) -> tuple[Any, Any]:
        return tx.update(x, state, params)

    return {
        GRADTX: Peer(as_update, gx.inputs.parameters(tx, x), tx.init(x)),
        FLAX: Peer(as_module, params, stats),
        LINEN: Peer(as_apply, variables["params"], variables["batch_stats"]),
    }


def norm(shape: tuple[int, ...], dtype: jax.typing.DTypeLike, repeat: int, rounds: int) -> Figures:
    """Measure a layer in training.

    The forward pass gives y and the statistics. The backward pass also gives the gradients of x, scale and bias.
    """
    x, slope = jnp.asarray(np.random.default_rng(0).standard_normal((2, *shape)), dtype)
    passes: dict[str, dict[str, Callable[[], Tree]]] = {FORWARD: {}, BOTH: {}}
    results = {}
    for name, (layer, params, stats) in norm_peers(x).items():

        @jax.jit
        def both(x: jax.Array, params: Tree, stats: Tree, slope: jax.Array, layer: Callable[..., Any] = layer) -> Tree:
            y, pull, stats = jax.vjp(lambda x, params: layer(x, params, stats), x, params, has_aux=True)
            return (y, pull(slope)), stats

        def repeated(step: Callable[..., Tree], *args: Tree) -> Callable[[], Tree]:
            return lambda: [step(*args) for _ in range(repeat)]

        passes[FORWARD][name] = repeated(jax.jit(layer), x, params, stats)
        passes[BOTH][name] = repeated(both, x, params, stats, slope)
        results[name] = [np.asarray(a, np.float32) for a in jax.tree.leaves(both(x, params, stats, slope)[0])]
    check_alike(results, dtype)
    figures = {}
    for name, peers in passes.items():
        times = m.interleaved(peers, rounds)
        figures[name] = {
            peer: {"seconds": statistics.median(t) / repeat, **{to: m.ratio(times, peer, to) for to in (FLAX, LINEN)}}
            for peer, t in times.items()
        }
    return figures


def check_alike(results: dict[str, list[np.ndarray]], dtype: jax.typing.DTypeLike) -> None:
    """Raise an error if a peer computes something else: its time would mean nothing."""
    for name, theirs in results.items():
        for ours, array in zip(results[GRADTX], theirs, strict=True):
            tolerance = 4 * float(jnp.finfo(dtype).eps) * max(np.abs(ours).max(), 8)
            np.testing.assert_allclose(array, ours, rtol=0, atol=tolerance, err_msg=name)


def norms(rounds: int) -> Figures:
    """Measure batch normalisation after a dense layer and after a convolution."""
    cases = [((256, 512), 20), ((32, 32, 32, 64), 1)]
    figures = {
        f"{' × '.join(map(str, shape))} {jnp.dtype(dtype)}": norm(shape, dtype, repeat, rounds)
        for dtype in (jnp.float32, jnp.bfloat16)
        for shape, repeat in cases
    }
    show(figures)
    return figures


def show(figures: Figures) -> None:
    """Print the figures of all cases."""
    m.table(
        "Batch normalisation in training, under jit. Forward: y and the running statistics. Backward: the gradients of "
        "x, scale and bias.",
        ["", "pass", "gradtx ms", *(f"{to} ms" for to in (FLAX, LINEN)), f"× {FLAX}", f"× {LINEN}"],
        [
            [case, name, *(f"{1e3 * f['seconds']:.3f}" for f in peers.values())]
            + [f"{peers[GRADTX][to]:.2f}" for to in (FLAX, LINEN)]
            for case, passes in figures.items()
            for name, peers in passes.items()
        ],
    )
