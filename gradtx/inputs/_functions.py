"""What is done with transformations of inputs."""

from typing import Any

from gradtx.core import InputRule, Transformation


def parameters(tx: Transformation, x: Any) -> dict[str, Any]:
    """The parameters of the stages for inputs like `x`, as they start: stage → parameter → a tree like x.

    They are to be trained, and given to `update`. Stages that have none are left out.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> gx.inputs.parameters(gx.inputs.batch_norm(), jnp.zeros((8, 2)))
    {'batch_norm': {'scale': Array([1., 1.], dtype=float32), 'bias': Array([0., 0.], dtype=float32)}}
    """
    made = {name: stage.init_params(x) for name, stage in tx.stages.items() if isinstance(stage, InputRule)}
    return {name: params for name, params in made.items() if params}
