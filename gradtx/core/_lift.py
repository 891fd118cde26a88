"""The interpreter: runs rules written for one array over trees of parameters.

A chain is cut into segments, each of which starts where a rule must `measure` all gradients first. Within a segment
every parameter is handled on its own, all rules in one function per parameter, so that the compiler sees a single
expression. That function is a nested `jax.jit`: parameters of one shape and dtype are traced once.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx._tools import (
    Flat,
    check_leaves,
    check_params,
    check_structure,
    dtype_of,
    flatten,
    is_complex,
    is_trainable,
    wide,
)
from gradtx.core._check import accepted, check_call, from_state
from gradtx.core._leaf import Finish, compiled_measure, leaf_function, measure
from gradtx.core._resolve import Resolved, resolve
from gradtx.core._rounding import ROUNDINGS
from gradtx.core._rule import Rule, Scope, TreeStage
from gradtx.core._slots import init_slot, stateful, varying
from gradtx.core._state import State


class Lift:
    """`init` and `update` for a sequence of named stages."""

    def __init__(self, stages: Mapping[str, Rule | TreeStage]):
        self.stages = stages
        self.segments = _segments(stages)
        self.kept = stateful(stages)

    def init(self, params: Any) -> State:
        """The state before the first step; slots get the parameters' sharding."""
        flat = self.flatten(params)
        check_params(flat)
        self.check_groups(flat)
        return self.state(flat)

    def flatten(self, tree: Any) -> Flat:
        """The leaves of the parameters or gradients."""
        return flatten(tree)

    def cast(self, leaf: Any, dtype: Any) -> Any:
        """A leaf in the dtype of the arithmetic."""
        return jnp.asarray(leaf, dtype)

    def check_groups(self, flat: Flat, prefix: str = "") -> None:
        """Rules find their groups among the parameters, those of parts too."""
        for name, stage in self.stages.items():
            if isinstance(stage, Rule):
                stage.groups(flat, prefix + name, check=True)
                continue
            for part, inner in stage.parts().items():
                inner._lift.check_groups(flat, f"{prefix}{name}.{part}.")

    def state(self, flat: Flat) -> State:
        """The state before the first step, for parameters that need not be the ones that rules group."""
        states = {}
        for name, stage in self.stages.items():
            if isinstance(stage, TreeStage):
                states[name] = stage.init(flat.unflatten(flat.leaves))
            elif slots := stage.active_slots():
                states[name] = {slot: init_slot(name, stage, spec, flat) for slot, spec in slots.items()}
        kept = {name: value.init() for name, value in self.kept.items()}
        return State(jnp.zeros((), jnp.int32), kept, states)

    def update(self, updates: Any, state: State, params: Any = None, **extra_args: Any) -> tuple[Any, State]:
        """(updates in the gradients' dtypes, state)."""
        return self.run(updates, state, params, extra_args, "update")

    def run(
        self,
        grads: Any,
        state: State,
        params: Any,
        extra: Mapping[str, Any],
        finish: Finish,
        key: jax.Array | None = None,
    ) -> tuple[Any, State]:
        """One step: (updates, state), or (new parameters, state) where `finish` is a rounding."""
        check_call(self.stages, self.kept, state, params, extra)
        return self.step(grads, state, params, extra, finish, key)

    def step(
        self, grads: Any, state: State, params: Any, extra: Mapping[str, Any], finish: Finish, key: jax.Array | None
    ) -> tuple[Any, State]:
        """The same after the call was checked."""
        state = self._observed(state, extra.get("value"))
        step = self.begin(grads, state, params, extra)
        rules = {name: resolve(name, s, state, step.params) for name, s in self.stages.items() if isinstance(s, Rule)}
        for r in rules.values():
            step.check_slots(r)
        stages = dict(state.stages)
        for names in self.segments:
            first = self.stages[names[0]] if names else None
            if isinstance(first, TreeStage):
                stages[names[0]] = step.apply_tree(names[0], first)
                continue
            segment = [step.measure(rules[name]) if rules[name].measures else rules[name] for name in names]
            stages |= step.apply(segment, finish if names is self.segments[-1] else None, key)
        after = State(step.count, state.hyperparams, stages)
        return step.flat.unflatten(step.values), after

    def begin(self, grads: Any, state: State, params: Any, extra: Mapping[str, Any]) -> "Step":
        return Step(self, grads, state, params, extra)

    def accepts(self) -> frozenset[str]:
        """The extra arguments of `update` that some stage or hyperparameter takes."""
        return accepted(self.stages, self.kept)

    def _observed(self, state: State, metric: Any) -> State:
        """The state after the hyperparameters that follow a metric have seen the one of this step, if there is one."""
        followers = {} if metric is None else {n: kept for n, kept in self.kept.items() if kept.follows_metric}
        if not followers:
            return state
        seen = {n: f.observe(from_state(state, "hyperparams", n), metric, state.step) for n, f in followers.items()}
        return state._replace(hyperparams=state.hyperparams | seen)


class Step:
    """The gradients on their way through the chain: `values`, a leaf each. None and float0 leaves pass untouched."""

    def __init__(self, lift: Lift, grads: Any, state: State, params: Any, extra: Mapping[str, Any]):
        self.lift, self.flat = lift, lift.flatten(grads)
        self.params = None if params is None else flatten(params)
        self.grad = None if extra.get("grad") is None else flatten(extra["grad"])
        for tree, what in ((self.params, "parameters"), (self.grad, "argument grad")):
            if tree is not None:
                stage = next(iter(lift.stages), "chain")
                check_structure(stage, self.flat, tree, what)
                check_leaves(stage, self.flat, tree, what)
        self.state, self.extra = state, extra
        self.count = jnp.where(state.step < np.iinfo(np.int32).max, state.step + 1, state.step)
        self.values = list(self.flat.leaves)
        self.active = [i for i, g in enumerate(self.values) if is_trainable(g)]

    def check_slots(self, r: Resolved) -> None:
        for name, slot in r.slots.items():
            check_structure(r.name, self.flat, slot, f"state's {name}")
            check_leaves(r.name, self.flat, slot, f"state's {name}", kind=False)

    def dtype(self, i: int, slots: Sequence[Flat] = ()) -> np.dtype:
        """The dtype of leaf i's arithmetic: its parameter's, in float32 or wider, whatever its gradient's is."""
        if self.params is not None:
            return wide(dtype_of(self.params.leaves[i]))
        g = dtype_of(self.flat.leaves[i])
        return wide(slots[0].leaves[i].dtype if slots else g, as_complex=is_complex(g))

    def leaves(self, tree: Flat | None, wanted: bool) -> list[Any] | None:
        return [tree.leaves[i] for i in self.active] if tree is not None and wanted else None

    def measure(self, r: Resolved) -> Resolved:
        """`r` with what its rule prepares, and measures on the gradients as they are now."""
        needs = r.rule.needs
        whole = r.rule.scope is Scope.TREE
        params, grad = (self.leaves(x, whole and n in needs) for x, n in ((self.params, "param"), (self.grad, "grad")))
        grads = [self.values[i] for i in self.active] if whole else None
        lists = {"grads": grads, "param": params, "grad": grad}
        scalars = {"step": self.state.step, "count": self.count, "measured": dict(r.scalars)}
        if "value" in needs:
            scalars["value"] = self.extra["value"]
        dtypes = tuple(self.dtype(i, list(r.slots.values())) for i in self.active)
        if not whole:
            dtypes = tuple(sorted(set(dtypes), key=str))  # it prepares for all of them at once
        if "value_fn" in needs:  # any function: nothing to compile once
            measured = measure(r.rule, dtypes, lists, scalars, r.hyper, self.extra["value_fn"])
        else:
            measured = compiled_measure(r.rule, dtypes, lists, scalars, r.hyper)
        kept = {name: jnp.asarray(measured[name], old.dtype) for name, old in r.scalars.items()}
        return r._replace(measured=measured, scalars=kept)

    def apply(self, rules: Sequence[Resolved], finish: Finish | None, key: jax.Array | None) -> dict[str, Any]:
        """Runs the rules on every leaf. Gives the new slots of the stages that have some."""
        if not rules and finish == "update":
            for i in self.active:
                self.values[i] = self.lift.cast(self.values[i], dtype_of(self.flat.leaves[i]))
            return {}
        needs = frozenset[str]().union(*(r.rule.needs for r in rules))
        with_param = "param" in needs or finish in ROUNDINGS
        with_index = "key" in needs or finish == "stochastic"
        scalars = {
            "step": self.state.step,
            "count": self.count,
            "measured": [r.measured for r in rules],
            "value": self.extra["value"] if "value" in needs else None,
            "key": key if finish == "stochastic" else None,
        }
        slots = [slot for r in rules for slot in r.slots.values()]
        grouped, alike = any(r.groups is not None for r in rules), (None,) * len(rules)
        functions: dict[Any, Any] = {}  # hashing the rules once a dtype and a group, not once a leaf
        new = [{name: list(slot.leaves) for name, slot in r.slots.items()} for r in rules]
        for i in self.active:
            p = self.params.leaves[i] if self.params is not None else None
            out = dtype_of(self.flat.leaves[i] if finish == "update" else p) if finish else None
            groups = tuple(None if r.groups is None else r.groups[i] for r in rules) if grouped else alike
            kind = self.dtype(i, slots), out, groups
            if kind not in functions:
                variants = [r.for_group(group) for r, group in zip(rules, groups, strict=True)]
                static = tuple(rule for rule, _ in variants)
                functions[kind] = leaf_function(static, kind[0], out, finish), [hyper for _, hyper in variants]
            function, hyper = functions[kind]
            self.values[i], kept = function(
                self.values[i],
                [{name: slot.leaves[i] for name, slot in r.slots.items()} for r in rules],
                p if with_param else None,
                self.grad.leaves[i] if self.grad is not None and "grad" in needs else None,
                scalars | {"hyper": hyper},
                np.int32(i) if with_index else None,
            )
            for stage, values in zip(new, kept, strict=True):
                for name, value in values.items():
                    stage[name][i] = value
        return {
            r.name: {name: r.slots[name].unflatten(leaves) for name, leaves in stage.items()} | dict(r.scalars)
            for r, stage in zip(rules, new, strict=True)
            if stage or r.scalars
        }

    def tree_params(self, name: str) -> Any:
        """The parameters that the tree stage of that name sees."""
        del name
        return None if self.params is None else self.params.unflatten(self.params.leaves)

    def apply_tree(self, name: str, stage: TreeStage) -> Any:
        """Runs a stage on the whole tree, in the dtype of the arithmetic. Gives its new state."""
        tree: list[Any] = [None] * len(self.values)
        for i in self.active:
            tree[i] = self.lift.cast(self.values[i], self.dtype(i))
        params = self.tree_params(name)
        before = from_state(self.state, "stages", name)
        now = stage.replace(varying(name, stage, self.state))
        updates, after = now.update(self.flat.unflatten(tree), before, params, self.state.step, self.extra)
        updated = self.lift.flatten(updates)
        check_structure(name, updated, self.flat, "gradients", "updates")
        for i in self.active:
            self.values[i] = updated.leaves[i]
        self.active = [i for i in self.active if updated.leaves[i] is not None]
        return after


def _segments(stages: Mapping[str, Rule | TreeStage]) -> list[list[str]]:
    """The names of the stages, cut before each rule that measures and around each tree stage; the last are rules."""
    segments: list[list[str]] = [[]]
    for name, stage in stages.items():
        if isinstance(stage, TreeStage):
            segments += [[name], []]
        elif stage.scope is Scope.TREE:
            segments.append([name])
        else:
            segments[-1].append(name)
    return [names for names in segments[:-1] if names] + segments[-1:]
