"""The interpreter of a chain: it makes the state, and runs rules written for one array over trees of parameters.

At `init`, the interpreter checks the parameters, lets each stage find the parameters that it sees, and makes the slots.
At a step, it does this:

1. `check_call` checks the arguments of `update`, and hyperparameters that follow a metric observe it.
2. A `Step` (`_step.py`) reads the state, and checks that gradients, parameters and slots fit together.
3. The segments run one after the other. A segment starts at a rule that must `measure` all gradients first. A tree
   stage is a segment of its own.
4. Within a segment, each parameter is handled by itself. All rules that see the parameter form one function
   (`_leaf.py`), so that the compiler sees a single expression. The function is a nested `jax.jit`: parameters of one
   shape and dtype with the same rules are traced once.
"""

from collections.abc import Hashable, Mapping
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from gradtx._tools import Extra, Flat, Tree, check_params, dtype_of, flatten, grouped, is_trainable, stateful
from gradtx.core._check import accepted, check_call, check_order, check_per_group
from gradtx.core._evaluate import evaluated
from gradtx.core._leaf import Finish
from gradtx.core._resolve import groups_of
from gradtx.core._rule import Rule, Scope, Technique
from gradtx.core._slots import init_slots
from gradtx.core._stage import Axes, Stage
from gradtx.core._state import State, from_state
from gradtx.core._step import Step
from gradtx.core._tree_stage import TreeStage

SeenBy: TypeAlias = Mapping[str, list[Axes | None]]
"""Stage name → `Seen`. Stages that see all leaves whole are absent."""


class Lift:
    """The functions `init` and `update` of a sequence of named stages."""

    noun = "gradients"  # the name of what goes through the chain, for errors

    def __init__(self, stages: Mapping[str, Stage]):
        self.stages = stages
        self.techniques: dict[str, Technique] = {name: stage.technique for name, stage in stages.items()}
        check_per_group(self.techniques)
        check_order(self.techniques)
        self.segments = _segments(self.techniques)
        self.stateful = stateful(self.techniques)
        self._cache: dict[Hashable, SeenBy] = {}

    def init(self, params: Tree) -> State:
        """The state before the first step. Slots have the sharding of their parameters."""
        flat = self.flatten(params)
        check_params(flat)
        self.check(flat)
        return self.state(flat)

    def flatten(self, tree: Tree) -> Flat:
        """Flattens the parameters or the gradients."""
        return flatten(tree)

    def cast(self, leaf: jax.Array, dtype: np.dtype) -> jax.Array:
        """A leaf in the dtype of the arithmetic."""
        return jnp.asarray(leaf, dtype)

    def seen(self, params: Flat, dtypes: bool = True) -> SeenBy:
        """The leaves that each stage sees. `dtypes` says whether the dtypes are those of the parameters."""
        if not any(stage.views or stage.technique.hides for stage in self.stages.values()):
            return {}
        arrays = tuple((np.shape(x), dtype_of(x)) if is_trainable(x) else None for x in params.leaves)
        try:
            cached = self._cache.get(key := (params.treedef, arrays, dtypes))
        except TypeError:  # a treedef with static data that cannot be hashed
            return self._find_seen(params, False, "", dtypes)
        if cached is None:
            if len(self._cache) >= 64:
                self._cache.clear()
            cached = self._cache[key] = self._find_seen(params, False, "", dtypes)
        return cached

    def _find_seen(self, params: Flat, check: bool, prefix: str, dtypes: bool = True) -> SeenBy:
        seen: dict[str, list[Axes | None]] = {}
        left = params  # without the leaves that earlier stages hide
        for name, stage in self.stages.items():
            axes = stage.axes(left, prefix + name, check, dtypes)
            if axes is None and left is not params:
                axes = [() if is_trainable(leaf) else None for leaf in left.leaves]
            if axes is not None:
                seen[name] = axes
            if stage.technique.hides:
                kept = [None if axes is None or axes[i] is not None else x for i, x in enumerate(left.leaves)]
                left = left._replace(leaves=kept)
        return seen

    def check(self, flat: Flat, prefix: str = "") -> None:
        """Checks that selectors select some parameters, and that rules find their groups. Includes parts of stages."""
        seen = self._find_seen(flat, True, prefix)
        for name, stage in self.stages.items():
            visible = stage.masked(flat, seen.get(name))
            if isinstance(rule := stage.technique, Rule):
                groups_of(prefix + name, rule, grouped(rule), visible, check=True)
            for part, inner in stage.technique.parts().items():
                inner._lift.check(visible, f"{prefix}{name}.{part}.")

    def state(self, flat: Flat) -> State:
        """The state before the first step. A selector that selects no parameter is no error here."""
        seen, states = self.seen(flat), {}
        for name, stage in self.stages.items():
            technique, visible = stage.technique, stage.masked(flat, seen.get(name))
            if isinstance(technique, TreeStage) and not technique.keeps_state:
                states[name] = technique.init(visible.unflatten(visible.leaves))
                continue
            parts = {part: inner._lift.state(visible) for part, inner in technique.parts().items()}
            slots = parts | init_slots(name, stage, flat, seen.get(name), self.cast)
            if slots or isinstance(technique, TreeStage):
                states[name] = slots
        hyperparams = {name: value.init() for name, value in self.stateful.items()}
        return State(jnp.zeros((), jnp.int32), hyperparams, states)

    def update(self, updates: Tree, state: State, params: Tree = None, **extra_args: object) -> tuple[Any, State]:
        """Returns (updates in the gradients' dtypes, state)."""
        return self.run(updates, state, params, extra_args, "update")

    def run(
        self, grads: Tree, state: State, params: Tree, extra: Extra, finish: Finish, key: jax.Array | None = None
    ) -> tuple[Any, State]:
        """Runs one step. Returns (updates, state), or (new parameters, state) if `finish` is a rounding."""
        check_call(self.techniques, self.stateful, state, params, extra)
        step = self.begin(grads, self._observed(state, extra.get("value")), params, extra)
        stages = dict(state.stages)
        for i, names in enumerate(self.segments):
            # A tree stage at the end of the chain may apply its updates. The last segment is then without rules.
            last = not any(self.segments[i + 1 :])
            stages |= step.run(names, finish if last else None, key)
        return step.flat.unflatten(step.values), State(step.count, step.state.hyperparams, stages)

    def begin(self, grads: Tree, state: State, params: Tree, extra: Extra) -> Step:
        """The step for checked arguments."""
        return Step(self, grads, state, params, extra)

    def evaluated(self, params: Tree, state: State) -> Any:
        """The parameters for evaluating the model."""
        return evaluated(self, params, state)

    def accepts(self) -> frozenset[str]:
        """The extra arguments of `update` that some stage or hyperparameter takes."""
        return accepted(self.techniques, self.stateful)

    def _observed(self, state: State, metric: Any) -> State:
        """The state after hyperparameters that follow a metric have observed it, unless the metric is None."""
        followers = {n: value for n, value in self.stateful.items() if value.follows_metric}
        if metric is None or not followers:
            return state
        after = {n: f.observe(from_state(state, "hyperparams", n), metric, state.step) for n, f in followers.items()}
        return state._replace(hyperparams=state.hyperparams | after)


def _segments(techniques: Mapping[str, Technique]) -> list[list[str]]:
    """The names of the stages, cut before each rule that measures and around each tree stage. The last are rules."""
    segments: list[list[str]] = [[]]
    for name, technique in techniques.items():
        if isinstance(technique, TreeStage):
            segments += [[name], []]
        elif isinstance(technique, Rule) and technique.scope is Scope.TREE:
            segments.append([name])
        else:
            segments[-1].append(name)
    return [names for names in segments[:-1] if names] + segments[-1:]
