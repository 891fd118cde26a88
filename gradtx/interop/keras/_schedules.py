"""`keras.optimizers.schedules`."""

from collections.abc import Sequence

from gradtx._tools import Each, one_more
from gradtx.core import Interval
from gradtx.interop._arguments import checked
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

_NUMBER, _RATE = Interval(hyper=False), Interval(0.0, hyper=False)
_ABOVE_ZERO, _FROM_ONE = Interval(0.0, above=True, hyper=False), Interval(1, hyper=False)
_KINDS = {
    "initial_learning_rate": _RATE,
    "decay_steps": _ABOVE_ZERO,
    "decay_rate": _ABOVE_ZERO,
    "end_learning_rate": _RATE,
    "power": _ABOVE_ZERO,
    "boundaries": Each(_RATE, ascending=True),
    "values": Each(_RATE),
    "alpha": _NUMBER,
    "warmup_target": _RATE,
    "warmup_steps": _RATE,
    "first_decay_steps": _FROM_ONE,
    "t_mul": _FROM_ONE,
    "m_mul": _ABOVE_ZERO,
}
_schedule = checked(_KINDS)


@_schedule
def ExponentialDecay(
    initial_learning_rate: float,
    decay_steps: float,
    decay_rate: float,
    staircase: bool = False,
    name: str = "ExponentialDecay",
) -> Schedule:
    """initial_learning_rate·decay_rate^(t / decay_steps); with staircase, of whole powers.

    See `gradtx.schedules.exponential_decay`.

    >>> from gradtx.interop import keras
    >>> keras.SGD(learning_rate=keras.ExponentialDecay(0.1, decay_steps=1000, decay_rate=0.96))
    scale_by_learning_rate(exponential_decay(0.1, 1000, 0.96))
    """
    return exponential_decay(initial_learning_rate, decay_steps, decay_rate, staircase=staircase)


@checked(_KINDS | {"decay_rate": _RATE})
def InverseTimeDecay(
    initial_learning_rate: float,
    decay_steps: float,
    decay_rate: float,
    staircase: bool = False,
    name: str = "InverseTimeDecay",
) -> Schedule:
    """initial_learning_rate / (1 + decay_rate·t / decay_steps); with staircase, of t / decay_steps rounded down.

    See `gradtx.schedules.inverse_time_decay`.
    """
    return inverse_time_decay(initial_learning_rate, decay_steps, decay_rate, staircase=staircase)


@_schedule
def PolynomialDecay(
    initial_learning_rate: float,
    decay_steps: float,
    end_learning_rate: float = 0.0001,
    power: float = 1.0,
    cycle: bool = False,
    name: str = "PolynomialDecay",
) -> Schedule:
    """From initial_learning_rate to end_learning_rate with (1 - t / decay_steps)^power.

    See `gradtx.schedules.polynomial`.
    """
    return polynomial(initial_learning_rate, end_learning_rate, decay_steps, power, cycle=cycle)


@_schedule
def PiecewiseConstantDecay(
    boundaries: Sequence[float], values: Sequence[float], name: str = "PiecewiseConstant"
) -> Schedule:
    """One value after another, each until one step after its boundary. See `gradtx.schedules.piecewise_constant`."""
    one_more("PiecewiseConstantDecay", "values", values, boundaries)
    return piecewise_constant(values, boundaries, boundary="after")


@_schedule
def CosineDecay(
    initial_learning_rate: float,
    decay_steps: float,
    alpha: float = 0.0,
    name: str = "CosineDecay",
    warmup_target: float | None = None,
    warmup_steps: float = 0,
) -> Schedule:
    """Half a cosine down to alpha times its height in decay_steps. See `gradtx.schedules.cosine_decay`.

    With warmup_target, it begins there after warmup_steps, which do not count among decay_steps, on a line from
    initial_learning_rate. See `gradtx.schedules.warmup`.

    >>> from gradtx.interop import keras
    >>> keras.CosineDecay(0.0, 100, warmup_target=0.1, warmup_steps=10)
    warmup(cosine_decay(0.1, 100), 10)
    """
    if warmup_target is None:
        return cosine_decay(initial_learning_rate, decay_steps, alpha)
    return warmup(cosine_decay(warmup_target, decay_steps, alpha), warmup_steps, initial_learning_rate)


@_schedule
def CosineDecayRestarts(
    initial_learning_rate: float,
    first_decay_steps: float,
    t_mul: float = 2.0,
    m_mul: float = 1.0,
    alpha: float = 0.0,
    name: str = "SGDRDecay",
) -> Schedule:
    """Half a cosine in first_decay_steps, and anew in t_mul times as many and m_mul times as high, and so on.

    See `gradtx.schedules.cosine_restarts`. Keras finds the restarts by a logarithm, whose rounding may move one.
    """
    return cosine_restarts(initial_learning_rate, first_decay_steps, t_mul, m_mul, alpha)
