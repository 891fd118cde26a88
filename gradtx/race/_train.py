"""Training several chains from the same parameters on the same batches."""

import argparse
import importlib.metadata
import platform
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

import gradtx as gx
from gradtx.race._data import Problem
from gradtx.race._optimizers import OPTIMIZERS

_HIDDEN = 64


class Chain:
    """One contestant: a transformation, its parameters and state, and the record of its losses."""

    def __init__(self, name: str, rate: float | None, params: Any, loss: Callable, measures: Iterable[str]):
        default, make = OPTIMIZERS[name]
        self.name = name
        self.learning_rate = default if rate is None else rate
        self.tx = make(self.learning_rate)
        self.history: dict[str, list[float]] = {key: [] for key in measures}
        self.seconds: list[float] = []
        # Copies, as a step donates what it is given, and all chains are given the same.
        self.params, self.state = jax.tree.map(jnp.copy, (params, self.tx.init(params)))
        self.state_bytes = sum(leaf.nbytes for leaf in jax.tree.leaves(self.state))

        def step(params, state, *batch):
            grads = jax.grad(loss)(params, *batch)
            return gx.apply_gradients(self.tx, grads, state, params)

        self._jitted = jax.jit(step, donate_argnums=(0, 1))
        self._compiled: Any = None

    def step(self, *batch: Any) -> None:
        """Take one step, and its time."""
        if self._compiled is None:  # ahead of the clock; and what is compiled once cannot be compiled again
            self._compiled = self._jitted.lower(self.params, self.state, *batch).compile()
        begin = time.perf_counter()
        self.params, self.state = self._compiled(self.params, self.state, *batch)
        jax.block_until_ready((self.params, self.state))
        self.seconds.append(time.perf_counter() - begin)

    @property
    def milliseconds(self) -> float | None:
        """Median time of a step."""
        return 1e3 * float(np.median(self.seconds)) if self.seconds else None

    @property
    def diverged(self) -> bool:
        """Whether the latest loss is no finite number."""
        return any(not np.isfinite(self.history[key][-1:]).all() for key in ("train_loss", "test_loss"))


class Race:
    """The chains, the data they share, and what is known so far."""

    def __init__(self, problem: Problem, args: argparse.Namespace):
        self.problem, self.epochs, self.batch_size = problem, args.epochs, args.batch_size
        self.epochs_done = 0
        self.steps = -(-len(problem.x_train) // args.batch_size)
        self._random = np.random.default_rng(args.seed)
        self._train = jnp.asarray(problem.x_train), jnp.asarray(problem.y_train)
        self._test = jnp.asarray(problem.x_test), jnp.asarray(problem.y_test)
        self.classification = problem.task == "classification"
        self.score = "accuracy" if self.classification else "r2"

        rngs, features = nnx.Rngs(args.seed), problem.x_train.shape[1]
        widths = [features, _HIDDEN, _HIDDEN, problem.outputs]
        network = nnx.Sequential(
            nnx.Linear(widths[0], widths[1], rngs=rngs),
            nnx.relu,
            nnx.Linear(widths[1], widths[2], rngs=rngs),
            nnx.relu,
            nnx.Linear(widths[2], widths[3], rngs=rngs),
        )
        self._graph, params = nnx.split(network)
        self._evaluate = jax.jit(self._losses_and_score)
        self.initial = self._measure(params)
        self.chains = [
            Chain(name, args.learning_rate, params, self._batch_loss, self.initial) for name in args.optimizers
        ]
        packages = ("gradtx", "jax", "flax", "numpy", "scikit-learn")
        self.versions = {name: importlib.metadata.version(name) for name in packages}
        self.versions["python"] = platform.python_version()
        self.settings = {
            "data": problem.name,
            "task": problem.task,
            "loss": "cross-entropy" if self.classification else "mean squared error (standardised target)",
            "network": widths,
            "training_examples": len(problem.x_train),
            "test_examples": len(problem.x_test),
            "epochs": args.epochs,
            "batch_size": args.batch_size,
            "seed": args.seed,
            "device": jax.devices()[0].device_kind,
        }

    def _outputs_and_losses(self, params, x, y):
        outputs = nnx.merge(self._graph, params)(x)
        if self.classification:
            return outputs, -jnp.take_along_axis(nnx.log_softmax(outputs), y[:, None], axis=1)[:, 0]
        return outputs, (outputs[:, 0] - y) ** 2

    def _batch_loss(self, params, x, y, chosen, weights):
        _, losses = self._outputs_and_losses(params, x[chosen], y[chosen])
        return jnp.sum(weights * losses) / jnp.sum(weights)

    def _losses_and_score(self, params, x, y):
        outputs, losses = self._outputs_and_losses(params, x, y)
        loss = jnp.mean(losses)
        score = jnp.mean(jnp.argmax(outputs, axis=1) == y) if self.classification else 1 - loss / jnp.var(y)
        return loss, score

    def _measure(self, params) -> dict[str, float]:
        """Evaluate on the complete training and test sets."""
        found = {}
        for part, data in (("train", self._train), ("test", self._test)):
            loss, score = self._evaluate(params, *data)
            found |= {f"{part}_loss": float(loss), f"{part}_{self.score}": float(score)}
        return found

    def _batches(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Shuffle the training set into batches of indices and weights, every example once.

        The last batch is filled up with examples of weight zero, so that all have the one compiled shape.
        """
        order = self._random.permutation(len(self.problem.x_train)).astype(np.int32)
        weights = np.ones(self.steps * self.batch_size, np.float32)
        weights[len(order) :] = 0
        shape = self.steps, self.batch_size
        return list(zip(np.resize(order, shape), weights.reshape(shape), strict=True))

    def run(self, stopped: Callable[[], bool], advance: Callable[[], None]) -> Iterator[None]:
        """Train all chains for one epoch after the other, until `stopped`, which drops the epoch begun."""
        while self.epochs_done < self.epochs:
            batches = self._batches()
            for chain in self.chains:
                for batch in batches:
                    if stopped():
                        return
                    chain.step(*self._train, *batch)
                    advance()
            for chain in self.chains:
                for key, value in self._measure(chain.params).items():
                    chain.history[key].append(value)
            self.epochs_done += 1
            yield

    def result(self, status: str) -> dict[str, Any]:
        """Return all that race.json tells."""
        return {
            "status": status,
            "epochs_done": self.epochs_done,
            "versions": self.versions,
            "settings": self.settings,
            "initial": self.initial,
            "chains": {
                chain.name: {
                    "chain": repr(chain.tx),
                    "learning_rate": chain.learning_rate,
                    "milliseconds_per_step": chain.milliseconds,
                    "state_bytes": chain.state_bytes,
                    "diverged": chain.diverged,
                    **chain.history,
                }
                for chain in self.chains
            },
        }
