"""`torch.optim`'s SGD and its kin."""

from typing import Any

from gradtx.core import Hyper, Transformation, is_zero
from gradtx.interop._arguments import FRACTION, NON_NEGATIVE, Pair
from gradtx.interop.torch._common import adaptive, constructor, optimizer
from gradtx.techniques import adadelta, adagrad, asgd, rmsprop, rprop, sgd


@constructor()
def SGD(
    params: Any = None,
    lr: Hyper = 1e-3,
    momentum: Hyper = 0,
    dampening: Hyper = 0,
    weight_decay: Hyper = 0,
    nesterov: bool = False,
    *,
    maximize: bool = False,
    foreach: bool | None = None,
    differentiable: bool = False,
    fused: bool | None = None,
) -> Transformation:
    """G' = g + weight_decay·θ, b = momentum·b + (1-dampening)·g' (b = g' at first), u = -lr·b. See `gradtx.sgd`.

    With nesterov, u = -lr·(g' + momentum·b). With maximize, of -g.

    >>> from gradtx.interop import torch
    >>> torch.SGD(lr=0.1, momentum=0.9, weight_decay=5e-4)
    chain(add_decayed_weights(0.0005), trace(0.9), scale_by_learning_rate(0.1))
    """
    if nesterov and (is_zero(momentum) or not is_zero(dampening)):
        raise ValueError(
            f"SGD: nesterov needs a momentum above 0 and a dampening of 0, got {momentum!r} and {dampening!r}"
        )
    tx = sgd(lr, momentum, nesterov, dampening=dampening)
    return optimizer("SGD", params, maximize, tx, weight_decay=weight_decay)


@constructor()
def ASGD(
    params: Any = None,
    lr: Hyper = 1e-2,
    lambd: Hyper = 1e-4,
    alpha: Hyper = 0.75,
    t0: Hyper = 1e6,
    weight_decay: Hyper = 0,
    foreach: bool | None = None,
    maximize: bool = False,
    differentiable: bool = False,
    capturable: bool = False,
) -> Transformation:
    """U = -ηₜ·(g + weight_decay·θ + lambd·θ), ηₜ₊₁ = lr / (1 + lambd·lr·t)^alpha. See `gradtx.asgd`.

    PyTorch's `ax` is the slot `average`.
    """
    return optimizer("ASGD", params, maximize, asgd(lr, lambd, alpha, t0), weight_decay=weight_decay)


@constructor()
def Adagrad(
    params: Any = None,
    lr: Hyper = 1e-2,
    lr_decay: float = 0,
    weight_decay: Hyper = 0,
    initial_accumulator_value: float = 0,
    eps: Hyper = 1e-10,
    foreach: bool | None = None,
    *,
    maximize: bool = False,
    differentiable: bool = False,
    fused: bool | None = None,
) -> Transformation:
    """G' = g + weight_decay·θ, a = a + g'², u = -lr / (1 + (t-1)·lr_decay)·g' / (√a + eps). See `gradtx.adagrad`."""
    tx = adagrad(lr, initial_accumulator_value, eps, False, lr_decay, weight_decay, "coupled")
    return adaptive("Adagrad", params, maximize, tx)


@constructor()
def Adadelta(
    params: Any = None,
    lr: Hyper = 1.0,
    rho: Hyper = 0.9,
    eps: Hyper = 1e-6,
    weight_decay: Hyper = 0,
    foreach: bool | None = None,
    *,
    capturable: bool = False,
    maximize: bool = False,
    differentiable: bool = False,
) -> Transformation:
    """G' = g + weight_decay·θ, v = rho·v + (1-rho)·g'², d = √((x + eps) / (v + eps))·g', x = rho·x + (1-rho)·d².

    u = -lr·d. See `gradtx.adadelta`.
    """
    return adaptive("Adadelta", params, maximize, adadelta(lr, rho, eps, weight_decay, "coupled"))


@constructor(alpha=FRACTION)
def RMSprop(
    params: Any = None,
    lr: Hyper = 1e-2,
    alpha: Hyper = 0.99,
    eps: Hyper = 1e-8,
    weight_decay: Hyper = 0,
    momentum: Hyper = 0,
    centered: bool = False,
    capturable: bool = False,
    foreach: bool | None = None,
    maximize: bool = False,
    differentiable: bool = False,
) -> Transformation:
    """G' = g + weight_decay·θ, v = alpha·v + (1-alpha)·g'², b = momentum·b + g' / (√v + eps), u = -lr·b.

    With centered, v less the square of the averaged gradient takes the place of v. See `gradtx.rmsprop`.
    """
    tx = rmsprop(
        lr,
        alpha,
        eps,
        eps_inside_sqrt=False,
        centered=centered,
        momentum=momentum,
        weight_decay=weight_decay,
        weight_decay_mode="coupled",
    )
    return adaptive("RMSprop", params, maximize, tx)


@constructor(etas=Pair(NON_NEGATIVE), step_sizes=Pair(NON_NEGATIVE))
def Rprop(
    params: Any = None,
    lr: float = 1e-2,
    etas: tuple[float, float] = (0.5, 1.2),
    step_sizes: tuple[float, float] = (1e-6, 50),
    *,
    capturable: bool = False,
    foreach: bool | None = None,
    maximize: bool = False,
    differentiable: bool = False,
) -> Transformation:
    """Step sizes, at first lr, grow by etas[1] while the gradient keeps its sign, and shrink by etas[0] where it turns.

    They stay within step_sizes. See `gradtx.rprop`.
    """
    if not 0 < etas[0] < 1 < etas[1]:
        raise ValueError(f"Rprop: etas must be in (0, 1) and (1, inf), got {etas}")
    return optimizer("Rprop", params, maximize, rprop(lr, *etas, *step_sizes))
