"""The parameters for evaluating a model."""

from typing import TypeVar

from gradtx._tools import summary
from gradtx.core import State, Transformation

T = TypeVar("T")


def evaluation_params(tx: Transformation, state: State, params: T) -> T:
    """Returns the parameters for evaluating the model, in the dtypes of the trained parameters.

    They differ from the trained ones if a stage averages the parameters, or trains at another point than the one that
    it recommends. Every stage is asked, the last one first, also stages inside wrappers. Most stages return the
    parameters unchanged. Before the first update, the result is `params`.

    Args:
        tx: The chain that trains the parameters.
        state: The state of `tx`.
        params: The trained parameters.

    Raises:
        TypeError: `tx` is not a transformation of gradtx, or `state` is not a state of gradtx.
        ValueError: The parameters do not fit the state.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> tx, params = gx.asgd(0.5, t0=0), jnp.array([1.0])
    >>> state = tx.init(params)
    >>> for _ in range(3):
    ...     params, state = gx.apply_gradients(tx, 2 * params - 1, state, params)
    >>> gx.evaluation_params(tx, state, params)
    Array([0.5], dtype=float32)
    """
    if not isinstance(tx, Transformation):
        raise TypeError(f"evaluation_params: tx must be a transformation of gradtx, got {summary(tx)}")
    if not isinstance(state, State):
        raise TypeError(f"evaluation_params: state must be the one that tx.init returned, got {summary(state)}")
    return tx._lift.evaluated(params, state)
