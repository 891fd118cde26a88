"""What PyTorch's optimizers share."""

from collections.abc import Callable
from typing import Any

from gradtx.conditioning import add_decayed_weights
from gradtx.core import Interval, Record, Transformation, by_parts, chain, is_zero
from gradtx.interop._arguments import DECAY, FRACTION, NON_NEGATIVE, REAL, Kind, P, Pair, checked
from gradtx.techniques import WeightDecayMode, scale_by_schedule

KINDS = {
    "lr": NON_NEGATIVE,
    "momentum": FRACTION,
    "dampening": REAL,
    "weight_decay": NON_NEGATIVE,
    "lr_decay": Interval(0.0, hyper=False),
    "initial_accumulator_value": NON_NEGATIVE,
    "eps": NON_NEGATIVE,
    "rho": FRACTION,
    "betas": Pair(DECAY),
    "momentum_decay": NON_NEGATIVE,
    "lambd": NON_NEGATIVE,
    "t0": REAL,
}


def constructor(**kinds: Kind) -> Callable[[Callable[P, Transformation]], Callable[P, Transformation]]:
    """Holds the arguments to their kinds; `kinds` are those that differ from the common ones, or add to them."""
    return checked(KINDS | kinds)


def optimizer(name: str, params: Any, maximize: bool, *stages: Transformation, weight_decay: Any = 0) -> Transformation:
    """The stages, of gradients whose sign is turned where it is to be maximised, then of coupled weight decay."""
    if isinstance(params, int | float | Record):
        raise TypeError(f"{name}: the first argument is params, as in PyTorch; name the others, as in lr={params!r}")
    if isinstance(params, list | tuple) and any(isinstance(p, dict) and "params" in p for p in params):
        raise NotImplementedError(f"{name}: parameter groups are not supported; make a transformation for each group")
    before = [scale_by_schedule(-1.0)] if maximize else []
    if not is_zero(weight_decay):
        before.append(add_decayed_weights(weight_decay))
    return chain(*before, *stages)


def adaptive(name: str, params: Any, maximize: bool, tx: Transformation) -> Transformation:
    """The same for rules that PyTorch runs on the real and imaginary parts of complex parameters."""
    return by_parts(optimizer(name, params, maximize, tx))


def mode(decoupled: bool) -> WeightDecayMode:
    """PyTorch's default is an L2 term in the gradient."""
    return "decoupled" if decoupled else "coupled"
