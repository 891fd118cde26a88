"""The parameters to evaluate a model with, where a chain trains at other ones."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx._tools import Flat, as_real, dtype_of, flatten, is_trainable, wide, widen
from gradtx.core._leaf import with_values
from gradtx.core._resolve import Resolved, resolve
from gradtx.core._rule import At, Rule, Slots
from gradtx.core._slots import check_slots
from gradtx.core._state import State, from_state
from gradtx.core._stateful import varying
from gradtx.core._tree_stage import TreeAt, TreeStage


def evaluated(lift: Any, params: Any, state: State) -> Any:
    """`params` as the stages of `lift` would have them evaluated, the last stage first."""
    flat = flatten(params)
    now = flat._replace(leaves=[widen(p) if is_trainable(p) else p for p in flat.leaves])
    # What the last update has seen: hyperparameters are those of its step.
    last = state._replace(step=jnp.maximum(state.step - 1, 0))
    seen = lift.seen(flat)
    for name, stage in reversed(lift.stages.items()):
        technique = stage.technique
        if isinstance(technique, Rule) and type(technique).evaluated is not Rule.evaluated:
            r = resolve(name, stage, last, flat, seen.get(name))
            now = now._replace(leaves=_by_rule(r, flat, now, state))
        elif isinstance(technique, TreeStage):
            now = now._replace(leaves=_by_tree_stage(lift, name, now, last, seen.get(name), state.step))
    first = state.step == 0
    leaves = [
        jnp.where(first, jnp.asarray(p), jnp.asarray(x, dtype_of(p))) if is_trainable(p) and x is not p else p
        for p, x in zip(flat.leaves, now.leaves, strict=True)
    ]
    return flat.unflatten(leaves)


def _by_rule(r: Resolved, params: Flat, now: Flat, state: State) -> list[Any]:
    mine = {i: wide(dtype_of(p)) for i, p in enumerate(params.leaves) if is_trainable(p) and r.sees(i)}
    trained = params._replace(leaves=[p if is_trainable(p) else None for p in params.leaves])
    check_slots(r.name, r.stage, r.slots, trained, mine, r.seen, "parameters")
    leaves = list(now.leaves)
    for i, dtype in mine.items():
        static, hyper = r.on(r.kind(i))
        rule = with_values(static.rule, hyper, dtype)
        at = At(jnp.maximum(state.step - 1, 0), state.step, leaves[i], {}, as_real(r.scalars, dtype))

        def one(p: jax.Array, slots: Any, rule: Rule = rule, at: At = at) -> jax.Array:
            with jax.numpy_dtype_promotion("standard"):
                return rule.evaluated(p, Slots(**slots), at)

        for axis in reversed(static.axes):
            one = jax.vmap(one, (axis, {n: axis if rule.slots[n].like is None else 0 for n in r.slots_of(i)}), axis)
        found = one(leaves[i], r.slots_of(i))
        if np.shape(found) != np.shape(leaves[i]):
            expected = np.shape(leaves[i])
            raise TypeError(f"{r.name}.evaluated must return an array of shape {expected}, got {np.shape(found)}")
        leaves[i] = jnp.asarray(found, dtype)
    return leaves


def _by_tree_stage(lift: Any, name: str, now: Flat, last: State, seen: Any, count: jax.Array) -> list[Any]:
    stage = lift.stages[name]
    technique = stage.technique.replace(varying(name, stage.technique, last))
    mine = stage.masked(now, seen)
    at = TreeAt(last.step, count, None, {})
    after = flatten(technique.evaluated(mine.unflatten(mine.leaves), from_state(last, "stages", name), at))
    return [p if x is None else x for p, x in zip(now.leaves, after.leaves, strict=True)]
