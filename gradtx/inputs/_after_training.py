"""Batch normalisation after training: new statistics for averaged weights, and layers folded into one."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Annotated, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from gradtx._tools import Tree, checked, wide
from gradtx.core import Interval, State, Transformation
from gradtx.inputs._batch_norm import BatchNorm
from gradtx.inputs._lift import input_params

S = TypeVar("S")


@checked
def fold_into(
    tx: Transformation,
    state: State,
    params: Mapping[str, Mapping[str, jax.Array]] | None,
    kernel: jax.Array,
    bias: jax.Array | None = None,
    *,
    axis: Annotated[int, Interval(hyper=False, whole=True)] = -1,
) -> tuple[jax.Array, jax.Array]:
    """Folds a batch normalisation into the dense layer or convolution before it, for inference with one layer.

    Returns (W', b'). For each output feature,

        W' = W·γ / √(σ² + ε),  b' = (b - μ)·γ / √(σ² + ε) + β.

    Args:
        tx: A single `batch_norm` or `batch_renorm`.
        state: Its state.
        params: Its parameters, as `update` takes them. None means γ = 1 and β = 0.
        kernel: W. Its axis `axis` holds the output features.
        bias: b, shape (features,). None means 0.
        axis: The axis of the output features in W: -1 in Flax and Keras, 0 in PyTorch.

    Raises:
        TypeError: `tx` is a different transformation.
        ValueError: W has no axis `axis`; the state is for another number of features; or `params` has an entry that
            the stage does not have.

    PyTorch's function for this is `torch.nn.utils.fuse_conv_bn_weights`.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> tx, x, kernel = gx.inputs.batch_norm(), jnp.array([[1.0], [3.0]]), jnp.array([[2.0, -1.0]])
    >>> _, state = tx.update(x @ kernel, tx.init(x @ kernel))
    >>> w, b = gx.inputs.fold_into(tx, state, None, kernel)
    >>> bool(jnp.allclose(x @ w + b[None], tx.update(x @ kernel, state, train=False)[0], atol=1e-6))
    True
    """
    (name, stage), *others = tx.stages.items()
    if others or not isinstance(stage, BatchNorm):
        raise TypeError(f"fold_into: expected a single batch_norm or batch_renorm, got {tx}")
    if not -kernel.ndim <= axis < kernel.ndim:
        raise ValueError(f"fold_into: axis {axis} is out of range for a kernel of shape {kernel.shape}")
    mean, var = state.stages[name]["mean"], state.stages[name]["var"]
    if np.shape(mean) != (features := (kernel.shape[axis],)):
        raise ValueError(
            f"fold_into: the kernel has {features[0]} output features on axis {axis}, but the statistics have shape "
            f"{np.shape(mean)}"
        )
    before = jnp.zeros(features, kernel.dtype) if bias is None else bias
    if before.shape != features:
        raise ValueError(f"fold_into: bias must have shape {features}, got {before.shape}")
    own = dict(input_params("fold_into", tx.stages, params, name))
    stage.check_params("fold_into", own, jax.eval_shape(stage.initial, mean))
    widened = jax.tree.map(lambda a: jnp.asarray(a, wide(kernel.dtype)), (mean, var, kernel, before, own))
    mean, var, w, b, own = widened
    factor, shift = stage.affine(var, own)
    spread = jnp.expand_dims(factor, [i for i in range(kernel.ndim) if i != axis % kernel.ndim])
    return jnp.asarray(w * spread, kernel.dtype), jnp.asarray((b - mean) * factor + shift, before.dtype)


def _one_layer(tx: Transformation, state: State, batch: Tree) -> State:
    return tx._lift.update(batch, state)[1]


def refresh(tx: Tree, states: S, batches: Iterable[Tree], *, forward: Callable[..., Tree] = _one_layer) -> S:
    """Computes the statistics of batch normalisation again, as means over the batches with equal weights.

    This is needed after weights were averaged: no network in training had the activations of the averaged weights.
    Everything else in the states is unchanged.

    Args:
        tx: The layer's transformation, or a tree of the transformations of several layers.
        states: The layer's state, or a tree of the states of several layers.
        batches: At least one batch: the activations before the layer, or with `forward` the inputs of the network.
        forward: A function (tx, states, batch) → states that runs the network in training. Its argument `tx` averages
            over all batches, so the function must use the argument and not the original `tx`. The function is
            compiled. It is required for several layers.

    Returns:
        A tree like `states`.

    Raises:
        ValueError: There are no batches, or no batch normalisation.
        TypeError: Several layers without `forward`.

    PyTorch's function for this is `torch.optim.swa_utils.update_bn`.

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
    >>> states = gx.inputs.refresh(tx, states, [x], forward=lambda tx, states, x: network(tx, averaged, states, x)[1])
    >>> states["first"].stages["batch_norm"]["mean"]
    Array([11., 11., 11.], dtype=float32)
    """
    layers = jax.tree.leaves(tx, is_leaf=_is_transformation)
    names = {name for layer in layers for name, stage in layer.stages.items() if isinstance(stage, BatchNorm)}
    if not names:
        raise ValueError(f"refresh: there is no batch normalisation in {tx}")
    if forward is _one_layer and not (_is_transformation(tx) and _is_state(states)):
        raise TypeError("refresh: several layers need forward=, a function (tx, states, batch) → states of the network")

    def with_statistics(state: State, other: State) -> State:
        """`state`, with the statistics of `other`."""
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


def _is_transformation(tree: Tree) -> bool:
    return isinstance(tree, Transformation)


def _is_state(tree: Tree) -> bool:
    return isinstance(tree, State)
