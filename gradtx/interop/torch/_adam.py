"""`torch.optim`'s Adam and its kin."""

from typing import Any

from gradtx.core import Hyper, Transformation
from gradtx.interop.torch._common import adaptive, constructor, mode
from gradtx.techniques import adam, adamax, nadam, radam


@constructor()
def Adam(
    params: Any = None,
    lr: Hyper = 1e-3,
    betas: tuple[Hyper, Hyper] = (0.9, 0.999),
    eps: Hyper = 1e-8,
    weight_decay: Hyper = 0,
    amsgrad: bool = False,
    *,
    foreach: bool | None = None,
    maximize: bool = False,
    capturable: bool = False,
    differentiable: bool = False,
    fused: bool | None = None,
    decoupled_weight_decay: bool = False,
) -> Transformation:
    """U = -lr·m̂ / (√v̂ + eps), of g + weight_decay·θ unless the decay is decoupled. See `gradtx.adam`.

    With amsgrad, the largest v so far, corrected as of today.

    >>> from gradtx.interop import torch
    >>> torch.Adam(lr=3e-4, amsgrad=True)
    by_parts(chain(scale_by_adam(amsgrad='raw'), scale_by_learning_rate(0.0003)))
    """
    tx = adam(
        lr,
        *betas,
        eps,
        amsgrad="raw" if amsgrad else None,
        weight_decay=weight_decay,
        weight_decay_mode=mode(decoupled_weight_decay),
    )
    return adaptive("Adam", params, maximize, tx)


@constructor()
def AdamW(
    params: Any = None,
    lr: Hyper = 1e-3,
    betas: tuple[Hyper, Hyper] = (0.9, 0.999),
    eps: Hyper = 1e-8,
    weight_decay: Hyper = 1e-2,
    amsgrad: bool = False,
    *,
    maximize: bool = False,
    foreach: bool | None = None,
    capturable: bool = False,
    differentiable: bool = False,
    fused: bool | None = None,
) -> Transformation:
    """U = -lr·(m̂ / (√v̂ + eps) + weight_decay·θ). See `gradtx.adamw`."""
    tx = adam(lr, *betas, eps, amsgrad="raw" if amsgrad else None, weight_decay=weight_decay)
    return adaptive("AdamW", params, maximize, tx)


@constructor()
def Adamax(
    params: Any = None,
    lr: Hyper = 2e-3,
    betas: tuple[Hyper, Hyper] = (0.9, 0.999),
    eps: Hyper = 1e-8,
    weight_decay: Hyper = 0,
    foreach: bool | None = None,
    *,
    maximize: bool = False,
    differentiable: bool = False,
    capturable: bool = False,
) -> Transformation:
    """G' = g + weight_decay·θ, v = max(betas[1]·v, |g'| + eps), u = -lr·m̂ / v. See `gradtx.adamax`."""
    tx = adamax(lr, *betas, eps, weight_decay=weight_decay, weight_decay_mode="coupled")
    return adaptive("Adamax", params, maximize, tx)


@constructor()
def NAdam(
    params: Any = None,
    lr: Hyper = 2e-3,
    betas: tuple[Hyper, Hyper] = (0.9, 0.999),
    eps: Hyper = 1e-8,
    weight_decay: Hyper = 0,
    momentum_decay: Hyper = 4e-3,
    decoupled_weight_decay: bool = False,
    *,
    foreach: bool | None = None,
    maximize: bool = False,
    capturable: bool = False,
    differentiable: bool = False,
) -> Transformation:
    """Adam with Nesterov's look-ahead, its weights on Dozat's schedule 1 - 0.96^(t·momentum_decay) / 2.

    See `gradtx.nadam`.
    """
    tx = nadam(lr, *betas, eps, momentum_decay, weight_decay, mode(decoupled_weight_decay))
    return adaptive("NAdam", params, maximize, tx)


@constructor()
def RAdam(
    params: Any = None,
    lr: Hyper = 1e-3,
    betas: tuple[Hyper, Hyper] = (0.9, 0.999),
    eps: Hyper = 1e-8,
    weight_decay: Hyper = 0,
    decoupled_weight_decay: bool = False,
    *,
    foreach: bool | None = None,
    maximize: bool = False,
    capturable: bool = False,
    differentiable: bool = False,
) -> Transformation:
    """Rectified Adam, with eps added to the uncorrected √v. See `gradtx.radam`."""
    tx = radam(
        lr,
        *betas,
        eps,
        eps_hat=True,
        weight_decay=weight_decay,
        weight_decay_mode=mode(decoupled_weight_decay),
    )
    return adaptive("RAdam", params, maximize, tx)
