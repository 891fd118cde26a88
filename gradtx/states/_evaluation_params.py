"""The parameters to evaluate a model with."""

from typing import Any

from gradtx.core import State, Transformation


def evaluation_params(tx: Transformation, state: State, params: Any) -> Any:
    """The parameters to evaluate the model with, in the dtypes of `params`, which are those that are trained.

    They differ where a stage keeps an average of the parameters, or trains at another point than the one it
    recommends. Every stage is asked, the last one first, also those inside wrappers; most give back what they get.
    Before the first update they are `params`.

    Args:
        tx: The chain that trains the parameters.
        state: Its state.
        params: The parameters that are trained.

    Raises:
        TypeError: `tx` is no transformation of gradtx, or `state` is not its state.
        ValueError: the parameters do not fit the state.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> tx, params = gx.asgd(0.5, t0=0), jnp.array([1.0])
    >>> state = tx.init(params)
    >>> for _ in range(3):
    ...     params, state = gx.apply_gradients(tx, 2 * params - 1, state, params)
    >>> gx.evaluation_params(tx, state, params)
    Array([0.5], dtype=float32)
    """
    if not isinstance(tx, Transformation):
        raise TypeError(f"evaluation_params: only gradtx's own transformations know them, got {tx!r}")
    if not isinstance(state, State):
        raise TypeError(f"evaluation_params: the state must be that of the chain, got {type(state).__name__}")
    return tx._lift.evaluated(params, state)
