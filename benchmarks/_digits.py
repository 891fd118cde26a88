"""Networks on scikit-learn's handwritten digits, trained for many seeds and learning rates in one program."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.datasets import load_digits

import gradtx as gx

CLASSES, FEATURES, HELD_OUT = 10, 64, 359
TRAINED_ON = 1797 - 2 * HELD_OUT


class Network(NamedTuple):
    """Hidden layers of one width, each `activation(norm(x @ kernel))`; without `norm` a bias takes its place."""

    norm: Any = None
    depth: int = 4
    width: int = 64
    activation: Callable[[Any], Any] = jax.nn.relu
    residual: bool = False

    def init(self, key: Any) -> tuple[Any, Any]:
        """(parameters, states of the normalisations). The kernels are He's for relu, LeCun's for all else."""
        hidden, gain = jnp.zeros((2, self.width)), 2.0 if self.activation is jax.nn.relu else 1.0

        def layer(key: Any, size: int) -> tuple[Any, Any]:
            kernel = jnp.sqrt(gain / size) * jax.random.normal(key, (size, self.width))
            if self.norm is None:
                return {"kernel": kernel, "bias": jnp.zeros(self.width)}, ()
            return {"kernel": kernel, "norm": gx.inputs.parameters(self.norm, hidden)}, self.norm.init(hidden)

        first, last, *deep = jax.random.split(key, self.depth + 1)
        layers = layer(first, FEATURES), jax.vmap(partial(layer, size=self.width))(jnp.stack(deep))
        (first, second), states = zip(*layers, strict=True)
        kernel = jax.random.normal(last, (self.width, CLASSES)) / jnp.sqrt(self.width)
        return {"first": first, "deep": second, "last": {"kernel": kernel, "bias": jnp.zeros(CLASSES)}}, states

    def __call__(self, params: Any, states: Any, x: Any, train: bool) -> tuple[Any, Any]:
        """(logits, states)."""

        def layer(x: Any, given: Any) -> tuple[Any, Any]:
            params, state = given
            y = x @ params["kernel"]
            if self.norm is None:
                y = y + params["bias"][None]
            else:
                y, state = self.norm.update(y, state, params["norm"], train=train)
            y = self.activation(y)
            return x + y if self.residual and x.shape == y.shape else y, state

        x, first = layer(x, (params["first"], states[0]))
        # As one program for any depth. In a short one, a loop would cost more than what goes on in it.
        x, deep = jax.lax.scan(layer, x, (params["deep"], states[1]), unroll=self.depth < 10)
        return x @ params["last"]["kernel"] + params["last"]["bias"][None], (first, deep)

    def loss(self, params: Any, states: Any, batch: Any) -> tuple[Any, Any]:
        """(mean cross entropy, states) in training."""
        logits, states = self(params, states, batch.data[0], train=True)
        chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), batch.data[1][:, None], 1)
        return batch.mean(-chosen[:, 0]), states

    def step(self, tx: Any, carry: Any, batch: Any) -> tuple[Any, Any]:
        """One step of training, and its loss."""
        params, states, slots = carry
        (loss, states), grads = jax.value_and_grad(self.loss, has_aux=True)(params, states, batch)
        params, slots = gx.apply_gradients(tx, grads, slots, params)
        return (params, states, slots), loss

    def accuracy(self, params: Any, states: Any, x: Any, y: Any) -> Any:
        """In inference."""
        return jnp.mean(jnp.argmax(self(params, states, x, train=False)[0], -1) == y)


@jax.jit
@jax.vmap
def split(key: Any) -> dict[str, tuple[Any, Any]]:
    """The digits in a random order, a fifth each for validation and for the test, scaled by what is trained on."""
    x, y = load_digits(return_X_y=True)
    order, tx = jax.random.permutation(key, len(y)), gx.inputs.standardize()
    x, y = jnp.asarray(x, jnp.float32)[order], jnp.asarray(y, jnp.int32)[order]
    parts = {"valid": slice(HELD_OUT), "test": slice(HELD_OUT, 2 * HELD_OUT), "train": slice(2 * HELD_OUT, None)}
    state = tx.update(x[parts["train"]], tx.init(x))[1]
    return {name: (tx.update(x[part], state, train=False)[0], y[part]) for name, part in parts.items()}


def train(network: Network, tx: Any, seeds: int, rates: Any, **options: Any) -> dict[str, np.ndarray]:
    """Accuracies on "valid" and "test", in inference, after every `every` steps: (seeds, rates, checks).

    And the "loss" of every step's mini-batch: (seeds, rates, checks, every).

    Args:
        network: What is trained.
        tx: How, with a tunable learning rate.
        seeds: How many. Each divides the data, and draws the parameters and the mini-batches.
        rates: Learning rates.
        options: `batch_size`; `steps`; `every`, by default at the end only; `classes`, of how many classes each
            mini-batch is, to equal parts and drawn anew for each, by default without such a choice.
    """
    data_keys, init_keys, order_keys = jax.random.split(jax.random.key(0), (3, seeds))
    # Not in one program: what all networks have in common is compiled once.
    started = jax.vmap(network.init)(init_keys)
    found = _train(network, tx, split(data_keys), started, order_keys, jnp.asarray(rates, jnp.float32), **options)
    return {name: np.asarray(values, np.float64) for name, values in found.items()}


@partial(jax.jit, static_argnames=("network", "tx", "batch_size", "steps", "every", "classes"))
def _train(
    network: Network,
    tx: Any,
    data: Any,
    started: Any,
    keys: Any,
    rates: Any,
    batch_size: int,
    steps: int,
    every: int | None = None,
    classes: int | None = None,
) -> dict[str, Any]:
    every = every or steps

    def one(data: Any, started: Any, key: Any, rate: Any) -> dict[str, Any]:
        given = (jnp.arange(CLASSES), classes) if classes else (data["train"], batch_size)
        batches = gx.inputs.minibatches(*given, key=key, drop_last=True)

        def step(carry: Any, batch: Any) -> tuple[Any, Any]:
            if classes:
                chosen = jnp.repeat(batch.data, batch_size // classes)
                examples = _of_classes(data["train"], chosen, jax.random.fold_in(key, carry[-1].step))
                batch = batch._replace(data=examples, mask=jnp.ones(batch_size, bool))
            return network.step(tx, carry, batch)

        def checked(carry: Any, _: None) -> tuple[Any, dict[str, Any]]:
            carry, losses, place = batches.scan(step, *carry, length=every)
            found = {name: network.accuracy(*carry[:2], *data[name]) for name in ("valid", "test")}
            return (carry, place), {"loss": losses, **found}

        slots = gx.set_hyperparams(tx.init(started[0]), learning_rate=rate)
        return jax.lax.scan(checked, ((*started, slots), batches.init()), length=steps // every)[1]

    return jax.vmap(jax.vmap(one, (None, None, None, 0)), (0, 0, 0, None))(data, started, keys, rates)


def _of_classes(data: tuple[Any, Any], chosen: Any, key: Any) -> tuple[Any, Any]:
    """An example of each of the classes `chosen`."""
    x, y = data
    counts = jnp.bincount(y, length=CLASSES)
    place = (jnp.cumsum(counts) - counts)[chosen] + jax.random.randint(key, chosen.shape, 0, counts[chosen])
    index = jnp.argsort(y)[place]
    return x[index], y[index]
