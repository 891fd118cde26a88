"""Slots: their values before the first step, and checks of their structure and shapes at every step."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from gradtx._tools import (
    Flat,
    Stateful,
    Tunable,
    check_leaves,
    check_structure,
    code_of,
    dtype_of,
    full_like,
    is_complex,
    is_trainable,
    place_of,
    summary,
    wide,
)
from gradtx.core._rule import Role, Slot, Technique
from gradtx.core._stage import Axes, Seen, Stage

Cast: TypeAlias = Callable[[jax.Array, np.dtype], jax.Array]
"""A function that gives a leaf another dtype."""
Shape: TypeAlias = tuple[int, ...]


def init_slots(name: str, stage: Stage, params: Flat, seen: Seen, cast: Cast) -> dict[str, Any]:
    """The slots before the first step: name → a tree like the parameters, or a scalar.

    None is in the place of parameters that the stage does not see, and of those that have no such slot.
    """
    trees: dict[str, Any] = {}
    models: dict[tuple[object, int], Any] = {}  # slots with the same `like` share an array
    for slot, spec in stage.technique.active_slots().items():
        fill = start(name, stage.technique, spec)
        leaves: list[jax.Array | None] = [None] * len(params.leaves)
        if spec.role is Role.SCALAR:
            trees[slot] = jnp.full(spec.shape, fill, spec.dtype)
            continue
        for i, p in enumerate(params.leaves):
            if not is_trainable(p) or (seen is not None and seen[i] is None):
                continue
            if spec.like is None:
                leaves[i] = _like_param(stage, spec, p, fill)
                continue
            if (spec.like, i) not in models:
                model = like(name, stage, slot, spec, stage.layer_axes(seen, i))
                models[spec.like, i] = model(cast(p, wide(dtype_of(p))))
            leaves[i] = _like_model(models[spec.like, i], fill)
        trees[slot] = np.zeros(()) if spec.like is not None and _is_placeholder(params) else params.unflatten(leaves)
    return trees


def _is_placeholder(params: Flat) -> bool:
    """Whether `optax.tree.map_params` asks which parts of the state are like the parameters."""
    return not params.leaves and type(params.unflatten([])).__name__ == "_ParamsPlaceholder"


def _like_param(stage: Stage, spec: Slot, p: jax.Array, fill: float | str) -> jax.Array:
    if isinstance(fill, str):
        return jnp.array(p, wide(dtype_of(p)))  # a copy, because the parameter itself can be donated
    if stage.by_parts and is_complex(dtype_of(p)):
        part = jnp.asarray(fill, wide(dtype_of(p), as_complex=False))
        return full_like(p, jax.lax.complex(part, part), wide(dtype_of(p)))
    return full_like(p, fill, wide(dtype_of(p), as_complex=False if spec.role is Role.SECOND_MOMENT else None))


def _like_model(model: jax.Array | None, fill: float | str) -> jax.Array | None:
    if model is None:
        return None
    dtype = wide(model.dtype) if is_trainable(model) else model.dtype
    return jnp.array(model, dtype) if isinstance(fill, str) else full_like(model, fill, dtype)


def like(name: str, stage: Stage, slot: str, spec: Slot, axes: Axes) -> Callable[[Any], Any]:
    """The function `like` of a slot. With axes of layers it maps over them, and puts the layers first."""
    of_param: Any = getattr(stage.technique, spec.like) if isinstance(spec.like, str) else spec.like

    def model(p: ArrayLike) -> Any:
        array = of_param(p)
        if array is not None and not (hasattr(array, "shape") and hasattr(array, "dtype")):
            raise TypeError(f"{name}: like= of the slot {slot} must return an array or None, got {summary(array)}")
        return array

    for axis in reversed(axes):
        model = jax.vmap(model, in_axes=axis)
    return model


def start(name: str, technique: Technique, spec: Slot) -> Any:
    """The number that a slot starts from, or "param" for a copy of the parameter."""
    fill = getattr(technique, spec.fill) if isinstance(spec.fill, str) and spec.fill != "param" else spec.fill
    fill = fill.value if isinstance(fill, Tunable) else fill
    if callable(fill) or isinstance(fill, Stateful):
        raise TypeError(f"{name}: {spec.fill} must be a number, because a slot starts from it, got {code_of(fill)}")
    return fill


def check_slots(
    name: str,
    stage: Stage,
    slots: Mapping[str, Flat],
    grads: Flat,
    dtypes: Mapping[int, np.dtype],
    seen: Seen,
    noun: str = "gradients",
) -> None:
    """Checks that the slots of a state fit the gradients: their structure, their shapes, and where they exist.

    `dtypes` has the dtype of the arithmetic for each leaf with a gradient. `noun` is what goes through the chain.
    """
    specs = stage.technique.active_slots()
    shapes: dict[object, Shape | None] = {}  # one for all leaves of the same shape and dtype
    for slot, tree in slots.items():
        what, spec = f"state's {slot}", specs[slot]
        check_structure(name, grads, tree, what, noun)
        if spec.like is None:
            pairs = zip(grads.leaves, tree.leaves, strict=True)
            compared = grads.leaves if seen is None else [None if x is None else g for g, x in pairs]
            check_leaves(name, grads._replace(leaves=compared), tree, what, kind=False)
            if seen is None:
                continue
        for i, dtype in dtypes.items():
            expected = None
            if seen is None or seen[i] is not None:
                axes = stage.layer_axes(seen, i)
                key = spec.like, np.shape(grads.leaves[i]), dtype, axes
                if key not in shapes:
                    shapes[key] = _shape(name, stage, slot, jax.ShapeDtypeStruct(key[1], dtype), axes)
                expected = shapes[key]
            actual = None if tree.leaves[i] is None else tuple(np.shape(tree.leaves[i]))
            if actual != expected:
                where = f"{name}: the {what} at {place_of(grads.paths()[i])}"
                raise ValueError(f"{where} {_difference(actual, expected, noun, grads.leaves[i])}")


def _shape(name: str, stage: Stage, slot: str, g: jax.ShapeDtypeStruct, axes: Axes) -> Shape | None:
    """The shape that a slot must have for a gradient. None if there must be no slot."""
    spec = stage.technique.active_slots()[slot]
    if spec.like is None:
        return g.shape
    struct = jax.eval_shape(like(name, stage, slot, spec, axes), g)
    return None if struct is None else struct.shape


def _difference(actual: Shape | None, expected: Shape | None, noun: str, g: object) -> str:
    if actual is None:
        return "is missing, although the stage keeps one there; it was made by another chain"
    if expected is None:
        return f"has shape {actual}, but the stage keeps none there; it was made by another chain"
    return f"has shape {actual}; expected {expected} for the {noun} {summary(g)} there"
