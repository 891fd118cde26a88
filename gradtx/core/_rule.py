"""What the author of a technique writes: a rule for one array.

A rule is a frozen record. Its fields are the hyperparameters, `slots` declares what it keeps for each parameter, and
`update` is written for one array and reads like the paper. `needs` and `scope` say what else the rule must see. Rules
know nothing of trees, `None` leaves, dtypes, masks or counters: the interpreter (`_lift.py`, `_step.py`, `_leaf.py`)
handles these once, for all rules. Which parameters a rule sees, and whether it sees one layer of a stack at a time, is
said by the stage that holds it (`_stage.py`).
"""

import dataclasses
import enum
from collections.abc import Callable, Hashable, Mapping, Sequence
from types import SimpleNamespace
from typing import Annotated, Any, ClassVar, Self, TypeAlias

import jax
import numpy as np

from gradtx._tools import Flat, Interval, Record
from gradtx.core._stateful import Stateful

Schedule: TypeAlias = Callable[[Any], Any]
Hyper: TypeAlias = float | jax.Array | Schedule | Stateful
"""A hyperparameter as the user gives it: a number, a schedule `step -> value`, `tunable(number)`, or what follows a
metric, such as `schedules.reduce_on_plateau(number)`."""

# A hyperparameter as a rule declares it. Inside `update` it is always a plain value, hence Any for the type checker.
LearningRate: TypeAlias = Annotated[Any, Interval(0.0)]
"""Step size η ≥ 0, finite."""


class Role(enum.Enum):
    """What a slot is for: what sharding, storage codecs, `describe` and other frameworks' state keys go by."""

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
    """How much of the tree a rule's `update` must see at once."""

    ELEMENT = "element"
    LEAF = "leaf"
    TREE = "tree"


class Slots(SimpleNamespace):
    """The slots of one parameter by name, as `slot.mu`; in `measure`, a list for each slot."""

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"there is no slot {name} here; the slots are {', '.join(vars(self)) or 'none'}")


class Scalars(dict[str, Any]):
    """Scalars by name. A name that is missing is an error that lists the others."""

    def __init__(self, where: str, scalars: Mapping[str, Any]):
        super().__init__(scalars)
        self.where = where

    def __missing__(self, name: str) -> Any:
        raise KeyError(f"{self.where} has no {name}; it has {', '.join(self) or 'nothing'}")


Updated: TypeAlias = tuple[jax.Array, Mapping[str, jax.Array]]
"""What a rule makes of one array: the update, and its new slots by name."""

Like: TypeAlias = Callable[[Any], Any] | str
"""A function from the parameter to an array like the slot, or the name of a method that is one."""


@dataclasses.dataclass(frozen=True)
class Slot:
    """An array that a rule keeps between steps, for each parameter (role SCALAR: one scalar for the stage).

    Args:
        role: What it is for.
        fill: Its value before the first step, or the name of the field that holds it; "param" is the parameter itself,
            or what `like` makes of it.
        when: Name of a field; the slot exists only where that field is neither None nor False.
        dtype: The dtype of a SCALAR; `float` is float64 where JAX has it.
        like: The slot has the shape, the dtype and the sharding of `like(param)`, an array, and exists only for
            parameters where that is not None. It sees the parameter in the dtype of the arithmetic. Floating results
            are kept in at least float32. Without `like`, the slot is like the parameter, and a SECOND_MOMENT of a
            complex parameter is real. A product such as `p @ p.T` of an explicitly sharded parameter needs an
            `out_sharding`.

    >>> import jax.numpy as jnp
    >>> rows = Slot(Role.SECOND_MOMENT, like=lambda p: p.sum(-1) if p.ndim > 1 else None)
    """

    role: Role
    fill: float | str = 0.0
    when: str | None = None
    dtype: Any = np.float32
    like: Like | None = None

    def __post_init__(self) -> None:
        if self.role is Role.SCALAR and self.like is not None:
            raise TypeError("Slot: a SCALAR is one number for the stage and takes no like=")


@dataclasses.dataclass(frozen=True)
class At:
    """What a rule may know at this step.

    Attributes:
        step: Updates done before this one, int32: what schedules see.
        count: `step + 1`, int32: the t of the papers.
        param: The parameter, in the dtype of the arithmetic. Only where the rule `needs` "param".
        measured: The scalars that `prepare` and `measure` returned at this step; in `measure`, those of `prepare`.
        scalars: The SCALAR slots as the last step left them.
        key: A PRNG key of this parameter and this step. Only where the rule `needs` "key".
        value, grad, value_fn: Extra arguments of `update`, where the rule `needs` them. `grad` is this parameter's.
            `value_fn` is only for `measure`: it takes a list of arrays, in the place of `param`.

    In `measure`, `param` and `grad` are lists with one entry for each gradient.
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
    """What a stage of a chain is: a rule for one array, or a stage that works on whole trees.

    slots: name → `Slot`, what the technique keeps for each parameter.
    needs: what it must be given.
    lift: the interpreter of a chain with such a stage, if that needs one of its own.
    """

    slots: ClassVar[Mapping[str, Slot]] = {}
    needs: ClassVar[frozenset[str]] = frozenset()
    lift: ClassVar[type | None] = None

    def accepts(self) -> frozenset[str]:
        """Extra arguments that the stage may take although it does not need them."""
        return frozenset()

    def parts(self) -> Mapping[str, Any]:
        """The transformations that the stage holds, each under the key of its state in the stage's."""
        return {}

    def active_slots(self) -> Mapping[str, Slot]:
        """The slots that exist under the fields of this technique."""
        return {
            name: slot
            for name, slot in self.slots.items()
            if slot.when is None or not any(getattr(self, slot.when) is off for off in (None, False))
        }


class Rule(Technique):
    """A technique for one array. Subclasses declare hyperparameters as fields, and:

    slots: name → `Slot`, what is kept for each parameter.
    scope: ELEMENT (each element on its own), LEAF (the whole array), TREE (`measure` sees all arrays first). Under
        `stacked`, a rule of scope LEAF sees one layer at a time.
    needs: of "param", "key", and the extra arguments "value", "grad", "value_fn". A rule that needs "key" has a
        field `key`, annotated `Key`.
    by_parts: whether complex arrays are to come as real ones, with the real and imaginary parts on a last axis of two.
    """

    scope: ClassVar[Scope] = Scope.ELEMENT
    by_parts: ClassVar[bool] = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        unknown = cls.needs - {"param", "key", "value", "grad", "value_fn"}
        if unknown:
            raise TypeError(f"{cls.__name__}.needs has unknown entries {sorted(unknown)}")
        if cls.groups is not Rule.groups and "param" not in cls.needs:
            raise TypeError(f"{cls.__name__}: a rule with groups needs the parameters")
        if (cls.measure is not Rule.measure) != (cls.scope is Scope.TREE):
            raise TypeError(f"{cls.__name__}: a rule has scope TREE exactly if it has a measure")
        shaped = [name for name, slot in cls.slots.items() if slot.like is not None]
        if shaped and (cls.scope is Scope.ELEMENT or cls.by_parts):
            raise TypeError(
                f"{cls.__name__}: the slot {shaped[0]} has a shape of its own, so the rule sees whole arrays; declare "
                "scope = Scope.LEAF or Scope.TREE, and by_parts = False"
            )

    def groups(self, params: Flat, where: str, check: bool) -> Mapping[int, Hashable] | None:
        """The group of each trained parameter, by number, in the order to describe them in; None where all are alike.

        It goes by names, shapes and dtypes only, and so is the same at `init`, which asks with `check`, and at every
        step.
        """
        return None

    def for_group(self, group: Any) -> Self:
        """This rule for the parameters of one group, given the values of its hyperparameters at this step.

        A field that it sets to an array is an argument of the compiled function, any other a part of it: groups whose
        rules differ only in arrays are traced once.
        """
        return self

    def prepare(self, at: At) -> Mapping[str, Any]:
        """Scalars of this step that take no gradients, for `at.measured`: computed once, not once a parameter.

        A scalar that is named after a SCALAR slot is kept: it is in `at.scalars` at the next step.
        """
        return {}

    def measure(self, grads: Sequence[jax.Array], slots: Slots, at: At) -> Mapping[str, Any]:
        """Scalars over all gradients, for `at.measured`; those named after a SCALAR slot are kept.

        `slots.name` is a list with an entry for each gradient: its slot, or None where it has none.
        """
        raise NotImplementedError

    def update(self, g: jax.Array, slot: Slots, at: At) -> Updated:
        """(update, new slots) for one array: g and the slots `slot.name` come in one dtype of at least float32."""
        raise NotImplementedError

    def evaluated(self, param: jax.Array, slot: Slots, at: At) -> jax.Array:
        """The parameter to evaluate the model with, given the one that is trained; see `evaluation_params`.

        `at.count` is the number of updates done, and `at.scalars` has what the last one kept.
        """
        return param
