"""The parameters for evaluating a model, if a chain trains at other ones."""

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx._tools import Flat, Slots, Tree, as_real, dtype_of, flatten, is_trainable, wide, widen
from gradtx.core._leaf import with_values
from gradtx.core._resolve import Resolved, resolve
from gradtx.core._rule import At, Rule
from gradtx.core._slots import check_slots
from gradtx.core._stage import Seen
from gradtx.core._state import State, from_state, varying
from gradtx.core._tree_stage import TreeAt, TreeStage

if TYPE_CHECKING:
    from gradtx.core._lift import Lift


def evaluated(lift: "Lift", params: Tree, state: State) -> Any:
    """The parameters for evaluating the model. The stages of `lift` are asked one after the other, the last first."""
    flat = flatten(params)
    now = flat._replace(leaves=[widen(p) if is_trainable(p) else p for p in flat.leaves])
    # The hyperparameters are those of the last update.
    last = state._replace(step=jnp.maximum(state.step - 1, 0))
    seen = lift.seen(flat)
    for name, stage in reversed(list(lift.stages.items())):
        technique = stage.technique
        if isinstance(technique, Rule) and type(technique).evaluated is not Rule.evaluated:
            rule = resolve(name, stage, last, flat, seen.get(name), flat)
            now = now._replace(leaves=_by_rule(rule, flat, now, state))
        elif isinstance(technique, TreeStage):
            now = now._replace(leaves=_by_tree_stage(lift, name, now, last, seen.get(name), state.step))
    first = state.step == 0
    leaves = [
        jnp.where(first, jnp.asarray(p), jnp.asarray(x, dtype_of(p))) if is_trainable(p) and x is not p else p
        for p, x in zip(flat.leaves, now.leaves, strict=True)
    ]
    return flat.unflatten(leaves)


def _by_rule(resolved: Resolved, params: Flat, now: Flat, state: State) -> list[Any]:
    dtypes = {i: wide(dtype_of(p)) for i, p in enumerate(params.leaves) if is_trainable(p) and resolved.sees(i)}
    trained = params._replace(leaves=[p if is_trainable(p) else None for p in params.leaves])
    check_slots(resolved.name, resolved.stage, resolved.slots, trained, dtypes, resolved.seen, "parameters")
    leaves = list(now.leaves)
    for i, dtype in dtypes.items():
        kind = resolved.kind(i)
        assert kind is not None  # the stage sees the leaf
        static, hyper = resolved.on(kind)
        rule = with_values(static.rule, hyper, dtype)
        at = At(jnp.maximum(state.step - 1, 0), state.step, leaves[i], {}, as_real(resolved.scalars, dtype))

        def one(p: jax.Array, slots: dict[str, jax.Array], rule: Rule = rule, at: At = at) -> jax.Array:
            with jax.numpy_dtype_promotion("standard"):
                return rule.evaluated(p, Slots(**slots), at)

        slots = resolved.slots_of(i)
        for axis in reversed(static.axes):
            one = jax.vmap(one, (axis, {slot: axis if rule.slots[slot].like is None else 0 for slot in slots}), axis)
        param = one(leaves[i], slots)
        expected = np.shape(leaves[i])
        if (shape := np.shape(param)) != expected:
            raise TypeError(f"{resolved.name}.evaluated must return an array of shape {expected}, got {shape}")
        leaves[i] = jnp.asarray(param, dtype)
    return leaves


def _by_tree_stage(lift: "Lift", name: str, now: Flat, last: State, seen: Seen, count: jax.Array) -> list[Any]:
    stage = lift.stages[name]
    technique = stage.technique.replace(varying(name, stage.technique, last))
    visible = stage.masked(now, seen)
    at = TreeAt(last.step, count, None, {})
    after = flatten(technique.evaluated(visible.unflatten(visible.leaves), from_state(last, "stages", name), at))
    return [p if x is None else x for p, x in zip(now.leaves, after.leaves, strict=True)]
