"""`torch.optim`'s Adam and the optimizers that descend from it."""

from typing import Annotated

from gradtx.core import Hyper, Transformation
from gradtx.interop._arguments import NonNegative
from gradtx.interop.torch._common import BETAS, constructor, decays
from gradtx.techniques import adam, adamax, nadam, radam


@constructor(
    "* foreach maximize capturable differentiable fused", real=True, needs={"decoupled_weight_decay": "weight_decay"}
)
def Adam(
    lr: NonNegative = 1e-3,
    betas: Annotated[tuple[Hyper, Hyper], BETAS] = (0.9, 0.999),
    eps: NonNegative = 1e-8,
    weight_decay: NonNegative = 0,
    amsgrad: bool = False,
    *,
    decoupled_weight_decay: bool = False,
) -> Transformation:
    """Adam divides averaged gradients by the root of averaged squares.

    u = -lr·m̂ / (√v̂ + eps). See `gradtx.adam`.

    Args:
        params: Decides nothing; leave it out.
        lr: The learning rate ≥ 0.
        betas: The decay rates of m and of v, each in [0, 1).
        eps: A number ≥ 0.
        weight_decay: A number ≥ 0. weight_decay·θ is added to g, unless the decay is decoupled.
        amsgrad: Use the largest v so far, corrected by the bias of the present step.
        decoupled_weight_decay: Add -lr·weight_decay·θ to u, and nothing to g.
        foreach, capturable, differentiable, fused: Change no result.
        maximize: Take -g in the place of g.

    Raises:
        ValueError: An argument is out of its range, or `decoupled_weight_decay` is given without `weight_decay`.
        NotImplementedError: `params` are parameter groups.

    Source: Kingma & Ba 2015, arXiv:1412.6980.

    >>> from gradtx.interop import torch
    >>> torch.Adam(lr=3e-4, amsgrad=True)
    by_parts(chain(scale_by_adam(amsgrad='raw'), scale_by_learning_rate(0.0003)))
    """
    return adam(
        lr,
        b1=betas[0],
        b2=betas[1],
        eps=eps,
        amsgrad="raw" if amsgrad else None,
        **decays(weight_decay, "decoupled" if decoupled_weight_decay else "coupled"),
    )


@constructor("* maximize foreach capturable differentiable fused", real=True)
def AdamW(
    lr: NonNegative = 1e-3,
    betas: Annotated[tuple[Hyper, Hyper], BETAS] = (0.9, 0.999),
    eps: NonNegative = 1e-8,
    weight_decay: NonNegative = 1e-2,
    amsgrad: bool = False,
) -> Transformation:
    """AdamW is Adam with decoupled weight decay.

    u = -lr·(m̂ / (√v̂ + eps) + weight_decay·θ). See `gradtx.adamw`.

    Args:
        params: Decides nothing; leave it out.
        lr: The learning rate ≥ 0.
        betas: The decay rates of m and of v, each in [0, 1).
        eps: A number ≥ 0.
        weight_decay: A number ≥ 0.
        amsgrad: Use the largest v so far, corrected by the bias of the present step.
        maximize: Take -g in the place of g.
        foreach, capturable, differentiable, fused: Change no result.

    Raises:
        ValueError: An argument is out of its range.
        NotImplementedError: `params` are parameter groups.

    Source: Loshchilov & Hutter 2019, arXiv:1711.05101.
    """
    decay = decays(weight_decay, "decoupled")
    return adam(lr, b1=betas[0], b2=betas[1], eps=eps, amsgrad="raw" if amsgrad else None, **decay)


@constructor("foreach * maximize differentiable capturable", real=True)
def Adamax(
    lr: NonNegative = 2e-3,
    betas: Annotated[tuple[Hyper, Hyper], BETAS] = (0.9, 0.999),
    eps: NonNegative = 1e-8,
    weight_decay: NonNegative = 0,
) -> Transformation:
    """AdaMax is Adam with the largest recent gradient in the place of the mean square.

    g' = g + weight_decay·θ, v = max(betas[1]·v, |g'| + eps), u = -lr·m̂ / v. See `gradtx.adamax`.

    Args:
        params: Decides nothing; leave it out.
        lr: The learning rate ≥ 0.
        betas: The decay rates of m and of v, each in [0, 1).
        eps: A number ≥ 0.
        weight_decay: A number ≥ 0.
        foreach, differentiable, capturable: Change no result.
        maximize: Take -g in the place of g.

    Raises:
        ValueError: An argument is out of its range.
        NotImplementedError: `params` are parameter groups.

    Source: Kingma & Ba 2015, arXiv:1412.6980, §7.1.
    """
    return adamax(lr, b1=betas[0], b2=betas[1], eps=eps, **decays(weight_decay))


@constructor(
    "* foreach maximize capturable differentiable", real=True, needs={"decoupled_weight_decay": "weight_decay"}
)
def NAdam(
    lr: NonNegative = 2e-3,
    betas: Annotated[tuple[Hyper, Hyper], BETAS] = (0.9, 0.999),
    eps: NonNegative = 1e-8,
    weight_decay: NonNegative = 0,
    momentum_decay: NonNegative = 4e-3,
    decoupled_weight_decay: bool = False,
) -> Transformation:
    """NAdam is Adam with Nesterov's look-ahead.

    The decay rate of m at step t is betas[0]·(1 - 0.96^(t·momentum_decay) / 2), Dozat's schedule. See `gradtx.nadam`.

    Args:
        params: Decides nothing; leave it out.
        lr: The learning rate ≥ 0.
        betas: The decay rates of m and of v, each in [0, 1).
        eps: A number ≥ 0.
        weight_decay: A number ≥ 0. weight_decay·θ is added to g, unless the decay is decoupled.
        momentum_decay: A number ≥ 0.
        decoupled_weight_decay: Add -lr·weight_decay·θ to u, and nothing to g.
        foreach, capturable, differentiable: Change no result.
        maximize: Take -g in the place of g.

    Raises:
        ValueError: An argument is out of its range, or `decoupled_weight_decay` is given without `weight_decay`.
        NotImplementedError: `params` are parameter groups.

    Source: Dozat 2016, "Incorporating Nesterov momentum into Adam".
    """
    decay = decays(weight_decay, "decoupled" if decoupled_weight_decay else "coupled")
    return nadam(lr, b1=betas[0], b2=betas[1], eps=eps, momentum_decay=momentum_decay, **decay)


@constructor(
    "* foreach maximize capturable differentiable", real=True, needs={"decoupled_weight_decay": "weight_decay"}
)
def RAdam(
    lr: NonNegative = 1e-3,
    betas: Annotated[tuple[Hyper, Hyper], BETAS] = (0.9, 0.999),
    eps: NonNegative = 1e-8,
    weight_decay: NonNegative = 0,
    decoupled_weight_decay: bool = False,
) -> Transformation:
    """RAdam is Adam that takes plain momentum steps until its second moment is worth dividing by.

    eps is added to the uncorrected √v. See `gradtx.radam` for the equation.

    Args:
        params: Decides nothing; leave it out.
        lr: The learning rate ≥ 0.
        betas: The decay rates of m and of v, each in [0, 1).
        eps: A number ≥ 0.
        weight_decay: A number ≥ 0. weight_decay·θ is added to g, unless the decay is decoupled.
        decoupled_weight_decay: Add -lr·weight_decay·θ to u, and nothing to g.
        foreach, capturable, differentiable: Change no result.
        maximize: Take -g in the place of g.

    Raises:
        ValueError: An argument is out of its range, or `decoupled_weight_decay` is given without `weight_decay`.
        NotImplementedError: `params` are parameter groups.

    Source: Liu et al. 2020, arXiv:1908.03265.
    """
    decay = decays(weight_decay, "decoupled" if decoupled_weight_decay else "coupled")
    return radam(lr, b1=betas[0], b2=betas[1], eps=eps, eps_hat=True, **decay)
