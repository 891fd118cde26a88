"""`torch.optim`'s SGD, and the optimizers that are not built on Adam."""

from typing import Annotated

from gradtx._tools import Interval, code_of, is_zero
from gradtx.conditioning import add_decayed_weights
from gradtx.core import Hyper, Transformation, Tunable, chain
from gradtx.interop._arguments import Fraction, NonNegative, NumberFromZero, Pair, Real
from gradtx.interop.torch._common import constructor, decays
from gradtx.techniques import adadelta, adagrad, asgd, rmsprop, rprop, sgd

ETAS = Pair(Interval(0.0, 1.0, above=True), Interval(1.0, above=True))
STEP_SIZES = Pair(Interval(0.0), Interval(0.0))


@constructor("* maximize foreach differentiable fused", needs={"dampening": "momentum"})
def SGD(
    lr: NonNegative = 1e-3,
    momentum: Fraction = 0,
    dampening: Real = 0,
    weight_decay: NonNegative = 0,
    nesterov: bool = False,
) -> Transformation:
    """Stochastic gradient descent goes against the gradient, with or without momentum.

    g' = g + weight_decay·θ, b = momentum·b + (1-dampening)·g' (b = g' at first), u = -lr·b. See `gradtx.sgd`.

    Args:
        params: Decides nothing; leave it out.
        lr: The learning rate ≥ 0.
        momentum: A number in [0, 1].
        dampening: A number; only with `momentum`. PyTorch ignores it otherwise.
        weight_decay: A number ≥ 0.
        nesterov: Look ahead, u = -lr·(g' + momentum·b); only with `momentum`, and without `dampening`.
        maximize: Take -g in the place of g.
        foreach, differentiable, fused: Change no result.

    Raises:
        ValueError: An argument is out of its range, `dampening` is given without `momentum`, or `nesterov` is given
            without `momentum` or with `dampening`.
        NotImplementedError: `params` are parameter groups.

    >>> from gradtx.interop import torch
    >>> torch.SGD(lr=0.1, momentum=0.9, weight_decay=5e-4)
    chain(add_decayed_weights(0.0005), trace(0.9), scale_by_learning_rate(0.1))
    """
    if nesterov and (is_zero(momentum) or not is_zero(dampening)):
        raise ValueError(
            "SGD: nesterov needs a momentum above 0 and a dampening of 0, "
            f"got {code_of(momentum)} and {code_of(dampening)}"
        )
    if is_zero(momentum):
        return sgd(lr, **decays(weight_decay))
    return sgd(lr, momentum=momentum, nesterov=nesterov, dampening=dampening, **decays(weight_decay))


@constructor("foreach maximize differentiable capturable", needs={"alpha": "lambd"})
def ASGD(
    lr: NonNegative = 1e-2,
    lambd: NonNegative = 1e-4,
    alpha: Real = 0.75,
    t0: Real = 1e6,
    weight_decay: NonNegative = 0,
) -> Transformation:
    """Averaged stochastic gradient descent keeps an average of the parameters beside them.

    u = -ηₜ·(g + weight_decay·θ + lambd·θ), ηₜ₊₁ = lr / (1 + lambd·lr·t)^alpha, η₁ = lr. See `gradtx.asgd`.
    PyTorch's `ax`, the average, is the slot `average`.

    Args:
        params: Decides nothing; leave it out.
        lr: The learning rate ≥ 0.
        lambd: A number ≥ 0.
        alpha: A number; only with `lambd`.
        t0: The step from which on the parameters are averaged.
        weight_decay: A number ≥ 0.
        foreach, differentiable, capturable: Change no result.
        maximize: Take -g in the place of g.

    Raises:
        ValueError: An argument is out of its range, or `alpha` is given and `lambd` is 0.
        NotImplementedError: `params` are parameter groups.

    Source: Polyak & Juditsky 1992, "Acceleration of stochastic approximation by averaging".
    """
    direction = asgd(learning_rate=lr, lambd=lambd, alpha=alpha, t0=t0)
    return direction if is_zero(weight_decay) else chain(add_decayed_weights(weight_decay), direction)


@constructor("foreach * maximize differentiable fused", real=True)
def Adagrad(
    lr: NonNegative = 1e-2,
    lr_decay: NumberFromZero = 0,
    weight_decay: NonNegative = 0,
    initial_accumulator_value: NumberFromZero = 0,
    eps: NonNegative = 1e-10,
) -> Transformation:
    """AdaGrad divides gradients by the root of the sum of all their squares.

    g' = g + weight_decay·θ, a = a + g'², u = -lr / (1 + (t-1)·lr_decay)·g' / (√a + eps). See `gradtx.adagrad`.

    Args:
        params: Decides nothing; leave it out.
        lr: The learning rate ≥ 0; with `lr_decay` a number or a schedule.
        lr_decay: A number ≥ 0.
        weight_decay: A number ≥ 0.
        initial_accumulator_value: What a starts from, a number ≥ 0.
        eps: A number ≥ 0.
        foreach, differentiable, fused: Change no result.
        maximize: Take -g in the place of g.

    Raises:
        ValueError: An argument is out of its range, or `lr` is tunable and `lr_decay` is given.
        NotImplementedError: `params` are parameter groups.

    Source: Duchi, Hazan & Singer 2011, "Adaptive subgradient methods for online learning and stochastic optimization".
    """
    if isinstance(lr, Tunable) and not is_zero(lr_decay):
        raise ValueError(
            f"Adagrad: lr_decay={code_of(lr_decay)} needs an lr that is a number or a schedule, got {code_of(lr)}; "
            f"chain scale_by_schedule(inverse_time_decay(1.0, 1, {code_of(lr_decay)})) instead"
        )
    return adagrad(
        lr,
        initial_accumulator_value=initial_accumulator_value,
        eps=eps,
        eps_inside_sqrt=False,
        learning_rate_decay=lr_decay,
        **decays(weight_decay),
    )


@constructor("foreach * capturable maximize differentiable", real=True)
def Adadelta(
    lr: NonNegative = 1.0, rho: Fraction = 0.9, eps: NonNegative = 1e-6, weight_decay: NonNegative = 0
) -> Transformation:
    """Adadelta takes steps in the units of the parameters.

    g' = g + weight_decay·θ, v = rho·v + (1-rho)·g'², d = √((x + eps) / (v + eps))·g', x = rho·x + (1-rho)·d²,
    u = -lr·d. See `gradtx.adadelta`.

    Args:
        params: Decides nothing; leave it out.
        lr: The learning rate ≥ 0.
        rho: The decay rate of both averages, in [0, 1].
        eps: A number ≥ 0.
        weight_decay: A number ≥ 0.
        foreach, capturable, differentiable: Change no result.
        maximize: Take -g in the place of g.

    Raises:
        ValueError: An argument is out of its range.
        NotImplementedError: `params` are parameter groups.

    Source: Zeiler 2012, arXiv:1212.5701.
    """
    return adadelta(lr, decay=rho, eps=eps, **decays(weight_decay))


@constructor("capturable foreach maximize differentiable", real=True)
def RMSprop(
    lr: NonNegative = 1e-2,
    alpha: Fraction = 0.99,
    eps: NonNegative = 1e-8,
    weight_decay: NonNegative = 0,
    momentum: Fraction = 0,
    centered: bool = False,
) -> Transformation:
    """RMSProp divides gradients by the root of a running mean of their squares.

    g' = g + weight_decay·θ, v = alpha·v + (1-alpha)·g'², b = momentum·b + g' / (√v + eps), u = -lr·b.
    See `gradtx.rmsprop`.

    Args:
        params: Decides nothing; leave it out.
        lr: The learning rate ≥ 0.
        alpha: The decay rate of v, in [0, 1].
        eps: A number ≥ 0.
        weight_decay: A number ≥ 0.
        momentum: A number in [0, 1].
        centered: Subtract the square of the averaged gradient from v.
        capturable, foreach, differentiable: Change no result.
        maximize: Take -g in the place of g.

    Raises:
        ValueError: An argument is out of its range.
        NotImplementedError: `params` are parameter groups.

    Source: Tieleman & Hinton 2012, "Lecture 6.5: RMSProp"; `centered`, Graves 2013, arXiv:1308.0850.
    """
    return rmsprop(
        lr,
        decay=alpha,
        eps=eps,
        eps_inside_sqrt=False,
        centered=centered,
        momentum=None if is_zero(momentum) else momentum,
        **decays(weight_decay),
    )


@constructor("* capturable foreach maximize differentiable")
def Rprop(
    lr: NumberFromZero = 1e-2,
    etas: Annotated[tuple[Hyper, Hyper], ETAS] = (0.5, 1.2),
    step_sizes: Annotated[tuple[Hyper, Hyper], STEP_SIZES] = (1e-6, 50),
) -> Transformation:
    """Rprop chooses the sizes of its steps by the signs of the gradients only.

    A step size grows by etas[1] while the gradient keeps its sign, and shrinks by etas[0] if the sign changes. See
    `gradtx.rprop`.

    Args:
        params: Decides nothing; leave it out.
        lr: The first step size, a number ≥ 0, and no schedule.
        etas: Two numbers, the first in (0, 1) and the second in (1, ∞).
        step_sizes: The smallest and the largest step size, each ≥ 0.
        capturable, foreach, differentiable: Change no result.
        maximize: Take -g in the place of g.

    Raises:
        ValueError: An argument is out of its range.
        NotImplementedError: `params` are parameter groups.

    Source: Riedmiller & Braun 1993, "A direct adaptive method for faster backpropagation learning".
    """
    return rprop(
        learning_rate=lr,
        eta_minus=etas[0],
        eta_plus=etas[1],
        min_step_size=step_sizes[0],
        max_step_size=step_sizes[1],
    )
