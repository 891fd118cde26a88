"""One step of a chain.

A `Step` finds the parameters that each stage sees, resolves the rules (`_resolve.py`), and checks the slots. Then `run`
takes the segments one by one. `values` has one entry per leaf: its gradient after the stages so far. `active` has the
numbers of the leaves with a gradient; None and float0 leaves pass unchanged. Leaves of the same kind share one compiled
function (`_leaf.py`).
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradtx._tools import (
    ROUNDINGS,
    Extra,
    Flat,
    Tree,
    check_leaves,
    check_structure,
    dtype_of,
    flatten,
    is_complex,
    is_trainable,
    later_arguments,
    wide,
)
from gradtx.core._leaf import Finish, Lists, Now, RuleScalars, compiled_measure, leaf_function, measure
from gradtx.core._resolve import Group, LeafKind, Resolved, resolve, slots_in_state
from gradtx.core._rule import Rule, Scope
from gradtx.core._slots import check_slots
from gradtx.core._state import State, from_state, varying
from gradtx.core._tree_stage import TreeAt

if TYPE_CHECKING:
    from gradtx.core._lift import Lift


class Kind(NamedTuple):
    """The dtypes of a leaf's arithmetic and result, and its kind for each rule. They select its compiled function."""

    dtype: np.dtype
    out: np.dtype | None
    of_rules: tuple[LeafKind | None, ...]


class LeafCall(NamedTuple):
    """The numbers of the rules that see a kind of leaf, these rules compiled, and their scalars."""

    members: list[int]
    function: Callable[..., Any]
    scalars: list[RuleScalars]


class Step:
    """The gradients on their path through a chain."""

    def __init__(self, lift: "Lift", grads: Tree, state: State, params: Tree, extra: Extra):
        self.lift, self.state, self.extra = lift, state, extra
        self.flat = lift.flatten(grads)
        self.params = None if params is None else self._checked(params, "parameters")
        self.grad = None if extra.get("grad") is None else self._checked(extra["grad"], "argument grad")
        self.count = jnp.where(state.step < np.iinfo(np.int32).max, state.step + 1, state.step)
        self.values = list(self.flat.leaves)
        self.active = [i for i, g in enumerate(self.values) if is_trainable(g)]
        self.seen = lift.seen(self.params or self.flat, dtypes=self.params is not None)
        self.rules = {name: self._resolved(name) for name, s in lift.stages.items() if isinstance(s.technique, Rule)}
        self.dtypes = {i: self._dtype(i) for i in self.active}
        for name, stage in lift.stages.items():
            slots = self.rules[name].slots if name in self.rules else slots_in_state(name, stage, state)[0]
            check_slots(name, stage, slots, self.flat, self.dtypes, self.seen.get(name), lift.noun)

    def _checked(self, tree: Tree, reference: str) -> Flat:
        """The leaves of a tree that must be like the gradients."""
        flat = flatten(tree)
        first = next(iter(self.lift.stages), "chain")
        check_structure(first, self.flat, flat, reference)
        check_leaves(first, self.flat, flat, reference)
        return flat

    def _resolved(self, name: str) -> Resolved:
        return resolve(name, self.lift.stages[name], self.state, self.params, self.seen.get(name), self.flat)

    def _dtype(self, i: int) -> np.dtype:
        """The dtype of leaf i's arithmetic: that of its parameter or slots, in float32 or wider."""
        if self.params is not None:
            return wide(dtype_of(self.params.leaves[i]))
        of_gradient = dtype_of(self.flat.leaves[i])
        slots = (slot.leaves[i] for rule in self.rules.values() for slot in rule.slots.values())
        dtype = next((x.dtype for x in slots if is_trainable(x)), of_gradient)
        return wide(dtype, as_complex=is_complex(of_gradient))

    def run(self, names: Sequence[str], finish: Finish | None, key: jax.Array | None) -> dict[str, Any]:
        """Runs a segment: a tree stage, or rules one after the other. Returns the new states of its stages."""
        if names and names[0] not in self.rules:
            return {names[0]: self._run_tree(names[0], finish, key)}
        rules = [self.rules[name] for name in names]
        return self._run_rules([self._measured(r) if r.measures else r for r in rules], finish, key)

    def _measured(self, rule: Resolved) -> Resolved:
        """The rule with the scalars that it prepares, and measures on the gradients as they are now."""
        needs = rule.rule.needs
        visible = [i for i in self.active if rule.sees(i)]
        dtypes = tuple(self.dtypes[i] for i in visible)
        if rule.rule.scope is Scope.TREE:
            slots = {name: _taken(slot.leaves, visible) for name, slot in rule.slots.items()}
            param = _taken(self.params.leaves, visible) if "param" in needs and self.params else None
            grad = _taken(self.grad.leaves, visible) if "grad" in needs and self.grad else None
            lists = Lists(_taken(self.values, visible), slots, param, grad)
        else:
            dtypes, lists = tuple(sorted(set(dtypes), key=str)), Lists()  # `prepare` sees no arrays
        now = Now(self.state.step, self.count, self.extra["value"] if "value" in needs else None)
        if rule.per_group:
            return rule._replace(measured=self._prepared(rule, visible, dtypes, now))
        scalars = RuleScalars(rule.hyper, {}, rule.scalars)
        if "value_fn" in needs:  # a new function at each step would be compiled at each step
            measured = measure(rule.name, rule.rule, dtypes, lists, now, scalars, self._value_fn(visible))
        else:
            measured = compiled_measure(rule.name, rule.rule, dtypes, lists, now, scalars)
        stored = {name: jnp.asarray(measured[name], old.dtype) for name, old in rule.scalars.items()}
        return rule._replace(measured=measured, scalars=stored, before=rule.scalars)

    def _prepared(
        self, rule: Resolved, visible: Sequence[int], dtypes: tuple[np.dtype, ...], now: Now
    ) -> dict[Group, dict[str, Any]]:
        """The scalars that a rule prepares for each group. Such a rule keeps no scalars and measures no arrays."""
        prepared: dict[Group, dict[str, Any]] = {}
        for i in visible:
            group = (rule.groups or {})[i]
            if group not in prepared:
                static, hyper = rule.on(LeafKind((), group))
                scalars = RuleScalars(hyper, {}, {})
                prepared[group] = compiled_measure(rule.name, static.rule, dtypes, Lists(), now, scalars)
        return prepared

    def _value_fn(self, visible: Sequence[int]) -> Callable[[Sequence[jax.Array]], Any]:
        """The user's `value_fn`, as a function of a list of arrays in the place of the parameters of these numbers.

        As in optax, the user's function also receives the extra arguments of `update` that it names.
        """
        of_params: Any = self.extra["value_fn"]
        names = [name for name in later_arguments(of_params) if name not in ("value", "grad", "value_fn")]
        named = {name: self.extra[name] for name in names if name in self.extra}
        params: Any = self.params

        def value_fn(arrays: Sequence[jax.Array]) -> Any:
            leaves = list(params.leaves)
            for i, x in zip(visible, arrays, strict=True):
                leaves[i] = jnp.asarray(x, dtype_of(leaves[i]))
            return of_params(params.unflatten(leaves), **named)

        return value_fn

    def _run_rules(self, rules: Sequence[Resolved], finish: Finish | None, key: jax.Array | None) -> dict[str, Any]:
        """Runs the rules on every leaf. Returns the new states of the stages that have slots."""
        needs = frozenset[str]().union(*(rule.rule.needs for rule in rules))
        value = self.extra["value"] if "value" in needs else None
        now = Now(self.state.step, self.count, value, key if finish == "stochastic" else None)
        calls: dict[Kind, LeafCall] = {}  # rules are hashed once per kind of leaf, not once per leaf
        new_slots = [rule.copied_slots() for rule in rules]
        for i in self.active:
            kind = self._kind(i, rules, finish)
            if kind not in calls:
                calls[kind] = _leaf_call(rules, kind, finish)
            members, function, scalars = calls[kind]
            if members or finish in ROUNDINGS:
                slots = [rules[n].slots_of(i) for n in members]
                param, grad, index = self._operands(i, needs, finish)
                self.values[i], new = function(self.values[i], slots, param, grad, now, scalars, index)
                for n, by_name in zip(members, new, strict=True):
                    for name, slot in by_name.items():
                        new_slots[n][name][i] = slot
            elif finish == "update":  # no rule sees the leaf, so there is nothing to compile
                self.values[i] = self.lift.cast(self.values[i], dtype_of(self.flat.leaves[i]))
        stages = zip(rules, new_slots, strict=True)
        return {rule.name: rule.state(slots) for rule, slots in stages if slots or rule.scalars}

    def _kind(self, i: int, rules: Sequence[Resolved], finish: Finish | None) -> Kind:
        like = self.flat if finish == "update" or self.params is None else self.params
        out = dtype_of(like.leaves[i]) if finish else None
        return Kind(self.dtypes[i], out, tuple(rule.kind(i) for rule in rules))

    def _operands(self, i: int, needs: frozenset[str], finish: Finish | None) -> tuple[Any, Any, np.int32 | None]:
        """The parameter, the argument grad and the number of leaf i. None in the place of what is not needed."""
        with_param = "param" in needs or finish in ROUNDINGS
        with_index = "key" in needs or finish == "stochastic"
        return (
            self.params.leaves[i] if with_param and self.params is not None else None,
            self.grad.leaves[i] if "grad" in needs and self.grad is not None else None,
            np.int32(i) if with_index else None,
        )

    def tree_params(self, name: str) -> Any:
        """The parameters that a tree stage sees."""
        if self.params is None:
            return None
        flat = self.lift.stages[name].masked(self.params, self.seen.get(name))
        return flat.unflatten(flat.leaves)

    def _run_tree(self, name: str, finish: Finish | None, key: jax.Array | None) -> Any:
        """Runs a tree stage on the trees that it sees, in the dtype of the arithmetic. Returns its new state."""
        stage, seen = self.lift.stages[name], self.seen.get(name)
        visible = [i for i in self.active if seen is None or seen[i] is not None]
        leaves: list[jax.Array | None] = [None] * len(self.values)
        for i in visible:
            leaves[i] = self.lift.cast(self.values[i], self.dtypes[i])
        before = from_state(self.state, "stages", name)
        technique = stage.technique.replace(varying(name, stage.technique, self.state))
        final = None if finish is None or finish == "update" or not technique.applies else (finish, key)
        at = TreeAt(self.state.step, self.count, self.tree_params(name), self.extra, final)
        updates, after = technique.update(self.flat.unflatten(leaves), before, at)
        updated = self.lift.flatten(updates)
        check_structure(name, updated, self.flat, "gradients", "updates")
        for i in visible:
            self.values[i] = updated.leaves[i]
        done = visible if final else ()  # the values are new parameters
        self.active = [i for i in self.active if self.values[i] is not None and i not in done]
        return after


def _leaf_call(rules: Sequence[Resolved], kind: Kind, finish: Finish | None) -> LeafCall:
    members, static, scalars = [], [], []
    for n, of_rule in enumerate(kind.of_rules):
        if of_rule is not None:
            rule, hyper = rules[n].on(of_rule)
            members.append(n)
            static.append(rule)
            scalars.append(RuleScalars(hyper, rules[n].measured_on(of_rule.group), rules[n].before))
    return LeafCall(members, leaf_function(tuple(static), kind.dtype, kind.out, finish), scalars)


def _taken(leaves: Sequence[Any], numbers: Sequence[int]) -> list[Any]:
    return [leaves[i] for i in numbers]
