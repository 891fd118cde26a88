"""The two compiled functions of a step: the rules of a segment on one array, and the measure of one rule.

`leaf_function` makes the function of one kind of array. It widens the gradient to the dtype of the arithmetic, applies
the rules one after the other, rounds the result once, and returns it with the new slots. Constant hyperparameters are
compiled into it. Varying ones, and the scalars of the step, are arguments. `measure` computes these scalars: those that
a rule prepares once per step, and those that it measures on all gradients.
"""

import dataclasses
import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any, Literal, NamedTuple, TypeAlias, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from gradtx._tools import Record, Rounding, Scalars, Slots, as_real, folded_key, joined, parts, round_to, wide
from gradtx.core._resolve import LeafRule
from gradtx.core._rule import At, Role, Rule, Scope

R = TypeVar("R", bound=Record)

Finish: TypeAlias = Literal["update"] | Rounding
"""The result of the last segment: an update, or the new parameter under a rounding."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Now:
    """The values that all rules and all arrays of a step share; see `At`. `key` is for stochastic rounding."""

    step: jax.Array
    count: jax.Array
    value: Any = None
    key: Any = None


class RuleScalars(NamedTuple):
    """The scalars of one rule at a step: varying hyperparameters, measured scalars, SCALAR slots of the last step."""

    hyper: Mapping[str, Any]
    measured: Mapping[str, Any]
    before: Mapping[str, Any]


class Operands(NamedTuple):
    """The arrays of one rule for one parameter."""

    g: Any
    slots: dict[str, Any]
    param: Any
    grad: Any


@lru_cache(maxsize=1024)
def leaf_function(
    rules: tuple[LeafRule, ...], dtype: np.dtype, out: np.dtype | None, finish: Finish | None
) -> Callable[..., Any]:
    """Compiles rules for one array. Leaves of one shape and dtype share a trace, because the function is cached.

    The arithmetic is in `dtype`. The result is in `out`, or without a `finish` in `dtype`, for the next segment.
    """

    def leaf(
        g: jax.Array,
        slots: Sequence[dict[str, jax.Array]],
        param: jax.Array | None,
        grad: jax.Array | None,
        now: Now,
        scalars: Sequence[RuleScalars],
        index: jax.Array | None,
    ) -> tuple[jax.Array, list[dict[str, jax.Array]]]:
        u: Any = jnp.asarray(g, dtype)
        p, grad = (None if x is None else jnp.asarray(x, dtype) for x in (param, grad))
        new_slots = []
        for rule, slot, of_rule in zip(rules, slots, scalars, strict=True):
            u, new = _apply(rule, Operands(u, slot, p, grad), now, of_rule, dtype, index)
            new_slots.append(new)
        if finish == "update":
            u = jnp.asarray(u, out)
        elif finish is not None and out is not None:
            key = jax.random.fold_in(now.key, index) if finish == "stochastic" and index is not None else None
            u = round_to(u + p, out, key)
        return u, new_slots

    leaf.__name__ = "_then_".join(rule.name for rule in rules) or "apply"  # the name in profiles and jaxprs
    return jax.jit(leaf)


def _apply(
    static: LeafRule, operands: Operands, now: Now, scalars: RuleScalars, dtype: np.dtype, index: jax.Array | None
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Applies one rule to one array, or to each layer if there are axes of layers."""
    name, rule, axes, split = static
    rule = with_values(rule, scalars.hyper, dtype)
    measured = Scalars(f"{name}: at.measured", as_real(scalars.measured, dtype))
    before = Scalars(f"{name}: at.scalars", as_real(scalars.before, dtype))
    split = split and dtype != wide(dtype, as_complex=False)

    def update(operands: Operands, key: jax.Array | None) -> tuple[jax.Array, dict[str, jax.Array]]:
        at = At(now.step, now.count, operands.param, measured, before, key, now.value, operands.grad)
        # Only a complex gradient and its real second moment have different dtypes here.
        with jax.numpy_dtype_promotion("standard"):
            u, new = rule.update(operands.g, Slots(**operands.slots), at)
        if new.keys() != operands.slots.keys() or u.shape != operands.g.shape:
            raise TypeError(
                f"{name}.update must return an array of shape {operands.g.shape} and the slots "
                f"{sorted(operands.slots)}, got shape {u.shape} and {sorted(new)}"
            )
        return u, dict(new)

    key = None
    if "key" in rule.needs and index is not None:
        key = folded_key(vars(rule)["key"], zlib.crc32(name.encode()), now.step, index)
    if split:
        u, new = jax.tree.map(joined, update(jax.tree.map(parts, operands), key))
    else:
        u, new = _over_layers(update, axes, rule)(operands, key)
    for slot, old in operands.slots.items():
        if (shape := jnp.shape(new[slot])) != old.shape:
            raise TypeError(f"{name}.update: the slot {slot} must keep its shape {old.shape}, got {shape}")
    return u, {slot: jnp.asarray(new[slot], old.dtype) for slot, old in operands.slots.items()}


def _over_layers(update: Callable[..., Any], axes: Sequence[int], rule: Rule) -> Callable[..., Any]:
    """Maps `update` over layers. A slot like the parameter has its layers on the same axis, others on the first."""
    if not axes:
        return update
    axis, inner = axes[0], _over_layers(update, axes[1:], rule)

    def mapped(operands: Operands, key: jax.Array | None) -> Any:
        slots = {name: axis if rule.slots[name].like is None else 0 for name in operands.slots}
        param, grad = (None if x is None else axis for x in (operands.param, operands.grad))
        keys = None if key is None else jax.random.split(key, operands.g.shape[axis])
        in_axes = Operands(axis, slots, param, grad), None if key is None else 0
        return jax.vmap(inner, in_axes, (axis, slots))(operands, keys)

    return mapped


class Lists(NamedTuple):
    """The arrays of a measure, with one entry per gradient. None if the rule does not need them."""

    grads: Sequence[Any] | None = None
    slots: Mapping[str, Sequence[Any]] = {}
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
    """The scalars that a rule prepares and, if it has scope TREE, measures on all gradients, each in its dtype."""
    dtype = max(dtypes, key=lambda d: d.itemsize, default=np.dtype(np.float32))
    grads, param, grad = (
        None if leaves is None else [_converted(x, d) for x, d in zip(leaves, dtypes, strict=True)]
        for leaves in (lists.grads, lists.param, lists.grad)
    )
    rule = with_values(rule, scalars.hyper, dtype)
    before = Scalars(f"{name}: at.scalars", scalars.before)
    at = At(now.step, now.count, param, {}, before, None, now.value, grad, value_fn)
    measured = dict(rule.prepare(at))
    if rule.scope is Scope.TREE:
        at = dataclasses.replace(at, measured=Scalars(f"{name}: at.measured", measured))
        measured |= rule.measure(grads or [], Slots(**lists.slots), at)
    stored = [slot for slot, spec in rule.active_slots().items() if spec.role is Role.SCALAR]
    if missing := [slot for slot in stored if slot not in measured]:
        raise TypeError(
            f"{name}: prepare or measure must return the scalar slots {', '.join(missing)}, got {sorted(measured)}"
        )
    return measured


compiled_measure = partial(jax.jit, static_argnames=("name", "rule", "dtypes"))(measure)


def _converted(x: ArrayLike, dtype: np.dtype) -> jax.Array:
    return x if isinstance(x, jax.Array) and x.dtype == dtype else jnp.asarray(x, dtype)


def with_values(rule: R, hyper: Mapping[str, ArrayLike], dtype: np.dtype) -> R:
    """Returns `rule` with the values of hyperparameters, in the dtype of its arithmetic."""
    return rule.replace(as_real(hyper, dtype)) if hyper else rule
