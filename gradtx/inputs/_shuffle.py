"""A random order of n things, any part of which is known without the rest."""

import math

import jax
import jax.numpy as jnp
from jax import lax


def round_keys(key: jax.Array, size: int) -> jax.Array:
    """What `shuffled` needs to put `size` things in order."""
    rounds = 12 if size >= 1024 else 24  # a small domain mixes more slowly
    return jax.random.bits(key, (rounds + 1,), jnp.uint32)


def shuffled(position: jax.Array, size: int, keys: jax.Array) -> jax.Array:
    """π(position) for a pseudorandom permutation π of 0, …, size - 1, all uint32 and `size` < 2³¹.

    A Feistel network on the pairs (l, r) of ⌈√n⌉ × ⌈n / ⌈√n⌉⌉, walked on from the less than √n pairs beyond the last
    number (Black & Rogaway 2002, "Ciphers with arbitrary finite domains"). It does what a sort of n random numbers
    does, without the sort, whose time is a hundred times this, and without its n numbers in memory.
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

    # The first encryption is a turn of the loop like the others, so that it is compiled once.
    number, _ = lax.while_loop(lambda at: jnp.any(at[1]), walk, (position, jnp.ones_like(position, bool)))
    # The rounds are even permutations for many sizes. A coin that exchanges 0 and 1 makes all n! orders possible.
    return jnp.where(number < min(size, 2) // 2 * 2, number ^ (coin >> 31), number)


def _hash(x: jax.Array) -> jax.Array:
    """31 bits, each of which depends on all of x: the finaliser of MurmurHash3."""
    x = (x ^ (x >> 16)) * jnp.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * jnp.uint32(0xC2B2AE35)
    return (x ^ (x >> 16)) >> 1
