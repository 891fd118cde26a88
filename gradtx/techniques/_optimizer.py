"""The frame of every optimizer: momentum, weight decay and the learning rate around the direction of a paper.

`optimizer(Rule)` makes the public function of an optimizer. The function that it decorates builds a chain with `framed`
from its arguments. The decorator adds the shared arguments to the signature, checks every argument under the name of
the optimizer, and completes the docstring: an argument is explained where the rule or this file explains it.
"""

import functools
import inspect
import re
import textwrap
from collections.abc import Callable, Mapping
from typing import Any, Literal, ParamSpec, TypedDict, TypeVar, Unpack

from gradtx._tools import Idle, Kind, Selects, bind, kind_of, kinds_of, refuse_idle
from gradtx.conditioning import add_decayed_weights, decay_weights
from gradtx.core import (
    Fraction,
    Hyper,
    LearningRate,
    NonNegative,
    PerGroup,
    Real,
    Rule,
    Selector,
    Stateful,
    Transformation,
    chain,
    is_zero,
)
from gradtx.techniques._learning_rate import scale_by_learning_rate
from gradtx.techniques._trace import trace

P = ParamSpec("P")
F = TypeVar("F", bound=Callable[..., Transformation])

MomentumForm = Literal["heavy_ball", "average", "velocity"]
"""bₜ = β·bₜ₋₁ + gₜ; bₜ = β·bₜ₋₁ + (1-β)·gₜ; or bₜ = β·bₜ₋₁ - ηₜ·gₜ, the learning rate inside the buffer."""

WeightDecayMode = Literal["decoupled", "after", "independent", "cautious", "coupled"]
"""Where an optimizer puts the weight decay λ·θ. The docstring of every optimizer has the equations."""


class WeightDecay(TypedDict, total=False):
    """The shared arguments of weight decay."""

    weight_decay: Hyper
    weight_decay_mode: WeightDecayMode
    mask: Selector | None


KINDS: Mapping[str, Kind] = {
    "learning_rate": kind_of(LearningRate),
    "weight_decay": kind_of(NonNegative),
    "weight_decay_mode": kind_of(WeightDecayMode),
    "mask": Kind(Selects(), optional=True),
    "momentum": kind_of(Fraction | None),
    "nesterov": kind_of(bool),
    "momentum_form": kind_of(MomentumForm),
    "dampening": kind_of(Real),
}
HINTS = {  # as `help` shows them
    Hyper: "Hyper",
    Hyper | None: "Hyper | None",
    Selector | None: "Selector | None",
    WeightDecayMode: "WeightDecayMode",
    MomentumForm: "MomentumForm",
}
DEFAULTS = {"weight_decay": 0.0, "weight_decay_mode": "decoupled", "mask": None}
IDLE = {
    "weight_decay_mode": "weight_decay",
    "mask": "weight_decay",
    "nesterov": "momentum",
    "momentum_form": "momentum",
    "dampening": "momentum",
}
DOCS = {
    "learning_rate": "η ≥ 0; a number, a schedule, or `tunable(number)`.",
    "weight_decay": "λ ≥ 0.",
    "weight_decay_mode": """Where λ·θ goes, given the direction d(g):
    "decoupled", θ' = θ - η·(d(g) + λ·θ): decay times the learning rate, before the step;
    "after", θ' = (1 - η·λ)·(θ - η·d(g)): decay times the learning rate, after the step;
    "independent", θ' = θ - η·d(g) - λ·θ: decay without the learning rate; λ may be a schedule;
    "cautious", θ' = θ - η·(d(g) + λ·θ·[d(g)·θ ≥ 0]): decay only where the step goes towards zero, arXiv:2510.12402;
    "coupled", θ' = θ - η·d(g + λ·θ): L2 regularisation.""",
    "mask": "A selector of the parameters that decay, such as `matrices_only`; None selects all.",
    "momentum": "β in [0, 1]; None or 0 for no momentum.",
    "nesterov": "Whether momentum looks ahead by one step: u = -η·(gₜ + β·bₜ) for a heavy ball.",
    "momentum_form": """The forms agree for a constant learning rate, up to a factor 1-β for the average:
    "heavy_ball", u = -η·bₜ, bₜ = β·bₜ₋₁ + gₜ, as in optax's and PyTorch's SGD;
    "average", u = -η·bₜ, bₜ = β·bₜ₋₁ + (1-β)·gₜ, as in Adam;
    "velocity", u = bₜ = β·bₜ₋₁ - ηₜ·gₜ, with the learning rate inside the buffer, as in Keras.""",
    "dampening": """δ in bₜ = β·bₜ₋₁ + (1-δ)·gₜ from the second step on, as in PyTorch; only for a heavy ball without
    nesterov.""",
}


def optimizer(rule: type[Rule] | None = None, **defaults: object) -> Callable[[Callable[P, Any]], Callable[P, Any]]:
    """Makes the public function of an optimizer.

    Args:
        rule: The rule of the direction. Its annotations and its docstring hold for the arguments of the same names.
        defaults: Defaults of shared arguments that differ from the common ones.
    """

    def decorate(make: Callable[P, Any]) -> Callable[P, Any]:
        return _public(make, make.__name__, inspect.getdoc(make) or "", rule, defaults)

    return decorate


def variant(make: F, name: str, doc: str, **defaults: object) -> F:
    """An optimizer with other defaults, under a name and with a docstring of its own."""
    original, rule, before = make.__frame__  # type: ignore[attr-defined]
    return _public(original, name, inspect.cleandoc(doc), rule, before | defaults)


def framed(
    learning_rate: Hyper,
    *direction: Transformation,
    momentum: Hyper | None = None,
    nesterov: bool = False,
    momentum_form: MomentumForm = "heavy_ball",
    dampening: Hyper = 0.0,
    **decay: Unpack[WeightDecay],
) -> Transformation:
    """A chain of the direction, momentum, weight decay and the learning rate, in the order that the modes require."""
    weight_decay, mask = decay.get("weight_decay", 0.0), decay.get("mask")
    mode = decay.get("weight_decay_mode", "decoupled")
    velocity = momentum_form == "velocity" and not is_zero(momentum)
    twice = mode == "after" or (velocity and mode in ("decoupled", "cautious"))
    if twice and isinstance(learning_rate, Stateful | PerGroup) and not is_zero(weight_decay):
        learning_rate = learning_rate.under("learning_rate")  # two stages read one learning rate
    rate = chain(scale_by_learning_rate(learning_rate))
    if velocity:
        rate = chain(rate, trace(momentum, nesterov, dampening=dampening))
    elif not is_zero(momentum):
        form = "average" if momentum_form == "average" else "heavy_ball"
        direction = (*direction, trace(momentum, nesterov, momentum_form=form, dampening=dampening))
    if is_zero(weight_decay):
        return chain(*direction, rate)
    match mode:
        case "coupled":
            return chain(add_decayed_weights(weight_decay, mask), *direction, rate)
        case "independent":
            return chain(*direction, rate, decay_weights(weight_decay, mask))
        case "after":
            return chain(*direction, rate, decay_weights(weight_decay, mask, learning_rate=learning_rate, after=True))
    cautious = mode == "cautious"
    if velocity:  # the decay must stay out of the buffer
        decay_after = decay_weights(weight_decay, mask, learning_rate=learning_rate, cautious=cautious)
        return chain(*direction, rate, decay_after)
    return chain(*direction, add_decayed_weights(weight_decay, mask, cautious=cautious), rate)


def _public(
    make: Callable[..., Any], name: str, doc: str, rule: type[Rule] | None, defaults: Mapping[str, object]
) -> Any:
    signature = _signature(make, defaults)
    kinds = {**kinds_of(make), **KINDS, **({} if rule is None else kinds_of(rule))}
    idle: Idle = {n: other for n, other in IDLE.items() if n in signature.parameters} | dict(rule.idle if rule else {})

    @functools.wraps(make)
    def build(*args: Any, **kwargs: Any) -> Any:
        bound = bind(name, signature, args, kwargs)
        bound.apply_defaults()
        arguments = {n: kinds[n].check(f"{name}: {n}", value) for n, value in bound.arguments.items()}
        refuse_idle(name, signature, arguments, idle)
        return make(**arguments)

    build.__name__ = build.__qualname__ = name
    build.__doc__ = _documented(doc, inspect.getdoc(rule) or "", list(signature.parameters))
    build.__signature__ = signature  # type: ignore[attr-defined]
    build.__frame__ = (make, rule, defaults)  # type: ignore[attr-defined]
    return build


def _signature(make: Callable[..., Any], defaults: Mapping[str, object]) -> inspect.Signature:
    """The signature of `make`, with the shared arguments in the place of `**decay`."""
    own = [p for p in inspect.signature(make).parameters.values() if p.kind is not p.VAR_KEYWORD]
    defaults, last = DEFAULTS | dict(defaults), inspect.Parameter.KEYWORD_ONLY
    hints = WeightDecay.__annotations__
    shared = [inspect.Parameter(n, last, default=defaults[n], annotation=hint) for n, hint in hints.items()]
    named = [p.replace(annotation=HINTS.get(p.annotation, p.annotation)) for p in (*own, *shared)]
    return inspect.Signature(named, return_annotation="Transformation")


def _documented(doc: str, rule_doc: str, names: list[str]) -> str:
    """Adds a section `Args:` to a docstring. Each argument is explained by the docstring, the rule or `DOCS`."""
    parts = re.split(r"\n\n(?=Args:|Raises:|Sources?:|>>>)", doc)
    own = next((part for part in parts if part.startswith("Args:")), "")
    explained = DOCS | _explanations(rule_doc) | _explanations(own)
    lines = [f"{n}: {explained[n]}".replace("\n", "\n    ") for n in names]
    arguments = "\n".join(["Args:", *(f"    {line}" for line in lines)])
    head, *rest = [part for part in parts if part is not own]
    return "\n\n".join([head, arguments, *rest])


def _explanations(doc: str) -> dict[str, str]:
    """Argument → its explanation in the section `Args:`; further lines are indented by four spaces."""
    section = re.search(r"^Args:\n((?: .*\n?)+)", doc, re.MULTILINE)
    entries = re.findall(
        r"^(\w+): ((?:.*\n?)(?: {4}.*\n?)*)", textwrap.dedent(section[1] if section else ""), re.MULTILINE
    )
    return {name: text.rstrip() for name, text in entries}
