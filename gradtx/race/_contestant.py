"""One contestant of a race: its training and its record."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

import gradtx as gx
from gradtx.race._errors import InputError
from gradtx.race._optimizers import Entry

Measures: TypeAlias = Mapping[str, np.ndarray]
"""Name of a measure, such as "test_loss" → its values, of shape (seeds,)."""

Result: TypeAlias = dict[str, Any]
"""What race.json holds: names → numbers, texts, lists and further results."""

Variables: TypeAlias = tuple[nnx.State, nnx.State]
"""The parameters of a network and its batch normalisation's running statistics."""

BatchLoss: TypeAlias = Callable[[nnx.State, nnx.State, gx.inputs.Batch], tuple[jax.Array, nnx.State]]
"""(parameters, statistics, mini-batch) → (loss, new statistics)."""

F = TypeVar("F", bound=Callable[..., object])


def over(seeds: Sequence[int]) -> Callable[[F], F]:
    """Return `jax.vmap` for several seeds, and the identity for one seed, whose arrays have no axis of seeds."""
    return jax.vmap if len(seeds) > 1 else lambda function: function


def seeds_as_text(seeds: Sequence[int]) -> str:
    """Return the seeds as tables and pictures show them."""
    return f"seeds {seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else f"seed {seeds[0]}"


def summary(measures: Measures, seeds: Sequence[int]) -> Result:
    """Return the measures, whose last axis is the seeds, for race.json.

    With several seeds the result has the mean, the standard deviation, the lowest and the highest value over the seeds,
    and then the values of each seed.
    """
    if len(seeds) == 1:
        return {key: values[..., 0].tolist() for key, values in measures.items()}

    def each(function: Callable[[np.ndarray], np.ndarray]) -> dict[str, Any]:
        return {key: function(values).tolist() for key, values in measures.items()}

    with np.errstate(invalid="ignore"):  # infinite values have no deviation
        return {
            **each(lambda x: x.mean(-1)),
            "standard_deviation": each(deviation),
            "lowest": each(lambda x: x.min(-1)),
            "highest": each(lambda x: x.max(-1)),
            "seeds": {str(seed): each(lambda x, i=i: x[..., i]) for i, seed in enumerate(seeds)},
        }


def deviation(values: np.ndarray) -> np.ndarray:
    """Return the sample standard deviation over the last axis, with n - 1 in the denominator."""
    return values.std(-1, ddof=1)


class Contestant:
    """A transformation, the parameters, statistics and state that it trains, and the record of its losses.

    With several seeds, every array has a leading axis of seeds, and one step trains all seeds at once.

    Raises:
        InputError: the transformation refuses the parameters of the network.
    """

    def __init__(
        self,
        entry: Entry,
        variables: Variables,
        batch: gx.inputs.Batch,
        loss: BatchLoss,
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
            # A step donates its arguments, and every contestant starts from the same arrays: each needs a copy.
            self.variables, self.state = jax.tree.map(jnp.copy, (variables, each(self.tx.init)(variables[0])))
            # Tracing finds a transformation that cannot train the network before the race begins.
            self._lowered = jax.jit(each(step), donate_argnums=(0, 1)).lower(self.variables, self.state, batch)
        except (TypeError, ValueError, ArithmeticError) as error:
            raise InputError(f"{self.name} cannot race: {error}") from None
        self.state_bytes = sum(leaf.nbytes for leaf in jax.tree.leaves(self.state)) // len(seeds)
        self.history: dict[str, list[np.ndarray]] = {key: [] for key in measures}
        self.seconds: list[float] = []
        self._compiled: Any = None

    def step(self, batch: gx.inputs.Batch) -> None:
        """Take one step and record its time."""
        if self._compiled is None:  # before the clock starts
            self._compiled = self._lowered.compile()
        begin = time.perf_counter()
        self.variables, self.state = self._compiled(self.variables, self.state, batch)
        jax.block_until_ready((self.variables, self.state))
        self.seconds.append(time.perf_counter() - begin)

    @property
    def milliseconds(self) -> float | None:
        """The median time of a step, or None before the first step."""
        return 1e3 * float(np.median(self.seconds)) if self.seconds else None

    @property
    def diverged(self) -> list[int]:
        """The seeds with a latest loss that is not finite."""
        latest = [self.history[key][-1] for key in ("train_loss", "test_loss") if self.history[key]]
        return [seed for seed, *losses in zip(self.seeds, *latest, strict=True) if not np.isfinite(losses).all()]

    def result(self) -> Result:
        """Return the record for race.json."""
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
