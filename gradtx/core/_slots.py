"""What slots and tunable hyperparameters are before the first step."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from gradtx._tools import Flat, dtype_of, hyperparameters, is_complex, same, wide, widen
from gradtx.core._check import from_state
from gradtx.core._rule import Role, Rule, Slot
from gradtx.core._state import State
from gradtx.core._stateful import Stateful
from gradtx.core._tunable import Tunable


def stateful(stages: Mapping[str, Any]) -> dict[str, Stateful]:
    """The hyperparameters of all stages that have a place in the state; those of one name are one."""
    found: dict[str, Stateful] = {}
    for name, stage in stages.items():
        for field in hyperparameters(type(stage)):
            if isinstance(value := getattr(stage, field), Stateful):
                first = found.setdefault(value.key(name, field), value)
                if not same(first, value):
                    raise ValueError(f"{name}: {field} is {value}, but {first} has that name before; rename one")
    return found


def varying(name: str, stage: Any, state: State) -> dict[str, Any]:
    """What the hyperparameters of a stage that are no constants are at this step."""
    found = {}
    for field in hyperparameters(type(stage)):
        value = getattr(stage, field)
        if isinstance(value, Stateful):
            found[field] = value.now(from_state(state, "hyperparams", value.key(name, field)), state.step)
        elif callable(value):
            found[field] = value(state.step)
    return found


def init_slot(name: str, rule: Rule, slot: Slot, params: Flat) -> Any:
    """The slot of one stage: a tree like the parameters, or a scalar."""
    if slot.fill == "param":  # a copy: the parameter itself may be donated
        return params.map_trained(lambda p: jnp.array(p, wide(dtype_of(p))))
    fill = getattr(rule, slot.fill) if isinstance(slot.fill, str) else slot.fill
    fill = fill.value if isinstance(fill, Tunable) else fill
    if callable(fill) or isinstance(fill, Stateful):
        raise TypeError(f"{name}: {slot.fill} is what a slot starts from, so it can be no schedule, got {fill}")
    if slot.role is Role.SCALAR:
        return jnp.asarray(fill, slot.dtype)
    by_parts = rule.by_parts
    real = False if slot.role is Role.SECOND_MOMENT and not by_parts else None

    def full(p: Any) -> jax.Array:
        return full_like(p, fill * (1 + 1j) if by_parts and is_complex(dtype_of(p)) else fill, wide(dtype_of(p), real))

    return params.map_trained(full)


def full_like(param: Any, fill: Any, dtype: np.dtype) -> jax.Array:
    """`fill` in the shape and with the sharding of `param`."""
    filled = jnp.full_like(jnp.asarray(param), fill, dtype)
    if not isinstance(param, Tracer):
        return filled
    # A constant inside `jit` depends on nothing, so the compiler would put all of it on one device. This one depends on
    # the parameter, element by element, by a condition that never holds.
    return jnp.where(jnp.abs(jnp.asarray(param, wide(dtype_of(param)))) > jnp.inf, jnp.zeros_like(filled), filled)


def widened(params: Flat) -> Any:
    """What foreign stages see: the trained parameters in the dtype of the arithmetic, None for the others."""
    return params.map_trained(widen)
