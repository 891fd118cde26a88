"""What the user calls. Grain is imported by the calls, not by the module."""

from typing import TYPE_CHECKING, TypeVar

import jax
import numpy as np

from gradtx.core import State, Transformation, chain
from gradtx.inputs import InputRule
from gradtx.interop.grain._elements import Apply, Key, Selection

if TYPE_CHECKING:
    import grain  # type: ignore[import-not-found]

Dataset = TypeVar("Dataset", "grain.MapDataset", "grain.IterDataset")


def apply(
    dataset: Dataset,
    tx: Transformation,
    state: State,
    *,
    select: Key | list[Key] | None = None,
    batched: bool = True,
) -> Dataset:
    """Scale the inputs of each element of a dataset by fixed statistics.

    The inputs become `tx.update(x, state, train=False)[0]`. A `MapDataset` keeps its random access. Elements may hold
    numpy arrays, and hold numpy arrays afterwards. The computation runs on the CPU, compiled once for each shape:
    values that `missing="refuse"` refuses become NaN.

    Both kinds of datasets can be prefetched by processes. Give `mp_prefetch` a `worker_init_fn` that calls
    `jax.config.update("jax_platforms", "cpu")`; otherwise each worker takes memory of the accelerators.

    Args:
        dataset: A `grain.MapDataset` or `grain.IterDataset`.
        tx: A chain for inputs.
        state: A fitted state of `tx`. `gx.inputs.fit(tx, dataset)` gives one if the elements are batches of inputs.
        select: Where the inputs are in an element. A key of a dictionary, or an index of a tuple or list; or a list of
            keys, if the inputs are a dictionary with these keys. None if the whole element is the inputs. The parts of
            an element that are not selected stay the same.
        batched: True if elements are batches, as after `dataset.batch(n)`; False if they are single examples.

    Returns:
        A dataset of the same kind.

    Raises:
        TypeError: The dataset is not one of Grain's, or the state is not a state.
        ValueError: The state has learnt from no examples; or, when an element is read, the state was made for other
            inputs.
        KeyError: When an element is read, it has no such part as `select`.

    >>> import gradtx as gx, grain
    >>> rows = [{"x": np.array([i, 10.0 * i]), "y": i} for i in range(5)]
    >>> dataset, tx = grain.MapDataset.source(rows), gx.inputs.min_max()
    >>> state = gx.inputs.fit(tx, dataset.map(lambda row: row["x"]).batch(2))
    >>> apply(dataset, tx, state, select="x", batched=False)[1]
    {'x': array([0.25, 0.25], dtype=float32), 'y': 1}
    """
    tx = _checked("apply", dataset, tx, state)
    if not np.any(state.step) and any(isinstance(stage, InputRule) for stage in tx.stages.values()):
        raise ValueError("apply: the state has learnt from no examples yet; call gx.inputs.fit")
    return dataset.map(Apply(tx, jax.device_get(state), Selection("apply", select, batched)))


def learn(
    dataset: "grain.MapDataset | grain.IterDataset",
    tx: Transformation,
    state: State,
    *,
    select: Key | list[Key] | None = None,
    batched: bool = True,
) -> "grain.IterDataset":
    """Scale the inputs of each element of a dataset by statistics that learn from this element first.

    The inputs become `tx.update(x, state)[0]`, and the state of the next element is `tx.update(x, state)[1]`. Each
    iterator has statistics of its own, which are in its checkpoint. An iterator that is restored, by `set_state` or by
    Grain's handler for Orbax, continues with the next element and exactly the same statistics. `learned` reads the
    statistics of an iterator.

    Call `mp_prefetch` before `learn`. After `learn`, each worker would learn from its share of the data only. The
    processes of several hosts do so: each learns from its share of the data.

    Args:
        dataset: A `grain.IterDataset`, or a `grain.MapDataset`, which becomes one.
        tx: A chain for inputs.
        state: The state that an iterator starts from: `tx.init` of a batch, or a fitted state.
        select: Where the inputs are; see `apply`.
        batched: Whether elements are batches or single examples; see `apply`.

    Returns:
        A `grain.IterDataset`.

    Raises:
        TypeError: The dataset is not one of Grain's, or the state is not a state.
        ValueError: When an element is read, the state was made for other inputs, or one of several workers reads the
            element; when an iterator is restored, the checkpoint is that of another chain.
        KeyError: When an element is read, it has no such part as `select`.

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
    tx = _checked("learn", dataset, tx, state)
    from gradtx.interop.grain._learning import LearnIterDataset, as_iter_dataset

    return LearnIterDataset(as_iter_dataset(dataset), tx, jax.device_get(state), Selection("learn", select, batched))


def learned(iterator: "grain.DatasetIterator", state: State) -> State:
    """Read the statistics that an iterator has learnt from the elements that it has returned so far.

    Elements that are prefetched, and not yet returned, do not count.

    Args:
        iterator: An iterator of a dataset that `learn` made, or of one that was made from such a dataset.
        state: The state that `learn` was given, or any state for the same inputs.

    Raises:
        ValueError: The iterator learns nothing or in several places, or the state is one for other inputs.

    >>> import gradtx as gx, grain
    >>> batches = grain.MapDataset.source(np.arange(8.0, dtype=np.float32)[:, None]).batch(2)
    >>> tx = gx.inputs.max_abs()
    >>> iterator = iter(learn(batches, tx, tx.init(batches[0])))
    >>> _ = next(iterator), next(iterator)
    >>> learned(iterator, tx.init(batches[0])).stages["max_abs"]["max_abs"]
    Array([3.], dtype=float32)
    """
    from gradtx.interop.grain._learning import decode, entries

    states = list(entries(iterator.get_state()))
    if len(states) != 1:
        raise ValueError(f"learned: {iterator} learns in {len(states) or 'no'} places, expected one")
    return jax.device_put(decode("learned", states[0], state))


def _checked(name: str, dataset: object, tx: Transformation, state: object) -> Transformation:
    """The chain, if the dataset is one of Grain's and the state is a state."""
    import grain  # type: ignore[import-not-found]

    if not isinstance(dataset, grain.MapDataset | grain.IterDataset):
        raise TypeError(f"{name}: expected a grain.MapDataset or a grain.IterDataset, got {type(dataset).__name__}")
    if not isinstance(state, State):
        raise TypeError(f"{name}: the state must be the one that init or fit returned, got {type(state).__name__}")
    return chain(tx)
