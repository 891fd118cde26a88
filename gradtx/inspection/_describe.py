"""What a transformation consists of and what its state costs."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core import Rule, chain, hyperparameters
from gradtx.core._trees import flatten, is_trainable


@dataclasses.dataclass(frozen=True)
class SlotDescription:
    """A slot: its role, the dtypes of its arrays and their bytes in total."""

    role: str
    dtypes: tuple[str, ...]
    bytes: int


@dataclasses.dataclass(frozen=True)
class StageDescription:
    """A stage: its hyperparameters as given and its slots."""

    name: str
    technique: str
    hyperparams: Mapping[str, str]
    slots: Mapping[str, SlotDescription]


@dataclasses.dataclass(frozen=True)
class Description:
    """What `describe` found; `str` of it is the table.

    Attributes:
        stages: The stages in order.
        bytes: Bytes of the whole state, the counter and the tunable hyperparameters included.
        parameters: Number of trained parameters (elements, not arrays).
        assumed: True where no parameters were given, and one float32 parameter was assumed.
    """

    stages: tuple[StageDescription, ...]
    bytes: int
    parameters: int
    assumed: bool

    @property
    def bytes_per_parameter(self) -> float:
        """Bytes of slots per trained parameter."""
        slots = sum(slot.bytes for stage in self.stages for slot in stage.slots.values())
        return slots / self.parameters if self.parameters else 0.0

    def __str__(self) -> str:
        rows: list[tuple[str, ...]] = [("stage", "hyperparameters", "slot", "role", "dtype", "bytes")]
        for stage in self.stages:
            hyper = [f"{name}={value}" for name, value in stage.hyperparams.items()] or [""]
            slots = [(n, s.role, "/".join(s.dtypes), f"{s.bytes:,}") for n, s in stage.slots.items()] or [("",) * 4]
            for i in range(max(len(hyper), len(slots))):
                name = stage.name if i == 0 else ""
                rows.append((name, hyper[i] if i < len(hyper) else "", *(slots[i] if i < len(slots) else ("",) * 4)))
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
        lines.insert(1, "  ".join("─" * w for w in widths))
        per_parameter = f"{self.bytes_per_parameter:g} bytes of slots per parameter"
        total = (
            per_parameter
            if self.assumed
            else f"{self.parameters:,} parameters, {per_parameter}, {self.bytes:,} bytes in all"
        )
        return "\n".join([*lines, total + (" (float32 assumed)" if self.assumed else "")])

    __repr__ = __str__


def describe(tx: Any, params: Any = None) -> Description:
    """The stages of `tx` with their hyperparameters, slots, roles, dtypes and bytes.

    Args:
        tx: A transformation; one of optax's counts as a single stage.
        params: Parameters, arrays or `jax.ShapeDtypeStruct`s. Without them a single float32 parameter is assumed.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> gx.describe(gx.sgd(gx.tunable(0.1), momentum=0.9), {"w": jnp.zeros((3, 4)), "b": jnp.zeros(4)})
    stage                   hyperparameters             slot    role          dtype    bytes
    ──────────────────────  ──────────────────────────  ──────  ────────────  ───────  ─────
    trace                   momentum=0.9                buffer  first moment  float32  64
                            dampening=0.0
    scale_by_learning_rate  learning_rate=tunable(0.1)
    16 parameters, 4 bytes of slots per parameter, 72 bytes in all
    """
    tx = chain(tx)
    assumed = params is None
    params = jnp.zeros((), jnp.float32) if assumed else params
    state = jax.eval_shape(lambda p: tx._lift.state(flatten(p)) if assumed else tx.init(p), params)
    leaves = [p for p in jax.tree.leaves(params) if is_trainable(p)]
    stages = tuple(_stage(name, stage, state.stages.get(name)) for name, stage in tx.stages.items())
    return Description(stages, _bytes(state), sum(math.prod(np.shape(p)) for p in leaves), assumed)


def _stage(name: str, stage: Any, state: Any) -> StageDescription:
    hyper = {
        field: repr(getattr(stage, field))
        for field in hyperparameters(type(stage))
        if getattr(stage, field) is not None
    }
    if isinstance(stage, Rule):
        roles = {slot: spec.role for slot, spec in stage.active_slots().items()}
        slots = {slot: _slot(role.value, state[slot]) for slot, role in roles.items()}
        technique = stage.label
    else:
        slots = {"state": _slot("opaque", state)} if jax.tree.leaves(state) else {}
        technique = repr(stage)
    return StageDescription(name, technique, hyper, slots)


def _slot(role: str, tree: Any) -> SlotDescription:
    dtypes = dict.fromkeys(str(leaf.dtype) for leaf in jax.tree.leaves(tree))
    return SlotDescription(role, tuple(dtypes), _bytes(tree))


def _bytes(tree: Any) -> int:
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))
