"""`torch.optim.lr_scheduler`."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

from gradtx._tools import Each, one_more
from gradtx.core import Interval
from gradtx.interop._arguments import OneOf, checked
from gradtx.schedules import (
    Schedule,
    cosine_decay,
    cosine_restarts,
    cyclic,
    exponential_decay,
    join,
    linear,
    offset,
    one_cycle,
    piecewise_constant,
    polynomial,
)

_RATE, _ABOVE_ZERO = Interval(0.0, hyper=False), Interval(0.0, above=True, hyper=False)
_PART, _MOMENTUM = Interval(0.0, 1.0, closed=True, hyper=False), Interval(0.0, 1.0, hyper=False)
_PART_ABOVE_ZERO = Interval(0.0, 1.0, closed=True, above=True, hyper=False)
_STEP, _COUNT = Interval(0, hyper=False, whole=True), Interval(1, hyper=False, whole=True)
_KINDS = {
    "lr": _RATE,
    "step_size": _COUNT,
    "milestones": Each(_STEP),
    "gamma": _ABOVE_ZERO,
    "factor": _PART,
    "start_factor": _PART_ABOVE_ZERO,
    "end_factor": _PART,
    "total_iters": _COUNT,
    "power": _ABOVE_ZERO,
    "T_max": _COUNT,
    "T_0": _COUNT,
    "T_mult": _COUNT,
    "eta_min": Interval(hyper=False),
    "base_lr": _RATE,
    "max_lr": _RATE,
    "step_size_up": _COUNT,
    "step_size_down": _COUNT,
    "base_momentum": _MOMENTUM,
    "max_momentum": _MOMENTUM,
    "mode": OneOf("triangular", "triangular2", "exp_range"),
    "anneal_strategy": OneOf("cos", "linear"),
    "total_steps": _COUNT,
    "epochs": _COUNT,
    "steps_per_epoch": _COUNT,
    "pct_start": _PART,
    "div_factor": _ABOVE_ZERO,
    "final_div_factor": _ABOVE_ZERO,
    "last_epoch": Interval(-1, hyper=False, whole=True),
}
_scheduler = checked(_KINDS)


@_scheduler
def StepLR(lr: float, step_size: int, gamma: float = 0.1, last_epoch: int = -1) -> Schedule:
    """lr·gamma^⌊t / step_size⌋. See `gradtx.schedules.exponential_decay`.

    >>> from gradtx.interop import torch
    >>> torch.SGD(lr=torch.StepLR(0.1, step_size=30, gamma=0.5))
    scale_by_learning_rate(exponential_decay(0.1, 30, 0.5, staircase=True))
    """
    return _after(last_epoch, exponential_decay(lr, step_size, gamma, staircase=True))


@_scheduler
def MultiStepLR(lr: float, milestones: Sequence[int], gamma: float = 0.1, last_epoch: int = -1) -> Schedule:
    """lr·gammaᵏ after k milestones, in any order. See `gradtx.schedules.piecewise_constant`."""
    values = [lr * gamma**k for k in range(len(milestones) + 1)]
    return _after(last_epoch, piecewise_constant(values, sorted(milestones)))


@_scheduler
def ConstantLR(lr: float, factor: float = 1.0 / 3, total_iters: int = 5, last_epoch: int = -1) -> Schedule:
    """lr·factor for total_iters steps, then lr. See `gradtx.schedules.piecewise_constant`."""
    return _after(last_epoch, piecewise_constant([lr * factor, lr], [total_iters]))


@_scheduler
def LinearLR(
    lr: float, start_factor: float = 1.0 / 3, end_factor: float = 1.0, total_iters: int = 5, last_epoch: int = -1
) -> Schedule:
    """From lr·start_factor to lr·end_factor in total_iters steps. See `gradtx.schedules.linear`."""
    return _after(last_epoch, linear(lr * start_factor, lr * end_factor, total_iters))


@_scheduler
def ExponentialLR(lr: float, gamma: float, last_epoch: int = -1) -> Schedule:
    """lr·gammaᵗ. See `gradtx.schedules.exponential_decay`."""
    return _after(last_epoch, exponential_decay(lr, 1, gamma))


@_scheduler
def PolynomialLR(lr: float, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1) -> Schedule:
    """lr·(1 - min(t / total_iters, 1))^power. See `gradtx.schedules.polynomial`."""
    return _after(last_epoch, polynomial(lr, 0.0, total_iters, power))


@_scheduler
def CosineAnnealingLR(lr: float, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> Schedule:
    """Half a cosine from lr to eta_min in T_max steps, up again in as many, and so on.

    See `gradtx.schedules.cosine_decay`, periodic.
    """
    return _after(last_epoch, cosine_decay(lr, T_max, end_value=eta_min, periodic=True))


@_scheduler
def CosineAnnealingWarmRestarts(
    lr: float, T_0: int, T_mult: int = 1, eta_min: float = 0.0, last_epoch: int = -1
) -> Schedule:
    """Half a cosine from lr to eta_min in T_0 steps, anew in T_0·T_mult, and so on.

    See `gradtx.schedules.cosine_restarts`. Resumed with T_mult > 1, PyTorch's loses its place; this does not.
    """
    return _after(last_epoch, cosine_restarts(lr, T_0, T_mult, end_value=eta_min))


@_scheduler
def CyclicLR(
    base_lr: float,
    max_lr: float,
    step_size_up: int = 2000,
    step_size_down: int | None = None,
    mode: Literal["triangular", "triangular2", "exp_range"] = "triangular",
    gamma: float = 1.0,
    scale_fn: Callable[[float], float] | None = None,
    scale_mode: Literal["cycle", "iterations"] = "cycle",
    cycle_momentum: bool = True,
    base_momentum: float = 0.8,
    max_momentum: float = 0.9,
    last_epoch: int = -1,
) -> cyclic:
    """From base_lr to max_lr and back, again and again, and the momentum the other way. See `gradtx.schedules.cyclic`.

    It has `momentum`, which is for the optimizer to take; with cycle_momentum=False let it not. As in PyTorch,
    scale_mode is that of a scale_fn, which is not supported, and gamma that of the mode "exp_range".

    >>> from gradtx.interop import torch
    >>> cycle = torch.CyclicLR(base_lr=0.01, max_lr=0.1, step_size_up=100)
    >>> torch.SGD(lr=cycle, momentum=cycle.momentum)
    chain(trace(cyclic(0.01, 0.1, 100).momentum), scale_by_learning_rate(cyclic(0.01, 0.1, 100)))
    """
    if scale_fn is not None:
        raise NotImplementedError(
            "CyclicLR: scale_fn is not supported; use a mode, or write the schedule as a function"
        )
    _only_from_the_start("CyclicLR", last_epoch)
    if mode != "exp_range":
        gamma = 1.0
    _PART_ABOVE_ZERO.check("CyclicLR: gamma", gamma)
    return cyclic(base_lr, max_lr, step_size_up, step_size_down, mode, gamma, base_momentum, max_momentum)


@_scheduler
def OneCycleLR(
    max_lr: float,
    total_steps: int | None = None,
    epochs: int | None = None,
    steps_per_epoch: int | None = None,
    pct_start: float = 0.3,
    anneal_strategy: Literal["cos", "linear"] = "cos",
    cycle_momentum: bool = True,
    base_momentum: float = 0.85,
    max_momentum: float = 0.95,
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
    three_phase: bool = False,
    last_epoch: int = -1,
) -> one_cycle:
    """Up to max_lr, and far down until step total_steps - 1, where it stays. See `gradtx.schedules.one_cycle`.

    It has `momentum`, which is for the optimizer to take; with cycle_momentum=False let it not. Where PyTorch refuses
    to step beyond total_steps, the last value stays.

    >>> from gradtx.interop import torch
    >>> cycle = torch.OneCycleLR(max_lr=0.1, total_steps=100)
    >>> torch.AdamW(lr=cycle, betas=(cycle.momentum, 0.999)) == torch.AdamW(lr=cycle)
    False
    """
    _only_from_the_start("OneCycleLR", last_epoch)
    if total_steps is None:
        if epochs is None or steps_per_epoch is None:
            raise ValueError("OneCycleLR: needs total_steps, or epochs and steps_per_epoch")
        total_steps = epochs * steps_per_epoch
    return one_cycle(
        max_lr,
        total_steps,
        pct_start,
        phases=3 if three_phase else 2,
        kind="cosine" if anneal_strategy == "cos" else "linear",
        div_factor=div_factor,
        final_div_factor=final_div_factor,
        base_momentum=base_momentum,
        max_momentum=max_momentum,
    )


@checked(
    _KINDS | {"schedulers": Each(Interval(hyper=False), callables=True), "milestones": Each(_STEP, ascending=True)}
)
def SequentialLR(
    schedulers: Sequence[Callable[[Any], Any]], milestones: Sequence[int], last_epoch: int = -1
) -> Schedule:
    """Each of the schedulers from its milestone on, from its own step 0. See `gradtx.schedules.join`.

    >>> from gradtx.interop import torch
    >>> torch.SequentialLR([torch.ConstantLR(0.1), torch.ExponentialLR(0.1, gamma=0.9)], milestones=[20])(20)
    Array(0.1, dtype=float32)
    """
    _only_from_the_start("SequentialLR", last_epoch)
    one_more("SequentialLR", "schedulers", schedulers, milestones)
    return join(schedulers, milestones)


def _after(last_epoch: int, schedule: Schedule) -> Schedule:
    return schedule if last_epoch == -1 else offset(schedule, last_epoch + 1)


def _only_from_the_start(name: str, last_epoch: int) -> None:
    if last_epoch != -1:
        raise NotImplementedError(
            f"{name}: last_epoch is not supported; resume with gradtx.schedules.offset(schedule, steps), "
            "and so with the momentum of a cycle"
        )
