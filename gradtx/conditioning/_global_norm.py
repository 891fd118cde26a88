"""The common norm of all arrays of a tree."""

import jax

from gradtx._tools import Tree, flatten, is_trainable, widen
from gradtx.conditioning._norms import scaled_norm


def global_norm(tree: Tree) -> jax.Array:
    """Computes the Euclidean norm of all arrays together: ‖g‖ = √(Σ|gᵢ|²), in float32 or wider.

    The norm is correct if the squares overflow or underflow, and for sharded arrays. optax has the same function, whose
    squares overflow.

    Args:
        tree: A tree of arrays, such as gradients or parameters. None and leaves that are no floating or complex arrays
            do not count.

    Returns:
        A scalar; 0 for a tree without arrays.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> gx.global_norm({"w": jnp.array([3.0]), "b": jnp.array(4.0)})
    Array(5., dtype=float32)
    """
    size, scale = scaled_norm([widen(leaf) for leaf in flatten(tree).leaves if is_trainable(leaf)])
    return size / scale
