"""The arguments that Keras's optimizers share."""

import difflib
import inspect
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, TypedDict

from gradtx._tools import is_zero
from gradtx.conditioning import clip, clip_by_global_norm, clip_by_norm
from gradtx.core import Hyper, Transformation, chain
from gradtx.interop._arguments import NonNegativeOrNone, drop_in, extended, refuse_unless_default, refuse_unsupported

CLIPS = {"clipnorm": clip_by_norm, "clipvalue": clip, "global_clipnorm": clip_by_global_norm}
SHARED: Mapping[str, tuple[Any, float | bool | None]] = {
    "weight_decay": (NonNegativeOrNone, None),
    "clipnorm": (NonNegativeOrNone, None),
    "clipvalue": (NonNegativeOrNone, None),
    "global_clipnorm": (NonNegativeOrNone, None),
    "use_ema": (bool, False),
    "ema_momentum": (float, 0.99),
    "ema_overwrite_frequency": (int | None, None),
    "loss_scale_factor": (float | None, None),
    "gradient_accumulation_steps": (int | None, None),
    "name": (str | None, None),
}
UNSUPPORTED = {
    "use_ema": "average the parameters beside the chain, as with optax.ema",
    "loss_scale_factor": "scale the loss, and divide the gradients, around the chain",
    "gradient_accumulation_steps": "accumulate with optax.MultiSteps(tx, every_k_schedule)",
}


class Momenta(TypedDict, total=False):
    """The arguments of a technique for the momentum."""

    momentum: Hyper
    momentum_form: Literal["velocity"]


def constructor(
    needs: Mapping[str, str] | None = None,
) -> Callable[[Callable[..., Transformation]], Callable[..., Transformation]]:
    """Decorate a function of the arguments that one optimizer of Keras has for itself, and of weight_decay.

    The constructor has Keras's other arguments too, and does all that they ask for. weight_decay is among them, unless
    it has a place and a default among the function's positional arguments.

    Args:
        needs: See `drop_in`.
    """

    def decorate(make: Callable[..., Transformation]) -> Callable[..., Transformation]:
        declared = inspect.signature(make).parameters.values()
        own = {p.name: p for p in declared if p.kind is not p.KEYWORD_ONLY}
        shared = [
            inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default, annotation=annotation)
            for name, (annotation, default) in SHARED.items()
            if name not in own
        ]

        def run(arguments: Mapping[str, Any]) -> Transformation:
            _refuse(public, arguments)
            decay = arguments["weight_decay"]
            chosen = {name: arguments[name] for name in own} | {"weight_decay": 0.0 if decay is None else decay}
            return chain(*_clips(make.__name__, arguments), make(**chosen))

        more = inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD)
        public = drop_in(needs)(extended(make, [*own.values(), *shared, more], run))
        return public

    return decorate


def velocity(momentum: Hyper) -> Momenta:
    """The arguments of a technique for Keras's momentum: the buffer has the learning rate in it."""
    return {} if is_zero(momentum) else {"momentum": momentum, "momentum_form": "velocity"}


def _clips(name: str, arguments: Mapping[str, Any]) -> list[Transformation]:
    bounds = {argument: arguments[argument] for argument in CLIPS if arguments[argument] is not None}
    if len(bounds) > 1:
        raise ValueError(f"{name}: only one of {', '.join(CLIPS)} can be set, got {bounds}")
    # Keras takes 0 for no bound.
    return [CLIPS[argument](bound) for argument, bound in bounds.items() if not is_zero(bound)]


def _refuse(constructor: Callable[..., Transformation], arguments: Mapping[str, Any]) -> None:
    name = constructor.__name__
    for argument, instead in UNSUPPORTED.items():
        if arguments[argument] is not None and arguments[argument] is not False:
            refuse_unsupported(name, argument, instead)
    for argument in ("ema_momentum", "ema_overwrite_frequency"):
        reason = "without use_ema, which is not supported"
        refuse_unless_default(constructor, argument, arguments[argument], reason)
    more = dict(arguments["kwargs"])
    more.pop("jit_compile", None)
    if more.pop("decay", None) is not None:
        warnings.warn(f"{name}: decay is ignored, as Keras ignores it; give learning_rate a schedule", stacklevel=6)
    if more:
        raise ValueError(f"{name}: {_unknown(next(iter(more)), inspect.signature(constructor).parameters)}")


def _unknown(argument: str, names: Iterable[str]) -> str:
    known = [name for name in names if name != "kwargs"]
    near = difflib.get_close_matches(argument, known, n=1)
    advice = f"did you mean {near[0]}?" if near else f"the arguments are {', '.join(known)}"
    return f"unknown argument {argument}; {advice}"
