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
from gradtx.race._network import Network
from gradtx.race._optimizers import OPTIMIZERS

_HIDDEN = 64


class Chain:
    """One contestant: a transformation, its parameters, statistics and state, and the record of its losses."""

    def __init__(self, name: str, rate: float | None, variables: Any, loss: Callable, measures: Iterable[str]):
        default, make = OPTIMIZERS[name]
        self.name = name
        self.learning_rate = default if rate is None else rate
        self.tx = make(self.learning_rate)
        self.history: dict[str, list[float]] = {key: [] for key in measures}
        self.seconds: list[float] = []
        # Copies, as a step donates what it is given, and all chains are given the same.
        self.variables, self.state = jax.tree.map(jnp.copy, (variables, self.tx.init(variables[0])))
        self.state_bytes = sum(leaf.nbytes for leaf in jax.tree.leaves(self.state))

        def step(variables, state, batch):
            params, statistics = variables
            grads, statistics = jax.grad(loss, has_aux=True)(params, statistics, batch)
            params, state = gx.apply_gradients(self.tx, grads, state, params)
            return (params, statistics), state

        self._jitted = jax.jit(step, donate_argnums=(0, 1))
        self._compiled: Any = None

    def step(self, batch: gx.inputs.Batch) -> None:
        """Take one step, and its time."""
        if self._compiled is None:  # ahead of the clock; and what is compiled once cannot be compiled again
            self._compiled = self._jitted.lower(self.variables, self.state, batch).compile()
        begin = time.perf_counter()
        self.variables, self.state = self._compiled(self.variables, self.state, batch)
        jax.block_until_ready((self.variables, self.state))
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
        self.problem, self.epochs = problem, args.epochs
        self.epochs_done = 0
        network_key, batches_key = jax.random.split(jax.random.key(args.seed))
        train = jax.device_put((problem.x_train, problem.y_train))
        self.batches = gx.inputs.minibatches(train, args.batch_size, batches_key)
        self._test = jax.device_put((problem.x_test, problem.y_test))
        self.classification = problem.task == "classification"
        self.score = "accuracy" if self.classification else "r2"

        widths = [problem.x_train.shape[1], _HIDDEN, _HIDDEN, problem.outputs]

        @jax.jit
        def initial(key):
            return nnx.split(Network(widths, args.batch_norm, nnx.Rngs(key)), nnx.Param, nnx.BatchStat)

        self._graph, params, statistics = initial(network_key)
        variables = params, statistics
        self._evaluate = jax.jit(self._measures)
        self.initial = self._measure(variables)
        self.chains = [
            Chain(name, args.learning_rate, variables, self._batch_loss, self.initial) for name in args.optimizers
        ]
        packages = ("gradtx", "jax", "flax", "numpy", "scikit-learn")
        self.versions = {name: importlib.metadata.version(name) for name in packages}
        self.versions["python"] = platform.python_version()
        self.settings = {
            "data": problem.name,
            "task": problem.task,
            "loss": "cross-entropy" if self.classification else "mean squared error (standardised target)",
            "network": widths,
            "batch_norm": args.batch_norm,
            "training_examples": len(problem.x_train),
            "test_examples": len(problem.x_test),
            "epochs": args.epochs,
            "batch_size": args.batch_size,
            "seed": args.seed,
            "device": jax.devices()[0].device_kind,
        }

    def _outputs_and_losses(self, network, x, y, **training):
        outputs = network(x, **training)
        if self.classification:
            return outputs, -jnp.take_along_axis(nnx.log_softmax(outputs), y[:, None], axis=1)[:, 0]
        return outputs, (outputs[:, 0] - y) ** 2

    def _batch_loss(self, params, statistics, batch):
        network = nnx.merge(self._graph, params, statistics, copy=True)
        # Of a last example alone the variances are 0, which the running ones had better not follow.
        mask = batch.mask & (batch.mask.sum() > 1)
        _, losses = self._outputs_and_losses(network, *batch.data, train=True, mask=mask)
        return batch.mean(losses), nnx.state(network, nnx.BatchStat)

    def _measures(self, variables, *parts):
        """The loss and the score on each part of the data, which the network takes together."""
        x, y = (jnp.concatenate(arrays) for arrays in zip(*parts, strict=True))
        outputs, losses = self._outputs_and_losses(nnx.merge(self._graph, *variables), x, y)
        found, end = {}, 0
        for name, (_, part) in zip(("train", "test"), parts, strict=True):
            begin, end = end, end + len(part)
            loss = found[f"{name}_loss"] = jnp.mean(losses[begin:end])
            if self.classification:
                found[f"{name}_accuracy"] = jnp.mean(jnp.argmax(outputs[begin:end], axis=1) == part)
            else:
                found[f"{name}_r2"] = 1 - loss / jnp.var(part)
        return found

    def _measure(self, variables) -> dict[str, float]:
        """Evaluate on the complete training and test sets."""
        found = self._evaluate(variables, self.batches.data, self._test)
        return {name: float(value) for name, value in found.items()}

    def run(self, stopped: Callable[[], bool], advance: Callable[[], None]) -> Iterator[None]:
        """Train all chains for one epoch after the other, until `stopped`, which drops the epoch begun."""
        first = self.batches.init()
        while self.epochs_done < self.epochs:
            place = first._replace(epoch=self.epochs_done)
            # Nothing is under way to the device while a step's clock runs.
            for batch, _ in self.batches.iterate(place, prefetch=0):
                jax.block_until_ready(batch)
                for chain in self.chains:
                    if stopped():
                        return
                    chain.step(batch)
                    advance()
            for chain in self.chains:
                for key, value in self._measure(chain.variables).items():
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
