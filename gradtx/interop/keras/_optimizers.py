"""`keras.optimizers`."""

from gradtx.core import Hyper, Transformation, is_zero
from gradtx.interop._arguments import Decay, Fraction, FractionAboveZero, NonNegative, NonPositive, NumberFromZero
from gradtx.interop.keras._common import constructor, velocity
from gradtx.techniques import adadelta, adagrad, adam, adamax, ftrl, lion, nadam, rmsprop, sgd


@constructor(needs={"nesterov": "momentum"})
def SGD(
    learning_rate: NonNegative = 0.01, momentum: Fraction = 0.0, nesterov: bool = False, *, weight_decay: Hyper
) -> Transformation:
    """Stochastic gradient descent goes against the gradient, with or without momentum.

    v = momentum·v - learning_rate·g, u = v; with nesterov, u = momentum·v - learning_rate·g. See `gradtx.sgd`.

    Args:
        learning_rate: A number ≥ 0.
        momentum: A number in [0, 1].
        nesterov: Look ahead; only with `momentum`. Keras ignores it otherwise.
        weight_decay: A number ≥ 0, or None for none.
        clipnorm, clipvalue, global_clipnorm, …: See `gradtx.interop.keras`.

    >>> from gradtx.interop import keras
    >>> keras.SGD(learning_rate=0.01, momentum=0.9, clipvalue=0.5)
    chain(clip(0.5), scale_by_learning_rate(0.01), trace(0.9))
    """
    if is_zero(momentum):
        return sgd(learning_rate, weight_decay=weight_decay)
    return sgd(learning_rate, nesterov=nesterov, weight_decay=weight_decay, **velocity(momentum))


@constructor()
def Adagrad(
    learning_rate: NonNegative = 0.001,
    initial_accumulator_value: NumberFromZero = 0.1,
    epsilon: NonNegative = 1e-7,
    *,
    weight_decay: Hyper,
) -> Transformation:
    """AdaGrad divides gradients by the root of the sum of all their squares.

    a = a + g², u = -learning_rate·g / √(a + epsilon). See `gradtx.adagrad`.

    Args:
        learning_rate: A number ≥ 0.
        initial_accumulator_value: What a starts from, a number ≥ 0.
        epsilon: A number ≥ 0.
        weight_decay: A number ≥ 0, or None for none.
        clipnorm, clipvalue, global_clipnorm, …: See `gradtx.interop.keras`.

    Source: Duchi, Hazan & Singer 2011, "Adaptive subgradient methods for online learning and stochastic optimization".
    """
    return adagrad(
        learning_rate,
        initial_accumulator_value=initial_accumulator_value,
        eps=epsilon,
        weight_decay=weight_decay,
    )


@constructor()
def Adadelta(
    learning_rate: NonNegative = 0.001, rho: Fraction = 0.95, epsilon: NonNegative = 1e-7, *, weight_decay: Hyper
) -> Transformation:
    """Adadelta takes steps in the units of the parameters.

    v = rho·v + (1-rho)·g², d = √((x + epsilon) / (v + epsilon))·g, x = rho·x + (1-rho)·d², u = -learning_rate·d.
    See `gradtx.adadelta`.

    Args:
        learning_rate: A number ≥ 0.
        rho: The decay rate of both averages, in [0, 1].
        epsilon: A number ≥ 0.
        weight_decay: A number ≥ 0, or None for none.
        clipnorm, clipvalue, global_clipnorm, …: See `gradtx.interop.keras`.

    Source: Zeiler 2012, arXiv:1212.5701.
    """
    return adadelta(learning_rate, decay=rho, eps=epsilon, weight_decay=weight_decay)


@constructor()
def RMSprop(
    learning_rate: NonNegative = 0.001,
    rho: Fraction = 0.9,
    momentum: Fraction = 0.0,
    epsilon: NonNegative = 1e-7,
    centered: bool = False,
    *,
    weight_decay: Hyper,
) -> Transformation:
    """RMSProp divides gradients by the root of a running mean of their squares.

    v = rho·v + (1-rho)·g², b = momentum·b + learning_rate·g / √(v + epsilon), u = -b. See `gradtx.rmsprop`.

    Args:
        learning_rate: A number ≥ 0.
        rho: The decay rate of v, in [0, 1].
        momentum: A number in [0, 1].
        epsilon: A number ≥ 0.
        centered: Subtract the square of the averaged gradient from v.
        weight_decay: A number ≥ 0, or None for none.
        clipnorm, clipvalue, global_clipnorm, …: See `gradtx.interop.keras`.

    Source: Tieleman & Hinton 2012, "Lecture 6.5: RMSProp"; `centered`, Graves 2013, arXiv:1308.0850.
    """
    return rmsprop(
        learning_rate, decay=rho, eps=epsilon, centered=centered, weight_decay=weight_decay, **velocity(momentum)
    )


@constructor()
def Adam(
    learning_rate: NonNegative = 0.001,
    beta_1: Decay = 0.9,
    beta_2: Decay = 0.999,
    epsilon: NonNegative = 1e-7,
    amsgrad: bool = False,
    *,
    weight_decay: Hyper,
) -> Transformation:
    """Adam divides averaged gradients by the root of averaged squares.

    u = -learning_rate·√(1 - beta_2ᵗ) / (1 - beta_1ᵗ)·m / (√v + epsilon). epsilon is the paper's ε̂. See `gradtx.adam`.

    Args:
        learning_rate: A number ≥ 0.
        beta_1: The decay rate of m, in [0, 1).
        beta_2: The decay rate of v, in [0, 1).
        epsilon: A number ≥ 0.
        amsgrad: Use the largest v so far.
        weight_decay: A number ≥ 0, or None for none.
        clipnorm, clipvalue, global_clipnorm, …: See `gradtx.interop.keras`.

    Source: Kingma & Ba 2015, arXiv:1412.6980; `amsgrad`, Reddi et al. 2018, arXiv:1904.09237.
    """
    return adam(
        learning_rate,
        b1=beta_1,
        b2=beta_2,
        eps=epsilon,
        eps_hat=True,
        amsgrad="raw" if amsgrad else None,
        weight_decay=weight_decay,
    )


@constructor()
def AdamW(
    learning_rate: NonNegative = 0.001,
    weight_decay: NonNegative = 0.004,
    beta_1: Decay = 0.9,
    beta_2: Decay = 0.999,
    epsilon: NonNegative = 1e-7,
    amsgrad: bool = False,
) -> Transformation:
    """AdamW is Adam with weight decay by default: -learning_rate·weight_decay·θ joins the update. See `gradtx.adamw`.

    Args:
        learning_rate: A number ≥ 0.
        weight_decay: A number ≥ 0.
        beta_1: The decay rate of m, in [0, 1).
        beta_2: The decay rate of v, in [0, 1).
        epsilon: A number ≥ 0, the paper's ε̂.
        amsgrad: Use the largest v so far.
        clipnorm, clipvalue, global_clipnorm, …: See `gradtx.interop.keras`.

    Source: Loshchilov & Hutter 2019, arXiv:1711.05101.
    """
    return adam(
        learning_rate,
        b1=beta_1,
        b2=beta_2,
        eps=epsilon,
        eps_hat=True,
        amsgrad="raw" if amsgrad else None,
        weight_decay=weight_decay,
    )


@constructor()
def Adamax(
    learning_rate: NonNegative = 0.001,
    beta_1: Decay = 0.9,
    beta_2: Decay = 0.999,
    epsilon: NonNegative = 1e-7,
    *,
    weight_decay: Hyper,
) -> Transformation:
    """AdaMax is Adam with the largest recent gradient in the place of the mean square.

    v = max(beta_2·v, |g|), u = -learning_rate·m̂ / (v + epsilon). See `gradtx.adamax`.

    Args:
        learning_rate: A number ≥ 0.
        beta_1: The decay rate of m, in [0, 1).
        beta_2: The decay rate of v, in [0, 1).
        epsilon: A number ≥ 0.
        weight_decay: A number ≥ 0, or None for none.
        clipnorm, clipvalue, global_clipnorm, …: See `gradtx.interop.keras`.

    Source: Kingma & Ba 2015, arXiv:1412.6980, §7.1.
    """
    return adamax(learning_rate, b1=beta_1, b2=beta_2, eps=epsilon, eps_inside_max=False, weight_decay=weight_decay)


@constructor()
def Nadam(
    learning_rate: NonNegative = 0.001,
    beta_1: Decay = 0.9,
    beta_2: Decay = 0.999,
    epsilon: NonNegative = 1e-7,
    *,
    weight_decay: Hyper,
) -> Transformation:
    """NAdam is Adam with Nesterov's look-ahead.

    The decay rate of m at step t is beta_1·(1 - 0.96ᵗ / 2). See `gradtx.nadam`.

    Args:
        learning_rate: A number ≥ 0.
        beta_1: The decay rate of m, in [0, 1).
        beta_2: The decay rate of v, in [0, 1).
        epsilon: A number ≥ 0.
        weight_decay: A number ≥ 0, or None for none.
        clipnorm, clipvalue, global_clipnorm, …: See `gradtx.interop.keras`.

    Source: Dozat 2016, "Incorporating Nesterov momentum into Adam".
    """
    return nadam(learning_rate, b1=beta_1, b2=beta_2, eps=epsilon, momentum_decay=1.0, weight_decay=weight_decay)


@constructor()
def Lion(
    learning_rate: NonNegative = 0.001,
    beta_1: FractionAboveZero = 0.9,  # Keras refuses 0, which would be SignSGD.
    beta_2: Fraction = 0.99,
    *,
    weight_decay: Hyper,
) -> Transformation:
    """Lion takes steps of one size, with the signs of an averaged gradient.

    u = -learning_rate·sign(beta_1·m + (1-beta_1)·g), m = beta_2·m + (1-beta_2)·g. See `gradtx.lion`.

    Args:
        learning_rate: A number ≥ 0.
        beta_1: The weight of m in the update, in (0, 1].
        beta_2: The decay rate of m, in [0, 1].
        weight_decay: A number ≥ 0, or None for none.
        clipnorm, clipvalue, global_clipnorm, …: See `gradtx.interop.keras`.

    Source: Chen et al. 2023, arXiv:2302.06675.
    """
    return lion(learning_rate, b1=beta_1, b2=beta_2, weight_decay=weight_decay)


@constructor()
def Ftrl(
    learning_rate: NonNegative = 0.001,
    learning_rate_power: NonPositive = -0.5,
    initial_accumulator_value: NumberFromZero = 0.1,
    l1_regularization_strength: NonNegative = 0.0,
    l2_regularization_strength: NonNegative = 0.0,
    l2_shrinkage_regularization_strength: NonNegative = 0.0,
    beta: NonNegative = 0.0,
    *,
    weight_decay: Hyper,
) -> Transformation:
    """Follow the regularised leader: parameters are computed from the sums of all gradients. See `gradtx.ftrl`.

    Args:
        learning_rate: A number ≥ 0.
        learning_rate_power: The power of the sum of squares that scales the learning rate, ≤ 0.
        initial_accumulator_value: What the sum of squares starts from, a number ≥ 0.
        l1_regularization_strength: A number ≥ 0.
        l2_regularization_strength: A number ≥ 0.
        l2_shrinkage_regularization_strength: A number ≥ 0.
        beta: A number ≥ 0.
        weight_decay: A number ≥ 0, or None for none.
        clipnorm, clipvalue, global_clipnorm, …: See `gradtx.interop.keras`.

    Source: McMahan et al. 2013, "Ad click prediction: a view from the trenches".
    """
    return ftrl(
        learning_rate=learning_rate,
        learning_rate_power=learning_rate_power,
        initial_accumulator_value=initial_accumulator_value,
        l1=l1_regularization_strength,
        l2=l2_regularization_strength,
        l2_shrinkage=l2_shrinkage_regularization_strength,
        beta=beta,
        weight_decay=weight_decay,
    )
