"""What the author of a technique writes: a rule for one array, the slots it keeps and what it needs to know."""

import dataclasses
import enum
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Self, TypeAlias

import jax
import numpy as np

from gradtx._tools import Flat, Interval, Record, Seed, flatten
from gradtx.core._select import select
from gradtx.core._stateful import Stateful

Schedule: TypeAlias = Callable[[Any], Any]
Hyper: TypeAlias = float | jax.Array | Schedule | Stateful
"""A hyperparameter as the user gives it: a number, a schedule `step -> value`, `tunable(number)`, or what follows a
metric, such as `schedules.reduce_on_plateau(number)`."""

# A hyperparameter as a rule declares it. Inside `update` it is always a plain value, hence Any for the type checker.
LearningRate: TypeAlias = Annotated[Any, Interval(0.0)]
"""Step size η ≥ 0, finite."""
Decay: TypeAlias = Annotated[Any, Interval(0.0, 1.0)]
"""Decay rate of an average, in [0, 1)."""
Fraction: TypeAlias = Annotated[Any, Interval(0.0, 1.0, closed=True)]
"""A number in [0, 1]."""
NonNegative: TypeAlias = Annotated[Any, Interval(0.0)]
"""A finite number ≥ 0."""
Bound: TypeAlias = Annotated[Any, Interval(0.0, float("inf"), closed=True)]
"""A bound ≥ 0; infinity means no bound."""
Real: TypeAlias = Annotated[Any, Interval()]
"""Any finite number."""

Key: TypeAlias = Annotated[Any, Seed()]
"""An integer seed in [0, 2³²), or a key made by `jax.random.key`."""


class Role(enum.Enum):
    """What a slot is for: what sharding, storage codecs, `describe` and other frameworks' state keys go by."""

    FIRST_MOMENT = "first moment"
    SECOND_MOMENT = "second moment"
    PREVIOUS_GRADIENT = "previous gradient"
    STEP_SIZE = "step size"
    ANCHOR = "anchor point"
    AVERAGE = "averaged parameter"
    SCALAR = "scalar"


class Scope(enum.Enum):
    """How much of the tree a rule's `update` must see at once."""

    ELEMENT = "element"
    LEAF = "leaf"
    TREE = "tree"


@dataclasses.dataclass(frozen=True)
class Slot:
    """An array that a rule keeps between steps, shaped like the parameter (role SCALAR: one scalar per stage).

    Args:
        role: What it is for. A SECOND_MOMENT of a complex parameter is real.
        fill: Its value before the first step, or the name of the field that holds it, or "param": the parameter.
        when: Name of a field; the slot exists only where that field is neither None nor False.
        dtype: For a SCALAR: its dtype; `float` is float64 where JAX has it. Other slots are `promote_types(parameter
            dtype, float32)`.
    """

    role: Role
    fill: float | str = 0.0
    when: str | None = None
    dtype: Any = np.float32


@dataclasses.dataclass(frozen=True)
class At:
    """What a rule may know at this step.

    Attributes:
        step: Updates done before this one, int32: what schedules see.
        count: `step + 1`, int32: the t of the papers.
        param: The parameter, in the dtype of the arithmetic. Only where the rule `needs` "param".
        measured: The scalars that `prepare` and `measure` returned; during these, the SCALAR slots of the last step.
        key: A PRNG key of this parameter and this step. Only where the rule `needs` "key".
        value, grad, value_fn: Extra arguments of `update`, where the rule `needs` them; `grad` is this parameter's,
            `value_fn` is for `measure` alone. In `measure`, `param` and `grad` are lists, one entry per gradient.
    """

    step: jax.Array
    count: jax.Array
    param: Any = None
    measured: Mapping[str, jax.Array] = dataclasses.field(default_factory=dict)
    key: Any = None
    value: Any = None
    grad: Any = None
    value_fn: Any = None


class Technique(Record):
    """What a stage of a chain is: a rule for one array, or a stage that works on whole trees."""

    needs: ClassVar[frozenset[str]] = frozenset()
    lift: ClassVar[type | None] = None  # the interpreter of a chain with such a stage, if it needs one of its own

    def accepts(self) -> frozenset[str]:
        """Extra arguments that the stage may take although it does not need them."""
        return frozenset()

    def parts(self) -> Mapping[str, Any]:
        """The transformations that the stage holds, each under the key of its state in the stage's."""
        return {}


class Rule(Technique):
    """A technique for one array. Subclasses declare hyperparameters as fields, and:

    slots: name → `Slot`, what is kept per parameter.
    scope: ELEMENT (each element on its own), LEAF (the whole array), TREE (`measure` sees all arrays first).
    needs: of "param", "key", and the extra arguments "value", "grad", "value_fn". A rule that needs "key" has a
        field `key`, annotated `Key`.
    masked: the fields that are 0 for the parameters which the rule's field `mask`, a selector, does not select.
    by_parts: whether complex arrays are to come as real ones, with the real and imaginary parts on a last axis of two.
    """

    slots: ClassVar[Mapping[str, Slot]] = {}
    scope: ClassVar[Scope] = Scope.ELEMENT
    masked: ClassVar[tuple[str, ...]] = ()
    by_parts: ClassVar[bool] = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        unknown = cls.needs - {"param", "key", "value", "grad", "value_fn"}
        if unknown:
            raise TypeError(f"{cls.__name__}.needs has unknown entries {sorted(unknown)}")
        if cls.masked and ("param" not in cls.needs or "mask" not in cls.__annotations__):
            raise TypeError(f"{cls.__name__}: a rule with masked fields has a field mask, and needs the parameters")
        if cls.groups is not Rule.groups and "param" not in cls.needs:
            raise TypeError(f"{cls.__name__}: a rule with groups needs the parameters")
        if (cls.measure is not Rule.measure) != (cls.scope is Scope.TREE):
            raise TypeError(f"{cls.__name__}: a rule has scope TREE exactly if it has a measure")

    def groups(self, params: Flat, where: str, check: bool) -> Mapping[int, Hashable] | None:
        """The group of each trained parameter, by number, in the order to describe them in; None where all are alike.

        It goes by names, shapes and dtypes alone, and so is the same at `init`, which asks with `check`, and at every
        step. Here, the group is whether the field `mask` selects the parameter.
        """
        selector = self.mask if self.masked else None  # type: ignore[attr-defined]
        return None if selector is None else select(selector, params, f"{where}: mask", check)

    def for_group(self, group: Hashable) -> Self:
        """This rule for the parameters of one group, given the values of its hyperparameters at this step.

        A field that it sets to an array is an argument of the compiled function, any other a part of it: groups whose
        rules differ in arrays alone are traced once.
        """
        return self.replace({"mask": None} | ({} if group else dict.fromkeys(self.masked, 0.0)))

    def prepare(self, at: At) -> Mapping[str, Any]:
        """Scalars of this step that take no gradients: computed once, not once a parameter. See `At.measured`."""
        return {}

    def measure(self, grads: Sequence[jax.Array], at: At) -> Mapping[str, Any]:
        """Scalars over all gradients, found in `at.measured` by `update`; those named after a SCALAR slot are kept."""
        raise NotImplementedError

    def update(self, g: jax.Array, slot: Any, at: At) -> tuple[jax.Array, Mapping[str, jax.Array]]:
        """(update, new slots) for one array: g and the slots `slot.name` come in one dtype of at least float32."""
        raise NotImplementedError

    def active_slots(self) -> Mapping[str, Slot]:
        """The slots that exist under this rule's fields."""
        return {
            name: slot
            for name, slot in self.slots.items()
            if slot.when is None or not any(getattr(self, slot.when) is off for off in (None, False))
        }


class TreeStage(Technique):
    """A stage that works on whole trees: a wrapper around another transformation, or a foreign one."""

    def init(self, params: Any) -> Any:
        """The stage's state: any tree; unless a stage has more, the states of its parts."""
        return {name: part._lift.state(flatten(params)) for name, part in self.parts().items()}

    def accepts(self) -> frozenset[str]:
        return frozenset[str]().union(*(part._lift.accepts() for part in self.parts().values()))

    def update(
        self, updates: Any, state: Any, params: Any, step: jax.Array, extra: Mapping[str, Any]
    ) -> tuple[Any, Any]:
        """(updates, state): updates in the dtype of the arithmetic, None where there is nothing to train."""
        raise NotImplementedError
