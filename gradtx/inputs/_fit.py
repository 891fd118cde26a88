"""Functions of whole chains for inputs: fit them, make their parameters, and invert them."""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import optax

from gradtx._tools import Tree, dtype_of
from gradtx.core import State, Transformation, chain, from_state
from gradtx.inputs._lift import input_params
from gradtx.inputs._rule import InputRule
from gradtx.inputs._sparse import cast_stored, flatten_inputs, widen_stored

T = TypeVar("T")


def fit(tx: optax.GradientTransformation, batches: Iterable[Tree], state: State | None = None) -> State:
    """Learns from all batches and returns the state, in one compiled call for each batch.

    If several stages learn, they learn one after the other. Each of them learns from the outputs of the fitted stages
    before it. `batches` is then iterated once for each stage, so it cannot be an iterator.

    Args:
        tx: A chain with at least one stage that learns from inputs.
        batches: Trees of arrays of shape (examples, …features). Each new shape needs a compilation.
        state: The state to continue from. The default is `tx.init` of the first batch.

    Returns:
        The state, for `update(x, state, train=False)` and `inverse`.

    Raises:
        TypeError: No stage learns, or several stages learn and `batches` is an iterator.
        ValueError: There is no batch and no state.

    scikit-learn's `fit` takes one array and starts again; its `partial_fit` continues, as `fit` with a state does.

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
        after = after and after._replace(step=step)  # each stage sees the same batches; they count once
        for x in batches:
            after = _learn(tx, i, x, tx._lift.init(x) if after is None else after)
    if after is None:
        raise ValueError("fit: there is no batch")
    return after


@partial(jax.jit, static_argnums=(0, 1))
def _learn(tx: Transformation, i: int, x: Tree, state: State) -> State:
    """The state after stage i has learnt from the outputs of the stages before it, which do not learn."""
    stages = tuple(stage._replace(name=name) for name, stage in zip(tx.stages, tx._stages, strict=True))
    if i:
        x = flatten_inputs(x).map_trained(widen_stored)  # between stages nothing is rounded
        x, _ = Transformation(stages[:i])._lift.update(x, state, train=False)
    _, after = Transformation(stages[i : i + 1])._lift.update(x, state)
    return State(after.step, state.hyperparams, state.stages | after.stages)


def parameters(tx: optax.GradientTransformation, x: Tree) -> dict[str, dict[str, Any]]:
    """Makes the initial parameters of the stages: stage name → parameter name → a tree like x.

    They are to be trained and given to `update`. Stages without parameters are absent.

    Args:
        tx: A chain for inputs.
        x: Inputs of the chain, or arrays of their shapes.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> gx.inputs.parameters(gx.inputs.batch_norm(), jnp.zeros((8, 2)))
    {'batch_norm': {'scale': Array([1., 1.], dtype=float32), 'bias': Array([0., 0.], dtype=float32)}}
    """
    stages = chain(tx).stages
    made = {name: stage.init_params(x) for name, stage in stages.items() if isinstance(stage, InputRule)}
    return {name: params for name, params in made.items() if params}


def inverse(
    tx: optax.GradientTransformation,
    y: T,
    state: State,
    params: Mapping[str, Mapping[str, Tree]] | None = None,
) -> T:
    """Computes the x for which `tx.update(x, state, params, train=False)` gives y, up to rounding.

    Args:
        tx: A chain of stages that have an inverse.
        y: Outputs of the chain, or a prediction in the same units. The result has the dtypes of y.
        state: The state that `update` was given.
        params: The parameters that `update` was given.

    Raises:
        TypeError: A stage has no inverse. The error names the stage.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> tx, x = gx.inputs.min_max(), jnp.array([[2.0], [6.0]])
    >>> gx.inputs.inverse(tx, jnp.array([[0.25]]), gx.inputs.fit(tx, [x]))
    Array([[3.]], dtype=float32)
    """
    flat, stages = flatten_inputs(y), chain(tx).stages
    x: Any = y
    for name, stage in reversed(list(stages.items())):
        if not isinstance(stage, InputRule):
            raise TypeError(f"inverse: {name} has no inverse")
        x = stage.inverse(x, from_state(state, "stages", name), input_params("inverse", stages, params, name))
    leaves = zip(flatten_inputs(x).leaves, flat.leaves, strict=True)
    return flat.unflatten([None if leaf is None else cast_stored(leaf, dtype_of(like)) for leaf, like in leaves])
