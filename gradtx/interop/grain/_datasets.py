"""What the user calls. Grain is imported by the calls, not by the module."""

from typing import Any

import jax
import numpy as np

from gradtx.core import State, Transformation, chain
from gradtx.inputs import InputRule
from gradtx.interop.grain._elements import Apply, Part


def apply(dataset: Any, tx: Any, state: State, *, select: Any = None, batched: bool = True) -> Any:
    """The dataset with its inputs as `tx.update(x, state, train=False)` gives them.

    A `MapDataset` keeps its random access, and both kinds can be prefetched by processes: give `mp_prefetch` a
    `worker_init_fn` that calls `jax.config.update("jax_platforms", "cpu")`, or each worker takes memory of the
    accelerators, if there are some. Elements come as numpy arrays, and go so; it is computed on the CPU, compiled once
    for each shape, so that what `missing="refuse"` refuses comes out as NaN.

    Args:
        dataset: A `grain.MapDataset` or `grain.IterDataset`.
        tx: A chain for inputs.
        state: The state of it, fitted, as by `gx.inputs.fit(tx, dataset)`, where elements are batches of inputs.
        select: Where the inputs are: a key of elements that are dictionaries, a number for tuples and lists; or a list
            of these, if the inputs that `tx` knows are a dictionary with them as its keys. None means all of the
            element. What is not selected stays as it is.
        batched: Whether elements are batches, as after `dataset.batch(n)`, or single examples.

    Returns:
        `dataset.map` of it.

    Raises:
        TypeError: It is not one of Grain's datasets.
        ValueError: The state has learnt from nothing, or, when an element is read, was made for others.

    >>> import gradtx as gx, grain
    >>> rows = [{"x": np.array([i, 10.0 * i]), "y": i} for i in range(5)]
    >>> dataset, tx = grain.MapDataset.source(rows), gx.inputs.min_max()
    >>> state = gx.inputs.fit(tx, dataset.map(lambda row: row["x"]).batch(2))
    >>> apply(dataset, tx, state, select="x", batched=False)[1]
    {'x': array([0.25, 0.25], dtype=float32), 'y': 1}
    """
    tx, _ = _checked("apply", dataset, tx, state)
    if not np.any(state.step) and any(isinstance(stage, InputRule) for stage in tx.stages.values()):
        raise ValueError("apply: the state has learnt from no examples yet; call gx.inputs.fit")
    return dataset.map(Apply(tx, jax.device_get(state), Part(select, batched)))


def learn(dataset: Any, tx: Any, state: State, *, select: Any = None, batched: bool = True) -> Any:
    """The dataset with its inputs as `tx.update(x, state)` gives them, which learns from each element in turn.

    Statistics are those of an iterator, and in its checkpoint: an iterator that is restored, by `set_state` or by
    Grain's handler for Orbax, goes on with the elements that were not seen and exactly the statistics that it had.
    `learned` looks them up. Call `mp_prefetch` before and not after, where each worker would learn for itself, as the
    processes of several hosts do, each from its share of the data.

    Args:
        dataset: A `grain.IterDataset`, or a `grain.MapDataset`, which becomes one.
        tx: A chain for inputs.
        state: What the statistics start from: `tx.init` of a batch, or a fitted one.
        select: Where the inputs are; see `apply`.
        batched: Whether elements are batches, or single examples; see `apply`.

    Returns:
        A `grain.IterDataset`.

    Raises:
        TypeError: It is not one of Grain's datasets.
        ValueError: When an element is read, it is not like what the state was made for, or a worker of several reads
            it; when an iterator is restored, the checkpoint was another chain's.

    >>> import gradtx as gx, grain
    >>> batches = grain.MapDataset.source(np.arange(8.0, dtype=np.float32)[:, None]).batch(2)
    >>> tx = gx.inputs.standardize()
    >>> iterator = iter(learn(batches, tx, tx.init(batches[0])))
    >>> first, checkpoint = next(iterator), iterator.get_state()
    >>> next(iterator).ravel()
    array([0.4472136, 1.3416407], dtype=float32)
    >>> iterator.set_state(checkpoint)
    >>> next(iterator).ravel()
    array([0.4472136, 1.3416407], dtype=float32)
    """
    tx, grain = _checked("learn", dataset, tx, state)
    from gradtx.interop.grain._learning import LearnIterDataset

    parent = dataset.to_iter_dataset() if isinstance(dataset, grain.MapDataset) else dataset
    return LearnIterDataset(parent, tx, jax.device_get(state), Part(select, batched))


def learned(iterator: Any, state: State) -> State:
    """What an iterator has learnt from the elements that it has given out so far.

    Args:
        iterator: One of a dataset that `learn` made, or that was made from it: elements that are prefetched and were
            not given out yet do not count.
        state: The state that `learn` was given, or any for the same inputs.

    Raises:
        ValueError: It learns nothing, or in several places, or the state is for others.

    >>> import gradtx as gx, grain
    >>> batches = grain.MapDataset.source(np.arange(8.0, dtype=np.float32)[:, None]).batch(2)
    >>> tx = gx.inputs.max_abs()
    >>> iterator = iter(learn(batches, tx, tx.init(batches[0])))
    >>> _ = next(iterator), next(iterator)
    >>> learned(iterator, tx.init(batches[0])).stages["max_abs"]["max_abs"]
    Array([3.], dtype=float32)
    """
    from gradtx.interop.grain._learning import decode, entries

    found = list(entries(iterator.get_state()))
    if len(found) != 1:
        raise ValueError(f"learned: {iterator} learns in {len(found) or 'no'} places, expected one")
    return jax.device_put(decode(found[0], state))


def _checked(name: str, dataset: Any, tx: Any, state: Any) -> tuple[Transformation, Any]:
    """The chain, and Grain's module."""
    import grain  # type: ignore[import-not-found]

    if not isinstance(dataset, grain.MapDataset | grain.IterDataset):
        raise TypeError(f"{name}: expected a grain.MapDataset or a grain.IterDataset, got {type(dataset).__name__}")
    if not isinstance(state, State):
        raise TypeError(f"{name}: the state must be the one that init or fit returned, got {type(state).__name__}")
    return chain(tx), grain
