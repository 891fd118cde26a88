"""What a mini-batch is, and what remembers which one comes next."""

import collections
import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx._tools import wide


class MiniBatchState(NamedTuple):
    """Where a pass through the data is.

    Attributes:
        epoch: Epochs done, int32.
        position: Examples of this epoch that were seen, int32.
        key: The bits of the PRNG key, uint32.
    """

    epoch: Any
    position: Any
    key: Any


class Batch(NamedTuple):
    """A mini-batch.

    Attributes:
        data: The tree of the data, with `batch_size` examples in each leaf.
        mask: Which of them are real, and which only fill up the last mini-batch of an epoch.
    """

    data: Any
    mask: Any

    def mean(self, values: Any) -> Any:
        """The mean over the real examples of each leaf of `values`, whose leading axis is the batch.

        Its gradient is that of the real examples alone. It is in float32 or wider.
        """

        def mean(x: jax.Array) -> jax.Array:
            mask = jnp.expand_dims(self.mask, tuple(range(1, x.ndim)))
            dtype = wide(x.dtype)
            return jnp.where(mask, x, jnp.zeros_like(x)).astype(dtype).sum(axis=0) / self.mask.astype(dtype).sum()

        return jax.tree.map(mean, values)


def ahead(items: Iterator[Any], number: int) -> Iterator[Any]:
    """The same items, drawn `number` items before they are handed out."""
    drawn = collections.deque(itertools.islice(items, number))
    for item in items:
        drawn.append(item)
        yield drawn.popleft()
    yield from drawn
