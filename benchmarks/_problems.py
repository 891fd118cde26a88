"""Problems of common claims: ravines, slopes and noise in two dimensions, and data on which adaptive rates overfit."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import gradtx as gx

STAY = 100  # steps near the minimum that count as an arrival: ten times the memory of a momentum of 0.9
Loss = Callable[[jax.Array], jax.Array]


class Terrain(NamedTuple):
    """A loss of two parameters with the minimum 0, the place where a run starts, and the noise of the gradients.

    A run starts within a tenth of ±`start`. It has arrived when the loss is at most `tolerance` times the first loss.
    """

    loss: Loss
    start: tuple[float, float] = (1.0, 1.0)
    noise: float = 0.0  # standard deviation of the noise in every gradient
    tolerance: float = 1e-6

    def starts(self, seeds: int) -> jax.Array:
        """Draw the first parameters of each seed, (seeds, 2)."""
        sides, places = jax.random.split(jax.random.key(0))
        away = jax.random.uniform(places, (seeds, 2), minval=0.9, maxval=1.1) * jnp.array([self.start])
        return away * jax.random.rademacher(sides, (seeds, 2), jnp.float32)


def quadratic(steep: float, gentle: float) -> Loss:
    """Give the loss ½ (steep x² + gentle y²). Its condition number is steep / gentle."""
    return lambda x: 0.5 * jnp.sum(jnp.array([steep, gentle]) * x**2)


def slope(steepness: float, radius: float) -> Loss:
    """Give a loss with the same steepness everywhere except on its round bottom."""
    return lambda x: steepness * (jnp.sqrt(radius**2 + jnp.sum(x**2)) - radius)


def losses(
    terrain: Terrain, make: Callable[..., gx.Transformation], rates: Sequence[float], seeds: int, steps: int
) -> np.ndarray:
    """Give the losses before the first step and after each step, (seeds, rates, 1 + steps).

    `make` gives the optimizer of a rate.
    """

    def noisy(x: jax.Array, key: jax.Array) -> jax.Array:
        return terrain.loss(x) + terrain.noise * jnp.sum(x * jax.random.normal(key, x.shape))

    def one(start: jax.Array, key: jax.Array, rate: jax.Array) -> jax.Array:
        return gx.inspection.trajectory(terrain.loss, make(rate), start, steps, sample=noisy, key=key).values

    over_rates = jax.vmap(one, (None, None, 0))
    over_seeds = jax.jit(jax.vmap(over_rates, (0, 0, None)))
    keys = jax.random.split(jax.random.key(1), seeds)
    return np.asarray(over_seeds(terrain.starts(seeds), keys, jnp.asarray(rates, jnp.float32)))


def arrival(terrain: Terrain, values: np.ndarray) -> np.ndarray:
    """Count the steps until the losses are within the tolerance and stay there for `STAY` steps; infinite if never."""
    arrived = values[..., 1:] <= terrain.tolerance * values[..., :1]
    stays = np.lib.stride_tricks.sliding_window_view(arrived, STAY, -1).all(-1)
    return np.where(stays.any(-1), stays.argmax(-1) + 1.0, np.inf)


def deceptive(key: jax.Array, examples: int, positive: float = 0.6) -> tuple[jax.Array, jax.Array]:
    """Draw the features x and labels y of the example of Wilson et al., arXiv:1705.08292, section 3.3.

    The first feature is the label y = ±1, and the next two features are 1. Each further feature belongs to a single
    example: one feature to a positive example, five features to a negative example. The features that are always 0 are
    left out. Gradient descent from 0 finds the least-squares solution of least norm, and this solution follows the
    label. An adaptive rate gives all features the same weight. The result also fits the data, but classifies every new
    example as positive.
    """
    y = jnp.where(jax.random.uniform(key, (examples,)) < positive, 1.0, -1.0)
    single = jnp.where(y[:, None] > 0, jnp.eye(1, 5), jnp.ones((1, 5)))
    single = (jnp.eye(examples)[..., None] * single[:, None]).reshape(examples, -1)
    return jnp.concatenate([y[:, None], jnp.ones((examples, 2)), single], 1), y


def fit_deceptive(tx: gx.Transformation, seeds: int, examples: int = 100, steps: int = 3000) -> dict[str, np.ndarray]:
    """Fit the deceptive example for each seed.

    Returns:
        "loss", the last loss on the examples over the first, (seeds,), and "test", the accuracy on 10,000 new
        examples, (seeds,).
    """

    def one(key: jax.Array) -> dict[str, jax.Array]:
        seen, unseen = jax.random.split(key)
        x, y = deceptive(seen, examples)

        def loss(w: jax.Array) -> jax.Array:
            return 0.5 * jnp.mean((x @ w - y) ** 2)

        def step(carry: tuple[jax.Array, optax.OptState], _: None) -> tuple[tuple[jax.Array, optax.OptState], None]:
            w, slots = carry
            return gx.apply_gradients(tx, jax.grad(loss)(w), slots, w), None

        start = jnp.zeros(x.shape[1])
        (w, _), _ = jax.lax.scan(step, (start, tx.init(start)), length=steps)
        label = jnp.where(jax.random.uniform(unseen, (10_000,)) < 0.6, 1.0, -1.0)
        right = jnp.sign(w[0] * label + w[1] + w[2]) == label  # the features of a new example have no weight yet
        return {"loss": loss(w) / loss(start), "test": jnp.mean(right)}

    results = jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(0), seeds))
    return {name: np.asarray(values, np.float64) for name, values in results.items()}
