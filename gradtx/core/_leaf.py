"""The compiled pieces that `lift` runs: all rules of a segment on one array, and one rule's measure on all arrays."""

import dataclasses
import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any, Literal, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from gradtx._tools import Record, Rounding, as_real, joined, parts, round_to, typed_key, wide
from gradtx.core._resolve import LeafRule
from gradtx.core._rule import At, Role, Rule, Scalars, Scope, Slots

R = TypeVar("R", bound=Record)

Finish = Literal["update"] | Rounding
"""What the last segment ends in: an update, or the new parameter under a rounding."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Now:
    """What all rules and all arrays of a step share.

    Attributes:
        step, count: See `At`.
        value: The extra argument `value`, where a rule needs it.
        key: For stochastic rounding.
    """

    step: jax.Array
    count: jax.Array
    value: Any = None
    key: Any = None


class RuleScalars(NamedTuple):
    """What one rule has at a step: the hyperparameters that vary, what it measured, and what the last step kept."""

    hyper: Mapping[str, Any]
    measured: Mapping[str, Any]
    kept: Mapping[str, Any]


class Operands(NamedTuple):
    """The arrays of one rule on one parameter."""

    g: Any
    slots: dict[str, Any]
    param: Any
    grad: Any


@lru_cache(maxsize=1024)
def leaf_function(rules: tuple[LeafRule, ...], dtype: np.dtype, out: np.dtype | None, finish: Finish | None) -> Any:
    """The rules on one array: arithmetic in `dtype`; with a `finish`, the result is rounded to `out`.

    Cached, so that leaves of one shape and dtype share one trace. The rules are static; what varies is an argument.
    """

    def leaf(
        g: Any, slots: Sequence[Any], param: Any, grad: Any, now: Now, scalars: Sequence[RuleScalars], index: Any
    ) -> tuple[Any, list[dict[str, Any]]]:
        u: Any = jnp.asarray(g, dtype)
        p, grad = (None if x is None else jnp.asarray(x, dtype) for x in (param, grad))
        new = []
        for rule, slot, given in zip(rules, slots, scalars, strict=True):
            u, kept = _apply(rule, Operands(u, slot, p, grad), now, given, dtype, index)
            new.append(kept)
        if finish == "update":
            u = jnp.asarray(u, out)
        elif finish is not None:
            key = jax.random.fold_in(now.key, index) if finish == "stochastic" else None
            u = round_to(u + p, out, finish, key)
        return u, new

    leaf.__name__ = "_then_".join(rule.name for rule in rules) or "apply"  # what profiles and jaxprs show
    return jax.jit(leaf)


def _apply(
    static: LeafRule, given: Operands, now: Now, scalars: RuleScalars, dtype: np.dtype, index: Any
) -> tuple[Any, dict[str, Any]]:
    """One rule on one array, of which it sees each layer apart where there are axes of layers."""
    name, rule, axes, split = static
    rule = with_values(rule, scalars.hyper, dtype)
    measured = Scalars(f"{name}: at.measured", as_real(scalars.measured, dtype))
    before = Scalars(f"{name}: at.scalars", as_real(scalars.kept, dtype))
    split = split and dtype != wide(dtype, as_complex=False)

    def update(given: Operands, key: Any) -> tuple[Any, dict[str, Any]]:
        at = At(now.step, now.count, given.param, measured, before, key, now.value, given.grad)
        # A complex gradient meets its real second moment; all else is of one dtype already.
        with jax.numpy_dtype_promotion("standard"):
            u, kept = rule.update(given.g, Slots(**given.slots), at)
        if kept.keys() != given.slots.keys() or u.shape != given.g.shape:
            raise TypeError(
                f"{name}.update must return an array of shape {given.g.shape} and the slots {sorted(given.slots)}, "
                f"got shape {u.shape} and {sorted(kept)}"
            )
        return u, dict(kept)

    key = leaf_key(rule, name, now.step, index) if "key" in rule.needs else None
    if split:
        u, kept = jax.tree.map(joined, update(jax.tree.map(parts, given), key))
    else:
        u, kept = _over_layers(update, axes, rule)(given, key)
    for slot, old in given.slots.items():
        if (shape := jnp.shape(kept[slot])) != old.shape:
            raise TypeError(f"{name}.update: the slot {slot} must keep its shape {old.shape}, got {shape}")
    return u, {slot: jnp.asarray(kept[slot], old.dtype) for slot, old in given.slots.items()}


def _over_layers(update: Callable[[Operands, Any], Any], axes: Sequence[int], rule: Rule) -> Callable[..., Any]:
    """`update` of each layer. Slots like the parameter have their layers on the same axis, the others on the first."""
    if not axes:
        return update
    axis, inner = axes[0], _over_layers(update, axes[1:], rule)

    def mapped(given: Operands, key: Any) -> Any:
        slots = {name: axis if rule.slots[name].like is None else 0 for name in given.slots}
        operands = Operands(axis, slots, *(None if x is None else axis for x in given[2:]))
        keys = None if key is None else jax.random.split(key, given.g.shape[axis])
        return jax.vmap(inner, (operands, None if key is None else 0), (axis, slots))(given, keys)

    return mapped


class Lists(NamedTuple):
    """What a measure sees, an entry for each gradient; None where the rule needs none of it."""

    grads: Sequence[Any] | None = None
    slots: Mapping[str, Any] = {}
    param: Sequence[Any] | None = None
    grad: Sequence[Any] | None = None


def measure(
    name: str,
    rule: Rule,
    dtypes: tuple[np.dtype, ...],
    lists: Lists,
    now: Now,
    scalars: RuleScalars,
    value_fn: Any = None,
) -> dict[str, Any]:
    """The scalars that `rule` prepares and, if of tree scope, measures on all gradients, each in its dtype."""
    dtype = max(dtypes, key=lambda d: d.itemsize, default=np.dtype(np.float32))
    grads, param, grad = (
        None if leaves is None else [_converted(x, d) for x, d in zip(leaves, dtypes, strict=True)]
        for leaves in (lists.grads, lists.param, lists.grad)
    )
    rule = with_values(rule, scalars.hyper, dtype)
    before = Scalars(f"{name}: at.scalars", scalars.kept)
    at = At(now.step, now.count, param, {}, before, None, now.value, grad, value_fn)
    found = dict(rule.prepare(at))
    if rule.scope is Scope.TREE:
        at = dataclasses.replace(at, measured=Scalars(f"{name}: at.measured", found))
        found |= rule.measure(grads or [], Slots(**lists.slots), at)
    kept = [slot for slot, spec in rule.active_slots().items() if spec.role is Role.SCALAR]
    if missing := [slot for slot in kept if slot not in found]:
        raise TypeError(
            f"{name}: prepare or measure must return the scalar slots {', '.join(missing)}, got {sorted(found)}"
        )
    return found


compiled_measure = partial(jax.jit, static_argnames=("name", "rule", "dtypes"))(measure)


def _converted(x: Any, dtype: np.dtype) -> Any:
    return x if isinstance(x, jax.Array) and x.dtype == dtype else jnp.asarray(x, dtype)


def with_values(rule: R, hyper: Mapping[str, Any], dtype: np.dtype) -> R:
    """`rule` with hyperparameters in the dtype of its arithmetic."""
    return rule.replace(as_real(hyper, dtype)) if hyper else rule


def leaf_key(rule: Any, name: str, step: Any, index: Any) -> jax.Array:
    """A key of this stage, this step and this leaf."""
    key = typed_key(rule.key)
    for number in (zlib.crc32(name.encode()), step, index):
        key = jax.random.fold_in(key, number)
    return key
