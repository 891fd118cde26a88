"""A rule for one array: the part of a technique that its author writes.

A rule is a frozen record.

- Its fields are the hyperparameters, with their ranges in the annotations: `b1: Decay = 0.9`.
- `slots` declares the arrays that the rule keeps between steps, per parameter.
- `needs` and `scope` declare its further inputs: the parameter, a key, or all gradients of the tree.
- `update` takes one array with its slots, and returns the update and the new slots. It reads like the paper.
- `prepare` computes scalars once per step, and `measure` computes scalars over all gradients.

An author sees no trees, no None leaves, no dtypes and no counters. The interpreter (`_lift.py`, `_step.py`, `_leaf.py`)
handles these once, for all rules. The stage that holds a rule (`_stage.py`) decides which parameters the rule sees, and
whether it sees one layer of a stack at a time. `tests/core/test_open.py` has five complete examples.
"""

import dataclasses
import enum
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeAlias

import jax
import numpy as np
from jax.typing import ArrayLike

from gradtx._tools import Flat, PerGroup, Record, Slots, Stateful

if TYPE_CHECKING:
    from gradtx.core._transformation import Transformation

ScheduleLike: TypeAlias = Callable[[Any], ArrayLike]
"""A function from the step to a value: one of `gradtx.schedules`, one of optax's, or the user's."""
Hyper: TypeAlias = float | jax.Array | ScheduleLike | Stateful | PerGroup
"""A hyperparameter as users write it: a number, a schedule, `tunable(number)`, a hyperparameter that follows a metric,
such as `schedules.reduce_on_plateau(number)`, or `per_group` of these."""


class Role(enum.Enum):
    """The purpose of a slot, for sharding, storage codecs, `describe`, and the state keys of other frameworks."""

    FIRST_MOMENT = "first moment"
    SECOND_MOMENT = "second moment"
    PREVIOUS_GRADIENT = "previous gradient"
    STEP_SIZE = "step size"
    ANCHOR = "anchor point"
    AVERAGE = "averaged parameter"
    PRECONDITIONER = "preconditioner"
    HISTORY = "history"
    ACCUMULATOR = "accumulated gradient"
    STATISTIC = "statistic"
    SCALAR = "scalar"


class Scope(enum.Enum):
    """The part of the tree that a rule must see at once: one element, one array, or all arrays."""

    ELEMENT = "element"
    LEAF = "leaf"
    TREE = "tree"


Updated: TypeAlias = tuple[jax.Array, Mapping[str, jax.Array]]
"""The result of a rule for one array: the update, and the new slots by name."""

Like: TypeAlias = Callable[[Any], Any] | str
"""A function from the parameter to an array like the slot, or the name of a method that is such a function."""


@dataclasses.dataclass(frozen=True)
class Slot:
    """An array that a rule keeps between steps: one per parameter, or with the role SCALAR one number per stage.

    Args:
        role: The purpose of the slot.
        fill: The value before the first step, or the name of the field with that value. "param" stands for a copy of
            the parameter, or of `like(param)`.
        when: The name of a field. The slot exists only if the field is neither None nor False.
        dtype: The dtype of a SCALAR. `float` is float64 if JAX has it enabled.
        shape: The shape of a SCALAR that is several numbers, such as a window of values.
        like: A function from the parameter, in the dtype of the arithmetic, to an array whose shape, dtype and
            sharding the slot has. Floating results are kept in at least float32. The slot exists only for parameters
            for which the result is not None. Without `like`, the slot is like the parameter, but a SECOND_MOMENT of a
            complex parameter is real. A product such as `p @ p.T` of an explicitly sharded parameter needs an
            `out_sharding`.

    Raises:
        TypeError: `like` or fill="param" for a SCALAR, or `dtype` for another role.

    >>> import jax.numpy as jnp
    >>> rows = Slot(Role.SECOND_MOMENT, like=lambda p: p.sum(-1) if p.ndim > 1 else None)
    """

    role: Role
    fill: float | str = 0.0
    when: str | None = None
    dtype: Any = np.float32
    like: Like | None = None
    shape: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        scalar = self.role is Role.SCALAR
        if scalar and (self.like is not None or self.fill == "param"):
            raise TypeError("Slot: a SCALAR is one number for the stage and takes neither like= nor fill='param'")
        if not scalar and self.dtype is not np.float32:
            raise TypeError(f"Slot: dtype={self.dtype} has no effect with {self.role}; give like=, or leave out dtype")


@dataclasses.dataclass(frozen=True)
class At:
    """The inputs of a rule at one step, besides the gradient and the slots.

    Attributes:
        step: The number of updates done before this one, int32. Schedules are functions of it.
        count: `step + 1`, int32: the t of the papers.
        param: The parameter, in the dtype of the arithmetic. Only if the rule `needs` "param".
        measured: The scalars that `prepare` and `measure` returned at this step; in `measure`, those of `prepare`.
        scalars: The SCALAR slots after the last step.
        key: A PRNG key for this parameter and this step. Only if the rule `needs` "key".
        value, grad, value_fn: Extra arguments of `update`, if the rule `needs` them. `grad` is that of this parameter.
            `value_fn` is only for `measure`: it takes a list of arrays, in the place of `param`.

    In `measure`, `param` and `grad` are lists with one entry per gradient.
    """

    step: jax.Array
    count: jax.Array
    param: Any = None
    measured: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    scalars: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    key: Any = None
    value: Any = None
    grad: Any = None
    value_fn: Any = None


class Technique(Record):
    """The base class of rules, which see one array, and of tree stages, which see whole trees.

    Attributes:
        slots: Name → `Slot`, the arrays that the technique keeps per parameter.
        needs: The inputs that the technique requires.
        passes: Whether updates pass unchanged, so that the stage may come after one that `ends` the chain.
        ends: Whether the stage must see the final updates, as an average of the parameters must.
        hides: Whether later stages of the chain see none of the parameters that this stage sees.
        lift: The interpreter of a chain with such a stage; None for `Lift`.
    """

    slots: ClassVar[Mapping[str, Slot]] = {}
    needs: ClassVar[frozenset[str]] = frozenset()
    passes: ClassVar[bool] = False
    ends: ClassVar[bool] = False
    hides: ClassVar[bool] = False
    lift: ClassVar[type | None] = None

    @property
    def origin(self) -> str:
        """The default name of a stage with this technique: the name of the function that made it."""
        return self.label

    def accepts(self) -> frozenset[str]:
        """The extra arguments of `update` that the stage can take without needing them."""
        return frozenset()

    def shown(self) -> Sequence[str]:
        """The slots that `metrics` shows."""
        return ()

    def parts(self) -> Mapping[str, "Transformation"]:
        """The transformations that the stage holds. Each has its state under the same name in the stage's state."""
        return {}

    def active_slots(self) -> Mapping[str, Slot]:
        """The slots that exist for the values of this technique's fields."""
        return {
            name: slot
            for name, slot in self.slots.items()
            if slot.when is None or not any(getattr(self, slot.when) is off for off in (None, False))
        }


class Rule(Technique):
    """A technique for one array. Subclasses declare hyperparameters as fields, and define `update`.

    Attributes:
        slots: Name → `Slot`, the arrays that the rule keeps per parameter.
        scope: ELEMENT if each element is updated by itself, LEAF if `update` needs the whole array, TREE if `measure`
            needs all arrays first. Under `stacked`, a rule of scope LEAF sees one layer at a time.
        needs: A subset of "param", "key", and the extra arguments "value", "grad", "value_fn". A rule that needs "key"
            has a field `key`, annotated `Key`.
        by_parts: Whether complex arrays arrive as real ones, with real and imaginary parts on a last axis of two.
    """

    scope: ClassVar[Scope] = Scope.ELEMENT
    by_parts: ClassVar[bool] = False

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        unknown = cls.needs - {"param", "key", "value", "grad", "value_fn"}
        if unknown:
            raise TypeError(f"{cls.__name__}.needs has unknown entries {sorted(unknown)}")
        if cls.groups is not Rule.groups and "param" not in cls.needs:
            raise TypeError(f"{cls.__name__}: a rule with groups needs the parameters; add 'param' to needs")
        if (cls.measure is not Rule.measure) != (cls.scope is Scope.TREE):
            raise TypeError(f"{cls.__name__}: a rule has scope TREE exactly if it has a measure")
        shaped = [name for name, slot in cls.slots.items() if slot.like is not None]
        if shaped and (cls.scope is Scope.ELEMENT or cls.by_parts):
            raise TypeError(
                f"{cls.__name__}: the slot {shaped[0]} has like=, so the rule sees whole arrays; declare scope = "
                "Scope.LEAF or Scope.TREE, and by_parts = False"
            )

    def groups(self, params: Flat, where: str) -> Mapping[int, Hashable] | None:
        """The group of each trained parameter, by number, in the order of `describe`. None if all are alike.

        Groups depend on paths, shapes and dtypes only, and are therefore the same at every step. `where` is the name
        of the stage, for errors.
        """
        return None

    def for_group(self, group: Any) -> Self:
        """This rule for the parameters of one group, given the values of its hyperparameters at this step.

        A field that it sets to an array is an argument of the compiled function, and any other field is a constant in
        it. Groups whose rules differ only in arrays are therefore traced once.
        """
        return self

    def prepare(self, at: At) -> Mapping[str, Any]:
        """Scalars of this step that need no gradients, for `at.measured`. They are computed once for all parameters.

        A scalar with the name of a SCALAR slot is also stored: it is in `at.scalars` at the next step.
        """
        return {}

    def measure(self, grads: Sequence[jax.Array], slots: Slots, at: At) -> Mapping[str, Any]:
        """Scalars over all gradients, for `at.measured`. Those with the name of a SCALAR slot are also stored.

        `slots.name` is a list with one entry per gradient: its slot, or None if it has no such slot.
        """
        raise NotImplementedError

    def update(self, g: jax.Array, slot: Slots, at: At) -> Updated:
        """The update and the new slots for one array. All arrays arrive in one dtype of at least float32."""
        raise NotImplementedError

    def evaluated(self, param: jax.Array, slot: Slots, at: At) -> jax.Array:
        """The parameter for evaluating the model, given the trained one; see `evaluation_params`.

        `at.count` is the number of updates done, and `at.scalars` has the SCALAR slots after the last one.
        """
        return param
