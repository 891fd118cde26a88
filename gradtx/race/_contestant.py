"""One of those that race: its training, and the record of it."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

import gradtx as gx
from gradtx.race._errors import InputError
from gradtx.race._optimizers import Entry

Measures: TypeAlias = Mapping[str, np.ndarray]
"""Measure -> its value for each seed."""


def over(seeds: Sequence[int]) -> Callable[[Callable], Callable]:
    """What makes a function of one seed's arrays one of all of them: of one seed's, nothing need be made."""
    return jax.vmap if len(seeds) > 1 else lambda function: function


def seeds_as_text(seeds: Sequence[int]) -> str:
    """How a table and a picture name them."""
    return f"seeds {seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else f"seed {seeds[0]}"


def summary(measures: Measures, seeds: Sequence[int]) -> dict[str, Any]:
    """The measures, whose last axis are the seeds; of several their mean, their spread, and then each of them."""
    if len(seeds) == 1:
        return {key: values[..., 0].tolist() for key, values in measures.items()}

    def each(function: Callable[[np.ndarray], np.ndarray]) -> dict[str, Any]:
        return {key: function(values).tolist() for key, values in measures.items()}

    with np.errstate(invalid="ignore"):  # what has diverged has no deviation
        return {
            **each(lambda x: x.mean(-1)),
            "standard_deviation": each(deviation),
            "lowest": each(lambda x: x.min(-1)),
            "highest": each(lambda x: x.max(-1)),
            "seeds": {str(seed): each(lambda x, i=i: x[..., i]) for i, seed in enumerate(seeds)},
        }


def deviation(values: np.ndarray) -> np.ndarray:
    """The standard deviation that a sample tells of, over the last axis."""
    return values.std(-1, ddof=1)


class Contestant:
    """A transformation, its parameters, statistics and state, and the record of its losses.

    With several seeds everything has a leading axis, one place for each, and a step is one of all of them at once.
    """

    def __init__(
        self,
        entry: Entry,
        variables: Any,
        batch: gx.inputs.Batch,
        loss: Callable,
        measures: Iterable[str],
        seeds: Sequence[int],
    ):
        self.name, self.tx, self.learning_rate, self.code = entry
        self.seeds, each = seeds, over(seeds)

        def step(variables, state, batch):
            params, statistics = variables
            (value, statistics), grads = jax.value_and_grad(loss, has_aux=True)(params, statistics, batch)
            params, state = gx.apply_gradients(self.tx, grads, state, params, value=value)
            return (params, statistics), state

        try:
            # Copies, as a step donates what it is given, and all are given the same.
            self.variables, self.state = jax.tree.map(jnp.copy, (variables, each(self.tx.init)(variables[0])))
            # Traced ahead of the race, which then begins only if all can take part.
            self._lowered = jax.jit(each(step), donate_argnums=(0, 1)).lower(self.variables, self.state, batch)
        except (TypeError, ValueError, ArithmeticError) as error:
            raise InputError(f"{self.name} cannot race: {error}") from None
        self.state_bytes = sum(leaf.nbytes for leaf in jax.tree.leaves(self.state)) // len(seeds)
        self.history: dict[str, list[np.ndarray]] = {key: [] for key in measures}
        self.seconds: list[float] = []
        self._compiled: Any = None

    def step(self, batch: gx.inputs.Batch) -> None:
        """Take one step, and its time."""
        if self._compiled is None:  # ahead of the clock; and what is compiled once cannot be compiled again
            self._compiled = self._lowered.compile()
        begin = time.perf_counter()
        self.variables, self.state = self._compiled(self.variables, self.state, batch)
        jax.block_until_ready((self.variables, self.state))
        self.seconds.append(time.perf_counter() - begin)

    @property
    def milliseconds(self) -> float | None:
        """Median time of a step."""
        return 1e3 * float(np.median(self.seconds)) if self.seconds else None

    @property
    def diverged(self) -> list[int]:
        """The seeds whose latest loss is no finite number."""
        latest = [self.history[key][-1] for key in ("train_loss", "test_loss") if self.history[key]]
        return [seed for seed, *losses in zip(self.seeds, *latest, strict=True) if not np.isfinite(losses).all()]

    def result(self) -> dict[str, Any]:
        """Return what race.json tells of it."""
        curves = {key: np.reshape(values, (-1, len(self.seeds))) for key, values in self.history.items()}
        return {
            "code": self.code,
            "chain": repr(self.tx),
            "learning_rate": self.learning_rate,
            "milliseconds_per_step": self.milliseconds,
            "state_bytes": self.state_bytes,
            "diverged": bool(self.diverged),
            "diverged_seeds": self.diverged,
            **summary(curves, self.seeds),
        }
