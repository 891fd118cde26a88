"""A hyperparameter with a value for each group of parameters."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

from gradtx._tools._kinds import Change, Deferred, Name
from gradtx._tools._record import Record
from gradtx._tools._select import Selector, Selects, select
from gradtx._tools._trees import Flat
from gradtx._tools._words import code_of, listed, summary

REST = "*"


class Groups:
    """The kind of a field that holds selectors with their values."""

    def check(self, where: str, value: object) -> tuple[tuple[Selector, Any], ...]:
        """Returns pairs of a selector and its value."""
        pairs = tuple(value.items()) if isinstance(value, Mapping) else value
        if not isinstance(pairs, Sequence) or not all(isinstance(pair, tuple) and len(pair) == 2 for pair in pairs):
            raise TypeError(f"{where} must be a dictionary from selectors to values, got {summary(value)}")
        if not pairs:
            raise ValueError(f"{where} is empty; give at least one selector, such as '*' for all parameters")
        for selector, one in pairs:
            if isinstance(one, PerGroup):
                raise TypeError(f"{where}: the value of {code_of(selector)} is another per_group; write one dictionary")
        return tuple((Selects().check(f"{where}: selector", selector), one) for selector, one in pairs)


class PerGroup(Deferred):
    """The value of a hyperparameter for each group of parameters. The function `per_group` makes it."""

    values: Annotated[Any, Groups()]
    name: Name = None

    def starting(self, change: Change) -> "PerGroup":
        values = []
        for selector, value in self.values:
            try:
                values.append((selector, change(value)))
            except (TypeError, ValueError) as error:
                raise type(error)(f"{error}, for {code_of(selector)}") from None
        return self.replace({"values": tuple(values)})

    def under(self, name: str) -> "PerGroup":
        """Returns a copy with this name, if it has none."""
        return self if self.name else self.replace({"name": name})

    def labelled(self) -> dict[str, Any]:
        """The values by the names of their groups: a glob or an expression itself, the name of a function."""
        labels: list[str] = []
        for selector, _ in self.values:
            label = selector.pattern if isinstance(selector, re.Pattern) else selector
            label = label if isinstance(label, str) else code_of(selector)
            labels.append(label if label not in labels else f"{label}_{len(labels)}")
        return dict(zip(labels, (value for _, value in self.values), strict=True))

    def prefix(self, stage: str, field: str) -> str:
        """The beginning of the keys in `state.hyperparams` of values that live in the state."""
        return self.name or f"{stage}.{field}"

    def map(self, change: Callable[[str, Any], Any]) -> "PerGroup":
        """Returns a copy with `change(label, value)` in the place of each value."""
        changed = [change(label, value) for label, value in self.labelled().items()]
        return self.replace({"values": tuple((s, new) for (s, _), new in zip(self.values, changed, strict=True))})

    def members(self, params: Flat, where: str, check: bool, dtypes: bool = True) -> dict[int, int]:
        """Number of each trained leaf → the number of the first selector that selects it.

        Args:
            params: The parameters that the stage sees, or the gradients in their place.
            where: The name of the stage and the field, for errors.
            check: Whether a selector that is the first for no parameter is an error. "*" may be left without any.
            dtypes: Whether the dtypes are those of the parameters.
        """
        trained, first = params.trained(), dict[int, int]()
        for n, (selector, _) in enumerate(self.values):
            for i, chosen in select(selector, params, f"{where}: per_group", check=False, dtypes=dtypes).items():
                if chosen:
                    first.setdefault(i, n)
        if missing := [repr(path) for i, (path, _) in trained.items() if i not in first]:
            raise ValueError(f"{where}: per_group has no value for {listed(missing, 50)}; add '*' for the rest")
        unused = [s for n, (s, _) in enumerate(self.values) if n not in first.values() and s != REST]
        if check and trained and unused:
            paths = listed([repr(path) for path, _ in trained.values()], 50)
            raise ValueError(
                f"{where}: per_group: {code_of(unused[0])} is the first selector of no parameter; leave it out, or put "
                f"it before the selectors that match the same; the paths are {paths}"
            )
        return first

    def __repr__(self) -> str:
        hashable = all(isinstance(s, str | re.Pattern) or hasattr(s, "__qualname__") for s, _ in self.values)
        form, pair = ("{{{}}}", "{}: {}") if hashable else ("[{}]", "({}, {})")
        pairs = ", ".join(pair.format(code_of(selector), code_of(value)) for selector, value in self.values)
        return f"per_group({form.format(pairs)}{f', name={self.name!r}' if self.name else ''})"


def by_label(name: str, value: Any) -> dict[str, Any]:
    """A hyperparameter by its name, or its values for the groups of parameters as "name.label"."""
    if isinstance(value, PerGroup):
        return {f"{name}.{label}": one for label, one in value.labelled().items()}
    return {name: value}


def grouped(record: Record) -> dict[str, PerGroup]:
    """The fields of a record that have a value for each group of parameters."""
    return {field: value for field, value in vars(record).items() if isinstance(value, PerGroup)}


def per_group(values: Mapping[Any, Any] | Sequence[tuple[Selector, Any]], *, name: str | None = None) -> PerGroup:
    """Gives a hyperparameter a value for each group of parameters, as PyTorch's parameter groups do.

    It goes wherever a hyperparameter of a rule goes: the learning rate, the weight decay, β₁. The groups of different
    hyperparameters are independent. The chain stays one chain, with one counter, one global norm and one state.

    Args:
        values: Selector → value, or pairs of them. Each value is a number, a schedule, `tunable(number)` or a schedule
            that follows a metric. The first selector that selects a parameter counts, and "*" is for the rest. See
            `gradtx.core.Selector`.
        name: A name in the place of "stage.field", under which the state keeps values such as `tunable(number)`.

    `hyperparams` has the value of a group as "stage.field.selector", and `set_hyperparams` takes any suffix of it:
    `set_hyperparams(tx, state, **{"learning_rate.embed/*": 1e-3})`.

    Raises:
        TypeError: The hyperparameter has one value for all parameters, as that of a schedule, a wrapper, or a rule that
            measures all gradients.
        ValueError: At `init`, if no selector selects a parameter, or if a selector is the first of no parameter.

    optax has `optax.partition` for this, with a separate transformation, counter and norm for each group.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> tx = gx.sgd(gx.per_group({"embed/*": 0.5, "*": gx.schedules.linear(0.1, 0.0, 10)}))
    >>> params = {"embed": {"table": jnp.ones(2)}, "head": {"kernel": jnp.ones(2)}}
    >>> tx.update(params, tx.init(params))[0]
    {'embed': {'table': Array([-0.5, -0.5], dtype=float32)}, 'head': {'kernel': Array([-0.1, -0.1], dtype=float32)}}
    """
    return PerGroup(values, name)
