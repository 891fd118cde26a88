"""Steps on the parameters before and after many steps: Lookahead and DiLoCo."""

import dataclasses
from collections.abc import Mapping
from dataclasses import KW_ONLY
from typing import Any

import jax
import jax.numpy as jnp
import optax

from gradtx._tools import Count, LearningRate, Tree, checked, map_trained
from gradtx.core import Part, Role, Slot, Transformation, TreeAt, TreeStage, as_transformation
from gradtx.techniques import sgd


class OuterStep(TreeStage):
    """Trains by one transformation, and at every `every`-th step takes an outer step from the last anchor.

    At such a step, with the anchor φ and the parameters θ that the inner steps reached, Δ = φ - θ is the gradient of
    the outer transformation. Its step gives the new anchor φ' = φ + v(Δ), and the parameters go on from φ'.

    Args:
        inner: The transformation of every step.
        outer: The transformation of the outer steps, such as `sgd(0.7, momentum=0.9, nesterov=True)`.
        every: The number of inner steps between two outer steps, a whole number ≥ 1.
        axis_name: The name of a mapped axis, as of `shard_map` or `pmap`, over which the differences of all workers are
            averaged. Only outer steps communicate.

    `evaluation_params` returns the anchor. The state has the states of both, under "inner" and "outer", and the anchor.

    Sources: Douillard et al. 2023, arXiv:2311.08105 (DiLoCo), with 500 steps and Nesterov's momentum 0.9; Zhang et al.
    2019, arXiv:1907.08610, whose `lookahead` has SGD without momentum. optax has only the latter.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> tx, params = gx.outer_step(gx.sgd(1.0), gx.sgd(0.5), 2), jnp.array([4.0])
    >>> state = tx.init(params)
    >>> for _ in range(2):
    ...     params, state = gx.apply_gradients(tx, jnp.array([1.0]), state, params)
    ...     print(params)
    [3.]
    [3.]
    """

    inner: Part
    outer: Part
    every: Count
    _: KW_ONLY
    axis_name: str | None = None

    slots = {"anchor": Slot(Role.ANCHOR, fill="param")}
    needs = frozenset({"param"})

    def parts(self) -> Mapping[str, Any]:
        return {"inner": self.inner, "outer": self.outer}

    def update(self, updates: Tree, state: Mapping[str, Any], at: TreeAt) -> tuple[Any, Any]:
        updates, state = self.run_part("inner", updates, state, at)
        on, anchor = at.count % self.every == 0, state["anchor"]

        def difference(u: jax.Array, p: jax.Array, a: jax.Array) -> jax.Array:
            delta = a - (jnp.asarray(p, a.dtype) + jnp.asarray(u, a.dtype))
            return delta if self.axis_name is None else jax.lax.pmean(delta, self.axis_name)

        delta = map_trained(difference, updates, at.params, anchor)
        zeros = map_trained(jnp.zeros_like, delta)
        of_outer = dataclasses.replace(at, params=map_trained(lambda _, a: a, delta, anchor), extra={})
        moved, state = self.run_part_if(on, "outer", delta, state, of_outer, zeros)
        new = map_trained(lambda v, a: a + jnp.asarray(v, a.dtype), moved, anchor)

        def chosen(u: jax.Array, p: jax.Array, a: jax.Array) -> jax.Array:
            return jnp.where(on, a - jnp.asarray(p, a.dtype), jnp.asarray(u, a.dtype))

        return map_trained(chosen, updates, at.params, new), dict(state) | {"anchor": _filled(new, anchor)}

    def evaluated(self, params: Tree, state: Mapping[str, Any], at: TreeAt) -> Any:
        return map_trained(lambda p, a: jnp.asarray(a, p.dtype), params, state["anchor"])


outer_step = as_transformation(OuterStep)


@checked
def lookahead(
    fast_optimizer: optax.GradientTransformation, sync_period: Count, slow_step_size: LearningRate = 0.5
) -> Transformation:
    """Lookahead goes a part of the way back after every few steps.

    After `sync_period` steps of the fast optimizer from the slow parameters φ to θ, φ' = φ + α·(θ - φ), and the fast
    optimizer goes on from φ'. It is `outer_step` with SGD. `evaluation_params` returns the slow parameters.

    Args:
        fast_optimizer: A transformation. Its state is kept at a synchronisation.
        sync_period: The number of steps between two synchronisations, 5 to 10 in the paper.
        slow_step_size: α in [0, 1]; 0.5 or 0.8 in the paper.

    Source: Zhang et al. 2019, arXiv:1907.08610. In optax, `optax.lookahead` needs `LookaheadParams` in the place of the
    parameters, and can reset the state of the fast optimizer.

    >>> import gradtx as gx
    >>> gx.lookahead(gx.adam(1e-3), 5)
    outer_step(chain(scale_by_adam(), scale_by_learning_rate(0.001)), scale_by_learning_rate(0.5), 5)
    """
    return outer_step(fast_optimizer, sgd(slow_step_size), sync_period)


def _filled(new: Tree, old: Tree) -> Any:
    """The new anchors, and the old ones of parameters without a gradient."""
    return jax.tree.map(lambda b, a: a if b is None else b, new, old, is_leaf=lambda x: x is None)
