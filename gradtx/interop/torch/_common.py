"""What PyTorch's optimizers share."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypedDict

from gradtx._tools import Interval, Record, Tree, code_of, is_zero
from gradtx.core import Hyper, Transformation, chain
from gradtx.interop._arguments import Pair, drop_in, extended
from gradtx.techniques import WeightDecayMode, scale_by_schedule
from gradtx.views import by_parts

BETAS = Pair(Interval(0.0, 1.0), Interval(0.0, 1.0))

_PARAMS = inspect.Parameter("params", inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None, annotation=Tree)
_SHARED: Mapping[str, tuple[Any, bool | None]] = {
    "foreach": (bool | None, None),
    "fused": (bool | None, None),
    "capturable": (bool, False),
    "differentiable": (bool, False),
    "maximize": (bool, False),
}


class Decays(TypedDict, total=False):
    """The arguments of a technique that say how parameters decay."""

    weight_decay: Hyper
    weight_decay_mode: WeightDecayMode


def constructor(
    shared: str, real: bool = False, needs: Mapping[str, str] | None = None
) -> Callable[[Callable[..., Transformation]], Callable[..., Transformation]]:
    """Decorate a function of the arguments that one optimizer of PyTorch has for itself.

    The constructor has the other arguments too, and does all that they ask for: `params` comes first, and those in
    `shared` stand between the function's positional arguments and its keyword-only arguments.

    Args:
        shared: The names of the other arguments in PyTorch's order, with "*" before the keyword-only ones.
        real: Whether PyTorch works on the real and the imaginary part of a complex parameter separately.
        needs: See `drop_in`.
    """

    def decorate(make: Callable[..., Transformation]) -> Callable[..., Transformation]:
        own = list(inspect.signature(make).parameters.values())

        def run(arguments: Mapping[str, Any]) -> Transformation:
            _check_params(make.__name__, arguments["params"])
            tx = make(**{p.name: arguments[p.name] for p in own})
            tx = chain(scale_by_schedule(-1.0), tx) if arguments["maximize"] else tx
            return by_parts(tx) if real else tx

        positional = [p for p in own if p.kind is not p.KEYWORD_ONLY]
        parameters = [_PARAMS, *positional, *_shared(shared), *own[len(positional) :]]
        return drop_in(needs)(extended(make, parameters, run))

    return decorate


def decays(weight_decay: Hyper, mode: WeightDecayMode = "coupled") -> Decays:
    """The arguments of a technique for weight decay. PyTorch's default is an L2 term in the gradient."""
    return {} if is_zero(weight_decay) else {"weight_decay": weight_decay, "weight_decay_mode": mode}


def _shared(names: str) -> list[inspect.Parameter]:
    positional, _, keywords = names.partition("*")
    kinds = dict.fromkeys(positional.split(), inspect.Parameter.POSITIONAL_OR_KEYWORD)
    kinds |= dict.fromkeys(keywords.split(), inspect.Parameter.KEYWORD_ONLY)
    return [
        inspect.Parameter(name, kind, default=_SHARED[name][1], annotation=_SHARED[name][0])
        for name, kind in kinds.items()
    ]


def _check_params(constructor: str, params: Tree) -> None:
    if isinstance(params, int | float | Record) or inspect.isfunction(params):
        raise TypeError(
            f"{constructor}: the first argument is params, as in PyTorch, got {code_of(params)}; "
            f"name the others, as in lr={code_of(params)}"
        )
    if isinstance(params, list | tuple) and any(isinstance(group, dict) and "params" in group for group in params):
        raise NotImplementedError(
            f"{constructor}: parameter groups are not supported; make a transformation for each group"
        )
