"""Training of all contestants from the same parameters, on the same batches."""

import argparse
import importlib.metadata
import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

import gradtx as gx
from gradtx.race._contestant import Contestant, Measures, Result, Variables, over, summary
from gradtx.race._data import Problem
from gradtx.race._network import Network
from gradtx.race._optimizers import OPTIMIZERS, Entry

_HIDDEN = 64
T = TypeVar("T")


class Race:
    """A race: the contestants, the data that they share, and the results so far. Each seed has a problem."""

    def __init__(self, problems: Sequence[Problem], args: argparse.Namespace):
        self.problem, self.epochs = problems[0], args.epochs
        self.epochs_done = 0
        self.contestants: list[Contestant] = []
        self.seeds = range(args.seed, args.seed + len(problems))
        self.classification = self.problem.task == "classification"
        self.score = "accuracy" if self.classification else "r2"
        widths = [self.problem.x_train.shape[1], _HIDDEN, _HIDDEN, self.problem.outputs]

        @jax.jit
        def initial(key):
            return nnx.split(Network(widths, args.batch_norm, nnx.Rngs(key)), nnx.Param, nnx.BatchStat)

        self.batches, variables = [], []
        for seed, problem in zip(self.seeds, problems, strict=True):
            network_key, batches_key = jax.random.split(jax.random.key(seed))
            train = jax.device_put((problem.x_train, problem.y_train))
            self.batches.append(gx.inputs.minibatches(train, args.batch_size, key=batches_key))
            self._graph, *parts = initial(network_key)
            variables.append(tuple(parts))
        self._first, self._variables = variables[0], _together(variables)
        self._train = _together([batches.data for batches in self.batches])
        self._test = _together([jax.device_put((problem.x_test, problem.y_test)) for problem in problems])
        self._evaluate = jax.jit(over(self.seeds)(self._measures))
        self.initial = self._measure(self._variables)
        packages = ("gradtx", "jax", "flax", "numpy", "scikit-learn")
        self.versions = {name: importlib.metadata.version(name) for name in packages}
        self.versions["python"] = platform.python_version()
        self.settings = {
            "data": self.problem.name,
            "task": self.problem.task,
            "loss": "cross-entropy" if self.classification else "mean squared error (standardised target)",
            "network": widths,
            "batch_norm": args.batch_norm,
            "training_examples": len(self.problem.x_train),
            "test_examples": len(self.problem.x_test),
            "epochs": args.epochs,
            "batch_size": args.batch_size,
            "seed": args.seed,
            "seeds": list(self.seeds),
            "schedule": args.schedule.text,
            "find_lr": args.find_lr,
            "device": jax.devices()[0].device_kind,
        }

    def _outputs_and_losses(
        self, network: Network, x: jax.Array, y: jax.Array, train: bool = False, mask: jax.Array | None = None
    ) -> tuple[jax.Array, jax.Array]:
        """Return the outputs and the loss of each example."""
        outputs = network(x, train, mask)
        if self.classification:
            return outputs, -jnp.take_along_axis(nnx.log_softmax(outputs), y[:, None], axis=1)[:, 0]
        return outputs, (outputs[:, 0] - y) ** 2

    def _batch_loss(
        self, params: nnx.State, statistics: nnx.State, batch: gx.inputs.Batch
    ) -> tuple[jax.Array, nnx.State]:
        """Return the mean loss of a mini-batch, and the new running statistics."""
        network = nnx.merge(self._graph, params, statistics, copy=True)
        # The variance of a single example is 0, and the running variances must not follow it.
        mask = batch.mask & (batch.mask.sum() > 1)
        _, losses = self._outputs_and_losses(network, *batch.data, train=True, mask=mask)
        return batch.mean(losses), nnx.state(network, nnx.BatchStat)

    def _measures(self, variables: Variables, *parts: tuple[jax.Array, jax.Array]) -> dict[str, jax.Array]:
        """Return the loss and the score on the training set and on the test set. The network runs once on both."""
        x, y = (jnp.concatenate(arrays) for arrays in zip(*parts, strict=True))
        outputs, losses = self._outputs_and_losses(nnx.merge(self._graph, *variables), x, y)
        measures, end = {}, 0
        for name, (_, part) in zip(("train", "test"), parts, strict=True):
            begin, end = end, end + len(part)
            loss = measures[f"{name}_loss"] = jnp.mean(losses[begin:end])
            if self.classification:
                measures[f"{name}_accuracy"] = jnp.mean(jnp.argmax(outputs[begin:end], axis=1) == part)
            else:
                measures[f"{name}_r2"] = 1 - loss / jnp.var(part)
        return measures

    def _measure(self, variables: Variables) -> Measures:
        """Evaluate every seed on the complete training and test sets."""
        measures = self._evaluate(variables, self._train, self._test)
        return {name: np.asarray(value, float).reshape(-1) for name, value in measures.items()}

    @property
    def steps(self) -> int:
        """The number of steps in all epochs."""
        return self.epochs * self.batches[0].steps_per_epoch

    def range_test(self, name: str) -> gx.inspection.RangeTest:
        """Return the range test of an optimizer, with the first seed's network and mini-batches."""
        params, statistics = self._first

        def loss(params, batch):
            return self._batch_loss(params, statistics, batch)[0]

        return gx.inspection.range_test(OPTIMIZERS[name][1], loss, params, self.batches[0])

    def enter(self, entries: Iterable[Entry]) -> None:
        """Add contestants.

        Raises:
            InputError: a contestant cannot train the network.
        """
        batch = next(self._epoch(0))
        for entry in entries:
            contestant = Contestant(entry, self._variables, batch, self._batch_loss, self.initial, self.seeds)
            self.contestants.append(contestant)

    def _epoch(self, epoch: int) -> Iterator[gx.inputs.Batch]:
        """Yield the mini-batches of an epoch, with those of all seeds together."""
        # No prefetching: transfers to the device would disturb the time of a step.
        passes = [b.iterate(b.init()._replace(epoch=epoch), prefetch=0) for b in self.batches]
        for pairs in zip(*passes, strict=True):
            yield jax.block_until_ready(_together([batch for batch, _ in pairs]))

    def run(self, stopped: Callable[[], bool], advance: Callable[[], None]) -> Iterator[None]:
        """Train epoch by epoch and yield after each one. The epoch in which `stopped` returns true is dropped."""
        while self.epochs_done < self.epochs:
            for batch in self._epoch(self.epochs_done):
                for contestant in self.contestants:
                    if stopped():
                        return
                    contestant.step(batch)
                    advance()
            for contestant in self.contestants:
                for key, values in self._measure(contestant.variables).items():
                    contestant.history[key].append(values)
            self.epochs_done += 1
            yield

    def result(self, status: str) -> Result:
        """Return the content of race.json."""
        return {
            "status": status,
            "epochs_done": self.epochs_done,
            "versions": self.versions,
            "settings": self.settings,
            "initial": summary(self.initial, self.seeds),
            "chains": {contestant.name: contestant.result() for contestant in self.contestants},
        }


def _together(trees: Sequence[T]) -> T:
    """Stack the trees of several seeds along a leading axis. The tree of a single seed is returned unchanged."""
    return trees[0] if len(trees) == 1 else jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)
