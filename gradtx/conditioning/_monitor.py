"""Numbers about the updates at a place in a chain, for `metrics`."""

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import KW_ONLY
from typing import Any, Literal, TypeAlias, get_args

import jax
import jax.numpy as jnp

from gradtx._tools import Bound, Flat, Selector, Selects, Tree, code_of, flatten, is_trainable, select, widen
from gradtx.conditioning._norms import scaled_norm
from gradtx.core import Role, Slot, Stage, Transformation, TreeAt, TreeStage

Quantity: TypeAlias = Literal["norm", "param_norm", "ratio", "max", "nonfinite"]
"""What `monitor` measures."""
OF_PARAMS = frozenset({"param_norm", "ratio"})


class Monitor(TreeStage):
    """Measures the updates that arrive at a place in a chain. The updates pass unchanged. `monitor` makes it."""

    quantities: tuple[Quantity, ...]
    _: KW_ONLY
    groups: tuple[tuple[str, Selector], ...] = ()
    per_parameter: bool = False
    above: Bound | None = None

    passes = True

    @property
    def needs(self) -> frozenset[str]:  # type: ignore[override]
        return frozenset({"param"} if OF_PARAMS & set(self.quantities) else ())

    def shown(self) -> tuple[str, ...]:
        return tuple(self.active_slots())

    def active_slots(self) -> Mapping[str, Slot]:
        number = Slot(Role.SCALAR)
        of_parameter = Slot(Role.STATISTIC, like=lambda _: jnp.zeros((), jnp.float32))
        labels = [f".{label}" for label, _ in self.groups] or [""]
        names = [f"{quantity}{label}" for quantity in self.quantities for label in labels]
        slots = dict.fromkeys(names, of_parameter if self.per_parameter else number)
        return slots if self.above is None else {**slots, "above": number}

    def update(self, updates: Tree, state: Mapping[str, Any], at: TreeAt) -> tuple[Any, Any]:
        flat = flatten(updates)
        params = flat.leaves if at.params is None else flatten(at.params).leaves
        trained = [i for i, g in enumerate(flat.leaves) if is_trainable(g)]
        new = dict(state)
        if self.per_parameter:
            for quantity in self.quantities:
                old = flatten(state[quantity])
                leaves = list(old.leaves)
                for i in trained:
                    leaves[i] = _measured(quantity, [flat.leaves[i]], [params[i]])
                new[quantity] = old.unflatten(leaves)
        else:
            for label, members in self._members(flat, trained):
                arrays = _taken(flat.leaves, members), _taken(params, members)
                for quantity in self.quantities:
                    new[f"{quantity}{label}"] = _measured(quantity, *arrays)
        if self.above is not None:
            norm = _measured("norm", _taken(flat.leaves, trained), [])
            new["above"] = state["above"] + jnp.where(norm > self.above, 1.0, 0.0)
        return updates, new

    def _members(self, flat: Flat, trained: Sequence[int]) -> Iterator[tuple[str, Sequence[int]]]:
        if not self.groups:
            yield "", trained
        for label, selector in self.groups:
            chosen = select(selector, flat, f"monitor: {label}")
            yield f".{label}", [i for i in trained if chosen[i]]

    def __repr__(self) -> str:
        groups = f"{{{', '.join(f'{label!r}: {code_of(selector)}' for label, selector in self.groups)}}}"
        options = {"groups": groups if self.groups else "", "per_parameter": "True" if self.per_parameter else ""}
        options["above"] = "" if self.above is None else code_of(self.above)
        given = [f"{name}={value}" for name, value in options.items() if value]
        return f"monitor({', '.join([*map(repr, self.quantities), *given])})"


def monitor(
    *quantities: Quantity,
    groups: Mapping[str, Selector] | None = None,
    per_parameter: bool = False,
    above: float | None = None,
) -> Transformation:
    """Measures the updates at a place in a chain, for `metrics`. The updates pass unchanged, to the bit.

    Before a clip it measures the gradients, and at the end of a chain the steps. Only what is asked for is computed.

    Args:
        *quantities: "norm", the Euclidean norm of the updates; "param_norm", that of the parameters; "ratio", the
            quotient of the two, or 0 for parameters of zero; "max", the largest absolute value; "nonfinite", the number
            of elements that are NaN or infinite.
        groups: Name → selector. The quantities are then measured for each group, as "norm.name".
        per_parameter: Whether the quantities are measured for each parameter, as "norm.path".
        above: A bound on the norm of all updates. "above" is the number of steps whose norm was larger, as the number
            of clipped steps of a `clip_by_global_norm` after this stage.

    Raises:
        ValueError: An unknown quantity, the same one twice, or none; or both `groups` and `per_parameter`.

    In optax, `optax.monitor` and `optax.snapshot` store what functions of the updates return.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> tx = gx.chain(gx.monitor("norm", above=1.0), gx.clip_by_global_norm(1.0), gx.named("after", gx.monitor("norm")))
    >>> _, state = tx.update(jnp.array([3.0, 4.0]), tx.init(jnp.zeros(2)))
    >>> {name: float(value) for name, value in gx.metrics(tx, state).items()}
    {'monitor.norm': 5.0, 'above': 1.0, 'after.norm': 1.0}
    """
    known = get_args(Quantity)
    unknown = [one for one in quantities if one not in known]
    if unknown or not quantities or len(set(quantities)) != len(quantities):
        given = ", ".join(map(repr, quantities)) or "none"
        raise ValueError(f"monitor: quantities must be different ones of {', '.join(map(repr, known))}, got {given}")
    if groups and per_parameter:
        raise ValueError("monitor: per_parameter=True has no effect with groups; leave out one of them")
    pairs = tuple((label, Selects().check(f"monitor: {label}", s)) for label, s in (groups or {}).items())
    rule = Monitor(tuple(quantities), groups=pairs, per_parameter=per_parameter, above=above)
    return Transformation((Stage(rule),))


def _taken(leaves: Sequence[Any], numbers: Sequence[int]) -> list[Any]:
    return [leaves[i] for i in numbers]


def _measured(quantity: Quantity, updates: Sequence[Any], params: Sequence[Any]) -> jax.Array:
    """One quantity of several arrays, in float32."""
    if quantity == "nonfinite":
        result = sum((jnp.sum(~jnp.isfinite(x), dtype=jnp.int32) for x in updates), jnp.zeros((), jnp.int32))
    elif quantity == "max":
        largest = [jnp.max(jnp.abs(widen(x)), initial=0).astype(jnp.float32) for x in updates]
        result = functools.reduce(jnp.maximum, largest, jnp.zeros(()))
    elif quantity == "ratio":
        size, of_params = _measured("norm", updates, []), _measured("param_norm", [], params)
        result = jnp.where(of_params == 0, 0.0, size / jnp.where(of_params == 0, 1.0, of_params))
    else:
        arrays = params if quantity == "param_norm" else updates
        size, scale = scaled_norm([widen(x) for x in arrays if is_trainable(x)])
        result = size / scale
    return jnp.asarray(result, jnp.float32)
