"""Transformations as data: a tuple of stages, which `chain` concatenates and `lift` runs."""

import functools
import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Annotated, Any, NamedTuple, ParamSpec, TypeAlias

import jax
import optax

from gradtx._tools import flatten, hyperparameters
from gradtx.core._lift import Lift
from gradtx.core._rule import Rule, Scope, TreeStage
from gradtx.core._slots import widened

P = ParamSpec("P")


class Stage(NamedTuple):
    """A rule or a whole-tree stage; without a name of its own it is named after its technique."""

    technique: Rule | TreeStage
    name: str | None = None

    def code(self, split: bool) -> str:
        """The code that makes it, split into real and imaginary parts or not."""
        code = f"by_parts({self.technique!r})" if split else repr(self.technique)
        return code if self.name is None else f"named({self.name!r}, {code})"


@jax.tree_util.register_static
class Transformation(optax.GradientTransformationExtraArgs):
    """A gradient transformation that keeps its stages.

    It goes wherever an optax transformation goes. Besides, its `repr` is the code that makes it, it compares, hashes
    and pickles by what it computes, and equal ones share one compilation as static arguments of `jax.jit`.

    >>> import gradtx as gx
    >>> tx = gx.chain(gx.clip_by_global_norm(1.0), gx.sgd(0.1, momentum=0.9))
    >>> tx
    chain(clip_by_global_norm(1.0), trace(0.9), scale_by_learning_rate(0.1))
    >>> list(tx.stages)
    ['clip_by_global_norm', 'trace', 'scale_by_learning_rate']
    >>> tx == eval(repr(tx), vars(gx))
    True

    Attributes:
        init: params → State.
        update: (grads, state, params=None, **extra_args) → (updates, State).
        stages: Stage name → its rule, in order.
    """

    _stages: tuple[Stage, ...]
    _lift: Lift
    stages: Mapping[str, Any]

    def __new__(cls, stages: tuple[Stage, ...]) -> "Transformation":
        named_stages = dict(zip(_names(stages), (stage.technique for stage in stages), strict=True))
        lift = next((s.technique.lift for s in stages if s.technique.lift is not None), Lift)(named_stages)
        self = super().__new__(cls, lift.init, lift.update)  # type: ignore[arg-type]
        self._stages, self.stages, self._lift = stages, MappingProxyType(named_stages), lift
        return self

    def _replace(self, **fields: Any) -> Any:  # type: ignore[override]
        """A plain optax transformation with another init or update: the stages no longer say what it does."""
        return optax.GradientTransformationExtraArgs(self.init, self.update)._replace(**fields)

    def __repr__(self) -> str:
        stages, marked = self._stages, [s for s in self._stages if _splittable(s)]
        together = len(marked) > 1 and all(map(_is_split, marked))
        codes = [stage.code(split=not together and _is_split(stage)) for stage in stages]
        code = codes[0] if len(codes) == 1 else f"chain({', '.join(codes)})"
        return f"by_parts({code})" if together else code

    def __eq__(self, other: object) -> bool:
        return self._stages == other._stages if isinstance(other, Transformation) else NotImplemented

    def __ne__(self, other: object) -> bool:  # tuple has its own
        return not self == other

    def __hash__(self) -> int:
        return hash(self._stages)

    def __reduce__(self) -> Any:
        return Transformation, (self._stages,)


def chain(*transformations: optax.GradientTransformation) -> Transformation:
    """Applies transformations one after the other: gradtx's own or optax's.

    gradtx's are taken apart into their stages; an optax transformation becomes one opaque stage, whose state and
    arithmetic are held to float32 or wider like everything else.

    >>> import gradtx as gx, optax
    >>> gx.chain(optax.centralize(), gx.adam(1e-3))
    chain(<optax.centralize>, scale_by_adam(), scale_by_learning_rate(0.001))
    """
    return Transformation(tuple(stage for tx in transformations for stage in _stages_of(tx)))


def named(name: str, transformation: optax.GradientTransformation) -> Transformation:
    """`transformation` under a name of its own, which is the key of its state and hyperparameters.

    The stages of a longer chain are named "name.stage".

    >>> import gradtx as gx
    >>> list(gx.named("body", gx.adam(1e-3)).stages)
    ['body.scale_by_adam', 'body.scale_by_learning_rate']
    """
    if not isinstance(name, str) or not name:
        raise ValueError(f"named: the name must be a non-empty string, got {name!r}")
    stages = _stages_of(transformation)
    if len(stages) == 1:
        return Transformation((stages[0]._replace(name=name),))
    names = _names(stages)
    return Transformation(tuple(s._replace(name=f"{name}.{n}") for s, n in zip(stages, names, strict=True)))


def by_parts(transformation: optax.GradientTransformation) -> Transformation:
    """`transformation` with complex parameters seen as pairs of real ones, as PyTorch's optimizers see them.

    Without it, rules take complex numbers as such: Adam divides by the root of the averaged |g|², as optax's does.
    Rules that see whole arrays or trees, such as norms, are the same both ways.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> tx = gx.by_parts(gx.adam(0.1))
    >>> tx.update(jnp.array([3 - 4j]), tx.init(jnp.zeros(1, complex)))[0]
    Array([-0.1+0.1j], dtype=complex64)
    """
    return Transformation(
        tuple(
            stage._replace(technique=stage.technique.replace({"by_parts": True})) if _splittable(stage) else stage
            for stage in _stages_of(transformation)
        )
    )


def as_transformation(rule: Callable[P, Rule | TreeStage]) -> Callable[P, Transformation]:
    """The public function of a rule or a tree stage: takes its fields, gives a transformation of one stage."""

    @functools.wraps(rule, updated=())
    def make(*args: P.args, **kwargs: P.kwargs) -> Transformation:
        return Transformation((Stage(rule(*args, **kwargs)),))

    make.__name__ = make.__qualname__ = rule.label  # type: ignore[attr-defined]
    del make.__wrapped__
    make.__signature__ = _signature(rule)  # type: ignore[attr-defined]
    return make


class Transforms:
    """The kind of a field that holds a transformation: gradtx's own, or optax's as one opaque stage."""

    def check(self, where: str, value: Any) -> Transformation:
        try:
            return chain(value)
        except TypeError as error:
            raise TypeError(f"{where}: {error}") from None


Part: TypeAlias = Annotated[Any, Transforms()]
"""A transformation, as a tree stage declares it."""


class Foreign(TreeStage):
    """An optax transformation as one opaque stage."""

    transformation: Any

    def init(self, params: Any) -> Any:
        return self.transformation.init(widened(flatten(params)))

    def update(self, updates: Any, state: Any, params: Any, step: Any, extra: Mapping[str, Any]) -> tuple[Any, Any]:
        del step
        params = None if params is None else widened(flatten(params))
        return optax.with_extra_args_support(self.transformation).update(updates, state, params, **extra)

    def accepts(self) -> frozenset[str]:
        return frozenset(inspect.signature(self.transformation.update).parameters)

    @property
    def technique(self) -> str:
        return getattr(self.transformation.update, "__qualname__", "transformation").partition(".")[0]

    def __repr__(self) -> str:
        return f"<optax.{self.technique}>"


def _splittable(stage: Stage) -> bool:
    """Whether `by_parts` concerns a stage."""
    rule = stage.technique
    return isinstance(rule, Rule) and rule.scope is Scope.ELEMENT and not type(rule).by_parts


def _is_split(stage: Stage) -> bool:
    return "by_parts" in vars(stage.technique)


def _signature(rule: Any) -> inspect.Signature:
    """The signature of a rule's fields, where ranges are left to the docstring: `b1: 'Hyper' = 0.9`."""
    hyper, signature = hyperparameters(rule), inspect.signature(rule)
    fields = [p.replace(annotation="Hyper") if p.name in hyper else p for p in signature.parameters.values()]
    return signature.replace(parameters=fields, return_annotation="Transformation")


def _stages_of(tx: Any) -> tuple[Stage, ...]:
    if isinstance(tx, Transformation):
        return tx._stages
    if not (callable(getattr(tx, "init", None)) and callable(getattr(tx, "update", None))):
        raise TypeError(f"expected a gradient transformation, with init and update, got {tx!r} ({type(tx).__name__})")
    return (Stage(Foreign(tx)),)


def _names(stages: tuple[Stage, ...]) -> list[str]:
    """A unique name per stage: its own, or that of its technique, numbered from the second on."""
    names: list[str] = []
    taken = {stage.name for stage in stages}
    for technique, name in stages:
        if name is not None and name in names:
            raise ValueError(f"chain: two stages are named {name!r}")
        if name is None:
            base = technique.technique if isinstance(technique, Foreign) else technique.label
            numbered = (base if i == 1 else f"{base}_{i}" for i in range(1, len(stages) + len(taken) + 2))
            name = next(n for n in numbered if n not in taken and n not in names)
        names.append(name)
    return names
