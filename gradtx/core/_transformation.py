"""Transformations as data: tuples of stages. `chain` concatenates them, and `Lift` runs them."""

import functools
import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Annotated, Any, ParamSpec, TypeAlias

import jax
import optax

from gradtx._tools import Tree, checked, flatten, signature_of, summary, widen
from gradtx.core._lift import Lift
from gradtx.core._rule import Rule
from gradtx.core._stage import Stacked, Stage, code, names_of
from gradtx.core._tree_stage import TreeAt, TreeStage

P = ParamSpec("P")


@jax.tree_util.register_static
class Transformation(optax.GradientTransformationExtraArgs):
    """A gradient transformation as data: a tuple of stages.

    It can replace an optax transformation everywhere. Its `repr` is the code that makes it. It compares, hashes and
    pickles by its stages, and equal ones share one compilation as static arguments of `jax.jit`.

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
        stages: Stage name → its technique, in order.
    """

    _stages: tuple[Stage, ...]
    _lift: Lift
    stages: Mapping[str, Any]

    def __new__(cls, stages: tuple[Stage, ...]) -> "Transformation":
        by_name = dict(zip(names_of(stages), map(_with_layers, stages), strict=True))
        interpreter = next((s.technique.lift for s in stages if s.technique.lift is not None), Lift)
        lift = interpreter(by_name)
        self = super().__new__(cls, lift.init, lift.update)  # type: ignore[arg-type]
        self._stages, self.stages, self._lift = stages, MappingProxyType(lift.techniques), lift
        return self

    def _replace(self, **fields: Any) -> Any:  # type: ignore[override]
        """Returns a plain optax transformation, because the stages do not describe another init or update."""
        return optax.GradientTransformationExtraArgs(self.init, self.update)._replace(**fields)

    def __repr__(self) -> str:
        return code(self._stages)

    def __eq__(self, other: object) -> bool:
        return self._stages == other._stages if isinstance(other, Transformation) else NotImplemented

    def __ne__(self, other: object) -> bool:  # overrides that of tuple
        return not self == other

    def __hash__(self) -> int:
        return hash(self._stages)

    def __reduce__(self) -> Any:
        return Transformation, (self._stages,)


def chain(*transformations: optax.GradientTransformation) -> Transformation:
    """Applies transformations one after the other: gradtx's own or optax's.

    The stages of gradtx's transformations are concatenated. An optax transformation becomes one opaque stage. Its
    state and its arithmetic are in float32 or wider, like everything else.

    >>> import gradtx as gx, optax
    >>> gx.chain(optax.centralize(), gx.adam(1e-3))
    chain(<optax.centralize>, scale_by_adam(), scale_by_learning_rate(0.001))
    """
    return Transformation(tuple(stage for tx in transformations for stage in stages_of(tx)))


@checked
def named(name: str, transformation: optax.GradientTransformation) -> Transformation:
    """Names a transformation. The name is the key of its state and of its hyperparameters.

    The stages of a longer chain are named "name.stage".

    >>> import gradtx as gx
    >>> list(gx.named("body", gx.adam(1e-3)).stages)
    ['body.scale_by_adam', 'body.scale_by_learning_rate']
    """
    if not isinstance(name, str) or not name:
        raise ValueError(f"named: name must be a non-empty string, got {summary(name)}")
    stages = stages_of(transformation)
    if len(stages) == 1:
        return Transformation((stages[0]._replace(name=name),))
    names = names_of(stages)
    return Transformation(tuple(s._replace(name=f"{name}.{n}") for s, n in zip(stages, names, strict=True)))


def _with_layers(stage: Stage) -> Stage:
    """The stage for the interpreter: transformations that a wrapper holds see the layers that the wrapper sees."""
    views = tuple(view for view in stage.views if isinstance(view, Stacked))

    def with_views(part: Transformation) -> Transformation:
        return Transformation(tuple(inner._replace(views=views + inner.views) for inner in part._stages))

    return with_parts(stage, with_views) if views else stage


def with_parts(stage: Stage, change: Callable[[Transformation], Transformation]) -> Stage:
    """The stage with `change` of each transformation among the fields of a wrapper."""
    parts = {field: change(part) for field, part in vars(stage.technique).items() if isinstance(part, Transformation)}
    return stage._replace(technique=stage.technique.replace(parts)) if parts else stage


def as_transformation(rule: Callable[P, Rule | TreeStage]) -> Callable[P, Transformation]:
    """Makes the public function of a rule or a tree stage: it takes the fields, and returns a transformation."""

    @functools.wraps(rule, updated=())
    def make(*args: P.args, **kwargs: P.kwargs) -> Transformation:
        return Transformation((Stage(rule(*args, **kwargs)),))

    make.__name__ = make.__qualname__ = rule.label  # type: ignore[attr-defined]
    del make.__wrapped__
    make.__signature__ = signature_of(rule, "Transformation")  # type: ignore[attr-defined]
    return make


class Transforms:
    """The kind of a field that holds a transformation. One of optax becomes an opaque stage."""

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

    def init(self, params: Tree) -> Any:
        return self.transformation.init(flatten(params).map_trained(widen))

    def update(self, updates: Tree, state: Tree, at: TreeAt) -> tuple[Any, Any]:
        params = None
        if at.params is not None:
            flat, grads = flatten(at.params), flatten(updates).leaves
            # optax maps over updates and parameters together, so both have None at the same places.
            flat = flat._replace(leaves=[None if g is None else p for p, g in zip(flat.leaves, grads, strict=True)])
            params = flat.map_trained(widen)
        update: Any = optax.with_extra_args_support(self.transformation).update
        return update(updates, state, params, **at.extra)

    def accepts(self) -> frozenset[str]:
        return frozenset(inspect.signature(self.transformation.update).parameters)

    @property
    def origin(self) -> str:
        """The name of the optax function that made the transformation."""
        return getattr(self.transformation.update, "__qualname__", "transformation").partition(".")[0]

    def __repr__(self) -> str:
        return f"<optax.{self.origin}>"


def stages_of(tx: object) -> tuple[Stage, ...]:
    """The stages of a transformation; one opaque stage for one of optax."""
    if isinstance(tx, Transformation):
        return tx._stages
    if not (callable(getattr(tx, "init", None)) and callable(getattr(tx, "update", None))):
        raise TypeError(f"expected a gradient transformation, with init and update, got {summary(tx)}")
    return (Stage(Foreign(tx)),)
