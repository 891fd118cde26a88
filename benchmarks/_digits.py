"""Networks on scikit-learn's handwritten digits, trained for many seeds and hyperparameters in one program.

`trained` is the only training loop on the digits: of the claims, of the batch normalisation benchmark, and of the
chapters of the guide in `notebooks/`.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_digits

import gradtx as gx

CLASSES, FEATURES, HELD_OUT = 10, 64, 359
TRAINED_ON = 1797 - 2 * HELD_OUT

Examples = tuple[jax.Array, jax.Array]  # features (examples, 64) and classes (examples,)
Split = dict[str, Examples]  # the examples of "train" and of each part that is not trained on, such as "valid"
Values = Sequence[float] | Sequence[Sequence[float]] | np.ndarray  # of one hyperparameter, or of several side by side
Make = Callable[..., gx.Transformation]
NormStates = tuple[optax.OptState | None, optax.OptState | None]  # of the first layer, and of the others together


class Layer(NamedTuple):
    """The parameters of a layer. A normalisation brings a bias, so that its layer has no other."""

    kernel: jax.Array
    bias: jax.Array | None = None
    norm: optax.Params | None = None


class Params(NamedTuple):
    """The parameters of a network; those of all hidden layers after the first are stacked in `deep`."""

    first: Layer
    deep: Layer
    last: Layer


class Problem(NamedTuple):
    """All that a training needs besides the optimizer, for several seeds: every array has a first axis for the seeds.

    `rows` are the places of the examples of each mini-batch in the training data, (seeds, steps, batch_size).
    """

    data: Split
    start: tuple[Params, NormStates]
    rows: jax.Array


class Training(NamedTuple):
    """All that one step hands to the next."""

    params: Params
    states: NormStates
    slots: optax.OptState


class Network(NamedTuple):
    """A network of equally wide hidden layers: activation(norm(x @ kernel)), or activation(x @ kernel + bias)."""

    norm: gx.Transformation | None = None
    depth: int = 4
    width: int = 64
    activation: Callable[[jax.Array], jax.Array] = jax.nn.relu
    residual: bool = False

    def init(self, key: jax.Array) -> tuple[Params, NormStates]:
        """Draw the parameters, and make the states of the normalisations.

        The kernels have He's scale for relu, and LeCun's for every other activation.
        """
        hidden, gain = jnp.zeros((2, self.width)), 2.0 if self.activation is jax.nn.relu else 1.0

        def layer(key: jax.Array, size: int) -> tuple[Layer, optax.OptState | None]:
            kernel = jnp.sqrt(gain / size) * jax.random.normal(key, (size, self.width))
            if self.norm is None:
                return Layer(kernel, bias=jnp.zeros(self.width)), None
            return Layer(kernel, norm=gx.inputs.parameters(self.norm, hidden)), self.norm.init(hidden)

        keys = jax.random.split(key, self.depth + 1)
        first, first_state = layer(keys[0], FEATURES)
        deep, deep_states = jax.vmap(partial(layer, size=self.width))(keys[2:])
        kernel = jax.random.normal(keys[1], (self.width, CLASSES)) / jnp.sqrt(self.width)
        return Params(first, deep, Layer(kernel, bias=jnp.zeros(CLASSES))), (first_state, deep_states)

    def __call__(self, params: Params, states: NormStates, x: jax.Array, train: bool) -> tuple[jax.Array, NormStates]:
        """Give the logits, and the new states of the normalisations."""

        def layer(
            x: jax.Array, arguments: tuple[Layer, optax.OptState | None]
        ) -> tuple[jax.Array, optax.OptState | None]:
            params, state = arguments
            y = x @ params.kernel
            if params.bias is not None:
                y = y + params.bias[None]
            if self.norm is not None and state is not None:
                normalised, state = self.norm.update(y, state, params.norm, train=train)
                y = jnp.asarray(normalised)
            y = self.activation(y)
            return x + y if self.residual and x.shape == y.shape else y, state

        x, first = layer(x, (params.first, states[0]))
        # A loop keeps the program of a deep network short. In a shallow network it would cost more than the layers.
        x, deep = jax.lax.scan(layer, x, (params.deep, states[1]), unroll=self.depth < 10)
        logits = x @ params.last.kernel
        return logits if params.last.bias is None else logits + params.last.bias[None], (first, deep)

    def loss(self, params: Params, states: NormStates, examples: Examples) -> tuple[jax.Array, NormStates]:
        """Give the mean cross entropy in training, and the new states of the normalisations."""
        x, y = examples
        logits, states = self(params, states, x, train=True)
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], 1)), states

    def step(self, tx: gx.Transformation, carry: Training, examples: Examples) -> tuple[Training, jax.Array]:
        """Take one step of training, and give its loss."""
        params, states, slots = carry
        (loss, states), grads = jax.value_and_grad(self.loss, has_aux=True)(params, states, examples)
        params, slots = gx.apply_gradients(tx, grads, slots, params)
        return Training(params, states, slots), loss

    def accuracy(self, params: Params, states: NormStates, x: jax.Array, y: jax.Array) -> jax.Array:
        """Give the share of the examples that are classified correctly in inference."""
        return jnp.mean(jnp.argmax(self(params, states, x, train=False)[0], -1) == y)


@jax.jit
@jax.vmap
def split(key: jax.Array) -> Split:
    """Put the digits into a random order, and divide them into a fifth, a fifth and three fifths.

    The first fifth is for validation and the second for the test. All are standardised by the training data.
    """
    x, y = load_digits(return_X_y=True)
    order, tx = jax.random.permutation(key, len(y)), gx.inputs.standardize()
    x, y = jnp.asarray(x, jnp.float32)[order], jnp.asarray(y, jnp.int32)[order]
    parts = {"valid": slice(HELD_OUT), "test": slice(HELD_OUT, 2 * HELD_OUT), "train": slice(2 * HELD_OUT, None)}
    state = tx.update(x[parts["train"]], tx.init(x))[1]
    return {name: (jnp.asarray(tx.update(x[part], state, train=False)[0]), y[part]) for name, part in parts.items()}


def train(
    network: Network,
    make: Make,
    values: Values,
    seeds: int,
    *,
    batch_size: int,
    steps: int,
    every: int | None = None,
    classes: int | None = None,
) -> dict[str, np.ndarray]:
    """Train a network for each seed with each value of a hyperparameter.

    Args:
        network: The network that is trained.
        make: Gives the optimizer for one of `values`.
        values: The learning rates, or the values of another hyperparameter, (values,). For several hyperparameters,
            the arguments of `make` side by side, (values, arguments).
        seeds: The number of seeds. Each seed divides the data, and draws the parameters and the mini-batches.
        batch_size: The number of examples in a mini-batch.
        steps: The number of steps.
        every: The number of steps between two checks of the accuracy; by default there is one check, at the end.
        classes: The number of classes in each mini-batch, drawn again for each mini-batch, in equal parts. By default
            the examples are drawn without regard to their class.

    Returns:
        The accuracies on "valid" and "test" in inference at each check, each (seeds, values, checks), and the "loss"
        of the mini-batch of each step, (seeds, values, checks, every).
    """
    data_keys, init_keys, order_keys = jax.random.split(jax.random.key(0), (3, seeds))
    # The data, the first parameters and the mini-batches are made by programs that all optimizers share, so that the
    # program of an optimizer has only steps and compiles quickly.
    data, start = split(data_keys), jax.vmap(network.init)(init_keys)
    rows = _draw(data["train"][1], order_keys, batch_size, steps, classes)
    return trained(network, make, values, Problem(data, start, rows), every or steps)


@partial(jax.jit, static_argnums=(2, 3, 4))
@partial(jax.vmap, in_axes=(0, 0, None, None, None))
def _draw(y: jax.Array, key: jax.Array, batch_size: int, steps: int, classes: int | None) -> jax.Array:
    """Draw the mini-batch of each step: the places of its examples in the training data, (steps, batch_size)."""
    pool = (jnp.arange(CLASSES), classes) if classes else (jnp.arange(len(y)), batch_size)
    batches = gx.inputs.minibatches(*pool, key=key, drop_last=True)

    def drawn(step: jax.Array, batch: gx.inputs.Batch) -> tuple[jax.Array, jax.Array]:
        if not classes:
            return step + 1, batch.data
        chosen = jnp.repeat(batch.data, batch_size // classes)
        return step + 1, _of_classes(y, chosen, jax.random.fold_in(key, step))

    return batches.scan(drawn, jnp.zeros((), jnp.int32), batches.init(), length=steps)[1]


def _of_classes(y: jax.Array, chosen: jax.Array, key: jax.Array) -> jax.Array:
    """Draw the place of an example for each of the classes `chosen`."""
    counts = jnp.bincount(y, length=CLASSES)
    place = (jnp.cumsum(counts) - counts)[chosen] + jax.random.randint(key, chosen.shape, 0, counts[chosen])
    return jnp.argsort(y)[place]


def trained(network: Network, make: Make, values: Values, problem: Problem, every: int) -> dict[str, np.ndarray]:
    """Train a network on a problem with each value of a hyperparameter.

    Args:
        network: The network that is trained.
        make: Gives the optimizer for one of `values`.
        values: The values of a hyperparameter, (values,), or of several hyperparameters, (values, arguments).
        problem: The data, the first parameters and the mini-batches of each seed.
        every: The number of steps between two checks of the accuracy. Steps after the last check are left out.

    Returns:
        The accuracy in inference on each part of the data that is not trained on, at each check,
        (seeds, values, checks), and the "loss" of the mini-batch of each step, (seeds, values, checks, every).
    """
    settings = jnp.asarray(values, jnp.float32).reshape(len(values), -1)
    seeds, steps, batch_size = problem.rows.shape
    rows = problem.rows[:, : steps // every * every].reshape(seeds, -1, every, batch_size)
    curves = _train(network, make, problem._replace(rows=rows), settings)
    return {name: np.asarray(curve, np.float64) for name, curve in curves.items()}


@partial(jax.jit, static_argnums=(0, 1))
def _train(network: Network, make: Make, problem: Problem, settings: jax.Array) -> dict[str, jax.Array]:
    """Train with each setting; the rows of the problem are (seeds, checks, every, batch_size)."""

    def one(problem: Problem, setting: jax.Array) -> dict[str, jax.Array]:
        tx, (x, y) = make(*setting), problem.data["train"]
        unseen = {name: part for name, part in problem.data.items() if name != "train"}

        def step(carry: Training, chosen: jax.Array) -> tuple[Training, jax.Array]:
            return network.step(tx, carry, (x[chosen], y[chosen]))

        def checked(carry: Training, chosen: jax.Array) -> tuple[Training, dict[str, jax.Array]]:
            carry, losses = jax.lax.scan(step, carry, chosen)
            right = {name: network.accuracy(carry.params, carry.states, *part) for name, part in unseen.items()}
            return carry, {"loss": losses, **right}

        params, states = problem.start
        return jax.lax.scan(checked, Training(params, states, tx.init(params)), problem.rows)[1]

    return jax.vmap(jax.vmap(one, (None, 0)), (0, None))(problem, settings)
