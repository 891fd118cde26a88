"""Rules for inputs: a rule learns statistics from batches in training, and applies them unchanged in inference."""

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, NamedTuple, Self, TypeAlias

import jax
import jax.numpy as jnp

from gradtx._tools import Flat, Tree, check_structure, dtype_of, flatten, wide
from gradtx.core import Stage, TreeAt, TreeStage, check_slots, with_values
from gradtx.inputs._lift import InputLift, checked_inputs, place
from gradtx.inputs._sparse import flatten_inputs, widen_stored

Slots: TypeAlias = Mapping[str, jax.Array]
"""The slots of a rule for one array, by name."""


class MappedAxes:
    """The kind of a field that names axes which are mapped over."""

    def check(self, where: str, value: object) -> str | tuple[str, ...]:
        names = value if isinstance(value, tuple) else (value,)
        if not names or not all(isinstance(name, str) and name for name in names):
            raise TypeError(f"{where} must be the name of an axis, or a tuple of names, got {value!r}")
        return value  # type: ignore[return-value]


AxisName: TypeAlias = Annotated[str | tuple[str, ...], MappedAxes()]
"""A name or names of axes of `vmap` or `shard_map`."""


class InputAt(NamedTuple):
    """Holds the values that an input rule reads besides the batch.

    Attributes:
        train: Whether the rule learns from the batch.
        params: The rule's parameters for this array, by name. Empty if `update` was given none.
        weights: The argument of `update`: the weight of each example, shape (examples,), or None.
        mask: The argument of `update`: which examples or elements count, bool, or None.
        step: The number of batches that the chain has learnt from before this one, int32.
    """

    train: bool = False
    params: Mapping[str, jax.Array] = {}
    weights: jax.typing.ArrayLike | None = None
    mask: jax.typing.ArrayLike | None = None
    step: jax.Array | None = None


class InputRule(TreeStage):
    """Base class of techniques for inputs, written for one array of examples in float32 or wider.

    Subclasses declare `slots` and define `run`. The array x has shape (examples, …features).

    In a chain with an input rule, `update(x, state, params=None, *, train=True, weights=None, mask=None)` gives
    `(y, state)`. With `train=False` the state is unchanged. `params` has the parameters of the stages:
    stage name → parameter name → a tree like x.
    """

    lift = InputLift

    def dense_because(self) -> str | None:
        """The reason why the stage refuses sparse inputs (`jax.experimental.sparse.BCOO`).

        None if the stage takes sparse inputs and gives sparse outputs.
        """
        return "this stage takes only dense arrays"

    def run(self, x: jax.Array, slot: Slots, at: InputAt) -> tuple[jax.Array, Slots]:
        """Gives (y, new slots) for one array. `slot` is the dictionary of the array's slots."""
        raise NotImplementedError

    def invert(self, y: jax.Array, slot: Slots, at: InputAt) -> jax.Array:
        """Gives the x for which `run` gives y in inference."""
        raise TypeError(f"inverse: {self.label} has no inverse")

    def parameters(self, x: jax.Array) -> dict[str, jax.Array]:
        """The initial values of the trainable parameters for one array."""
        return {}

    def accepts(self) -> frozenset[str]:
        return frozenset({"train", "weights", "mask"})

    def used_in_inference(self) -> frozenset[str]:
        """The arguments among `accepts` that change the outputs with `train=False`. The others are refused then."""
        return frozenset({"weights", "mask"})

    def init_params(self, x: Tree) -> dict[str, Tree]:
        """The initial values of the trainable parameters: parameter name → a tree like x."""
        return _by_name(checked_inputs({self.label: self}, x), self.parameters)

    def update(self, updates: Tree, state: Mapping[str, Tree], at: TreeAt) -> tuple[Tree, dict[str, Tree]]:
        extra, params = at.extra, at.params
        now = InputAt(extra.get("train", True), {}, extra.get("weights"), extra.get("mask"), at.step)
        flat = flatten_inputs(updates)
        new = {name: list(flatten(tree).leaves) for name, tree in state.items()}
        out = list(flat.leaves)
        for i, rule, arguments in self._arrays(flat, state, params, now):
            out[i], changed = rule.run(*arguments)
            for name, value in changed.items():
                new[name][i] = jnp.asarray(value, new[name][i].dtype)
        return flat.unflatten(out), {name: flat.unflatten(leaves) for name, leaves in new.items()}

    def inverse(self, y: Tree, state: Mapping[str, Tree], params: Mapping[str, Tree] | None) -> Tree:
        """The tree x for which the stage gives y in inference."""
        flat = checked_inputs({self.label: self}, y)
        slots = {name: flatten(tree) for name, tree in state.items()}
        dtypes = {i: wide(dtype_of(x)) for i, x in enumerate(flat.leaves) if x is not None}
        check_slots(self.label, Stage(self), slots, flat, dtypes, None, "inputs")
        out = list(flat.leaves)
        for i, rule, arguments in self._arrays(flat, state, params, InputAt()):
            out[i] = rule.invert(*arguments)
        return flat.unflatten(out)

    @staticmethod
    def check_params(where: str, params: Mapping[str, jax.Array], expected: Mapping[str, jax.ShapeDtypeStruct]) -> None:
        """Checks the names and shapes of parameters. Each of the expected ones may be absent."""
        for name, value in params.items():
            if name not in expected:
                raise ValueError(f"{where}: there is no parameter {name}, only {', '.join(expected) or 'none'}")
            if value.shape != (shape := expected[name].shape):
                raise ValueError(f"{where}: {name} must have shape {shape}, got {value.shape}")

    def _arrays(
        self, flat: Flat, state: Mapping[str, Tree], params: Mapping[str, Tree] | None, at: InputAt
    ) -> Iterator[tuple[int, Self, tuple[jax.Array, Slots, InputAt]]]:
        """For each array its number, the rule in its dtype, and the arguments of `run` and `invert`."""
        params = params or {}
        for name, tree in params.items():
            check_structure(self.label, flat, flatten(tree), f"parameter {name}", "inputs")
        slots, values = _leaves(state), _leaves(params)
        for i, leaf in enumerate(flat.leaves):
            if leaf is None:
                continue
            x = widen_stored(leaf)
            own = {name: jnp.asarray(value, x.dtype) for name, value in _at(values, i).items()}
            if own:
                self.check_params(f"{self.label}, for {place(flat, i)}", own, jax.eval_shape(self.parameters, x))
            varying = {name: value for name, value in vars(self).items() if isinstance(value, jax.Array)}
            yield i, with_values(self, varying, x.dtype), (x, _at(slots, i), at._replace(params=own))


def _leaves(trees: Mapping[str, Tree]) -> dict[str, list[jax.Array | None]]:
    return {name: flatten(tree).leaves for name, tree in trees.items()}


def _at(leaves: Mapping[str, list[jax.Array | None]], i: int) -> dict[str, jax.Array]:
    """Leaf number i of each tree that has one there."""
    return {name: leaf for name, many in leaves.items() if (leaf := many[i]) is not None}


def _by_name(flat: Flat, make: Callable[[jax.Array], dict[str, jax.Array]]) -> dict[str, Tree]:
    """Name → a tree, if `make` gives a dictionary of arrays for each leaf."""
    made = [None if x is None else make(widen_stored(x)) for x in flat.leaves]
    names = dict.fromkeys(name for arrays in made if arrays is not None for name in arrays)
    return {name: flat.unflatten([None if arrays is None else arrays[name] for arrays in made]) for name in names}
