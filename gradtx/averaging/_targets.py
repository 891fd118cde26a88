"""Parameters that follow other parameters, such as those of a target network."""

from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from gradtx._tools import Tree, check_structure, dtype_of, flatten, is_trainable, wide

T = TypeVar("T")


def incremental_update(new_tensors: Tree, old_tensors: T, step_size: ArrayLike) -> T:
    """Moves parameters towards others: s·new + (1-s)·old, computed in float32 or wider.

    Args:
        new_tensors: The parameters to follow, such as those of the trained network.
        old_tensors: The parameters that follow, such as those of the target network.
        step_size: s in [0, 1], such as 0.005.

    Returns:
        A tree with the dtypes of `old_tensors`. Leaves that cannot be trained, such as integers, are those of
        `old_tensors`. In bfloat16 a small step is rounded away; keep a target in float32.

    optax has the same. Soft targets are from Lillicrap et al. 2015, arXiv:1509.02971.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> gx.incremental_update({"w": jnp.array(4.0)}, {"w": jnp.array(0.0)}, 0.25)
    {'w': Array(1., dtype=float32)}
    """

    def move(old: ArrayLike, new: ArrayLike) -> jax.Array:
        dtype = wide(dtype_of(old))
        share = jnp.asarray(step_size, jnp.finfo(dtype).dtype)
        return jnp.asarray(share * jnp.asarray(new, dtype) + (1 - share) * jnp.asarray(old, dtype), dtype_of(old))

    return _mapped("incremental_update", move, new_tensors, old_tensors)


def periodic_update(new_tensors: Tree, old_tensors: T, steps: ArrayLike, update_period: ArrayLike) -> T:
    """Copies parameters at every `update_period`-th step, and keeps the old ones at other steps.

    Args:
        new_tensors: The parameters to copy, such as those of the trained network.
        old_tensors: The parameters to replace, such as those of the target network.
        steps: The number of steps done.
        update_period: The number of steps between two copies.

    Returns:
        `new_tensors` if `steps` is a multiple of `update_period`, otherwise `old_tensors`, in the dtypes of the latter.

    optax has the same.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> [gx.periodic_update(jnp.array(1.0), jnp.array(0.0), steps, 2).item() for steps in (1, 2)]
    [0.0, 1.0]
    """
    copies = jnp.asarray(steps) % jnp.asarray(update_period) == 0

    def chosen(old: ArrayLike, new: ArrayLike) -> jax.Array:
        return jnp.where(copies, jnp.asarray(new, dtype_of(old)), jnp.asarray(old))

    return _mapped("periodic_update", chosen, new_tensors, old_tensors)


def _mapped(where: str, function: object, new_tensors: Tree, old_tensors: T) -> T:
    new, old = flatten(new_tensors), flatten(old_tensors)
    check_structure(where, new, old, "old_tensors", "new_tensors")
    pairs = list(zip(old.leaves, new.leaves, strict=True))
    for path, (a, b) in zip(old.paths(), pairs, strict=True):
        if is_trainable(a) and np.shape(a) != np.shape(b):
            shapes = f"shape {np.shape(b)} in new_tensors, but {np.shape(a)} in old_tensors"
            raise ValueError(f"{where}: {path!r} has {shapes}")
    return old.unflatten([function(a, b) if is_trainable(a) else a for a, b in pairs])  # type: ignore[operator]
