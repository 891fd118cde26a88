"""Slots before the first step, and the shapes that they must keep."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from gradtx._tools import (
    Flat,
    check_leaves,
    check_structure,
    dtype_of,
    full_like,
    is_complex,
    is_trainable,
    place_of,
    summary,
    wide,
    widen,
)
from gradtx.core._rule import Role, Slot, Technique
from gradtx.core._stage import Axes, Stage
from gradtx.core._stateful import Stateful
from gradtx.core._tunable import Tunable

Seen: TypeAlias = Sequence[Axes | None] | None
"""For each leaf the axes of its layers, None where a stage does not see it; None for a stage that sees all whole."""


def init_slots(name: str, stage: Stage, params: Flat, seen: Seen, cast: Callable[[Any, Any], Any]) -> dict[str, Any]:
    """Slot name → a tree like the parameters, or a scalar. None stands where the stage sees or keeps nothing."""
    trees: dict[str, Any] = {}
    models: dict[Any, Any] = {}  # one for all slots of a parameter that are like the same
    for slot, spec in stage.technique.active_slots().items():
        fill = start(name, stage.technique, spec)
        leaves: list[Any] = [None] * len(params.leaves)
        if spec.role is Role.SCALAR:
            trees[slot] = jnp.asarray(fill, spec.dtype)
            continue
        for i, p in enumerate(params.leaves):
            if not is_trainable(p) or (seen is not None and seen[i] is None):
                continue
            if spec.like is None:
                leaves[i] = _like_param(stage, spec, p, fill)
                continue
            if (spec.like, i) not in models:
                model = like(name, stage, slot, spec, layer_axes(stage, seen, i))
                models[spec.like, i] = model(cast(p, wide(dtype_of(p))))
            leaves[i] = _like_model(models[spec.like, i], fill)
        trees[slot] = np.zeros(()) if spec.like is not None and _is_placeholder(params) else params.unflatten(leaves)
    return trees


def _is_placeholder(params: Flat) -> bool:
    """Whether `optax.tree.map_params` asks which parts of the state are like the parameters."""
    return not params.leaves and type(params.unflatten([])).__name__ == "_ParamsPlaceholder"


def _like_param(stage: Stage, spec: Slot, p: Any, fill: Any) -> jax.Array:
    if isinstance(fill, str):
        return jnp.array(p, wide(dtype_of(p)))  # a copy: the parameter itself may be donated
    if stage.by_parts and is_complex(dtype_of(p)):
        part = jnp.asarray(fill, wide(dtype_of(p), as_complex=False))
        return full_like(p, jax.lax.complex(part, part), wide(dtype_of(p)))
    return full_like(p, fill, wide(dtype_of(p), as_complex=False if spec.role is Role.SECOND_MOMENT else None))


def _like_model(model: Any, fill: Any) -> jax.Array | None:
    if model is None:
        return None
    dtype = wide(model.dtype) if is_trainable(model) else model.dtype
    return jnp.array(model, dtype) if isinstance(fill, str) else full_like(model, fill, dtype)


def layer_axes(stage: Stage, seen: Seen, i: int) -> Axes:
    """The axes of layers that matter to the technique: a rule that sees whole arrays sees whole layers."""
    return () if seen is None or not stage.sees_layers else seen[i] or ()


def like(name: str, stage: Stage, slot: str, spec: Slot, axes: Axes) -> Callable[[Any], Any]:
    """What the slot is like, as a function of the parameter: of each layer, with the layers on the first axes."""
    given: Any = getattr(stage.technique, spec.like) if isinstance(spec.like, str) else spec.like

    def model(p: Any) -> Any:
        found = given(p)
        if found is not None and not (hasattr(found, "shape") and hasattr(found, "dtype")):
            raise TypeError(f"{name}: the slot {slot} must be like an array, or None, but its like= gave {found!r}")
        return found

    for axis in reversed(axes):
        model = jax.vmap(model, in_axes=axis)
    return model


def start(name: str, technique: Technique, spec: Slot) -> Any:
    """The number that a slot starts from, or the word for what it is a copy of."""
    fill = getattr(technique, spec.fill) if isinstance(spec.fill, str) and spec.fill != "param" else spec.fill
    fill = fill.value if isinstance(fill, Tunable) else fill
    if callable(fill) or isinstance(fill, Stateful):
        raise TypeError(f"{name}: {spec.fill} is what a slot starts from, so it can be no schedule, got {fill}")
    return fill


def check_slots(
    name: str,
    stage: Stage,
    slots: Mapping[str, Flat],
    grads: Flat,
    dtypes: Mapping[int, Any],
    seen: Seen,
    noun: str = "gradients",
) -> None:
    """Complains about slots unlike the gradients: of another structure or shape, missing, or surplus."""
    specs, known = stage.technique.active_slots(), {}
    for slot, tree in slots.items():
        what = f"state's {slot}"
        check_structure(name, grads, tree, what, noun)
        spec = specs[slot]
        if spec.like is None:
            pairs = zip(grads.leaves, tree.leaves, strict=True)
            there = grads.leaves if seen is None else [None if x is None else g for g, x in pairs]
            check_leaves(name, grads._replace(leaves=there), tree, what, kind=False)
        if spec.like is not None or seen is not None:
            shapes: dict[int, Any] = {}
            for i, dtype in dtypes.items():
                if seen is not None and seen[i] is None:
                    shapes[i] = None
                    continue
                axes = layer_axes(stage, seen, i)
                kind = spec.like, np.shape(grads.leaves[i]), dtype, axes
                if kind not in known:
                    known[kind] = _shape(name, stage, slot, grads.leaves[i], dtype, axes)
                shapes[i] = known[kind]
            _check_shapes(name, what, tree, shapes, grads, noun)


def _shape(name: str, stage: Stage, slot: str, g: Any, dtype: Any, axes: Axes) -> tuple[int, ...] | None:
    """The shape that a slot must have for a gradient; None where there must be none."""
    spec, shape = stage.technique.active_slots()[slot], tuple(np.shape(g))
    if spec.like is None:
        return shape
    struct = jax.eval_shape(like(name, stage, slot, spec, axes), jax.ShapeDtypeStruct(shape, dtype))
    return None if struct is None else struct.shape


def _check_shapes(name: str, what: str, tree: Flat, shapes: Mapping[int, Any], grads: Flat, noun: str) -> None:
    for i, shape in shapes.items():
        found = None if tree.leaves[i] is None else tuple(np.shape(tree.leaves[i]))
        if found == shape:
            continue
        where = f"{name}: the {what} at {place_of(grads.paths()[i])}"
        if found is None:
            raise ValueError(f"{where} is missing, although the stage keeps one there; it was made by another chain")
        if shape is None:
            raise ValueError(f"{where} has shape {found}, but the stage keeps none there; it was made by another chain")
        here = f"for the {noun} {summary(grads.leaves[i])} there"
        raise ValueError(f"{where} has shape {found}; expected {shape} {here}")


def widened(params: Flat) -> Any:
    """What foreign stages see: the trained parameters in the dtype of the arithmetic, None for the others."""
    return params.map_trained(widen)
