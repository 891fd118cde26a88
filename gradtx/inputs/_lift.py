"""The interpreter of chains for inputs. Batches go through the stages, and batches may be sparse."""

import difflib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import jax
import numpy as np

from gradtx._tools import Flat, Rounding, Tree, dtype_of, is_complex, is_trainable, summary
from gradtx.core import Lift, Stage, State, Step, Technique
from gradtx.inputs._sparse import cast_stored, flatten_inputs, is_sparse

if TYPE_CHECKING:
    from jax.experimental.sparse import BCOO
    from typing_extensions import TypeIs

    from gradtx.inputs._rule import InputRule


class InputLift(Lift):
    """`init` and `update` of a chain with an input rule. `params` has the parameters of the stages, by stage name."""

    noun = "inputs"

    def __init__(self, stages: Mapping[str, Stage]):
        super().__init__(stages)
        if bad := [name for name, technique in self.techniques.items() if "param" in technique.needs]:
            raise TypeError(
                f"chain: {bad[0]} needs parameters like its gradients, so it cannot be in a chain for inputs"
            )

    def flatten(self, tree: Tree) -> Flat:
        return checked_inputs(self.techniques, tree)

    def cast(self, leaf: jax.Array, dtype: np.dtype) -> jax.Array:
        return cast_stored(leaf, dtype)

    def begin(self, grads: Tree, state: State, params: Tree, extra: Mapping[str, object]) -> Step:
        check_extra(self.techniques, self.accepts(), extra)
        return InputStep(self, grads, state, extra, params_by_stage("update", self.techniques, params))

    def run(
        self,
        grads: Tree,
        state: State,
        params: Tree,
        extra: Mapping[str, object],
        finish: Literal["update"] | Rounding,
        key: jax.Array | None = None,
    ) -> tuple[Tree, State]:
        y, after = super().run(grads, state, params, extra, finish, key)
        return y, after if extra.get("train", True) else state


class InputStep(Step):
    """Inputs on their way through the chain, and the parameters of each stage."""

    def __init__(self, lift: Lift, grads: Tree, state: State, extra: Mapping[str, object], own: Mapping[str, Tree]):
        super().__init__(lift, grads, state, None, extra)
        self.own = own

    def tree_params(self, name: str) -> Tree:
        return self.own.get(name)


def check_extra(stages: Mapping[str, Technique], accepted: frozenset[str], extra: Mapping[str, object]) -> None:
    """Complains about arguments of `update` that no stage takes, and about those without effect in inference."""
    for name in (name for name in extra if name not in accepted):
        near = difflib.get_close_matches(name, accepted, n=1, cutoff=0.6) or sorted(accepted)
        raise TypeError(f"update: no stage takes {name}=; did you mean {' or '.join(near)}?")
    train = extra.get("train", True)
    if not isinstance(train, bool):
        raise TypeError(f"update: train must be True or False, got {train!r}")
    in_inference = [] if train else [name for name, value in extra.items() if value is not None and name != "train"]
    for name in in_inference:
        takers = {taker: stage for taker, stage in stages.items() if name in stage.accepts()}
        if takers and not any(not is_input_rule(s) or name in s.used_in_inference() for s in takers.values()):
            raise TypeError(
                f"update: {name}= has no effect with train=False, because {' and '.join(takers)} would use it only to "
                f"learn; leave {name} out"
            )


def params_by_stage(function: str, stages: Mapping[str, Technique], params: Tree) -> Mapping[str, Tree]:
    """The argument `params`: stage name → the parameters of the stage, which for an input rule are again by name."""
    if params is None:
        return {}
    wanted = f"{function}: params must be those of the stages, by name, as gradtx.inputs.parameters gives them"
    if not isinstance(params, Mapping):
        raise ValueError(f"{wanted}, got {summary(params)}")
    for name, own in params.items():
        if name not in stages:
            raise ValueError(f"{wanted}; there is no stage {name}, only {', '.join(stages)}")
        if is_input_rule(stages[name]) and not isinstance(own, Mapping):
            raise ValueError(f"{wanted}; for {name} expected {{parameter name: array}}, got {summary(own)}")
    return params


def input_params(function: str, stages: Mapping[str, Technique], params: Tree, name: str) -> Mapping[str, Any]:
    """The parameters of one input rule of the chain, by name. The argument `params` is checked as a whole."""
    own: Any = params_by_stage(function, stages, params).get(name)
    return own or {}


def checked_inputs(stages: Mapping[str, Technique], tree: Tree) -> Flat:
    """The leaves of a tree of inputs: real floating arrays or None. Sparse arrays only if all stages take them."""
    flat = flatten_inputs(tree)
    for i, x in enumerate(flat.leaves):
        foreign = type(x).__module__.startswith("scipy.sparse")
        if x is not None and (foreign or not _is_real(x)):
            stage = next(name for name, stage in stages.items() if is_input_rule(stage))
            kind = type(x).__name__ if foreign or dtype_of(x) is None else dtype_of(x)
            conversion = "BCOO.from_scipy_sparse(x)" if foreign else "x.astype(jnp.float32)"
            raise TypeError(
                f"{stage}: {place(flat, i)} must be real floating arrays, but are {kind}; convert them, as with "
                f"{conversion}"
            )
        if is_sparse(x):
            _check_sparse(stages, place(flat, i), x)
    return flat


def _check_sparse(stages: Mapping[str, Technique], place: str, x: "BCOO") -> None:
    for name, stage in stages.items():
        reason = stage.dense_because() if is_input_rule(stage) else "this stage takes only dense arrays"
        if reason:
            raise TypeError(
                f"{name}: {place} are sparse, and {reason}; use only gx.inputs.max_abs, which keeps zeros, or give "
                "x.todense()"
            )
    if type(x).__name__ != "BCOO" or x.n_batch or x.n_dense:
        raise TypeError(
            f"{next(iter(stages))}: {place} are sparse and must be a BCOO with n_batch = n_dense = 0, but are {x!r}; "
            "convert them, as with BCOO.from_bcsr(x) or x.update_layout(n_batch=0, n_dense=0)"
        )


def is_input_rule(technique: Technique) -> "TypeIs[InputRule]":
    return technique.lift is InputLift


def _is_real(leaf: object) -> bool:
    return is_trainable(leaf) and not is_complex(dtype_of(leaf))


def place(flat: Flat, i: int) -> str:
    """An array of inputs in words."""
    return f"the inputs at {flat.paths()[i]}" if flat.paths()[i] else "the inputs"
