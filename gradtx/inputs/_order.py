"""Which examples the mini-batches hold: the arithmetic of epochs and positions, without the data."""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core import Record
from gradtx.inputs._shuffle import round_keys, shuffled


class Order(Record):
    """The examples of every mini-batch of every epoch."""

    size: int
    batch_size: int
    drop_last: bool
    shuffle: bool
    impl: Any

    @property
    def steps_per_epoch(self) -> int:
        return self.steps_left(0)

    def steps_left(self, position: Any) -> Any:
        """Mini-batches of an epoch from `position` on."""
        left = self.size - position
        return left // self.batch_size if self.drop_last else -(-left // self.batch_size)

    def after(self, state: Any, steps: Any) -> tuple[jax.Array, jax.Array]:
        """Epoch and position after `steps` more mini-batches."""
        epoch, position = (jnp.asarray(x, jnp.int32) for x in (state.epoch, state.position))
        beyond = steps - self.steps_left(position)
        new = epoch + 1 + beyond // self.steps_per_epoch, beyond % self.steps_per_epoch * self.batch_size
        same = epoch + 0 * beyond, position + steps * self.batch_size
        return tuple(jnp.where(beyond < 0, s, n) for s, n in zip(same, new, strict=True))  # type: ignore[return-value]

    def keys(self, state: Any, epoch: jax.Array) -> jax.Array:
        """What an epoch is shuffled with."""
        key = jax.random.wrap_key_data(jnp.asarray(state.key), impl=self.impl)
        return round_keys(jax.random.fold_in(key, epoch), self.size)

    def examples(self, position: jax.Array, keys: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The numbers of the examples of the mini-batch at `position`, and which of them are no padding."""
        at = position + jnp.arange(self.batch_size, dtype=jnp.int32)
        real = at < self.size
        # Padding by examples of the same epoch: what they go through overflows no sooner than what others do.
        at = jnp.asarray(jnp.where(real, at, at - self.size), jnp.uint32)
        return shuffled(at, self.size, keys) if self.shuffle else at, real

    def plan(self, state: Any, first: Any, length: int) -> tuple[jax.Array, jax.Array]:
        """The `examples` of `length` mini-batches, of which the first comes after `first` others."""
        begin, _ = self.after(state, first)
        touched = jnp.arange(1 - (1 - length) // self.steps_per_epoch, dtype=jnp.int32)
        keys = jax.vmap(lambda i: self.keys(state, begin + i))(touched)

        def one(step: jax.Array) -> tuple[jax.Array, jax.Array]:
            epoch, position = self.after(state, step)
            return self.examples(position, keys[epoch - begin])

        return jax.vmap(one)(first + jnp.arange(length, dtype=jnp.int32))


@functools.partial(jax.jit, static_argnums=(0, 1))
def planned(order: Order, length: int, state: Any, first: Any) -> tuple[jax.Array, ...]:
    """`Order.plan`, and epoch and position after each mini-batch."""
    after = jax.vmap(lambda step: order.after(state, step))(first + jnp.arange(1, length + 1, dtype=jnp.int32))
    return *order.plan(state, first, length), *after
