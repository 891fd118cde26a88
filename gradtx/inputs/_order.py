"""The order of the examples: a shuffle that needs no memory, and the arithmetic of epochs and positions."""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from gradtx.core import Record


class MiniBatchState(NamedTuple):
    """Marks a place in the stream of mini-batches. It is a tree of three arrays, which can be saved and donated.

    Attributes:
        epoch: Number of finished epochs, an int32 scalar.
        position: Number of examples of the current epoch that earlier mini-batches held, an int32 scalar.
        key: The bits of the PRNG key, uint32.
    """

    epoch: jax.Array
    position: jax.Array
    key: jax.Array


class Order(Record):
    """The examples of every mini-batch of every epoch, by number."""

    size: int
    batch_size: int
    drop_last: bool
    shuffle: bool
    impl: object  # of the PRNG key

    @property
    def steps_per_epoch(self) -> int:
        return self.steps_left(0)

    def steps_left(self, position: int) -> int:
        """The number of mini-batches of an epoch from `position` on. A traced position gives a traced number."""
        left = self.size - position
        return left // self.batch_size if self.drop_last else -(-left // self.batch_size)

    def after(self, state: MiniBatchState, steps: int | jax.Array) -> tuple[jax.Array, jax.Array]:
        """Epoch and position after `steps` more mini-batches."""
        epoch, position = jnp.asarray(state.epoch, jnp.int32), jnp.asarray(state.position, jnp.int32)
        beyond = steps - self.steps_left(position)  # type: ignore[arg-type]
        ends = beyond >= 0
        next_epoch, next_position = epoch + 1 + beyond // self.steps_per_epoch, beyond % self.steps_per_epoch
        return (
            jnp.where(ends, next_epoch, epoch),
            jnp.where(ends, next_position * self.batch_size, position + steps * self.batch_size),
        )

    def keys(self, state: MiniBatchState, epoch: jax.Array) -> jax.Array:
        """The numbers that `shuffled` needs for an epoch."""
        key = jax.random.wrap_key_data(jnp.asarray(state.key), impl=self.impl)
        return round_keys(jax.random.fold_in(key, epoch), self.size)

    def examples(self, position: jax.Array, keys: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The numbers of the examples of the mini-batch at `position`, and False for those that are padding."""
        at = position + jnp.arange(self.batch_size, dtype=jnp.int32)
        real = at < self.size
        # The padding consists of examples of the same epoch, so a model that handles the data handles the padding.
        at = jnp.asarray(jnp.where(real, at, at - self.size), jnp.uint32)
        return shuffled(at, self.size, keys) if self.shuffle else at, real

    def plan(self, state: MiniBatchState, first: int | jax.Array, length: int) -> tuple[jax.Array, jax.Array]:
        """The `examples` of `length` mini-batches. The first of them comes after `first` others."""
        begin, _ = self.after(state, first)
        touched = jnp.arange(1 - (1 - length) // self.steps_per_epoch, dtype=jnp.int32)
        keys = jax.vmap(lambda i: self.keys(state, begin + i))(touched)

        def one(step: jax.Array) -> tuple[jax.Array, jax.Array]:
            epoch, position = self.after(state, step)
            return self.examples(position, keys[epoch - begin])

        return jax.vmap(one)(first + jnp.arange(length, dtype=jnp.int32))


@functools.partial(jax.jit, static_argnums=(0, 1))
def planned(order: Order, length: int, state: MiniBatchState, first: jax.Array) -> tuple[jax.Array, ...]:
    """`Order.plan`, and the epoch and the position after each mini-batch."""
    after = jax.vmap(lambda step: order.after(state, step))(first + jnp.arange(1, length + 1, dtype=jnp.int32))
    return *order.plan(state, first, length), *after


def round_keys(key: jax.Array, size: int) -> jax.Array:
    """The numbers that `shuffled` needs to put `size` things in order."""
    rounds = 12 if size >= 1024 else 24  # a small domain mixes more slowly
    return jax.random.bits(key, (rounds + 1,), jnp.uint32)


def shuffled(position: jax.Array, size: int, keys: jax.Array) -> jax.Array:
    """Computes π(position) for a pseudorandom permutation π of 0, …, size - 1, for any positions, without the others.

    All numbers are uint32, and `size` < 2³¹. The permutation is a Feistel network on the pairs (l, r) of
    ⌈√n⌉ × ⌈n / ⌈√n⌉⌉ numbers. Fewer than √n pairs lie beyond the last number; a result there is encrypted again
    until it is a number below n (Black & Rogaway 2002, "Ciphers with arbitrary finite domains"). A sort of n random
    numbers gives an equally good order, but takes a hundred times as long, and the memory of n numbers.
    """
    width = math.isqrt(size - 1) + 1
    a, b, end = jnp.uint32(width), jnp.uint32(-(-size // width)), jnp.uint32(size)
    *rounds, coin = keys

    def encrypt(x: jax.Array) -> jax.Array:
        left, right = x // b, x % b
        for odd, even in zip(rounds[::2], rounds[1::2], strict=True):
            left = (left + _hash(right ^ odd)) % a
            right = (right + _hash(left ^ even)) % b
        return left * b + right

    def walk(at: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        number = jnp.where(at[1], encrypt(at[0]), at[0])
        return number, number >= end

    # The first encryption is an iteration of the loop like the others, so XLA compiles it only once.
    number, _ = lax.while_loop(lambda at: jnp.any(at[1]), walk, (position, jnp.ones_like(position, bool)))
    # For many sizes the rounds give only even permutations. A coin that exchanges 0 and 1 makes all n! orders possible.
    return jnp.where(number < min(size, 2) // 2 * 2, number ^ (coin >> 31), number)


def _hash(x: jax.Array) -> jax.Array:
    """31 bits. Each of them depends on all bits of x, as in the finaliser of MurmurHash3."""
    x = (x ^ (x >> 16)) * jnp.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * jnp.uint32(0xC2B2AE35)
    return (x ^ (x >> 16)) >> 1
