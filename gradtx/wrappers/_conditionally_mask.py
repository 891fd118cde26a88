"""Updates at some steps only."""

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp

from gradtx._tools import Tree, map_trained
from gradtx.core import Part, TreeAt, TreeStage, as_transformation


class ConditionallyMask(TreeStage):
    """Runs a transformation at some steps. At the other steps the updates are zero, and its state stays as it is.

    At such a step nothing of the transformation is computed. TD3 delays the updates of its actor like this.

    Args:
        inner: A transformation of gradtx or optax.
        should_transform_fn: A function from the step, which counts from 0, to whether the transformation runs. With
            `forward_extra_args`, it also receives the extra arguments of `update` by name.
        forward_extra_args: Whether `should_transform_fn` receives the extra arguments.

    optax has the same. To accumulate the gradients of the other steps, see `accumulate`.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> tx = gx.conditionally_mask(gx.sgd(0.5), lambda step: step % 2 == 1)
    >>> params = jnp.ones(1)
    >>> first, state = tx.update(params, tx.init(params))
    >>> second, state = tx.update(params, state)
    >>> first, second
    (Array([0.], dtype=float32), Array([-0.5], dtype=float32))
    """

    inner: Part
    should_transform_fn: Callable[..., Any]
    forward_extra_args: bool = False

    applies = True

    def parts(self) -> Mapping[str, Any]:
        return {"inner": self.inner}

    def update(self, updates: Tree, state: Mapping[str, Tree], at: TreeAt) -> tuple[Any, Any]:
        extra = at.extra if self.forward_extra_args else {}
        on = jnp.asarray(self.should_transform_fn(at.step, **extra), bool)
        return self.run_part_if(on, "inner", updates, state, at, map_trained(jnp.zeros_like, updates))


conditionally_mask = as_transformation(ConditionallyMask)
