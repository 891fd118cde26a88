"""The arguments that Keras's optimizers share."""

import functools
import inspect
import warnings
from collections.abc import Callable
from typing import Any

from gradtx.conditioning import clip, clip_by_global_norm, clip_by_norm
from gradtx.core import Interval, Transformation, chain, is_zero
from gradtx.interop._arguments import DECAY, FRACTION, NON_NEGATIVE

RANGES = {
    "learning_rate": NON_NEGATIVE,
    "momentum": FRACTION,
    "rho": FRACTION,
    "beta_1": DECAY,
    "beta_2": DECAY,
    "epsilon": NON_NEGATIVE,
    "weight_decay": NON_NEGATIVE,
    "clipnorm": NON_NEGATIVE,
    "clipvalue": NON_NEGATIVE,
    "global_clipnorm": NON_NEGATIVE,
    "initial_accumulator_value": NON_NEGATIVE,
    "learning_rate_power": Interval(high=0.0, closed=True),
    "l1_regularization_strength": NON_NEGATIVE,
    "l2_regularization_strength": NON_NEGATIVE,
    "l2_shrinkage_regularization_strength": NON_NEGATIVE,
    "beta": NON_NEGATIVE,
}
CLIPS = {"clipnorm": clip_by_norm, "clipvalue": clip, "global_clipnorm": clip_by_global_norm}
COMMON = {
    "weight_decay": None,
    "clipnorm": None,
    "clipvalue": None,
    "global_clipnorm": None,
    "use_ema": False,
    "ema_momentum": 0.99,
    "ema_overwrite_frequency": None,
    "loss_scale_factor": None,
    "gradient_accumulation_steps": None,
    "name": None,
}
UNSUPPORTED = {
    "use_ema": "average the parameters beside the chain, as with optax.ema",
    "loss_scale_factor": "scale the loss, and divide the gradients, around the chain",
    "gradient_accumulation_steps": "accumulate with optax.MultiSteps(tx, every_k_schedule)",
}


def constructor(**ranges: Interval) -> Callable[[Callable[..., Transformation]], Callable[..., Transformation]]:
    """Makes a constructor of Keras's arguments out of a function of an optimizer's own ones and weight_decay.

    weight_decay is among the common arguments, unless it has a place and a default of its own. `ranges` are those that
    differ from the common ones.
    """
    return functools.partial(_with_common, ranges)


def _with_common(ranges: dict[str, Interval], make: Callable[..., Transformation]) -> Callable[..., Transformation]:
    name, own, ranges = make.__name__, inspect.signature(make), RANGES | ranges
    mine = {n: p for n, p in own.parameters.items() if p.kind is not p.KEYWORD_ONLY}
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    common = [inspect.Parameter(n, kind, default=d) for n, d in COMMON.items() if n not in mine]
    rest = inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD)
    signature = own.replace(parameters=[*mine.values(), *common, rest])

    @functools.wraps(make)
    def optimizer(*args: Any, **kwargs: Any) -> Transformation:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        given = bound.arguments
        _refuse(name, given)
        for argument, value in given.items():
            if argument in ranges and not (value is None and argument in COMMON):
                ranges[argument].check(f"{name}: {argument}", value)
        bounds = {argument: given[argument] for argument in CLIPS if given[argument] is not None}
        if len(bounds) > 1:
            raise ValueError(f"{name}: only one of {', '.join(CLIPS)} can be set, got {bounds}")
        # Keras takes 0 for no bound.
        clips = [CLIPS[a](c) for a, c in bounds.items() if not is_zero(c)]
        decay = given["weight_decay"]
        if decay is None and "weight_decay" in mine:
            raise ValueError(f"{name}: weight_decay must be a number, got None")
        arguments = {n: given[n] for n in mine} | {"weight_decay": 0.0 if decay is None else decay}
        return chain(*clips, make(**arguments))

    optimizer.__signature__ = signature  # type: ignore[attr-defined]
    return optimizer


def _refuse(name: str, given: dict[str, Any]) -> None:
    for argument, instead in UNSUPPORTED.items():
        if given[argument] not in (None, False):
            raise NotImplementedError(f"{name}: {argument} is not supported; {instead}")
    rest = {k: v for k, v in given["kwargs"].items() if k != "jit_compile"}
    if rest.pop("decay", None) is not None:
        warnings.warn(f"{name}: decay is ignored, as Keras ignores it; give learning_rate a schedule", stacklevel=4)
    if rest:
        raise ValueError(f"{name}: unknown arguments {', '.join(rest)}")
