"""What surrounds the direction of an optimizer: momentum, weight decay and the learning rate, in their order."""

from typing import Literal, get_args

from gradtx.conditioning import add_decayed_weights, decay_weights
from gradtx.core import Hyper, Selector, Stateful, Transformation, chain, is_zero
from gradtx.techniques._learning_rate import scale_by_learning_rate
from gradtx.techniques._trace import trace

MomentumForm = Literal["heavy_ball", "average", "velocity"]
"""bₜ = β·bₜ₋₁ + gₜ; bₜ = β·bₜ₋₁ + (1-β)·gₜ; or bₜ = β·bₜ₋₁ - ηₜ·gₜ, the learning rate inside the buffer."""

WeightDecayMode = Literal["coupled", "decoupled", "independent", "cautious", "after"]
"""Where λ·θ goes: `adamw` has the equation of each."""


def descend(
    *direction: Transformation,
    learning_rate: Hyper,
    momentum: Hyper | None = None,
    nesterov: bool = False,
    momentum_form: MomentumForm = "heavy_ball",
    dampening: Hyper = 0.0,
    weight_decay: Hyper = 0.0,
    weight_decay_mode: WeightDecayMode = "decoupled",
    mask: Selector | None = None,
) -> Transformation:
    """`direction`, then momentum, weight decay and learning rate: the common end of the optimizers."""
    if momentum_form not in get_args(MomentumForm):
        raise ValueError(f"momentum_form must be one of {', '.join(get_args(MomentumForm))}, got {momentum_form!r}")
    if weight_decay_mode not in get_args(WeightDecayMode):
        raise ValueError(
            f"weight_decay_mode must be one of {', '.join(get_args(WeightDecayMode))}, got {weight_decay_mode!r}"
        )
    velocity = momentum_form == "velocity"
    twice = weight_decay_mode == "after" or (velocity and weight_decay_mode in ("decoupled", "cautious"))
    if twice and isinstance(learning_rate, Stateful) and not is_zero(weight_decay):
        learning_rate = learning_rate.under("learning_rate")  # two stages have it, and it is one
    rate = chain(scale_by_learning_rate(learning_rate))
    if is_zero(momentum):
        if nesterov:
            raise ValueError(f"nesterov needs a momentum, got {momentum}")
        velocity = False
    elif momentum_form == "velocity":
        rate = chain(rate, trace(momentum, nesterov, dampening=dampening))
    else:
        direction = (*direction, trace(momentum, nesterov, momentum_form, dampening))
    if is_zero(weight_decay):
        return chain(*direction, rate)
    match weight_decay_mode:
        case "coupled":
            return chain(add_decayed_weights(weight_decay, mask=mask), *direction, rate)
        case "independent":
            return chain(*direction, rate, decay_weights(weight_decay, mask=mask))
        case "after":
            return chain(*direction, rate, decay_weights(weight_decay, learning_rate, after=True, mask=mask))
    cautious = weight_decay_mode == "cautious"
    if velocity:  # whose buffer the decay must stay out of
        return chain(*direction, rate, decay_weights(weight_decay, learning_rate, cautious, mask=mask))
    return chain(*direction, add_decayed_weights(weight_decay, cautious, mask), rate)
