"""`keras.optimizers.schedules`."""

from gradtx._tools import is_zero, one_more, same
from gradtx.interop._arguments import (
    AscendingNumbers,
    Number,
    NumberAboveZero,
    NumberFromOne,
    NumberFromZero,
    NumbersFromZero,
    drop_in,
    refuse_unless_default,
)
from gradtx.schedules import (
    Schedule,
    cosine_decay,
    cosine_restarts,
    exponential_decay,
    inverse_time_decay,
    piecewise_constant,
    polynomial,
    warmup,
)


@drop_in()
def ExponentialDecay(
    initial_learning_rate: NumberFromZero,
    decay_steps: NumberAboveZero,
    decay_rate: NumberAboveZero,
    staircase: bool = False,
    name: str = "ExponentialDecay",
) -> Schedule:
    """The learning rate is multiplied by decay_rate in the course of every decay_steps steps.

    η(t) = initial_learning_rate·decay_rate^(t / decay_steps). See `gradtx.schedules.exponential_decay`.

    Args:
        initial_learning_rate: A number ≥ 0.
        decay_steps: A number > 0.
        decay_rate: A number > 0.
        staircase: Round the exponent down.
        name: Changes no result.

    >>> from gradtx.interop import keras
    >>> keras.SGD(learning_rate=keras.ExponentialDecay(0.1, decay_steps=1000, decay_rate=0.96))
    scale_by_learning_rate(exponential_decay(0.1, 1000, 0.96))
    """
    if decay_rate == 1:
        refuse_unless_default(ExponentialDecay, "staircase", staircase, "with decay_rate=1", "another decay_rate")
    return exponential_decay(
        init_value=initial_learning_rate, transition_steps=decay_steps, decay_rate=decay_rate, staircase=staircase
    )


@drop_in(needs={"staircase": "decay_rate"})
def InverseTimeDecay(
    initial_learning_rate: NumberFromZero,
    decay_steps: NumberAboveZero,
    decay_rate: NumberFromZero,
    staircase: bool = False,
    name: str = "InverseTimeDecay",
) -> Schedule:
    """The learning rate falls with the inverse of the step.

    η(t) = initial_learning_rate / (1 + decay_rate·t / decay_steps). See `gradtx.schedules.inverse_time_decay`.

    Args:
        initial_learning_rate: A number ≥ 0.
        decay_steps: A number > 0.
        decay_rate: A number ≥ 0.
        staircase: Round t / decay_steps down.
        name: Changes no result.
    """
    return inverse_time_decay(
        init_value=initial_learning_rate, transition_steps=decay_steps, decay_rate=decay_rate, staircase=staircase
    )


@drop_in()
def PolynomialDecay(
    initial_learning_rate: NumberFromZero,
    decay_steps: NumberAboveZero,
    end_learning_rate: NumberFromZero = 0.0001,
    power: NumberAboveZero = 1.0,
    cycle: bool = False,
    name: str = "PolynomialDecay",
) -> Schedule:
    """The learning rate goes from initial_learning_rate to end_learning_rate in decay_steps steps.

    The difference to the end is multiplied by (1 - t / decay_steps)^power. See `gradtx.schedules.polynomial`.

    Args:
        initial_learning_rate: A number ≥ 0.
        decay_steps: A number > 0.
        end_learning_rate: A number ≥ 0.
        power: A number > 0.
        cycle: Stretch decay_steps to its least multiple that t does not exceed, so that the learning rate rises again.
        name: Changes no result.
    """
    return polynomial(
        init_value=initial_learning_rate,
        end_value=end_learning_rate,
        transition_steps=decay_steps,
        power=power,
        cycle=cycle,
    )


@drop_in()
def PiecewiseConstantDecay(
    boundaries: AscendingNumbers, values: NumbersFromZero, name: str = "PiecewiseConstant"
) -> Schedule:
    """The learning rate has one value after another, each until one step after its boundary.

    See `gradtx.schedules.piecewise_constant`.

    Args:
        boundaries: Steps ≥ 0 in ascending order.
        values: Numbers ≥ 0, one more than there are boundaries.
        name: Changes no result.
    """
    one_more("PiecewiseConstantDecay", "values", values, boundaries)
    return piecewise_constant(values=values, boundaries=boundaries, boundary="after")


@drop_in(needs={"warmup_steps": "warmup_target"})
def CosineDecay(
    initial_learning_rate: NumberFromZero,
    decay_steps: NumberAboveZero,
    alpha: Number = 0.0,
    name: str = "CosineDecay",
    warmup_target: NumberFromZero | None = None,
    warmup_steps: NumberFromZero = 0,
) -> Schedule:
    """The learning rate falls along half a cosine, after a warm-up if there is one.

    It falls from its highest value to alpha times that value in decay_steps steps. See `gradtx.schedules.cosine_decay`.
    The highest value is initial_learning_rate; with a warm-up, it is warmup_target. A warm-up is a line from
    initial_learning_rate to warmup_target. See `gradtx.schedules.warmup`.

    Args:
        initial_learning_rate: A number ≥ 0.
        decay_steps: A number > 0, which does not include the steps of the warm-up.
        alpha: The final learning rate as a fraction of the highest.
        name: Changes no result.
        warmup_target: A number ≥ 0, or None for no warm-up.
        warmup_steps: A number ≥ 0; only with `warmup_target`. Keras ignores it otherwise.

    Raises:
        ValueError: An argument is out of its range, `warmup_steps` is given without `warmup_target`, or `warmup_target`
            is given without `warmup_steps` and would take the place of another `initial_learning_rate`.

    >>> from gradtx.interop import keras
    >>> keras.CosineDecay(0.0, 100, warmup_target=0.1, warmup_steps=10)
    warmup(cosine_decay(0.1, 100), 10)
    """
    if warmup_target is None:
        return cosine_decay(init_value=initial_learning_rate, decay_steps=decay_steps, alpha=alpha)
    if is_zero(warmup_steps) and not same(warmup_target, initial_learning_rate):
        raise ValueError(
            f"CosineDecay: initial_learning_rate={initial_learning_rate} has no effect with "
            f"warmup_target={warmup_target} and no warmup_steps; give warmup_steps, or leave warmup_target out"
        )
    decay = cosine_decay(init_value=warmup_target, decay_steps=decay_steps, alpha=alpha)
    if is_zero(warmup_steps):
        return decay
    return warmup(decay, steps=warmup_steps, init_value=initial_learning_rate)


@drop_in()
def CosineDecayRestarts(
    initial_learning_rate: NumberFromZero,
    first_decay_steps: NumberFromOne,
    t_mul: NumberFromOne = 2.0,
    m_mul: NumberAboveZero = 1.0,
    alpha: Number = 0.0,
    name: str = "SGDRDecay",
) -> Schedule:
    """The learning rate falls along half a cosine, and starts again, in longer and longer periods.

    See `gradtx.schedules.cosine_restarts`. Keras finds the restarts by a logarithm, and the rounding of that logarithm
    may move a restart by a step.

    Args:
        initial_learning_rate: A number ≥ 0.
        first_decay_steps: The length of the first period, ≥ 1.
        t_mul: The factor from the length of a period to the next length, ≥ 1.
        m_mul: The factor from the height of a period to the next height, > 0.
        alpha: The lowest learning rate as a fraction of initial_learning_rate.
        name: Changes no result.
    """
    return cosine_restarts(
        init_value=initial_learning_rate, first_steps=first_decay_steps, t_mul=t_mul, m_mul=m_mul, alpha=alpha
    )
