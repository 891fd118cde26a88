"""Transformations as data: tuples of stages. `chain` concatenates them, and `Lift` runs them."""

import functools
import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Annotated, Any, ParamSpec, TypeAlias

import jax
import optax

from gradtx._tools import Selector, Selects, Tree, checked, flatten, signature_of, summary, widen
from gradtx.core._lift import Lift
from gradtx.core._rule import Rule
from gradtx.core._stage import Only, Stacked, Stage, code
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
        by_name = dict(zip(_names(stages), map(_with_layers, stages), strict=True))
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
    return Transformation(tuple(stage for tx in transformations for stage in _stages_of(tx)))


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
    stages = _stages_of(transformation)
    if len(stages) == 1:
        return Transformation((stages[0]._replace(name=name),))
    names = _names(stages)
    return Transformation(tuple(s._replace(name=f"{name}.{n}") for s, n in zip(stages, names, strict=True)))


@checked
def only(selector: Selector, transformation: optax.GradientTransformation) -> Transformation:
    """Applies a transformation to the selected parameters. The other gradients pass unchanged, and have no slots.

    The stages still share the chain's counter. A stage that measures all gradients measures those of the selected
    parameters. `only(a, only(b, tx))` is for parameters that both select.

    Args:
        selector: The selection of parameters; see `gradtx.core.Selector`.
        transformation: A chain, a single stage, or a transformation of optax.

    Raises:
        ValueError: At `init`, if the selector selects no parameter; the error lists the paths.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> tx = gx.chain(gx.only("*kernel", gx.scale_by_adam()), gx.scale_by_learning_rate(0.1))
    >>> params = {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}
    >>> tx.init(params).stages["scale_by_adam"]["mu"]
    {'bias': None, 'kernel': Array([[0., 0.],
           [0., 0.]], dtype=float32)}
    >>> tx.update(params, tx.init(params))[0]["bias"]
    Array([-0.1, -0.1], dtype=float32)
    """
    view = Only(Selects().check("only: selector", selector))
    return Transformation(tuple(s._replace(views=(view, *s.views)) for s in _stages_of(transformation)))


@checked
def stacked(selector: Selector, transformation: optax.GradientTransformation, *, axis: int = 0) -> Transformation:
    """Applies a transformation to each layer of parameters that hold many layers on one axis.

    It is for the arrays of `flax.linen.scan`, of `nnx.vmap` over layers, of `jax.lax.scan` over blocks, and of stacked
    experts. Norms, trust ratios, factored moments and orthogonalisation are then computed per layer. Rules that update
    each element by itself give the same result with and without `stacked`, and global measures include all layers. Two
    axes of layers are `stacked(s, stacked(s, tx))`. A selector inside sees the shape of one layer:
    `stacked(s, only(matrices_only, tx))` is for layers that are matrices.

    Args:
        selector: The stacked parameters; the other parameters are seen whole. See `gradtx.core.Selector`.
        transformation: A chain or stage with at least one rule that needs whole arrays.
        axis: The axis of the layers in each selected parameter, an integer.

    Raises:
        TypeError: `transformation` gives the same result without `stacked`, or is an optax transformation.
        ValueError: At `init`, if the selector selects no parameter, or one without that axis.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> tx, layers = gx.stacked("layers", gx.clip_by_norm(1.0)), {"layers": jnp.array([[3.0, 4.0], [0.3, 0.4]])}
    >>> tx.update(layers, tx.init(layers))[0]
    {'layers': Array([[0.6, 0.8],
           [0.3, 0.4]], dtype=float32)}
    """
    if isinstance(axis, bool) or not isinstance(axis, int):
        raise TypeError(f"stacked: axis must be an integer, got {axis!r}")
    view = Stacked(Selects().check("stacked: selector", selector), axis)
    stages = _stages_of(transformation)
    if not any(map(_sees_layers, stages)):
        raise TypeError(f"stacked: it has no effect on {transformation!r}, because no rule in it needs whole arrays")
    return Transformation(tuple(s._replace(views=(view, *s.views)) for s in stages))


@checked
def by_parts(transformation: optax.GradientTransformation) -> Transformation:
    """Shows complex parameters to a transformation as pairs of real ones, as PyTorch's optimizers see them.

    Without it, rules compute with complex numbers: Adam divides by the root of the averaged |g|², as optax's does.
    Rules that need whole arrays or trees, such as norms, give the same result with and without it.

    Raises:
        TypeError: `transformation` contains an optax transformation, which gradtx cannot look into.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> tx = gx.by_parts(gx.adam(0.1))
    >>> tx.update(jnp.array([3 - 4j]), tx.init(jnp.zeros(1, complex)))[0]
    Array([-0.1+0.1j], dtype=complex64)
    """
    return Transformation(tuple(map(_split, _stages_of(transformation))))


def _split(stage: Stage) -> Stage:
    _refuse_foreign("by_parts", stage)
    return stage._replace(split=True) if stage.splittable else _with_parts(stage, by_parts)


def _sees_layers(stage: Stage) -> bool:
    """Whether `stacked` changes the result of the stage, or of a stage in a transformation that it holds."""
    _refuse_foreign("stacked", stage)
    return stage.sees_layers or any(_sees_layers(s) for part in stage.technique.parts().values() for s in part._stages)


def _refuse_foreign(where: str, stage: Stage) -> None:
    if isinstance(stage.technique, Foreign):
        raise TypeError(f"{where}: gradtx cannot look into {stage.technique!r}; use a transformation of gradtx")


def _with_layers(stage: Stage) -> Stage:
    """The stage for the interpreter: transformations that a wrapper holds see the layers that the wrapper sees."""
    views = tuple(view for view in stage.views if isinstance(view, Stacked))

    def with_views(part: Transformation) -> Transformation:
        return Transformation(tuple(inner._replace(views=views + inner.views) for inner in part._stages))

    return _with_parts(stage, with_views) if views else stage


def _with_parts(stage: Stage, change: Callable[[Transformation], Transformation]) -> Stage:
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


def _stages_of(tx: object) -> tuple[Stage, ...]:
    if isinstance(tx, Transformation):
        return tx._stages
    if not (callable(getattr(tx, "init", None)) and callable(getattr(tx, "update", None))):
        raise TypeError(f"expected a gradient transformation, with init and update, got {summary(tx)}")
    return (Stage(Foreign(tx)),)


def _names(stages: tuple[Stage, ...]) -> list[str]:
    """A unique name per stage: its name, or the name of its technique, numbered from the second on."""
    names: list[str] = []
    taken = {stage.name for stage in stages}
    for technique, name, *_ in stages:
        if name is not None and name in names:
            raise ValueError(f"chain: two stages are named {name!r}; give one of them another name")
        if name is None:
            base = technique.origin if isinstance(technique, Foreign) else technique.label
            numbered = (base if i == 1 else f"{base}_{i}" for i in range(1, len(stages) + len(taken) + 2))
            name = next(n for n in numbered if n not in taken and n not in names)
        names.append(name)
    return names
