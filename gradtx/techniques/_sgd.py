"""Gradient descent, plain and with momentum."""

from typing import Unpack

from gradtx.core import Hyper, Transformation
from gradtx.techniques._optimizer import MomentumForm, WeightDecay, framed, optimizer
from gradtx.techniques._trace import refuse_dampening


@optimizer()
def sgd(
    learning_rate: Hyper,
    momentum: Hyper | None = None,
    nesterov: bool = False,
    *,
    momentum_form: MomentumForm = "heavy_ball",
    dampening: Hyper = 0.0,
    **decay: Unpack[WeightDecay],
) -> Transformation:
    """Stochastic gradient descent steps against the gradient, with or without momentum.

    u = -η·g, or with momentum u = -η·bₜ. It equals `optax.sgd`, and with coupled weight decay `torch.optim.SGD`.
    `trace` has the sources of momentum.

    >>> import gradtx as gx
    >>> gx.sgd(0.1, momentum=0.9, nesterov=True)
    chain(trace(0.9, nesterov=True), scale_by_learning_rate(0.1))
    """
    refuse_dampening("sgd", dampening, nesterov, momentum_form)
    return framed(
        learning_rate, momentum=momentum, nesterov=nesterov, momentum_form=momentum_form, dampening=dampening, **decay
    )
