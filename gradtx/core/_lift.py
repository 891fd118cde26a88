"""The interpreter: runs rules written for one array over trees of parameters.

A chain is cut into segments. A segment starts where a rule must `measure` all gradients first, and a tree stage is a
segment of its own. Within a segment every parameter is handled on its own, all rules that see it in one function, so
that the compiler sees a single expression. That function is a nested `jax.jit`: parameters of one shape and dtype that
the same rules see are traced once.

`Lift` holds the stages, makes the state and finds what each stage sees; `_step.py` is one step; `_leaf.py` has the
compiled functions.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx._tools import Flat, check_params, dtype_of, flatten, is_trainable
from gradtx.core._check import accepted, check_call
from gradtx.core._evaluate import evaluated
from gradtx.core._leaf import Finish
from gradtx.core._rule import Rule, Scope
from gradtx.core._slots import init_slots
from gradtx.core._stage import Axes, Stage
from gradtx.core._state import State, from_state
from gradtx.core._stateful import stateful
from gradtx.core._step import Step
from gradtx.core._tree_stage import TreeStage

SeenBy = Mapping[str, list[Axes | None]]
"""Stage name → for each leaf the axes of its layers, None where the stage does not see it. Stages that see all lack."""


class Lift:
    """`init` and `update` for a sequence of named stages."""

    noun = "gradients"  # what goes through the chain

    def __init__(self, stages: Mapping[str, Stage]):
        self.stages = stages
        self.techniques = {name: stage.technique for name, stage in stages.items()}
        self.segments = _segments(self.techniques)
        self.stateful = stateful(self.techniques)
        self._known: dict[Any, SeenBy] = {}

    def init(self, params: Any) -> State:
        """The state before the first step; slots get the parameters' sharding."""
        flat = self.flatten(params)
        check_params(flat)
        self.check(flat)
        return self.state(flat)

    def flatten(self, tree: Any) -> Flat:
        """The leaves of the parameters or gradients."""
        return flatten(tree)

    def cast(self, leaf: Any, dtype: Any) -> Any:
        """A leaf in the dtype of the arithmetic."""
        return jnp.asarray(leaf, dtype)

    def seen(self, params: Flat, dtypes: bool = True) -> SeenBy:
        """What each stage sees of the parameters. `dtypes` says whether their dtypes are known."""
        if not any(stage.views for stage in self.stages.values()):
            return {}
        arrays = tuple((np.shape(x), dtype_of(x)) if is_trainable(x) else None for x in params.leaves)
        try:
            known = self._known.get(key := (params.treedef, arrays, dtypes))
        except TypeError:  # a tree may hold what does not hash
            return self._find_seen(params, False, "", dtypes)
        if known is None:
            if len(self._known) >= 64:
                self._known.clear()
            known = self._known[key] = self._find_seen(params, False, "", dtypes)
        return known

    def _find_seen(self, params: Flat, check: bool, prefix: str, dtypes: bool = True) -> SeenBy:
        found = {name: stage.axes(params, prefix + name, check, dtypes) for name, stage in self.stages.items()}
        return {name: axes for name, axes in found.items() if axes is not None}

    def check(self, flat: Flat, prefix: str = "") -> None:
        """Stages find what they see among the parameters, and rules their groups, also those of parts."""
        seen = self._find_seen(flat, True, prefix)
        for name, stage in self.stages.items():
            mine = stage.masked(flat, seen.get(name))
            if isinstance(stage.technique, Rule):
                stage.technique.groups(mine, prefix + name, check=True)
            for part, inner in stage.technique.parts().items():
                inner._lift.check(mine, f"{prefix}{name}.{part}.")

    def state(self, flat: Flat) -> State:
        """The state before the first step, for parameters that need not be the ones that stages select."""
        seen, states = self.seen(flat), {}
        for name, stage in self.stages.items():
            technique, mine = stage.technique, stage.masked(flat, seen.get(name))
            if isinstance(technique, TreeStage) and not technique.keeps_state:
                states[name] = technique.init(mine.unflatten(mine.leaves))
                continue
            parts = {part: inner._lift.state(mine) for part, inner in technique.parts().items()}
            slots = parts | init_slots(name, stage, flat, seen.get(name), self.cast)
            if slots or isinstance(technique, TreeStage):
                states[name] = slots
        kept = {name: value.init() for name, value in self.stateful.items()}
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
        check_call(self.techniques, self.stateful, state, params, extra)
        step = self.begin(grads, self._observed(state, extra.get("value")), params, extra)
        stages = dict(state.stages)
        for names in self.segments:
            stages |= step.run(names, finish if names is self.segments[-1] else None, key)
        return step.flat.unflatten(step.values), State(step.count, step.state.hyperparams, stages)

    def begin(self, grads: Any, state: State, params: Any, extra: Mapping[str, Any]) -> Step:
        """The step after its arguments were checked."""
        return Step(self, grads, state, params, extra)

    def evaluated(self, params: Any, state: State) -> Any:
        """The parameters to evaluate the model with."""
        return evaluated(self, params, state)

    def accepts(self) -> frozenset[str]:
        """The extra arguments of `update` that some stage or hyperparameter takes."""
        return accepted(self.techniques, self.stateful)

    def _observed(self, state: State, metric: Any) -> State:
        """The state after the hyperparameters that follow a metric have seen the one of this step, if there is one."""
        followers = {} if metric is None else {n: kept for n, kept in self.stateful.items() if kept.follows_metric}
        if not followers:
            return state
        seen = {n: f.observe(from_state(state, "hyperparams", n), metric, state.step) for n, f in followers.items()}
        return state._replace(hyperparams=state.hyperparams | seen)


def _segments(techniques: Mapping[str, Any]) -> list[list[str]]:
    """The names of the stages, cut before each rule that measures and around each tree stage; the last are rules."""
    segments: list[list[str]] = [[]]
    for name, technique in techniques.items():
        if isinstance(technique, TreeStage):
            segments += [[name], []]
        elif technique.scope is Scope.TREE:
            segments.append([name])
        else:
            segments[-1].append(name)
    return [names for names in segments[:-1] if names] + segments[-1:]
