"""The learning rate that follows a metric."""

from typing import Any

from gradtx.core import Interval
from gradtx.interop._arguments import NON_NEGATIVE, OneOf, checked
from gradtx.schedules import reduce_on_plateau

_COUNT, _SIZE = Interval(0, hyper=False, whole=True), Interval(0.0, hyper=False)


@checked(
    {
        "lr": NON_NEGATIVE,
        "mode": OneOf("min", "max"),
        "factor": Interval(0.0, 1.0, hyper=False),
        "patience": _COUNT,
        "threshold": _SIZE,
        "threshold_mode": OneOf("rel", "abs"),
        "cooldown": _COUNT,
        "eps": _SIZE,
    }
)
def ReduceLROnPlateau(
    lr: Any,
    mode: str = "min",
    factor: float = 0.1,
    patience: int = 10,
    threshold: float = 1e-4,
    threshold_mode: str = "rel",
    cooldown: int = 0,
    min_lr: float = 0,
    eps: float = 1e-8,
) -> reduce_on_plateau:
    """PyTorch's `ReduceLROnPlateau`, with the base learning rate in the place of the optimizer.

    Each `update(..., value=metric)` stands for a `scheduler.step(metric)` before this step, `value=None` for none.

    >>> from gradtx.interop import torch
    >>> torch.SGD(lr=torch.ReduceLROnPlateau(0.1, patience=5))
    scale_by_learning_rate(reduce_on_plateau(0.1, patience=5, min_change=1e-08, relative_to='value'))
    """
    if isinstance(min_lr, list | tuple):
        raise NotImplementedError("ReduceLROnPlateau: parameter groups are not supported; min_lr must be a number")
    _SIZE.check("ReduceLROnPlateau: min_lr", min_lr)
    relative = threshold_mode == "rel"
    return reduce_on_plateau(
        lr,
        factor,
        patience,
        rtol=threshold if relative else 0.0,
        atol=0.0 if relative else threshold,
        cooldown=cooldown,
        min_value=min_lr + 0.0,
        min_change=eps,
        mode=mode,  # type: ignore[arg-type]
        relative_to="value",
    )
