"""One step: the gradients on their way through the stages of a chain."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx._tools import (
    ROUNDINGS,
    Flat,
    check_leaves,
    check_structure,
    dtype_of,
    flatten,
    is_complex,
    is_trainable,
    wide,
)
from gradtx.core._leaf import Finish, Lists, Now, RuleScalars, compiled_measure, leaf_function, measure
from gradtx.core._resolve import Resolved, found_slots, resolve
from gradtx.core._rule import Rule, Scope
from gradtx.core._slots import check_slots
from gradtx.core._state import State, from_state
from gradtx.core._stateful import varying
from gradtx.core._tree_stage import TreeAt


class Step:
    """The gradients on their way through the chain: `values`, a leaf each. None and float0 leaves pass untouched."""

    def __init__(self, lift: Any, grads: Any, state: State, params: Any, extra: Mapping[str, Any]):
        self.lift, self.flat = lift, lift.flatten(grads)
        self.params = None if params is None else flatten(params)
        self.grad = None if extra.get("grad") is None else flatten(extra["grad"])
        self.state, self.extra = state, extra
        for tree, what in ((self.params, "parameters"), (self.grad, "argument grad")):
            if tree is not None:
                self.check(tree, what)
        self.count = jnp.where(state.step < np.iinfo(np.int32).max, state.step + 1, state.step)
        self.values = list(self.flat.leaves)
        self.active = [i for i, g in enumerate(self.values) if is_trainable(g)]
        self.seen = lift.seen(self._like(), dtypes=self.params is not None)
        self.rules = {name: self._resolved(name) for name, s in lift.stages.items() if isinstance(s.technique, Rule)}
        self.dtypes = {i: self._dtype(i) for i in self.active}
        for name, stage in lift.stages.items():
            slots = self.rules[name].slots if name in self.rules else found_slots(name, stage, state)[0]
            check_slots(name, stage, slots, self.flat, self.dtypes, self.seen.get(name), lift.noun)

    def check(self, tree: Flat, what: str) -> None:
        """The gradients are like a tree that belongs to them."""
        first = next(iter(self.lift.stages), "chain")
        check_structure(first, self.flat, tree, what)
        check_leaves(first, self.flat, tree, what)

    def _like(self) -> Flat:
        """What selectors see: the parameters that have a gradient, or without parameters the gradients."""
        if self.params is None:
            return self.flat
        pairs = zip(self.params.leaves, self.flat.leaves, strict=True)
        return self.params._replace(leaves=[p if is_trainable(g) else None for p, g in pairs])

    def _resolved(self, name: str) -> Resolved:
        return resolve(name, self.lift.stages[name], self.state, self.params, self.seen.get(name))

    def _dtype(self, i: int) -> np.dtype:
        """The dtype of leaf i's arithmetic: its parameter's, in float32 or wider, whatever its gradient's is."""
        if self.params is not None:
            return wide(dtype_of(self.params.leaves[i]))
        g = dtype_of(self.flat.leaves[i])
        slots = (slot.leaves[i] for r in self.rules.values() for slot in r.slots.values())
        return wide(next((x.dtype for x in slots if is_trainable(x)), g), as_complex=is_complex(g))

    def run(self, names: Sequence[str], finish: Finish | None, key: jax.Array | None) -> dict[str, Any]:
        """Runs a segment: a tree stage, or rules one after the other. Gives the new states of the stages."""
        if names and names[0] not in self.rules:
            return {names[0]: self._run_tree(names[0])}
        rules = [self.rules[name] for name in names]
        return self._run_rules([self._measured(r) if r.measures else r for r in rules], finish, key)

    def _measured(self, r: Resolved) -> Resolved:
        """`r` with what its rule prepares, and measures on the gradients as they are now."""
        needs, whole = r.rule.needs, r.rule.scope is Scope.TREE
        mine = [i for i in self.active if r.sees(i)]
        dtypes = tuple(self.dtypes[i] for i in mine)
        if whole:
            param = _listed(self.params and self.params.leaves, mine, "param" in needs)
            grad = _listed(self.grad and self.grad.leaves, mine, "grad" in needs)
            slots = {name: _listed(slot.leaves, mine) for name, slot in r.slots.items()}
            lists = Lists(_listed(self.values, mine), slots, param, grad)
        else:
            dtypes, lists = tuple(sorted(set(dtypes), key=str)), Lists()  # it prepares for all of them at once
        now = Now(self.state.step, self.count, self.extra["value"] if "value" in needs else None)
        scalars = RuleScalars(r.hyper, {}, r.scalars)
        if "value_fn" in needs:  # any function: nothing to compile once
            measured = measure(r.name, r.rule, dtypes, lists, now, scalars, self._value_fn(mine))
        else:
            measured = compiled_measure(r.name, r.rule, dtypes, lists, now, scalars)
        kept = {name: jnp.asarray(measured[name], old.dtype) for name, old in r.scalars.items()}
        return r._replace(measured=measured, scalars=kept, before=r.scalars)

    def _value_fn(self, mine: Sequence[int]) -> Callable[[Sequence[Any]], Any]:
        """The user's function of a list of arrays, in the place of the parameters of these numbers.

        As in optax, it is also given those extra arguments of `update` that it names.
        """
        given = self.extra["value_fn"]
        names = [name for name in _keywords(given) if name not in ("value", "grad", "value_fn")]
        named = {name: self.extra[name] for name in names if name in self.extra}
        params: Any = self.params

        def value_fn(arrays: Sequence[Any]) -> Any:
            leaves = list(params.leaves)
            for i, x in zip(mine, arrays, strict=True):
                leaves[i] = jnp.asarray(x, dtype_of(leaves[i]))
            return given(params.unflatten(leaves), **named)

        return value_fn

    def _run_rules(self, rules: Sequence[Resolved], finish: Finish | None, key: Any) -> dict[str, Any]:
        """Runs the rules on every leaf. Gives the new slots of the stages that have some."""
        needs = frozenset[str]().union(*(r.rule.needs for r in rules))
        value = self.extra["value"] if "value" in needs else None
        now = Now(self.state.step, self.count, value, key if finish == "stochastic" else None)
        functions: dict[Any, Any] = {}  # hashing the rules once a kind of leaf, not once a leaf
        new = [r.copied_slots() for r in rules]
        for i in self.active:
            kind = self._kind(i, rules, finish)
            if kind not in functions:
                functions[kind] = _function(rules, kind, finish)
            here, function, scalars = functions[kind]
            if here or finish in ROUNDINGS:
                slots = [rules[n].slots_of(i) for n in here]
                operands = self._operands(i, needs, finish)
                self.values[i], kept = function(self.values[i], slots, *operands[:2], now, scalars, operands[2])
                for n, values in zip(here, kept, strict=True):
                    for name, x in values.items():
                        new[n][name][i] = x
            elif finish == "update":  # nothing to compile for what passes
                self.values[i] = self.lift.cast(self.values[i], dtype_of(self.flat.leaves[i]))
        stages = zip(rules, new, strict=True)
        return {r.name: r.state(slots) for r, slots in stages if slots or r.scalars}

    def _kind(self, i: int, rules: Sequence[Resolved], finish: Finish | None) -> Any:
        """What the compiled function of leaf i depends on: dtypes, and the rules that see it."""
        like = self.flat if finish == "update" or self.params is None else self.params
        out = dtype_of(like.leaves[i]) if finish else None
        return self.dtypes[i], out, *(r.kind(i) for r in rules)

    def _operands(self, i: int, needs: frozenset[str], finish: Finish | None) -> tuple[Any, Any, Any]:
        """The parameter, the argument grad and the number of leaf i, None for what is not needed."""
        with_param = self.params is not None and ("param" in needs or finish in ROUNDINGS)
        with_index = "key" in needs or finish == "stochastic"
        return (
            self.params.leaves[i] if with_param and self.params else None,
            self.grad.leaves[i] if self.grad is not None and "grad" in needs else None,
            np.int32(i) if with_index else None,
        )

    def tree_params(self, name: str) -> Any:
        """The parameters that the tree stage of that name sees."""
        if self.params is None:
            return None
        flat = self.lift.stages[name].masked(self.params, self.seen.get(name))
        return flat.unflatten(flat.leaves)

    def _run_tree(self, name: str) -> Any:
        """Runs a stage on the trees that it sees, in the dtype of the arithmetic. Gives its new state."""
        stage, seen = self.lift.stages[name], self.seen.get(name)
        mine = [i for i in self.active if seen is None or seen[i] is not None]
        tree: list[Any] = [None] * len(self.values)
        for i in mine:
            tree[i] = self.lift.cast(self.values[i], self.dtypes[i])
        before = from_state(self.state, "stages", name)
        now = stage.technique.replace(varying(name, stage.technique, self.state))
        at = TreeAt(self.state.step, self.count, self.tree_params(name), self.extra)
        updates, after = now.update(self.flat.unflatten(tree), before, at)
        updated = self.lift.flatten(updates)
        check_structure(name, updated, self.flat, "gradients", "updates")
        for i in mine:
            self.values[i] = updated.leaves[i]
        self.active = [i for i in self.active if self.values[i] is not None]
        return after


def _function(rules: Sequence[Resolved], kind: Any, finish: Finish | None) -> tuple[list[int], Any, list[RuleScalars]]:
    """The rules that see leaves of a kind, by number, their compiled function, and their scalars."""
    dtype, out, *kinds = kind
    here = [n for n, k in enumerate(kinds) if k is not None]
    static, scalars = [], []
    for n in here:
        rule, hyper = rules[n].on(kinds[n])
        static.append(rule)
        scalars.append(RuleScalars(hyper, rules[n].measured, rules[n].before))
    return here, leaf_function(tuple(static), dtype, out, finish), scalars


def _listed(leaves: Sequence[Any] | None, numbers: Sequence[int], wanted: bool = True) -> list[Any] | None:
    return None if leaves is None or not wanted else [leaves[i] for i in numbers]


def _keywords(function: Any) -> list[str]:
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return []
    return list(parameters)[1:]
