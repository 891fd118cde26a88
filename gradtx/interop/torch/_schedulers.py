"""`torch.optim.lr_scheduler`, but for the schedulers that cycle the momentum too."""

from gradtx._tools import one_more
from gradtx.interop._arguments import (
    AscendingSteps,
    LastEpoch,
    Number,
    NumberAboveZero,
    NumberFromZero,
    Schedules,
    Share,
    ShareAboveZero,
    Steps,
    WholeFromOne,
    drop_in,
    refuse_unsupported,
)
from gradtx.schedules import (
    Schedule,
    cosine_decay,
    cosine_restarts,
    exponential_decay,
    join,
    linear,
    offset,
    piecewise_constant,
    polynomial,
)


@drop_in()
def StepLR(
    lr: NumberFromZero, step_size: WholeFromOne, gamma: NumberAboveZero = 0.1, last_epoch: LastEpoch = -1
) -> Schedule:
    """The learning rate is multiplied by gamma after every step_size steps.

    η(t) = lr·gamma^⌊t / step_size⌋. See `gradtx.schedules.exponential_decay`.

    Args:
        lr: The learning rate at the start, a number ≥ 0.
        step_size: A number of steps ≥ 1.
        gamma: A number > 0.
        last_epoch: The last step that is done, -1 for none.

    >>> from gradtx.interop import torch
    >>> torch.SGD(lr=torch.StepLR(0.1, step_size=30, gamma=0.5))
    scale_by_learning_rate(exponential_decay(0.1, 30, 0.5, staircase=True))
    """
    return _after(
        last_epoch, exponential_decay(init_value=lr, transition_steps=step_size, decay_rate=gamma, staircase=gamma != 1)
    )


@drop_in()
def MultiStepLR(
    lr: NumberFromZero, milestones: Steps, gamma: NumberAboveZero = 0.1, last_epoch: LastEpoch = -1
) -> Schedule:
    """The learning rate is multiplied by gamma at every milestone.

    η(t) = lr·gammaᵏ after k milestones. See `gradtx.schedules.piecewise_constant`.

    Args:
        lr: The learning rate at the start, a number ≥ 0.
        milestones: Steps ≥ 0 in any order. There may be none, and then gamma is not used.
        gamma: A number > 0.
        last_epoch: The last step that is done, -1 for none.
    """
    values = [lr * gamma**k for k in range(len(milestones) + 1)]
    return _after(last_epoch, piecewise_constant(values=values, boundaries=sorted(milestones)))


@drop_in()
def ConstantLR(
    lr: NumberFromZero, factor: Share = 1.0 / 3, total_iters: WholeFromOne = 5, last_epoch: LastEpoch = -1
) -> Schedule:
    """The learning rate is lr·factor for total_iters steps, and then lr. See `gradtx.schedules.piecewise_constant`.

    Args:
        lr: The learning rate in the end, a number ≥ 0.
        factor: A number in [0, 1].
        total_iters: A number of steps ≥ 1.
        last_epoch: The last step that is done, -1 for none.
    """
    return _after(last_epoch, piecewise_constant(values=[lr * factor, lr], boundaries=[total_iters]))


@drop_in()
def LinearLR(
    lr: NumberFromZero,
    start_factor: ShareAboveZero = 1.0 / 3,
    end_factor: Share = 1.0,
    total_iters: WholeFromOne = 5,
    last_epoch: LastEpoch = -1,
) -> Schedule:
    """The learning rate goes from lr·start_factor to lr·end_factor on a line. See `gradtx.schedules.linear`.

    Args:
        lr: A number ≥ 0.
        start_factor: A number in (0, 1].
        end_factor: A number in [0, 1].
        total_iters: The number of steps from the start to the end of the line, ≥ 1.
        last_epoch: The last step that is done, -1 for none.
    """
    line = linear(init_value=lr * start_factor, end_value=lr * end_factor, transition_steps=total_iters)
    return _after(last_epoch, line)


@drop_in()
def ExponentialLR(lr: NumberFromZero, gamma: NumberAboveZero, last_epoch: LastEpoch = -1) -> Schedule:
    """The learning rate is multiplied by gamma after every step.

    η(t) = lr·gammaᵗ. See `gradtx.schedules.exponential_decay`.

    Args:
        lr: The learning rate at the start, a number ≥ 0.
        gamma: A number > 0.
        last_epoch: The last step that is done, -1 for none.
    """
    return _after(last_epoch, exponential_decay(init_value=lr, transition_steps=1, decay_rate=gamma))


@drop_in()
def PolynomialLR(
    lr: NumberFromZero, total_iters: WholeFromOne = 5, power: NumberAboveZero = 1.0, last_epoch: LastEpoch = -1
) -> Schedule:
    """The learning rate falls to 0 in total_iters steps, with a power of the part of them that is still to come.

    η(t) = lr·(1 - min(t / total_iters, 1))^power. See `gradtx.schedules.polynomial`.

    Args:
        lr: The learning rate at the start, a number ≥ 0.
        total_iters: A number of steps ≥ 1.
        power: A number > 0.
        last_epoch: The last step that is done, -1 for none.
    """
    curve = polynomial(init_value=lr, end_value=0.0, transition_steps=total_iters, power=power)
    return _after(last_epoch, curve)


@drop_in()
def CosineAnnealingLR(
    lr: NumberFromZero, T_max: WholeFromOne, eta_min: Number = 0.0, last_epoch: LastEpoch = -1
) -> Schedule:
    """The learning rate falls from lr to eta_min in T_max steps, rises again in T_max steps, and so on.

    Each fall and each rise is half a cosine. See `gradtx.schedules.cosine_decay`, periodic.

    Args:
        lr: The learning rate at the start, a number ≥ 0.
        T_max: A number of steps ≥ 1.
        eta_min: The least learning rate.
        last_epoch: The last step that is done, -1 for none.
    """
    return _after(last_epoch, cosine_decay(init_value=lr, decay_steps=T_max, end_value=eta_min, periodic=True))


@drop_in()
def CosineAnnealingWarmRestarts(
    lr: NumberFromZero,
    T_0: WholeFromOne,
    T_mult: WholeFromOne = 1,
    eta_min: Number = 0.0,
    last_epoch: LastEpoch = -1,
) -> Schedule:
    """The learning rate falls from lr to eta_min in T_0 steps, starts again and falls in T_0·T_mult steps, and so on.

    Each fall is half a cosine. See `gradtx.schedules.cosine_restarts`. PyTorch's scheduler loses its place if it is
    resumed with T_mult > 1; this one does not.

    Args:
        lr: The learning rate at the start and after each restart, a number ≥ 0.
        T_0: A number of steps ≥ 1.
        T_mult: A whole number ≥ 1.
        eta_min: The least learning rate.
        last_epoch: The last step that is done, -1 for none.
    """
    return _after(last_epoch, cosine_restarts(init_value=lr, first_steps=T_0, t_mul=T_mult, end_value=eta_min))


@drop_in()
def SequentialLR(schedulers: Schedules, milestones: AscendingSteps, last_epoch: LastEpoch = -1) -> Schedule:
    """One schedule follows another: each begins at its milestone, from step 0 of its own count.

    PyTorch's takes the optimizer first; this one does not, because its schedulers already have a learning rate. See
    `gradtx.schedules.join`.

    Args:
        schedulers: Schedules, one more than there are milestones.
        milestones: Steps ≥ 0 in ascending order.
        last_epoch: Must be -1.

    Raises:
        ValueError: The milestones are out of order, or the schedulers are not one more.
        NotImplementedError: `last_epoch` is not -1.

    >>> from gradtx.interop import torch
    >>> torch.SequentialLR([torch.ConstantLR(0.1), torch.ExponentialLR(0.1, gamma=0.9)], milestones=[20])(20)
    Array(0.1, dtype=float32)
    """
    only_from_the_start("SequentialLR", last_epoch)
    one_more("SequentialLR", "schedulers", schedulers, milestones)
    return join(schedules=schedulers, boundaries=milestones)


def only_from_the_start(name: str, last_epoch: int) -> None:
    """Refuse `last_epoch` for a scheduler that cannot be resumed by it."""
    if last_epoch != -1:
        refuse_unsupported(
            name,
            "last_epoch",
            "resume with gradtx.schedules.offset(schedule, steps), and with offset(schedule.momentum, steps) if the "
            "optimizer takes the momentum of a cycle",
        )


def _after(last_epoch: int, schedule: Schedule) -> Schedule:
    return schedule if last_epoch == -1 else offset(schedule, steps=last_epoch + 1)
