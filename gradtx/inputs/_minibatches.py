"""Batch, stochastic and mini-batch gradient descent differ in one number: how many examples a step sees."""

from collections.abc import Callable, Iterator
from typing import Annotated, Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import Tracer

from gradtx._tools import same, summary, typed_key
from gradtx.core import Interval, Key, Record
from gradtx.inputs._batch import Batch, MiniBatchState, ahead
from gradtx.inputs._gather import batch_of, leading, nth_batch, on_device, parts
from gradtx.inputs._order import Order, planned


@jax.tree_util.register_pytree_node_class
class minibatches(Record):
    """Bₜ = {π(tm), …, π(tm + m - 1)}, t = 0, 1, …: every example once an epoch, with another order π in each.

    `batch_size` m makes the difference between batch gradient descent (m = n, the number of examples), stochastic
    (m = 1) and mini-batch gradient descent.

    The order of epoch e is drawn with `fold_in(key, e)`, and any part of it is known without the rest: what remembers
    the place is two numbers and the key, and a run that goes on from a saved state sees the examples that it had not
    seen, even with another `batch_size`. `scan`, `next` and `iterate` give the same mini-batches bit for bit, on any
    number of devices. Mini-batches of data that are split over a mesh are split like them.

    Args:
        data: A tree of arrays with one leading length n, 1 ≤ n < 2³¹; None leaves stay. JAX arrays are gathered on
            their device. NumPy arrays, which may exceed it, `iterate` gathers in the host's memory.
        batch_size: m, 1 ≤ m ≤ n.
        key: An integer seed, or a key made by `jax.random.key`.
        drop_last: Leaves out the n mod m examples that make no full mini-batch; other ones in each epoch.
        pad_last: Fills up the last mini-batch, which `Batch.mask` tells, so that all have one shape. If False and
            examples are left over, it is shorter: that is for `iterate` alone. Without effect if `drop_last`.
        shuffle: If False, every epoch is in the order of the data.

    Raises:
        ValueError: If there are no examples, the lengths differ, m is larger than n, or m does not divide among the
            devices.
        TypeError: If a leaf is no array of numbers, or m is traced.

    It is a tree whose leaves are the data: give it to `jax.jit` as an argument, for what a function closes over becomes
    a constant of the program.

    PyTorch's `DataLoader` leaves a shorter last mini-batch (`pad_last=False`) or drops it, and does not shuffle unless
    told; Keras's `fit` shuffles.

    >>> import gradtx as gx
    >>> batches = gx.inputs.minibatches({"x": jnp.arange(10.0)}, batch_size=4, key=0)
    >>> batches
    minibatches({'x': float32[10]}, 4, 0)
    >>> for batch, state in batches.iterate(batches.init()):
    ...     print(batch.data["x"].astype(int), batch.mask.sum(), batch.mean(batch.data["x"]))
    [1 9 4 8] 4 5.5
    [5 7 2 3] 4 4.25
    [0 6 1 9] 2 3.0
    """

    _shardings: ClassVar[tuple[Any, ...]]

    data: Any
    batch_size: Annotated[int, Interval(1, hyper=False, whole=True)]
    key: Key
    drop_last: bool = False
    pad_last: bool = True
    shuffle: bool = True

    def __post_init__(self) -> None:
        if isinstance(self.batch_size, Tracer):
            raise TypeError("minibatches: batch_size must be a number, not traced: it is the shape of a mini-batch")
        super().__post_init__()
        sizes = {jax.tree_util.keystr(path): _length(path, x) for path, x in jax.tree.leaves_with_path(self.data)}
        if len(set(sizes.values())) > 1:
            raise ValueError(f"minibatches: the leaves of the data must have one length, got {sizes}")
        size = next(iter(sizes.values()), 0)
        if not 1 <= size < 2**31:
            raise ValueError(f"minibatches: the data must have 1 to 2³¹ - 1 examples, got {size}")
        if self.batch_size > size:
            raise ValueError(
                f"minibatches: batch_size must be at most the number of examples, {size}, got {self.batch_size}"
            )
        shardings = [leading(x) for x in jax.tree.leaves(self.data)]
        if uneven := next((s for s in shardings if self.batch_size % parts(s)), None):
            raise ValueError(
                f"minibatches: the data are split {parts(uneven)} ways over the mesh, so batch_size must be a multiple "
                f"of that, got {self.batch_size}"
            )
        self.__dict__.update(batch_size=int(self.batch_size), _shardings=tuple(shardings))

    @property
    def size(self) -> int:
        """The number of examples, n."""
        return jax.tree.leaves(self.data)[0].shape[0]

    @property
    def steps_per_epoch(self) -> int:
        """⌈n / m⌉ mini-batches, ⌊n / m⌋ if `drop_last`."""
        return self._order.steps_per_epoch

    def steps_left(self, state: MiniBatchState) -> int:
        """How many mini-batches of the epoch of a concrete `state` are left."""
        if isinstance(state.position, Tracer):
            raise TypeError("minibatches: a traced state does not tell what is left of its epoch; give the length")
        return self._order.steps_left(int(state.position))

    def init(self) -> MiniBatchState:
        """The beginning of the first epoch."""
        # Each an array of its own, so that the state may be donated.
        epoch, position = jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32)
        return MiniBatchState(epoch, position, jnp.copy(jax.random.key_data(self._typed_key)))

    def next(self, state: MiniBatchState) -> tuple[Batch, MiniBatchState]:
        """The mini-batch at `state`, and the state after it; a pure function."""
        self._check_shape("next")
        index, real = self._order.plan(state, 0, 1)
        return batch_of(self.data, self._shardings, index[0], real[0]), self._after(state, 1)

    def scan(
        self,
        step: Callable[[Any, Batch], tuple[Any, Any]],
        carry: Any,
        state: MiniBatchState,
        length: int | None = None,
    ) -> tuple[Any, Any, MiniBatchState]:
        """`lax.scan` of `step(carry, batch) -> (carry, out)` over mini-batches from `state` on.

        Args:
            step: What is done with each.
            carry: What the first step is given.
            state: Where to begin.
            length: How many; by default what is left of the epoch, which only a concrete state tells. More go on
                into the next epochs.

        Returns:
            The last carry, the stacked outs, and the state after the last mini-batch.
        """
        self._check_shape("scan")
        length = self.steps_left(state) if length is None else length

        def block(carry: Any, first: Any, length: int) -> tuple[Any, Any]:
            plan = self._order.plan(state, first, length)
            return lax.scan(lambda c, examples: step(c, batch_of(self.data, self._shardings, *examples)), carry, plan)

        size = min(self._block, length)
        whole, rest = divmod(length, max(size, 1))
        carry, outs = lax.scan(lambda c, i: block(c, i * size, size), carry, jnp.arange(whole, dtype=jnp.int32))
        outs = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), outs)
        if rest:
            carry, last = block(carry, whole * size, rest)
            outs = jax.tree.map(lambda x, y: jnp.concatenate([x, y]), outs, last)
        return carry, outs, self._after(state, length)

    def iterate(
        self, state: MiniBatchState, length: int | None = None, *, prefetch: int = 2, sharding: Any = None
    ) -> Iterator[tuple[Batch, MiniBatchState]]:
        """An iterator over (mini-batch, the state after it), on the device.

        Args:
            state: Where to begin.
            length: How many; by default what is left of the epoch. More go on into the next epochs.
            prefetch: How many are under way to the device besides the one that is handed out.
            sharding: Where to put them, if not where the data are: a device or a `jax.sharding.Sharding`.
        """
        if not isinstance(prefetch, int) or prefetch < 0:
            raise ValueError(f"minibatches: prefetch must be a whole number ≥ 0, got {prefetch!r}")
        length = self.steps_left(state) if length is None else length
        return ahead(self._batches(state, length, sharding), prefetch)

    def tree_flatten(self) -> tuple[tuple[Any, Any], Any]:
        rest = self.batch_size, self.drop_last, self.pad_last, self.shuffle, self._shardings
        key = self._typed_key if isinstance(self.key, int) else self.key  # anything may stand in for a leaf
        return (self.data, key), rest

    @classmethod
    def tree_unflatten(cls, rest: Any, children: Any) -> "minibatches":
        self = object.__new__(cls)
        names = "data", "key", "batch_size", "drop_last", "pad_last", "shuffle", "_shardings"
        self.__dict__.update(zip(names, (*children, *rest), strict=True))
        return self

    def __repr__(self) -> str:
        def brief(x: Any) -> Any:
            return _Code(f"{x.dtype}{list(x.shape)}") if hasattr(x, "dtype") else x

        return Record.__repr__(self.replace({"data": jax.tree.map(brief, self.data), "key": brief(self.key)}))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, minibatches):
            return NotImplemented
        (mine, tree), (theirs, other_tree) = jax.tree.flatten(self), jax.tree.flatten(other)
        return tree == other_tree and all(map(same, mine, theirs))

    def __hash__(self) -> int:
        return hash(jax.tree.structure(self))

    @property
    def _typed_key(self) -> jax.Array:
        return typed_key(self.key)

    @property
    def _order(self) -> Order:
        impl = jax.random.key_impl(self._typed_key)
        return Order(self.size, self.batch_size, self.drop_last, self.shuffle, impl)

    @property
    def _block(self) -> int:
        """For how many mini-batches the order is found out at once: 4 MB of numbers, a single one if it is larger."""
        return max(2**20 // self.batch_size, 1)

    def _after(self, state: MiniBatchState, steps: int) -> MiniBatchState:
        return MiniBatchState(*self._order.after(state, steps), jnp.asarray(state.key))

    def _check_shape(self, what: str) -> None:
        if not (self.drop_last or self.pad_last) and self.size % self.batch_size:
            raise ValueError(
                f"minibatches: {what} needs mini-batches of one shape, but with neither drop_last nor pad_last the "
                f"last one has {self.size % self.batch_size} of {self.batch_size} examples; that is for iterate alone"
            )

    def _batches(self, state: MiniBatchState, length: int, sharding: Any) -> Iterator[tuple[Batch, MiniBatchState]]:
        on_host = any(isinstance(x, np.ndarray) for x in jax.tree.leaves(self.data))
        data = jax.tree.map(np.asarray, self.data) if on_host else self.data
        block = min(self._block, length)
        for begin in range(0, length, max(block, 1)):
            plan = planned(self._order, block, state, np.int32(begin))
            index, real, epoch, position = jax.device_get(plan)
            for i in range(min(block, length - begin)):
                if on_host:
                    taken = jax.tree.map(lambda x: x.take(index[i], axis=0, mode="clip"), data)  # noqa: B023
                    batch = on_device(Batch(taken, real[i]))
                else:
                    batch = nth_batch(data, self._shardings, plan[:2], np.int32(i))
                if not self.pad_last and not real[i].all():
                    batch = jax.tree.map(lambda x: x[: real[i].sum()], batch)  # noqa: B023
                batch = batch if sharding is None else jax.device_put(batch, sharding)
                yield batch, MiniBatchState(epoch[i], position[i], state.key)


class _Code(str):
    __repr__ = str.__str__


def _length(path: Any, leaf: Any) -> int:
    where = f"minibatches: the data{jax.tree_util.keystr(path)}"
    numbers = hasattr(leaf, "shape") and hasattr(leaf, "dtype") and getattr(leaf.dtype, "kind", "") not in "OSUMm"
    if not numbers or not leaf.shape:
        raise TypeError(f"{where} must be an array of numbers whose first axis are the examples, got {summary(leaf)}")
    return leaf.shape[0]
