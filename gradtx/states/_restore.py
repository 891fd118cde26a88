"""A saved state in a chain, which may have changed since."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from gradtx._tools import Tree, flatten, listed, summary
from gradtx.core import State, Transformation
from gradtx.states._hyperparams import check_ours

Prefix: TypeAlias = tuple[str, ...]
"""The stages and parts that lead to a state inside another one."""
FIELDS = frozenset(State._fields)


class Restored(NamedTuple):
    """The result of `restore`.

    Attributes:
        state: The state for `tx.update`.
        kept: The names of the arrays that were in the saved state.
        new: The names of the arrays that are as `tx.init` makes them.
        dropped: The names of the saved arrays that the chain has no place for.
    """

    state: Any
    kept: tuple[str, ...]
    new: tuple[str, ...]
    dropped: tuple[str, ...]


def restore(tx: Transformation, saved: Tree, params: Tree, *, strict: bool = True) -> Restored:
    """Puts a saved state into a chain, by the names of stages and slots.

    The same chain gets exactly its state back. If the chain has changed, stages of the same name keep their slots, also
    if a wrapper such as `skip_nonfinite` or `accumulate` was put around them or taken away: a state inside the chain
    takes the saved state that has most stages in common with it, with its step counter.

    Args:
        tx: The chain to continue with.
        saved: A state, or the dictionary that orbax, `flax.serialization.msgpack_restore` or
            `flax.serialization.to_state_dict` makes of it.
        params: The parameters, as for `tx.init`.
        strict: Whether it is an error if the chain needs an array that was not saved, or has no place for a saved one.

    Returns:
        The state, and the names of what was kept, is new, and was dropped.

    Raises:
        TypeError: `saved` is no state.
        ValueError: With `strict`, something is new or dropped, or has another shape; the error lists the names.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> params = jnp.ones(2)
    >>> _, saved = gx.adam(0.1).update(params, gx.adam(0.1).init(params))
    >>> tx = gx.skip_nonfinite(gx.chain(gx.clip_by_global_norm(1.0), gx.adam(0.1)))
    >>> restored = gx.restore(tx, saved, params, strict=False)
    >>> restored.new
    ('skip_nonfinite.skipped', 'skip_nonfinite.consecutive', 'skip_nonfinite.gave_up')
    >>> int(restored.state.stages["skip_nonfinite"]["inner"].step)
    1
    """
    check_ours("restore", tx)
    if not _is_state(saved):
        raise TypeError(
            "restore: saved must be a state of gradtx or the dictionary of one, with step and stages, got "
            f"{summary(saved)}"
        )
    filling = _Filling({prefix: _arrays(state) for prefix, state in _states(saved, ())})
    state = filling.filled(tx._lift.init(params), ())
    new, dropped = tuple(filling.new), tuple(sorted(filling.left))
    if strict and (new or dropped):
        raise ValueError(
            f"restore: the chain is not the one that was saved: new are {listed(new, 20) or 'none'}; without a place "
            f"are {listed(dropped, 20) or 'none'}; strict=False accepts this"
        )
    return Restored(state, tuple(filling.kept), new, dropped)


class _Filling:
    """Fills fresh states from the arrays of saved ones, and notes what was kept, is new, and is left."""

    def __init__(self, saved: Mapping[Prefix, Mapping[str, Any]]):
        self.saved = saved
        self.kept: list[str] = []
        self.new: list[str] = []
        self.left = {_name(prefix, name) for prefix, arrays in saved.items() for name in arrays}

    def filled(self, fresh: State, prefix: Prefix) -> State:
        """The fresh state with the saved arrays."""
        source = self._source(fresh, prefix)
        stages = {}
        for stage, slots in fresh.stages.items():
            if isinstance(slots, dict):
                stages[stage] = {
                    slot: self.filled(tree, (*prefix, stage, slot))
                    if isinstance(tree, State)
                    else self._tree(tree, prefix, source, f"{stage}.{slot}", "/")
                    for slot, tree in slots.items()
                }
            else:  # the state of an optax transformation
                stages[stage] = self._tree(slots, prefix, source, stage, ".")
        hyperparams = {n: self._tree(tree, prefix, source, n, "/") for n, tree in fresh.hyperparams.items()}
        return State(self._tree(fresh.step, prefix, source, "step", "/"), hyperparams, stages)

    def _source(self, fresh: State, prefix: Prefix) -> Prefix | None:
        """The saved state that has most stages in common with a fresh one, or else the one at the same place."""
        common = {at: len(fresh.stages.keys() & _stages(arrays)) for at, arrays in self.saved.items()}
        best = max(common, key=lambda at: (common[at], at == prefix))
        return best if common[best] or prefix not in self.saved else prefix

    def _tree(self, fresh: Any, prefix: Prefix, source: Prefix | None, base: str, joint: str) -> Any:
        """A tree with the saved leaves of the same names and shapes."""
        flat, saved = flatten(fresh), {} if source is None else self.saved[source]
        leaves: list[Any] = []
        for path, leaf in zip(flat.paths(), flat.leaves, strict=True):
            name = joint.join(filter(None, [base, path]))
            old = saved.get(name)
            if leaf is None or old is None or np.shape(old) != np.shape(leaf):
                self.new += [] if leaf is None else [_name(prefix, name)]
                leaves.append(leaf)
            else:
                self.kept.append(_name(prefix, name))
                self.left.discard(_name(source or (), name))
                leaves.append(_like(leaf, old))
        return flat.unflatten(leaves)


def _is_state(tree: object) -> bool:
    if isinstance(tree, State):
        return True
    return isinstance(tree, Mapping) and "step" in tree and set(tree) <= FIELDS


def _states(saved: Any, prefix: Prefix) -> Iterator[tuple[Prefix, State]]:
    """A saved state and all states inside it, by the stages and parts that lead to them."""
    found = saved._asdict() if isinstance(saved, State) else saved
    state = State(found["step"], found.get("hyperparams") or {}, found.get("stages") or {})
    yield prefix, state
    for stage, slots in state.stages.items():
        for slot, tree in slots.items() if isinstance(slots, Mapping) else ():
            if _is_state(tree):
                yield from _states(tree, (*prefix, stage, slot))


def _arrays(state: State) -> dict[str, Any]:
    """The arrays of a state by name: "step", "stage.slot/path", or the name of a hyperparameter with a path."""
    arrays = {"step": state.step} | _leaves(state.hyperparams, "", "/")
    for stage, slots in state.stages.items():
        own = {n: tree for n, tree in slots.items() if not _is_state(tree)} if isinstance(slots, Mapping) else slots
        arrays |= _leaves(own, stage, ".")
    return arrays


def _stages(arrays: Mapping[str, Any]) -> set[str]:
    """All beginnings of names, among which are the stages."""
    return {name[:i] for name in arrays for i, letter in enumerate(name) if letter == "."}


def _leaves(tree: Any, name: str, joint: str) -> dict[str, Any]:
    flat = flatten(tree)
    pairs = zip(flat.paths(), flat.leaves, strict=True)
    return {joint.join(filter(None, [name, path])): x for path, x in pairs if x is not None}


def _name(prefix: Prefix, name: str) -> str:
    return ".".join([*prefix, name])


def _like(fresh: jax.Array, saved: Any) -> jax.Array:
    """A saved array in the dtype and the sharding of a fresh one."""
    array = jnp.asarray(saved, fresh.dtype)
    return jax.device_put(array, fresh.sharding) if getattr(fresh, "committed", False) else array
