"""Training all that race from the same parameters on the same batches."""

import argparse
import importlib.metadata
import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

import gradtx as gx
from gradtx.race._contestant import Contestant, Measures, over, summary
from gradtx.race._data import Problem
from gradtx.race._network import Network
from gradtx.race._optimizers import OPTIMIZERS, Entry

_HIDDEN = 64


class Race:
    """All that race, the data they share, and what is known so far; several seeds have a problem each."""

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

    def _measure(self, variables) -> Measures:
        """Evaluate on the complete training and test sets."""
        found = self._evaluate(variables, self._train, self._test)
        return {name: np.asarray(value, float).reshape(-1) for name, value in found.items()}

    @property
    def steps(self) -> int:
        """How many there are in all epochs."""
        return self.epochs * self.batches[0].steps_per_epoch

    def range_test(self, name: str) -> gx.inspection.RangeTest:
        """How large a learning rate the first seed's network and mini-batches bear with an optimizer."""
        params, statistics = self._first

        def loss(params, batch):
            return self._batch_loss(params, statistics, batch)[0]

        return gx.inspection.range_test(OPTIMIZERS[name][1], loss, params, self.batches[0])

    def enter(self, entries: Iterable[Entry]) -> None:
        """Let them take part."""
        batch = next(self._epoch(0))
        for entry in entries:
            contestant = Contestant(entry, self._variables, batch, self._batch_loss, self.initial, self.seeds)
            self.contestants.append(contestant)

    def _epoch(self, epoch: int) -> Iterator[gx.inputs.Batch]:
        """The mini-batches of an epoch, those of all seeds together."""
        # Nothing is under way to the device while a step's clock runs.
        passes = [b.iterate(b.init()._replace(epoch=epoch), prefetch=0) for b in self.batches]
        for found in zip(*passes, strict=True):
            yield jax.block_until_ready(_together([batch for batch, _ in found]))

    def run(self, stopped: Callable[[], bool], advance: Callable[[], None]) -> Iterator[None]:
        """Train all for one epoch after the other, until `stopped`, which drops the epoch begun."""
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

    def result(self, status: str) -> dict[str, Any]:
        """Return all that race.json tells."""
        return {
            "status": status,
            "epochs_done": self.epochs_done,
            "versions": self.versions,
            "settings": self.settings,
            "initial": summary(self.initial, self.seeds),
            "chains": {contestant.name: contestant.result() for contestant in self.contestants},
        }


def _together(trees: Sequence[Any]) -> Any:
    """Trees of several seeds as one, with a leading axis; a single one as it is."""
    return trees[0] if len(trees) == 1 else jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)
