"""`keras.optimizers`."""

from gradtx.core import Hyper, Interval, Transformation, is_zero
from gradtx.interop._arguments import FRACTION
from gradtx.interop.keras._common import constructor
from gradtx.techniques import adadelta, adagrad, adam, adamax, ftrl, lion, nadam, rmsprop, sgd


@constructor()
def SGD(
    learning_rate: Hyper = 0.01, momentum: Hyper = 0.0, nesterov: bool = False, *, weight_decay: Hyper
) -> Transformation:
    """V = momentum·v - learning_rate·g, u = v; with nesterov, u = momentum·v - learning_rate·g. See `gradtx.sgd`.

    >>> from gradtx.interop import keras
    >>> keras.SGD(learning_rate=0.01, momentum=0.9, clipvalue=0.5)
    chain(clip(0.5), scale_by_learning_rate(0.01), trace(0.9))
    """
    ahead = nesterov and not is_zero(momentum)  # Keras has no look-ahead then
    return sgd(learning_rate, momentum, ahead, "velocity", weight_decay=weight_decay)


@constructor()
def Adagrad(
    learning_rate: Hyper = 0.001,
    initial_accumulator_value: float = 0.1,
    epsilon: Hyper = 1e-7,
    *,
    weight_decay: Hyper,
) -> Transformation:
    """A = a + g², u = -learning_rate·g / √(a + epsilon). See `gradtx.adagrad`."""
    return adagrad(learning_rate, initial_accumulator_value, epsilon, weight_decay=weight_decay)


@constructor()
def Adadelta(
    learning_rate: Hyper = 0.001, rho: Hyper = 0.95, epsilon: Hyper = 1e-7, *, weight_decay: Hyper
) -> Transformation:
    """V = rho·v + (1-rho)·g², d = √((x + epsilon) / (v + epsilon))·g, x = rho·x + (1-rho)·d², u = -learning_rate·d.

    See `gradtx.adadelta`.
    """
    return adadelta(learning_rate, rho, epsilon, weight_decay)


@constructor()
def RMSprop(
    learning_rate: Hyper = 0.001,
    rho: Hyper = 0.9,
    momentum: Hyper = 0.0,
    epsilon: Hyper = 1e-7,
    centered: bool = False,
    *,
    weight_decay: Hyper,
) -> Transformation:
    """V = rho·v + (1-rho)·g², b = momentum·b + learning_rate·g / √(v + epsilon), u = -b. See `gradtx.rmsprop`.

    With centered, v less the square of the averaged gradient takes the place of v.
    """
    return rmsprop(
        learning_rate,
        rho,
        epsilon,
        centered=centered,
        momentum=momentum,
        momentum_form="velocity",
        weight_decay=weight_decay,
    )


@constructor()
def Adam(
    learning_rate: Hyper = 0.001,
    beta_1: Hyper = 0.9,
    beta_2: Hyper = 0.999,
    epsilon: Hyper = 1e-7,
    amsgrad: bool = False,
    *,
    weight_decay: Hyper,
) -> Transformation:
    """U = -learning_rate·√(1 - beta_2ᵗ) / (1 - beta_1ᵗ)·m / (√v + epsilon): the paper's ε̂. See `gradtx.adam`.

    With amsgrad, the largest v so far.
    """
    raw = "raw" if amsgrad else None
    return adam(learning_rate, beta_1, beta_2, epsilon, eps_hat=True, amsgrad=raw, weight_decay=weight_decay)


@constructor()
def AdamW(
    learning_rate: Hyper = 0.001,
    weight_decay: Hyper = 0.004,
    beta_1: Hyper = 0.9,
    beta_2: Hyper = 0.999,
    epsilon: Hyper = 1e-7,
    amsgrad: bool = False,
) -> Transformation:
    """Adam, and -learning_rate·weight_decay·θ. See `gradtx.adamw`."""
    raw = "raw" if amsgrad else None
    return adam(learning_rate, beta_1, beta_2, epsilon, eps_hat=True, amsgrad=raw, weight_decay=weight_decay)


@constructor()
def Adamax(
    learning_rate: Hyper = 0.001,
    beta_1: Hyper = 0.9,
    beta_2: Hyper = 0.999,
    epsilon: Hyper = 1e-7,
    *,
    weight_decay: Hyper,
) -> Transformation:
    """V = max(beta_2·v, |g|), u = -learning_rate·m̂ / (v + epsilon). See `gradtx.adamax`."""
    return adamax(learning_rate, beta_1, beta_2, epsilon, eps_inside_max=False, weight_decay=weight_decay)


@constructor()
def Nadam(
    learning_rate: Hyper = 0.001,
    beta_1: Hyper = 0.9,
    beta_2: Hyper = 0.999,
    epsilon: Hyper = 1e-7,
    *,
    weight_decay: Hyper,
) -> Transformation:
    """Adam with Nesterov's look-ahead, its weights on the schedule beta_1·(1 - 0.96ᵗ / 2). See `gradtx.nadam`."""
    return nadam(learning_rate, beta_1, beta_2, epsilon, momentum_decay=1.0, weight_decay=weight_decay)


@constructor(beta_1=Interval(0.0, 1.0, closed=True, above=True), beta_2=FRACTION)  # beta_1 = 0 would be SignSGD
def Lion(
    learning_rate: Hyper = 0.001, beta_1: Hyper = 0.9, beta_2: Hyper = 0.99, *, weight_decay: Hyper
) -> Transformation:
    """U = -learning_rate·sign(beta_1·m + (1-beta_1)·g), m = beta_2·m + (1-beta_2)·g. See `gradtx.lion`."""
    return lion(learning_rate, beta_1, beta_2, weight_decay)


@constructor()
def Ftrl(
    learning_rate: Hyper = 0.001,
    learning_rate_power: Hyper = -0.5,
    initial_accumulator_value: float = 0.1,
    l1_regularization_strength: Hyper = 0.0,
    l2_regularization_strength: Hyper = 0.0,
    l2_shrinkage_regularization_strength: Hyper = 0.0,
    beta: Hyper = 0.0,
    *,
    weight_decay: Hyper,
) -> Transformation:
    """Follow the regularised leader. See `gradtx.ftrl`."""
    return ftrl(
        learning_rate,
        learning_rate_power,
        initial_accumulator_value,
        l1_regularization_strength,
        l2_regularization_strength,
        l2_shrinkage_regularization_strength,
        beta,
        weight_decay,
    )
