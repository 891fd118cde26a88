"""Statistics of batch normalisation anew, for weights that they have not seen."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core import State, Transformation
from gradtx.inputs._batch_norm import BatchNorm


def _one_layer(tx: Transformation, state: State, batch: Any) -> Any:
    return tx.update(batch, state)[1]


def refresh(tx: Any, states: Any, batches: Iterable[Any], forward: Callable[[Any, Any, Any], Any] = _one_layer) -> Any:
    """`states` with the statistics of batch normalisation taken anew: means over the batches, each counting alike.

    To be called when weights were averaged: their activations are those of no network that was trained. Everything else
    in the states is kept.

    Args:
        tx: The layer's transformation, or a tree of those of several layers.
        states: The state of the layer, or a tree of states.
        batches: The activations of the layer, or, with `forward`, what the network takes: at least one batch.
        forward: (tx, states, batch) → states, the network in training. The `tx` that it is given averages over all
            batches. It is compiled.

    Raises:
        ValueError: no batches, or no batch normalisation.

    PyTorch has `torch.optim.swa_utils.update_bn` for this.

    >>> import gradtx as gx, jax, jax.numpy as jnp
    >>> tx, x = gx.inputs.batch_norm(), jnp.arange(12.0).reshape(6, 2)
    >>> gx.inputs.refresh(tx, tx.init(x), [x[:3], x[3:]]).stages["batch_norm"]["mean"]
    Array([5., 6.], dtype=float32)

    A network of two layers:

    >>> def network(tx, params, states, x):
    ...     x, first = tx.update(x @ params["first"], states["first"])
    ...     x, second = tx.update(jax.nn.relu(x) @ params["second"], states["second"])
    ...     return x, {"first": first, "second": second}
    >>> averaged = {"first": jnp.ones((2, 3)), "second": jnp.ones((3, 2))}
    >>> states = {"first": tx.init(jnp.zeros((1, 3))), "second": tx.init(x)}
    >>> states = gx.inputs.refresh(tx, states, [x], lambda tx, states, x: network(tx, averaged, states, x)[1])
    >>> states["first"].stages["batch_norm"]["mean"]
    Array([11., 11., 11.], dtype=float32)
    """
    layers = jax.tree.leaves(tx, is_leaf=_is_transformation)
    names = {name for layer in layers for name, stage in layer.stages.items() if isinstance(stage, BatchNorm)}
    if not names:
        raise ValueError(f"refresh: there is no batch normalisation in {tx}")

    def with_statistics(state: State, other: State) -> State:
        """`state`, but for the statistics of `other`."""
        return state._replace(stages=state.stages | {n: other.stages[n] for n in names & state.stages.keys()})

    def empty(state: State) -> State:
        zeros = state._replace(stages=jax.tree.map(jnp.zeros_like, state.stages))
        return with_statistics(state, zeros)

    step = jax.jit(partial(forward, jax.tree.map(_cumulative, tx, is_leaf=_is_transformation)))
    now, seen = jax.tree.map(empty, states, is_leaf=_is_state), False
    for batch in batches:
        now, seen = step(now, batch), True
    if not seen:
        raise ValueError("refresh: there are no batches")
    return jax.tree.map(with_statistics, states, now, is_leaf=_is_state)


def _cumulative(tx: Transformation) -> Transformation:
    stages = ((s, s.technique) for s in tx._stages)
    return Transformation(
        tuple(s._replace(technique=t.cumulative()) if isinstance(t, BatchNorm) else s for s, t in stages)
    )


def _is_transformation(tree: Any) -> bool:
    return isinstance(tree, Transformation)


def _is_state(tree: Any) -> bool:
    return isinstance(tree, State)
