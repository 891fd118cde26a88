"""Problems of which much is said: ravines, slopes and noise in two dimensions, and where adaptive rates overfit."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import gradtx as gx

STAY = 100  # steps in a row, ten times what a momentum of 0.9 remembers: who only flies past has not arrived


class Terrain(NamedTuple):
    """A loss of two parameters, whose least value is 0, where one starts (±`start`, give or take a tenth), and noise.

    `tolerance` is the part of the first loss that is left when one has arrived.
    """

    loss: Callable[[Any], Any]
    start: tuple[float, float] = (1.0, 1.0)
    noise: float = 0.0  # standard deviation, added to every gradient
    tolerance: float = 1e-6

    def starts(self, seeds: int) -> Any:
        """One for each seed."""
        sides, places = jax.random.split(jax.random.key(0))
        away = jax.random.uniform(places, (seeds, 2), minval=0.9, maxval=1.1) * jnp.array([self.start])
        return away * jax.random.rademacher(sides, (seeds, 2), jnp.float32)


def quadratic(steep: float, gentle: float) -> Callable[[Any], Any]:
    """½ (steep x² + gentle y²), whose condition number is their ratio."""
    return lambda x: 0.5 * jnp.sum(jnp.array([steep, gentle]) * x**2)


def slope(steepness: float, radius: float) -> Callable[[Any], Any]:
    """As steep everywhere, but for a round bottom."""
    return lambda x: steepness * (jnp.sqrt(radius**2 + jnp.sum(x**2)) - radius)


def losses(terrain: Terrain, make: Callable[[Any], Any], rates: Sequence[float], seeds: int, steps: int) -> np.ndarray:
    """Before the first step and after each: (seeds, rates, 1 + steps). `make` gives the chain of a rate."""

    def noisy(x: Any, key: Any) -> Any:
        return terrain.loss(x) + terrain.noise * jnp.sum(x * jax.random.normal(key, x.shape))

    def one(start: Any, key: Any, rate: Any) -> Any:
        return gx.inspection.trajectory(terrain.loss, make(rate), start, steps, sample=noisy, key=key).values

    given = terrain.starts(seeds), jax.random.split(jax.random.key(1), seeds), jnp.asarray(rates, jnp.float32)
    return np.asarray(jax.jit(jax.vmap(jax.vmap(one, (None, None, 0)), (0, 0, None)))(*given))


def arrival(terrain: Terrain, found: np.ndarray) -> np.ndarray:
    """Steps until the losses are within the tolerance, and stay for `STAY` steps; infinite if never."""
    arrived = found[..., 1:] <= terrain.tolerance * found[..., :1]
    stays = np.lib.stride_tricks.sliding_window_view(arrived, STAY, -1).all(-1)
    return np.where(stays.any(-1), stays.argmax(-1) + 1.0, np.inf)


def deceptive(key: Any, examples: int, positive: float = 0.6) -> tuple[Any, Any]:
    """(x, y) of the example of Wilson et al., arXiv:1705.08292, section 3.3, without the features that are always 0.

    The first feature is the label y = ±1, the next two are 1. The others belong to a single example each: one to a
    positive example, five to a negative one. Least squares by gradient descent, from 0, finds the solution of least
    norm, which follows the label. An adaptive rate makes all features weigh the same: that fits too, and takes every
    new example for a positive one.
    """
    y = jnp.where(jax.random.uniform(key, (examples,)) < positive, 1.0, -1.0)
    own = jnp.where(y[:, None] > 0, jnp.eye(1, 5), jnp.ones((1, 5)))
    alone = (jnp.eye(examples)[..., None] * own[:, None]).reshape(examples, -1)
    return jnp.concatenate([y[:, None], jnp.ones((examples, 2)), alone], 1), y


def fit_deceptive(tx: Any, seeds: int, examples: int = 100, steps: int = 3000) -> dict[str, np.ndarray]:
    """What is left of the "loss" on the examples, and how many of 10,000 new ones are right: "test", for each seed."""

    def one(key: Any) -> dict[str, Any]:
        seen, unseen = jax.random.split(key)
        x, y = deceptive(seen, examples)

        def loss(w: Any) -> Any:
            return 0.5 * jnp.mean((x @ w - y) ** 2)

        def step(carry: Any, _: None) -> tuple[Any, None]:
            w, slots = carry
            w, slots = gx.apply_gradients(tx, jax.grad(loss)(w), slots, w)
            return (w, slots), None

        start = jnp.zeros(x.shape[1])
        (w, _), _ = jax.lax.scan(step, (start, tx.init(start)), length=steps)
        label = jnp.where(jax.random.uniform(unseen, (10_000,)) < 0.6, 1.0, -1.0)
        right = jnp.sign(w[0] * label + w[1] + w[2]) == label  # a new example's own features have no weight yet
        return {"loss": loss(w) / loss(start), "test": jnp.mean(right)}

    found = jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(0), seeds))
    return {name: np.asarray(values, np.float64) for name, values in found.items()}
