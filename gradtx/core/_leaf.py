"""The compiled pieces that `lift` runs: all rules of a segment on one array, and one rule's measure on all arrays."""

import zlib
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from types import SimpleNamespace
from typing import Any, Literal, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from gradtx._tools import Record, typed_key, wide
from gradtx.core._rounding import Rounding, round_to
from gradtx.core._rule import At, Rule, Scope

R = TypeVar("R", bound=Record)

Finish = Literal["update"] | Rounding
"""What the last segment ends in: an update, or the new parameter under a rounding."""


@lru_cache(maxsize=1024)
def leaf_function(
    rules: tuple[tuple[str, Rule], ...], dtype: np.dtype, out: np.dtype | None, finish: Finish | None
) -> Any:
    """The named rules for one array: arithmetic in `dtype`; with a `finish`, the result is rounded to `out`.

    Cached, so that leaves of one shape and dtype share one trace. The rules are static: what varies is in `scalars`.
    """
    real = wide(dtype, as_complex=False)

    def leaf(g: Any, slots: Any, param: Any, grad: Any, scalars: Any, index: Any) -> tuple[Any, list[dict[str, Any]]]:
        u: Any = jnp.asarray(g, dtype)
        p, grad = (None if x is None else jnp.asarray(x, dtype) for x in (param, grad))
        new = []
        for i, (name, rule) in enumerate(rules):
            rule = with_values(rule, scalars["hyper"][i], dtype)
            measured = as_real(scalars["measured"][i], dtype)
            key = _leaf_key(rule, name, scalars["step"], index) if "key" in rule.needs else None
            given = u, p, grad, slots[i]
            if by_parts := rule.by_parts and dtype != real:
                given = jax.tree.map(_parts, given)
            at = At(scalars["step"], scalars["count"], given[1], measured, key, scalars["value"], given[2])
            # A complex gradient meets its real second moment; all else is of one dtype already.
            with jax.numpy_dtype_promotion("standard"):
                u, kept = rule.update(given[0], SimpleNamespace(**given[3]), at)
            if by_parts:
                u, kept = jax.tree.map(_joined, (u, kept))
            if kept.keys() != slots[i].keys() or u.shape != g.shape:
                raise TypeError(
                    f"{name}.update must return an array of shape {g.shape} and the slots {sorted(slots[i])}, "
                    f"got shape {u.shape} and {sorted(kept)}"
                )
            new.append({slot: jnp.asarray(kept[slot], old.dtype) for slot, old in slots[i].items()})
        if finish == "update":
            u = jnp.asarray(u, out)
        elif finish is not None:
            key = jax.random.fold_in(scalars["key"], index) if finish == "stochastic" else None
            u = round_to(u + p, out, finish, key)
        return u, new

    leaf.__name__ = "_then_".join(name for name, _ in rules) or "apply"  # what profiles and jaxprs show
    return jax.jit(leaf)


def measure(
    rule: Rule,
    dtypes: tuple[np.dtype, ...],
    lists: Mapping[str, Sequence[Any] | None],
    scalars: Mapping[str, Any],
    hyper: Mapping[str, Any],
    value_fn: Any = None,
) -> dict[str, Any]:
    """The scalars that `rule` prepares and, if of tree scope, measures on all gradients, each in its dtype."""
    dtype = max(dtypes, key=lambda d: d.itemsize, default=np.dtype(np.float32))
    wide_lists: dict[str, Any] = {
        name: None if leaves is None else [_converted(x, d) for x, d in zip(leaves, dtypes, strict=True)]
        for name, leaves in lists.items()
    }
    grads = wide_lists.pop("grads")
    at = At(**scalars, **wide_lists, value_fn=value_fn)
    rule = with_values(rule, hyper, dtype)
    return {**rule.prepare(at), **(rule.measure(grads, at) if rule.scope is Scope.TREE else {})}


compiled_measure = partial(jax.jit, static_argnames=("rule", "dtypes"))(measure)


def _converted(x: Any, dtype: np.dtype) -> Any:
    return x if isinstance(x, jax.Array) and x.dtype == dtype else jnp.asarray(x, dtype)


def with_values(rule: R, hyper: Mapping[str, Any], dtype: np.dtype) -> R:
    """`rule` with hyperparameters in the dtype of its arithmetic."""
    return rule.replace(as_real(hyper, dtype)) if hyper else rule


def as_real(scalars: Mapping[str, Any], dtype: np.dtype) -> dict[str, Any]:
    """Floating scalars in the real dtype that belongs to `dtype`, so that nothing is promoted."""
    real = wide(dtype, as_complex=False)
    return {
        name: jnp.asarray(x, real) if jnp.issubdtype(jnp.result_type(x), jnp.inexact) else x
        for name, x in scalars.items()
    }


def _parts(z: jax.Array) -> jax.Array:
    """The real and imaginary parts on a last axis."""
    return jnp.stack([z.real, z.imag], -1)


def _joined(x: jax.Array) -> jax.Array:
    return jax.lax.complex(x[..., 0], x[..., 1])


def _leaf_key(rule: Any, name: str, step: Any, index: Any) -> jax.Array:
    """A key of this stage, this step and this leaf."""
    key = typed_key(rule.key)
    for number in (zlib.crc32(name.encode()), step, index):
        key = jax.random.fold_in(key, number)
    return key
