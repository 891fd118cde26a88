"""Batch normalisation folded into the layer before it."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx._tools import wide
from gradtx.core import State, Transformation
from gradtx.inputs._batch_norm import BatchNorm


def merge(
    tx: Transformation, state: State, params: Any, kernel: jax.Array, bias: jax.Array | None = None, *, axis: int = -1
) -> tuple[jax.Array, jax.Array]:
    """(W', b') of a dense layer or a convolution with a batch normalisation behind it, as one layer for inference.

    W' = W·γ / √(σ² + ε) for each output feature, b' = (b - μ)·γ / √(σ² + ε) + β.

    Args:
        tx: `batch_norm` or `batch_renorm`, alone.
        state: Its state.
        params: Its parameters, as `update` takes them; None for γ = 1, β = 0.
        kernel: W.
        bias: b; None for 0.
        axis: Where the kernel has its output features: -1 in Flax and Keras, 0 in PyTorch.

    Raises:
        TypeError: a transformation of other stages.
        ValueError: an axis that the kernel lacks; a state for another number of features.

    PyTorch has `torch.nn.utils.fuse_conv_bn_weights` for this.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> tx, x, kernel = gx.inputs.batch_norm(), jnp.array([[1.0], [3.0]]), jnp.array([[2.0, -1.0]])
    >>> _, state = tx.update(x @ kernel, tx.init(x @ kernel))
    >>> w, b = gx.inputs.merge(tx, state, None, kernel)
    >>> bool(jnp.allclose(x @ w + b[None], tx.update(x @ kernel, state, train=False)[0], atol=1e-6))
    True
    """
    (name, stage), *others = tx.stages.items()
    if others or not isinstance(stage, BatchNorm):
        raise TypeError(f"merge: expected batch_norm or batch_renorm alone, got {tx}")
    if not -kernel.ndim <= axis < kernel.ndim:
        raise ValueError(f"merge: axis {axis} is out of range for a kernel of shape {kernel.shape}")
    mean, var = state.stages[name]["mean"], state.stages[name]["var"]
    if np.shape(mean) != (features := (kernel.shape[axis],)):
        raise ValueError(
            f"merge: the kernel has {features[0]} output features on axis {axis}, but the statistics have shape "
            f"{np.shape(mean)}"
        )
    before = jnp.zeros(features, kernel.dtype) if bias is None else bias
    given = mean, var, kernel, before, dict((params or {}).get(name, {}))
    mean, var, w, b, own = jax.tree.map(lambda a: jnp.asarray(a, wide(kernel.dtype)), given)
    factor, shift = stage.affine(var, own)
    spread = jnp.expand_dims(factor, [i for i in range(kernel.ndim) if i != axis % kernel.ndim])
    return jnp.asarray(w * spread, kernel.dtype), jnp.asarray((b - mean) * factor + shift, before.dtype)
