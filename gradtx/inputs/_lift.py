"""The interpreter of chains for inputs: what reaches the stages are batches, which may be sparse."""

import difflib
from collections.abc import Mapping
from typing import Any

from gradtx._tools import Flat, dtype_of, is_complex, is_trainable
from gradtx.core import Lift, State, Step
from gradtx.inputs._sparse import cast_stored, flatten_inputs, is_sparse


class InputLift(Lift):
    """`init` and `update` of a chain with an input rule, whose parameters are those of the stages, by name."""

    noun = "inputs"

    def __init__(self, stages: Mapping[str, Any]):
        super().__init__(stages)
        if bad := [name for name, technique in self.techniques.items() if "param" in technique.needs]:
            raise TypeError(f"{bad[0]} needs parameters like its gradients, so it cannot be in a chain for inputs")

    def flatten(self, tree: Any) -> Flat:
        return checked_inputs(self.techniques, tree)

    def cast(self, leaf: Any, dtype: Any) -> Any:
        return cast_stored(leaf, dtype)

    def begin(self, grads: Any, state: State, params: Any, extra: Mapping[str, Any]) -> Step:
        own = check_input_call(self.techniques, self.accepts(), params, extra)
        return InputStep(self, grads, state, extra, own)

    def run(
        self, grads: Any, state: State, params: Any, extra: Mapping[str, Any], finish: Any, key: Any = None
    ) -> tuple[Any, State]:
        y, after = super().run(grads, state, params, extra, finish, key)
        return y, after if extra.get("train", True) else state


class InputStep(Step):
    """Inputs on their way through the chain, and the parameters of each stage."""

    def __init__(self, lift: Lift, grads: Any, state: State, extra: Mapping[str, Any], own: Mapping[str, Any]):
        super().__init__(lift, grads, state, None, extra)
        self.own = own

    def tree_params(self, name: str) -> Any:
        return self.own.get(name)


def check_input_call(
    stages: Mapping[str, Any], accepted: frozenset[str], params: Any, extra: Mapping[str, Any]
) -> Mapping[str, Any]:
    """The parameters of the stages of a chain for inputs, by stage; complains about a call that is none of theirs."""
    for name in (name for name in extra if name not in accepted):
        near = difflib.get_close_matches(name, accepted, n=1, cutoff=0.6) or sorted(accepted)
        raise TypeError(f"update: no stage takes {name}=; did you mean {' or '.join(near)}?")
    if not isinstance(extra.get("train", True), bool):
        raise TypeError(f"update: train must be True or False, got {extra['train']!r}")
    params = {} if params is None else params
    if not isinstance(params, Mapping) or params.keys() - stages.keys():
        raise ValueError(
            f"update: params must be those of the stages, by name, as gradtx.inputs.parameters gives them; the stages "
            f"are {', '.join(stages)}"
        )
    return params


def checked_inputs(stages: Mapping[str, Any], tree: Any) -> Flat:
    """Inputs are real floating arrays, sparse only where all stages keep them so, or None."""
    flat = flatten_inputs(tree)
    for i, x in enumerate(flat.leaves):
        foreign = type(x).__module__.startswith("scipy.sparse")
        if x is not None and (foreign or not _is_real(x)):
            stage = next(name for name, stage in stages.items() if stage.lift is InputLift)
            kind = type(x).__name__ if foreign or dtype_of(x) is None else dtype_of(x)
            conversion = "BCOO.from_scipy_sparse(x)" if foreign else "x.astype(jnp.float32)"
            raise TypeError(
                f"{stage}: {place(flat, i)} must be real floating arrays, but are {kind}; convert them, as with "
                f"{conversion}"
            )
        if is_sparse(x):
            _check_sparse(stages, place(flat, i), x)
    return flat


def _check_sparse(stages: Mapping[str, Any], place: str, x: Any) -> None:
    for name, stage in stages.items():
        reason = stage.dense_because() if stage.lift is InputLift else "this stage takes dense arrays alone"
        if reason:
            raise TypeError(
                f"{name}: {place} are sparse, and {reason}; use gx.inputs.max_abs alone, which keeps zeros, or give "
                "x.todense()"
            )
    if type(x).__name__ != "BCOO" or x.n_batch or x.n_dense:
        raise TypeError(
            f"{next(iter(stages))}: {place} are sparse and must be a BCOO with n_batch = n_dense = 0, but are {x!r}; "
            "convert them, as with BCOO.from_bcsr(x) or x.update_layout(n_batch=0, n_dense=0)"
        )


def _is_real(leaf: Any) -> bool:
    return is_trainable(leaf) and not is_complex(dtype_of(leaf))


def place(flat: Flat, i: int) -> str:
    """An array of inputs in words."""
    return f"the inputs at {flat.paths()[i]}" if flat.paths()[i] else "the inputs"
