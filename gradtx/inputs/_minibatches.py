"""Batch, stochastic and mini-batch gradient descent differ only in the number of examples that a step sees."""

import collections
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import KW_ONLY
from typing import Annotated, Any, ClassVar, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import Tracer

from gradtx._tools import Tree, checked, code_of, same, summary, typed_key
from gradtx.core import Interval, Key, Record
from gradtx.inputs._batch import Batch, Shardings, batch_of, leading, nth_batch, on_device, parts
from gradtx.inputs._order import MiniBatchState, Order, planned

Carry = TypeVar("Carry")
Out = TypeVar("Out")
T = TypeVar("T")


@jax.tree_util.register_pytree_node_class
class minibatches(Record):
    """Divides data into mini-batches of shuffled examples, and gives every example once an epoch.

    With the order π of an epoch and the batch size m, mini-batch t of the epoch is

        Bₜ = {π(t·m), …, π(t·m + m - 1)},  t = 0, 1, …

    Batch gradient descent has m = n, the number of examples. Stochastic gradient descent has m = 1.

    The order of epoch e is drawn with `fold_in(key, e)`. Any part of it is computed without the others, so a
    `MiniBatchState` is only two numbers and the key. A run that continues from a saved state gets exactly the examples
    that it had not seen, even with another `batch_size`.

    `scan`, `next` and `iterate` give the same mini-batches bit for bit, on any number of devices. If the data are split
    over a mesh, the mini-batches are split in the same way.

    Args:
        data: A tree of arrays of shape (n, …), with 1 ≤ n < 2³¹. None leaves stay None. JAX arrays are gathered on
            their device. NumPy arrays may exceed the device: `iterate` gathers them in the host's memory.
        batch_size: m, 1 ≤ m ≤ n. It is the shape of a mini-batch, so it cannot be traced.
        key: An integer seed in [0, 2³²), or a key made by `jax.random.key`. Required unless `shuffle=False`.
        drop_last: Whether to leave out the n mod m examples that do not fill a mini-batch. Each epoch leaves out
            other examples.
        pad_last: Whether to pad the last mini-batch to m examples. `Batch.mask` marks the padding, and all mini-batches
            have one shape. With False the last mini-batch is shorter, which only `iterate` supports.
        shuffle: Whether to shuffle. With False every epoch is in the order of the data.

    Raises:
        ValueError: There are no examples; the lengths of the leaves differ; m is larger than n; m is no multiple of
            the number of devices over which axis 0 is split; or an argument has no effect: `key` with
            `shuffle=False`, `pad_last=False` with `drop_last=True`.
        TypeError: A leaf is not an array of numbers, m is traced, or `key` is missing.

    The object is a tree with the data as its leaves. Give it to `jax.jit` as an argument: data that a function closes
    over become a constant of the program.

    PyTorch's `DataLoader` keeps a shorter last mini-batch (`pad_last=False`) unless `drop_last=True`, and shuffles only
    with `shuffle=True`. Keras's `fit` shuffles.

    >>> import gradtx as gx
    >>> batches = gx.inputs.minibatches({"x": jnp.arange(10.0)}, batch_size=4, key=0)
    >>> batches
    minibatches({'x': float32[10]}, 4, key=0)
    >>> for batch, state in batches.iterate(batches.init()):
    ...     print(batch.data["x"].astype(int), batch.mask.sum(), batch.mean(batch.data["x"]))
    [1 9 4 8] 4 5.5
    [5 7 2 3] 4 4.25
    [0 6 1 9] 2 3.0
    """

    _shardings: ClassVar[Shardings]

    data: Any
    batch_size: Annotated[int, Interval(1, hyper=False, whole=True)]
    _: KW_ONLY
    key: Key | None = None
    drop_last: bool = False
    pad_last: bool = True
    shuffle: bool = True

    def __post_init__(self) -> None:
        if isinstance(self.batch_size, Tracer):
            raise TypeError("minibatches: batch_size must be a number, not traced: it is the shape of a mini-batch")
        super().__post_init__()
        if self.shuffle and self.key is None:
            raise TypeError("minibatches: the argument key is missing; write key=0, or shuffle=False for no shuffling")
        if not self.shuffle and self.key is not None:
            raise ValueError(
                f"minibatches: key={code_of(_brief(self.key))} has no effect with shuffle=False; leave one of them out"
            )
        if self.drop_last and not self.pad_last:
            raise ValueError("minibatches: pad_last=False has no effect with drop_last=True; leave one of them out")
        size = self._checked_size()
        if self.batch_size > size:
            raise ValueError(
                f"minibatches: batch_size must be at most the number of examples, {size}, got {self.batch_size}"
            )
        shardings = [leading(x) for x in jax.tree.leaves(self.data)]
        if uneven := next((s for s in shardings if self.batch_size % parts(s)), None):
            raise ValueError(
                f"minibatches: the data are split into {parts(uneven)} parts over the mesh, so batch_size must be a "
                f"multiple of {parts(uneven)}, got {self.batch_size}"
            )
        self.__dict__.update(batch_size=int(self.batch_size), _shardings=tuple(shardings))

    def _checked_size(self) -> int:
        sizes = {jax.tree_util.keystr(path): _length(path, x) for path, x in jax.tree.leaves_with_path(self.data)}
        if len(set(sizes.values())) > 1:
            raise ValueError(f"minibatches: the leaves of the data must have one length, got {sizes}")
        size = next(iter(sizes.values()), 0)
        if not 1 <= size < 2**31:
            raise ValueError(f"minibatches: the data must have 1 to 2³¹ - 1 examples, got {size}")
        return size

    @property
    def size(self) -> int:
        """The number of examples, n."""
        return jax.tree.leaves(self.data)[0].shape[0]

    @property
    def steps_per_epoch(self) -> int:
        """The number of mini-batches of an epoch: ⌈n / m⌉, or ⌊n / m⌋ with `drop_last`."""
        return self._order.steps_per_epoch

    def steps_left(self, state: MiniBatchState) -> int:
        """The number of mini-batches from `state` to the end of its epoch. The state must not be traced."""
        if isinstance(state.position, Tracer):
            raise TypeError("minibatches: a traced state does not tell what is left of its epoch; give the length")
        return self._order.steps_left(int(state.position))

    def init(self) -> MiniBatchState:
        """The beginning of the first epoch."""
        # Each is an array of its own, so the state may be donated.
        epoch, position = jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32)
        return MiniBatchState(epoch, position, jnp.copy(jax.random.key_data(self._typed_key)))

    def next(self, state: MiniBatchState) -> tuple[Batch, MiniBatchState]:
        """Gives the mini-batch at `state` and the state after it. This is a pure function, for use under `jax.jit`."""
        self._check_shape("next")
        index, real = self._order.plan(state, 0, 1)
        return batch_of(self.data, self._shardings, index[0], real[0]), self._after(state, 1)

    @checked
    def scan(
        self,
        step: Callable[[Carry, Batch], tuple[Carry, Out]],
        carry: Carry,
        state: MiniBatchState,
        length: Annotated[int, Interval(0, hyper=False, whole=True)] | None = None,
    ) -> tuple[Carry, Out, MiniBatchState]:
        """Runs `step(carry, batch) -> (carry, out)` on mini-batches from `state` on, as `lax.scan` does.

        Args:
            step: The function to run on each mini-batch.
            carry: The carry of the first step.
            state: The place to begin.
            length: The number of mini-batches, ≥ 0. The default is the number of mini-batches to the end of the epoch,
                for which the state must not be traced. Larger numbers continue into the next epochs.

        Returns:
            The last carry, the stacked outs, and the state after the last mini-batch.
        """
        self._check_shape("scan")
        length = self.steps_left(state) if length is None else length

        def block(carry: Carry, first: int | jax.Array, length: int) -> tuple[Carry, Out]:
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

    @checked
    def iterate(
        self,
        state: MiniBatchState,
        length: Annotated[int, Interval(0, hyper=False, whole=True)] | None = None,
        *,
        prefetch: Annotated[int, Interval(0, hyper=False, whole=True)] = 2,
        sharding: Any = None,
    ) -> Iterator[tuple[Batch, MiniBatchState]]:
        """Iterates over (mini-batch, the state after it), with the mini-batches on the device.

        Args:
            state: The place to begin.
            length: The number of mini-batches, ≥ 0. The default is the number of mini-batches to the end of the epoch.
                Larger numbers continue into the next epochs.
            prefetch: The number of mini-batches, ≥ 0, that are on their way to the device while one is in use.
            sharding: The device (`jax.Device`) or the `jax.sharding.Sharding` to put the mini-batches on. By default
                they stay where the data are.
        """
        length = self.steps_left(state) if length is None else length
        return _prefetched(self._batches(state, length, sharding), prefetch)

    def tree_flatten(self) -> tuple[tuple[Tree, Tree], Sequence[object]]:
        static = self.batch_size, self.drop_last, self.pad_last, self.shuffle, self._shardings
        key = self._typed_key if isinstance(self.key, int) else self.key  # anything may stand in for a leaf
        return (self.data, key), static

    @classmethod
    def tree_unflatten(cls, static: Sequence[object], children: Sequence[Tree]) -> "minibatches":
        self = object.__new__(cls)
        names = "data", "key", "batch_size", "drop_last", "pad_last", "shuffle", "_shardings"
        self.__dict__.update(zip(names, (*children, *static), strict=True))
        return self

    def __repr__(self) -> str:
        return Record.__repr__(self.replace({"data": jax.tree.map(_brief, self.data), "key": _brief(self.key)}))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, minibatches):
            return NotImplemented
        (mine, tree), (theirs, other_tree) = jax.tree.flatten(self), jax.tree.flatten(other)
        return tree == other_tree and all(map(same, mine, theirs))

    def __hash__(self) -> int:
        return hash(jax.tree.structure(self))

    @property
    def _typed_key(self) -> jax.Array:
        return typed_key(0 if self.key is None else self.key)

    @property
    def _order(self) -> Order:
        impl = jax.random.key_impl(self._typed_key)
        return Order(self.size, self.batch_size, self.drop_last, self.shuffle, impl)

    @property
    def _block(self) -> int:
        """The number of mini-batches whose order is computed at once: 4 MB of numbers, but at least one mini-batch."""
        return max(2**20 // self.batch_size, 1)

    def _after(self, state: MiniBatchState, steps: int) -> MiniBatchState:
        return MiniBatchState(*self._order.after(state, steps), jnp.asarray(state.key))

    def _check_shape(self, method: str) -> None:
        if not (self.drop_last or self.pad_last) and self.size % self.batch_size:
            raise ValueError(
                f"minibatches: {method} needs mini-batches of one shape, but with pad_last=False the last one has "
                f"{self.size % self.batch_size} of {self.batch_size} examples; use iterate, or pad or drop the last one"
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


def _prefetched(items: Iterator[T], number: int) -> Iterator[T]:
    """The same items. Each is drawn `number` items before it is given out."""
    drawn = collections.deque(itertools.islice(items, number))
    for item in items:
        drawn.append(item)
        yield drawn.popleft()
    yield from drawn


class _Code(str):
    __repr__ = str.__str__


def _brief(leaf: object) -> object:
    """An array as its dtype and shape, for `repr`."""
    dtype, shape = getattr(leaf, "dtype", None), getattr(leaf, "shape", ())
    return leaf if dtype is None else _Code(f"{dtype}{list(shape)}")


def _length(path: Sequence[object], leaf: object) -> int:
    where = f"minibatches: the data{jax.tree_util.keystr(tuple(path))}"
    dtype, shape = getattr(leaf, "dtype", None), getattr(leaf, "shape", None)
    if dtype is None or not shape or getattr(dtype, "kind", "") in "OSUMm":
        raise TypeError(f"{where} must be an array of numbers with the examples on axis 0, got {summary(leaf)}")
    return shape[0]
