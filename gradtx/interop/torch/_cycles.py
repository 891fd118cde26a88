"""The schedulers of `torch.optim.lr_scheduler` that cycle the momentum too."""

from collections.abc import Callable
from typing import Literal

from gradtx.interop._arguments import (
    LastEpoch,
    NumberAboveZero,
    NumberFromZero,
    Share,
    ShareAboveZero,
    ShareBelowOne,
    WholeFromOne,
    drop_in,
    refuse_unless_default,
    refuse_unsupported,
)
from gradtx.interop.torch._schedulers import only_from_the_start
from gradtx.schedules import cyclic, one_cycle

_MOMENTA = {"base_momentum": "cycle_momentum", "max_momentum": "cycle_momentum"}


@drop_in(needs=_MOMENTA)
def CyclicLR(
    base_lr: NumberFromZero,
    max_lr: NumberFromZero,
    step_size_up: WholeFromOne = 2000,
    step_size_down: WholeFromOne | None = None,
    mode: Literal["triangular", "triangular2", "exp_range"] = "triangular",
    gamma: ShareAboveZero = 1.0,
    scale_fn: Callable[[float], float] | None = None,
    scale_mode: Literal["cycle", "iterations"] = "cycle",
    cycle_momentum: bool = True,
    base_momentum: ShareBelowOne = 0.8,
    max_momentum: ShareBelowOne = 0.9,
    last_epoch: LastEpoch = -1,
) -> cyclic:
    """The learning rate rises from base_lr to max_lr and falls again, in cycles. The momentum falls and rises.

    PyTorch's takes the optimizer first; this one does not, because base_lr and max_lr are the learning rates. PyTorch's
    sets the momentum of the optimizer; the optimizer takes `momentum` of this one, or Adam takes it as its first beta.
    See `gradtx.schedules.cyclic` for the equation.

    Args:
        base_lr: The lowest learning rate, a number ≥ 0.
        max_lr: The highest learning rate, a number ≥ 0.
        step_size_up: The number of steps that rise, ≥ 1.
        step_size_down: The number of steps that fall, ≥ 1; None for `step_size_up`.
        mode: "triangular" for cycles of one height; "triangular2" to halve the height after every cycle; "exp_range"
            to multiply it by gamma at every step.
        gamma: A number in (0, 1]; only with mode="exp_range". PyTorch ignores it otherwise.
        scale_fn: Must be None.
        scale_mode: Must be "cycle"; PyTorch ignores it without `scale_fn`.
        cycle_momentum: False says that the optimizer does not take `momentum`. The learning rate is the same.
        base_momentum: The lowest momentum, in [0, 1); only with `cycle_momentum`.
        max_momentum: The highest momentum, in [0, 1); only with `cycle_momentum`.
        last_epoch: Must be -1.

    Raises:
        ValueError: An argument is out of its range or has no effect.
        NotImplementedError: `scale_fn` or `last_epoch` is given.

    Source: Smith 2017, arXiv:1506.01186.

    >>> from gradtx.interop import torch
    >>> cycle = torch.CyclicLR(base_lr=0.01, max_lr=0.1, step_size_up=100)
    >>> torch.SGD(lr=cycle, momentum=cycle.momentum)
    chain(trace(cyclic(0.01, 0.1, 100).momentum), scale_by_learning_rate(cyclic(0.01, 0.1, 100)))
    """
    if scale_fn is not None:
        refuse_unsupported("CyclicLR", "scale_fn", "use a mode, or write the schedule as a function")
    only_from_the_start("CyclicLR", last_epoch)
    refuse_unless_default(CyclicLR, "scale_mode", scale_mode, "without scale_fn, which is not supported")
    if mode != "exp_range":
        refuse_unless_default(CyclicLR, "gamma", gamma, f"with mode={mode!r}", "mode='exp_range'")
    elif gamma == 1:
        refuse_unless_default(CyclicLR, "mode", mode, "with gamma=1", "gamma")
    return cyclic(
        init_value=base_lr,
        peak_value=max_lr,
        up_steps=step_size_up,
        down_steps=step_size_down,
        kind=mode,
        decay_rate=gamma if mode == "exp_range" else 1.0,
        base_momentum=base_momentum,
        max_momentum=max_momentum,
    )


@drop_in(needs=_MOMENTA)
def OneCycleLR(
    max_lr: NumberFromZero,
    total_steps: WholeFromOne | None = None,
    epochs: WholeFromOne | None = None,
    steps_per_epoch: WholeFromOne | None = None,
    pct_start: Share = 0.3,
    anneal_strategy: Literal["cos", "linear"] = "cos",
    cycle_momentum: bool = True,
    base_momentum: ShareBelowOne = 0.85,
    max_momentum: ShareBelowOne = 0.95,
    div_factor: NumberAboveZero = 25.0,
    final_div_factor: NumberAboveZero = 1e4,
    three_phase: bool = False,
    last_epoch: LastEpoch = -1,
) -> one_cycle:
    """The learning rate rises to max_lr once, and falls far below its start. The momentum falls and rises.

    The lowest learning rate is at step total_steps - 1. PyTorch's refuses to step beyond; this one stays at its last
    value. PyTorch's takes the optimizer first; this one does not, because max_lr is the learning rate. PyTorch's sets
    the momentum of the optimizer; the optimizer takes `momentum` of this one, or Adam takes it as its first beta. See
    `gradtx.schedules.one_cycle` for the equation.

    Args:
        max_lr: The highest learning rate, a number ≥ 0.
        total_steps: The number of steps, ≥ 1; or None, and `epochs` and `steps_per_epoch`.
        epochs: A number ≥ 1; only without `total_steps`. PyTorch ignores it otherwise.
        steps_per_epoch: A number ≥ 1; only without `total_steps`. PyTorch ignores it otherwise.
        pct_start: The part of the steps that rises, in [0, 1].
        anneal_strategy: "cos" for half cosines, "linear" for lines.
        cycle_momentum: False says that the optimizer does not take `momentum`. The learning rate is the same.
        base_momentum: The lowest momentum, in [0, 1); only with `cycle_momentum`.
        max_momentum: The highest momentum, in [0, 1); only with `cycle_momentum`.
        div_factor: The learning rate at the start is max_lr / div_factor; a number > 0.
        final_div_factor: The last learning rate is that at the start, divided by this number > 0.
        three_phase: Fall to the learning rate of the start first, and then farther.
        last_epoch: Must be -1.

    Raises:
        ValueError: An argument is out of its range or has no effect, or the number of steps is not given.
        NotImplementedError: `last_epoch` is given.

    Source: Smith & Topin 2018, arXiv:1708.07120.

    >>> from gradtx.interop import torch
    >>> cycle = torch.OneCycleLR(max_lr=0.1, total_steps=100)
    >>> torch.AdamW(lr=cycle, betas=(cycle.momentum, 0.999)) == torch.AdamW(lr=cycle)
    False
    """
    only_from_the_start("OneCycleLR", last_epoch)
    if total_steps is None:
        if epochs is None or steps_per_epoch is None:
            raise ValueError("OneCycleLR: needs total_steps, or epochs and steps_per_epoch")
        total_steps = epochs * steps_per_epoch
    else:
        refuse_unless_default(OneCycleLR, "epochs", epochs, f"with total_steps={total_steps}")
        refuse_unless_default(OneCycleLR, "steps_per_epoch", steps_per_epoch, f"with total_steps={total_steps}")
    return one_cycle(
        peak_value=max_lr,
        transition_steps=total_steps,
        pct_start=pct_start,
        phases=3 if three_phase else 2,
        kind="cosine" if anneal_strategy == "cos" else "linear",
        div_factor=div_factor,
        final_div_factor=final_div_factor,
        base_momentum=base_momentum,
        max_momentum=max_momentum,
    )
