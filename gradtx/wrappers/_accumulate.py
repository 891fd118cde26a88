"""Gradients of several micro-batches as one step."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY
from typing import Annotated, Any, Literal, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from gradtx._tools import Count, Tree, flatten, is_trainable, kind_of, map_trained, times
from gradtx.core import Part, Role, Slot, TreeAt, TreeStage, as_transformation

Reduce: TypeAlias = Literal["mean", "sum"]
"""How the gradients of a window become one."""


class Window:
    """The kind of a field that holds the length of a window: a whole number, or a function from the step to one."""

    def check(self, where: str, value: Any) -> Any:
        if callable(value):
            return value
        return kind_of(Count).check(where, value)


class Accumulate(TreeStage):
    """Runs a transformation once for every window of `every` micro-batches, with the mean of their gradients.

    g = Σᵢ gᵢ / n over the window; with `weights`, g = Σᵢ wᵢ·gᵢ / Σᵢ wᵢ. At the other calls the update is zero, and the
    state of the transformation stays as it is: its counter and its schedules count real updates. Nothing of the
    transformation is computed at such a call, and `apply_gradients` does not touch the parameters.

    Args:
        inner: A transformation of gradtx or optax.
        every: The number of micro-batches in a window, a whole number ≥ 1; or a function from the number of real
            updates done to it.
        reduce: "mean" as above; "sum" for Σᵢ gᵢ or Σᵢ wᵢ·gᵢ.
        weights: Whether `update` takes the argument `weight`, the number of examples or tokens of the micro-batch, as a
            real scalar ≥ 0. Micro-batches of unequal sizes then equal one large batch. A window whose weights are all
            zero has zero gradients.

    The extra argument `value`, such as the loss, is averaged like the gradients, over the micro-batches that have one.
    The other extra arguments are those of the last micro-batch.

    The sums are in float32 or wider, one array like each parameter. The first micro-batch of a window overwrites them,
    so a NaN does not outlive its window. A stage before `accumulate` sees every micro-batch, and a stage inside it sees
    the mean: a clip by the norm usually belongs inside.

    optax has `optax.MultiSteps`, which averages in the gradients' dtype without weights. Keras has the argument
    `gradient_accumulation_steps`.

    >>> import gradtx as gx, jax.numpy as jnp
    >>> tx, params = gx.accumulate(gx.sgd(1.0), 2), jnp.zeros(1)
    >>> first, state = tx.update(jnp.array([1.0]), tx.init(params))
    >>> second, state = tx.update(jnp.array([3.0]), state)
    >>> first, second
    (Array([0.], dtype=float32), Array([-2.], dtype=float32))
    """

    inner: Part
    every: Annotated[Any, Window()]
    _: KW_ONLY
    reduce: Reduce = "mean"
    weights: bool = False

    slots = {
        "sum": Slot(Role.ACCUMULATOR),
        "micro_step": Slot(Role.SCALAR, dtype=np.int32),
        "weight": Slot(Role.SCALAR, when="weights"),
        "value": Slot(Role.SCALAR),
        "value_weight": Slot(Role.SCALAR),
    }
    applies = True

    def parts(self) -> Mapping[str, Any]:
        return {"inner": self.inner}

    def accepts(self) -> frozenset[str]:
        return super().accepts() | ({"weight"} if self.weights else frozenset())

    def active_slots(self) -> Mapping[str, Slot]:
        slots = super().active_slots()
        if "value" in super().accepts():
            return slots
        return {name: slot for name, slot in slots.items() if not name.startswith("value")}

    def update(self, updates: Tree, state: Mapping[str, Any], at: TreeAt) -> tuple[Any, Any]:
        first = state["micro_step"] == 0
        weight = self._weight(at)

        def added(old: jax.Array, new: jax.Array) -> jax.Array:
            return jnp.where(first, new, old + new)

        state = dict(state)
        state["sum"] = _added(added, state["sum"], updates, weight)
        extra = {name: x for name, x in at.extra.items() if name != "weight" or not self.weights}
        if self.weights:
            state["weight"] = added(state["weight"], weight)
        if "value" in state:
            value = extra.get("value")
            given = jnp.where(value is not None, weight, 0.0).astype(jnp.float32)
            part = jnp.zeros(()) if value is None else given * jnp.asarray(value, jnp.float32)
            state["value"] = added(state["value"], part)
            state["value_weight"] = added(state["value_weight"], given)
            if value is not None:
                extra["value"] = divided(state["value"], state["value_weight"])
        now = dataclasses.replace(at, extra=extra)
        length = self._length(state["inner"])
        emits = state["micro_step"] + 1 >= length
        total = state["weight"] if self.weights else (state["micro_step"] + 1).astype(jnp.float32)
        state["micro_step"] = jnp.where(emits, 0, state["micro_step"] + 1).astype(jnp.int32)
        sums = map_trained(lambda _, s: s, updates, state["sum"])

        def reduced(sums_and_total: tuple[Tree, jax.Array]) -> Any:
            sums, total = sums_and_total
            return sums if self.reduce == "sum" else map_trained(lambda s: divided(s, total), sums)

        zeros = map_trained(jnp.zeros_like, updates)
        return self.run_part_if(emits, "inner", (sums, total), state, now, zeros, reduced)

    def _weight(self, at: TreeAt) -> jax.Array:
        if not self.weights:
            return jnp.ones(())
        weight = at.extra.get("weight")
        if weight is None:
            raise TypeError("accumulate needs the argument weight: call update(grads, state, params, weight=...)")
        return jnp.asarray(weight, jnp.float32)

    def _length(self, inner: Any) -> Any:
        if not callable(self.every):
            return self.every
        return jnp.maximum(jnp.asarray(self.every(inner.step), jnp.int32), 1)


def divided(total: jax.Array, weight: jax.Array) -> jax.Array:
    """The quotient, or 0 if the weight is 0. A division of every element would be stored before it is used."""
    weight = weight.astype(total.real.dtype)
    return times(total, jnp.where(weight == 0, 0, 1 / jnp.where(weight == 0, 1, weight)))


def _added(added: Callable[[Any, Any], Any], sums: Tree, updates: Tree, weight: jax.Array) -> Any:
    """The sums after a micro-batch. The sum of a parameter without a gradient stays as it is."""
    old, new = flatten(sums), flatten(updates).leaves
    pairs = zip(old.leaves, new, strict=True)
    return old.unflatten([added(s, times(u, weight.astype(u.real.dtype))) if is_trainable(u) else s for s, u in pairs])


accumulate = as_transformation(Accumulate)
