"""Techniques for inputs: what they learn from batches is kept in the state, and applied frozen in inference."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp

from gradtx._tools import Flat, check_structure, dtype_of, flatten, wide
from gradtx.core import Stage, TreeAt, TreeStage, check_slots, with_values
from gradtx.inputs._lift import InputLift, checked_inputs, place
from gradtx.inputs._sparse import flatten_inputs, widen_stored


class InputAt(NamedTuple):
    """What an input rule may know about a batch.

    Attributes:
        train: Whether it learns from the batch.
        params: Its parameters for this array, by name; empty where none were given.
        weights: The weight of each example, or None.
        mask: Which examples or elements count, or None.
        step: Batches learnt from before this one, int32.
    """

    train: bool = False
    params: Mapping[str, jax.Array] = {}
    weights: Any = None
    mask: Any = None
    step: Any = None


class InputRule(TreeStage):
    """A technique for one array of examples, in at least float32. Subclasses declare `slots`, and define `run`.

    In a chain with one, `update(x, state, params=None, *, train=True, weights=None, mask=None)` gives `(y, state)`, the
    same state if not `train`, and `params` are those of the stages: stage name → parameter → a tree like x.
    """

    lift = InputLift

    def dense_because(self) -> str | None:
        """Why the stage takes no sparse inputs (`jax.experimental.sparse.BCOO`); None if it does, and keeps them so."""
        return "this stage takes dense arrays alone"

    def run(self, x: jax.Array, slot: Any, at: InputAt) -> tuple[jax.Array, Mapping[str, jax.Array]]:
        """(y, new slots) for one array, in which `slot` is the dictionary of its slots."""
        raise NotImplementedError

    def invert(self, y: jax.Array, slot: Any, at: InputAt) -> jax.Array:
        """The x that `run` makes y of in inference."""
        raise TypeError(f"{self.label} has no inverse")

    def parameters(self, x: jax.Array) -> dict[str, jax.Array]:
        """The parameters to train, as they start."""
        return {}

    def accepts(self) -> frozenset[str]:
        return frozenset({"train", "weights", "mask"})

    def init_params(self, x: Any) -> dict[str, Any]:
        """Parameter → a tree like x."""
        return _by_name(checked_inputs({self.label: self}, x), self.parameters)

    def update(self, updates: Any, state: Any, at: TreeAt) -> Any:
        extra, params = at.extra, at.params
        now = InputAt(extra.get("train", True), {}, extra.get("weights"), extra.get("mask"), at.step)
        flat = flatten_inputs(updates)
        new = {name: list(flatten(tree).leaves) for name, tree in state.items()}
        out = list(flat.leaves)
        for i, rule, arguments in self._arrays(flat, state, params, now):
            out[i], kept = rule.run(*arguments)
            for name, value in kept.items():
                new[name][i] = jnp.asarray(value, new[name][i].dtype)
        return flat.unflatten(out), {name: flat.unflatten(leaves) for name, leaves in new.items()}

    def inverse(self, y: Any, state: Any, params: Any) -> Any:
        """The tree x of which inference makes y."""
        flat = checked_inputs({self.label: self}, y)
        slots = {name: flatten(tree) for name, tree in state.items()}
        dtypes = {i: wide(dtype_of(x)) for i, x in enumerate(flat.leaves) if x is not None}
        check_slots(self.label, Stage(self), slots, flat, dtypes, None, "inputs")
        out = list(flat.leaves)
        for i, rule, arguments in self._arrays(flat, state, params, InputAt()):
            out[i] = rule.invert(*arguments)
        return flat.unflatten(out)

    def _arrays(self, flat: Flat, state: Any, params: Any, at: InputAt) -> Iterator[tuple[int, Self, tuple[Any, ...]]]:
        """For each array its number, the rule in its dtype, and what `run` and `invert` take."""
        params = params or {}
        for name, tree in params.items():
            check_structure(self.label, flat, flatten(tree), f"parameter {name}", "inputs")
        slots, given = ({name: flatten(tree).leaves for name, tree in trees.items()} for trees in (state, params))
        for i, leaf in enumerate(flat.leaves):
            if leaf is None:
                continue
            x = widen_stored(leaf)
            slot = {name: leaves[i] for name, leaves in slots.items() if leaves[i] is not None}
            own = {name: jnp.asarray(leaves[i], x.dtype) for name, leaves in given.items() if leaves[i] is not None}
            if own:
                self._check_params(flat, i, own, jax.eval_shape(self.parameters, x))
            rule = with_values(self, {n: v for n, v in vars(self).items() if isinstance(v, jax.Array)}, x.dtype)
            yield i, rule, (x, slot, at._replace(params=own))

    def _check_params(self, flat: Flat, i: int, own: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
        """Each may be left out; none may be of another name or shape."""
        for name, value in own.items():
            if name not in expected:
                raise ValueError(f"{self.label}: there is no parameter {name}, only {', '.join(expected) or 'none'}")
            if value.shape != (shape := expected[name].shape):
                raise ValueError(
                    f"{self.label}: for {place(flat, i)} {name} must have shape {shape}, got {value.shape}"
                )


def _by_name(flat: Flat, make: Callable[[jax.Array], dict[str, jax.Array]]) -> dict[str, Any]:
    """Name → a tree, of what `make` makes of each leaf: a dictionary."""
    made = [None if x is None else make(widen_stored(x)) for x in flat.leaves]
    names = dict.fromkeys(name for slot in made if slot is not None for name in slot)
    return {name: flat.unflatten([None if slot is None else slot[name] for slot in made]) for name in names}
