"""Chains for inputs as a whole: their parameters, fitting them, and undoing what they do."""

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from gradtx._tools import dtype_of
from gradtx.core import State, Transformation, chain, from_state
from gradtx.inputs._rule import InputRule
from gradtx.inputs._sparse import cast_stored, flatten_inputs, widen_stored


def fit(tx: Any, batches: Iterable[Any], state: State | None = None) -> State:
    """The state of `tx` after it has learnt from all batches, in one compiled call for each.

    Where several stages learn, they do so one after the other, each from what the stages before it give when they
    have seen everything: `batches` is gone through once for each of them, so that an iterator will not do.

    Args:
        tx: A chain with at least one stage that learns from inputs.
        batches: Trees of arrays whose axis 0 is the examples'. Each new shape of them is compiled anew.
        state: Goes on from here; without one, `tx.init` of the first batch.

    Returns:
        The state, for `update(x, state, train=False)` and `inverse`.

    Raises:
        TypeError: No stage learns, or several do and `batches` is an iterator.
        ValueError: There is no batch and no state.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> tx = gx.inputs.standardize()
    >>> state = gx.inputs.fit(tx, [jnp.array([[1.0], [2.0]]), jnp.array([[3.0]])])
    >>> tx.update(jnp.array([[2.0]]), state, train=False)[0]
    Array([[0.]], dtype=float32)
    """
    tx, after = chain(tx), state
    learning = [i for i, stage in enumerate(tx.stages.values()) if isinstance(stage, InputRule)]
    if not learning:
        raise TypeError(f"fit: no stage of {tx} learns from inputs")
    if len(learning) > 1 and isinstance(batches, Iterator):
        raise TypeError(
            f"fit: {len(learning)} stages learn one after the other; give a list of batches, not an iterator"
        )
    step = jnp.zeros((), jnp.int32) if state is None else state.step
    for i in learning:
        after = after and after._replace(step=step)  # that batches come several times does not make them more
        for x in batches:
            after = _learn(tx, i, x, tx.init(x) if after is None else after)
    if after is None:
        raise ValueError("fit: there is no batch")
    return after


@partial(jax.jit, static_argnums=(0, 1))
def _learn(tx: Transformation, i: int, x: Any, state: Any) -> State:
    """The state after stage i has learnt from x as the stages before it, frozen, give it."""
    stages = tuple(stage._replace(name=name) for name, stage in zip(tx.stages, tx._stages, strict=True))
    if i:
        x = flatten_inputs(x).map_trained(widen_stored)  # between stages nothing is rounded
        x, _ = Transformation(stages[:i]).update(x, state, train=False)
    after: Any = Transformation(stages[i : i + 1]).update(x, state)[1]
    return State(after.step, state.hyperparams, state.stages | after.stages)


def parameters(tx: Transformation, x: Any) -> dict[str, Any]:
    """The parameters of the stages for inputs like `x`, as they start: stage → parameter → a tree like x.

    They are to be trained, and given to `update`. Stages that have none are left out.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> gx.inputs.parameters(gx.inputs.batch_norm(), jnp.zeros((8, 2)))
    {'batch_norm': {'scale': Array([1., 1.], dtype=float32), 'bias': Array([0., 0.], dtype=float32)}}
    """
    made = {name: stage.init_params(x) for name, stage in tx.stages.items() if isinstance(stage, InputRule)}
    return {name: params for name, params in made.items() if params}


def inverse(tx: Any, y: Any, state: State, params: Any = None) -> Any:
    """The x of which `tx.update(x, state, params, train=False)` makes y, up to rounding, in the dtypes of y.

    Args:
        tx: A chain of stages that have an inverse.
        y: What it gave, or a prediction in the same units.
        state: The state that was used.
        params: The parameters that were given to `update`.

    Raises:
        TypeError: A stage has no inverse; it is named.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> tx, x = gx.inputs.min_max(), jnp.array([[2.0], [6.0]])
    >>> gx.inputs.inverse(tx, jnp.array([[0.25]]), gx.inputs.fit(tx, [x]))
    Array([[3.]], dtype=float32)
    """
    flat, params = flatten_inputs(y), params or {}
    for name, stage in reversed(list(chain(tx).stages.items())):
        if not isinstance(stage, InputRule):
            raise TypeError(f"inverse: {name} has no inverse")
        y = stage.inverse(y, from_state(state, "stages", name), params.get(name))
    leaves = zip(flatten_inputs(y).leaves, flat.leaves, strict=True)
    return flat.unflatten([None if x is None else cast_stored(x, dtype_of(like)) for x, like in leaves])
