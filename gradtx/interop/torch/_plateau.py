"""The learning rate that follows a metric."""

from collections.abc import Sequence
from typing import Literal

from gradtx._tools import Interval, code_of
from gradtx.core import PerGroup, Stateful
from gradtx.interop._arguments import (
    NonNegative,
    NumberFromZero,
    ShareBelowOne,
    WholeFromZero,
    drop_in,
    refuse_unsupported,
)
from gradtx.schedules import reduce_on_plateau


@drop_in()
def ReduceLROnPlateau(
    lr: NonNegative,
    mode: Literal["min", "max"] = "min",
    factor: ShareBelowOne = 0.1,
    patience: WholeFromZero = 10,
    threshold: NumberFromZero = 1e-4,
    threshold_mode: Literal["rel", "abs"] = "rel",
    cooldown: WholeFromZero = 0,
    min_lr: float | Sequence[float] = 0,
    eps: NumberFromZero = 1e-8,
) -> reduce_on_plateau:
    """The learning rate falls whenever a metric stops improving.

    PyTorch's takes the optimizer first; this one takes the base learning rate. Each `update(..., value=metric)` stands
    for a `scheduler.step(metric)` before this step. `value=None` stands for no such call. See
    `gradtx.schedules.reduce_on_plateau`.

    Args:
        lr: The base learning rate, a number ≥ 0 or a schedule.
        mode: "min" for a metric that is to fall, "max" for one that is to rise.
        factor: The learning rate is multiplied by this number in [0, 1).
        patience: The number of evaluations without improvement that are tolerated, ≥ 0.
        threshold: The least improvement that counts, a number ≥ 0.
        threshold_mode: "rel" if the threshold is relative to the best value, "abs" if it is absolute. Both are accepted
            with a threshold of 0: code for PyTorch often writes threshold=0, threshold_mode="abs".
        cooldown: The number of evaluations after a reduction that do not count, ≥ 0.
        min_lr: The least learning rate, one number ≥ 0.
        eps: A reduction by no more than this number ≥ 0 is not made.

    Raises:
        TypeError: `lr` is tunable or follows a metric itself.
        ValueError: An argument is out of its range.
        NotImplementedError: `min_lr` has a number for each parameter group.

    >>> from gradtx.interop import torch
    >>> torch.SGD(lr=torch.ReduceLROnPlateau(0.1, patience=5))
    scale_by_learning_rate(reduce_on_plateau(0.1, patience=5, min_change=1e-08, relative_to='value'))
    """
    if isinstance(lr, Stateful | PerGroup):
        raise TypeError(f"ReduceLROnPlateau: lr must be a number or a schedule, got {code_of(lr)}")
    if isinstance(min_lr, list | tuple):
        refuse_unsupported("ReduceLROnPlateau", "a min_lr for each of several parameter groups", "give one number")
    relative = threshold_mode == "rel"
    return reduce_on_plateau(
        lr,
        factor=factor,
        patience=patience,
        rtol=threshold if relative else 0.0,
        atol=0.0 if relative else threshold,
        cooldown=cooldown,
        # An int, such as PyTorch's default, would print.
        min_value=Interval(0.0, hyper=False).check("ReduceLROnPlateau: min_lr", min_lr) + 0.0,
        min_change=eps,
        mode=mode,
        relative_to="value" if relative and threshold else "magnitude",  # without effect if there is no rtol
    )
