"""The cost of inputs: mini-batches beside NumPy and PyTorch, `fit` beside scikit-learn, batch norm beside Flax.

python benchmarks/inputs.py [--quick] [--json FILE]
"""

import statistics
from collections.abc import Callable
from typing import Any

import _measure as m
import jax
import jax.numpy as jnp
import numpy as np
from _measure import Figures
from _norms import BOTH, FLAX, GRADTX, LINEN, norms
from sklearn.preprocessing import StandardScaler

import gradtx as gx

SCAN, DEVICE, HOST = "gradtx, scan", "gradtx, iterate", "gradtx, iterate over numpy"
NUMPY, INDEXED, LOADER = "numpy, take into one buffer", "numpy, indexed", "torch DataLoader"
ON_DEVICE, WHOLE, STREAM = "gradtx, from the device", "gradtx, from numpy", "gradtx, in batches"
FIT, PARTIAL_FIT = "scikit-learn, fit", "scikit-learn, partial_fit"
Epoch = Callable[[], jax.Array | np.ndarray]  # gives the sums of the columns


def total(sums: jax.Array, batch: gx.inputs.Batch) -> tuple[jax.Array, None]:
    """Add the sums of the columns of a mini-batch."""
    return sums + batch.mask.astype(batch.data.dtype) @ batch.data, None


@jax.jit
def scanned(
    batches: gx.inputs.minibatches, state: gx.inputs.MiniBatchState
) -> tuple[jax.Array, gx.inputs.MiniBatchState]:
    """Sum the columns in one program, and give the place after the epoch."""
    sums, _, state = batches.scan(total, jnp.zeros(batches.data.shape[1]), state, batches.steps_per_epoch)
    return sums, state


class GradtxEpochs:
    """Epochs of gradtx: each call goes through the next epoch, and sums the columns by mini-batches."""

    def __init__(self, data: jax.Array | np.ndarray, batch_size: int, scan: bool):
        self.batches, self.scan = gx.inputs.minibatches(data, batch_size, key=0), scan
        self.state, self.add = self.batches.init(), jax.jit(lambda sums, batch: total(sums, batch)[0])

    def __call__(self) -> jax.Array:
        if self.scan:
            sums, self.state = scanned(self.batches, self.state)
            return sums
        sums = jnp.zeros(self.batches.data.shape[1])
        for batch, state in self.batches.iterate(self.state):
            sums, self.state = self.add(sums, batch), state
        return sums


def numpy_epochs(x: np.ndarray, batch_size: int) -> dict[str, Epoch]:
    """Make epochs of NumPy: one that takes into a buffer, and one that indexes."""
    rng, buffer = np.random.default_rng(0), np.empty((batch_size, x.shape[1]), x.dtype)

    def taken(index: np.ndarray) -> np.ndarray:
        # NumPy takes directly into the buffer only with mode="clip".
        return np.take(x, index, axis=0, out=buffer[: len(index)], mode="clip")

    def epoch(batch_of: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        order, sums = rng.permutation(len(x)), np.zeros(x.shape[1], x.dtype)
        for i in range(0, len(x), batch_size):
            sums += batch_of(order[i : i + batch_size]).sum(0)
        return sums

    return {NUMPY: lambda: epoch(taken), INDEXED: lambda: epoch(lambda index: x[index])}


def torch_epoch(x: np.ndarray, batch_size: int) -> Epoch:
    """Make epochs of PyTorch's `DataLoader`."""
    import torch  # optional

    data = torch.utils.data.TensorDataset(torch.from_numpy(x))
    loader = torch.utils.data.DataLoader(data, batch_size, shuffle=True)
    return lambda: np.asarray(sum(batch.sum(0) for (batch,) in loader))


def minibatches(rows: int, batch_size: int, rounds: int) -> Figures:
    """Measure an epoch. Every peer sums the columns, because data that are not used need not be gathered."""
    x = np.random.default_rng(0).standard_normal((rows, 32), dtype=np.float32)
    on_device = jnp.asarray(x)
    peers: dict[str, Epoch] = {
        SCAN: GradtxEpochs(on_device, batch_size, scan=True),
        DEVICE: GradtxEpochs(on_device, batch_size, scan=False),
        HOST: GradtxEpochs(x, batch_size, scan=False),
        **numpy_epochs(x, batch_size),
    }
    if m.HAS_TORCH:
        peers[LOADER] = torch_epoch(x, batch_size)
    for name, epoch in peers.items():  # a peer must see every example, or its time would mean nothing
        np.testing.assert_allclose(
            np.asarray(epoch()), x.sum(0, dtype=np.float64), rtol=0, atol=1e-4 * rows**0.75, err_msg=name
        )
    times = m.interleaved(peers, rounds, 1)
    figures = {
        name: {
            "seconds": statistics.median(t),
            "to numpy": m.ratio(times, name, NUMPY),
            "to torch": m.ratio(times, name, LOADER),
        }
        for name, t in times.items()
    }
    m.table(
        f"An epoch of mini-batches of {batch_size} over {rows:,} × 32 float32, shuffled, with the sums of the columns.",
        ["", "ms", f"× {NUMPY}", "× torch"],
        [
            [name, f"{1e3 * f['seconds']:,.1f}", m.number(f["to numpy"]), m.number(f["to torch"], ".3f")]
            for name, f in figures.items()
        ],
    )
    return figures


def fit(rows: int, rounds: int) -> Figures:
    """Measure the fit of `standardize`: the mean and the variance of each column."""
    x = np.random.default_rng(0).standard_normal((rows, 32), dtype=np.float32)
    on_device, batches = jnp.asarray(x), [x[i : i + 65_536] for i in range(0, rows, 65_536)]
    tx = gx.inputs.standardize()

    def partial_fit() -> StandardScaler:
        scaler = StandardScaler()
        for batch in batches:
            scaler.partial_fit(batch)
        return scaler

    peers: dict[str, Callable[[], Any]] = {
        ON_DEVICE: lambda: gx.inputs.fit(tx, [on_device]),
        WHOLE: lambda: gx.inputs.fit(tx, [x]),
        STREAM: lambda: gx.inputs.fit(tx, batches),
        FIT: lambda: StandardScaler().fit(x),
        PARTIAL_FIT: partial_fit,
    }
    for name in (ON_DEVICE, WHOLE, STREAM):  # all scalers must give the same, or their times would mean nothing
        scaled, _ = tx.update(x[:100], peers[name](), train=False)
        np.testing.assert_allclose(np.asarray(scaled), peers[FIT]().transform(x[:100]), rtol=0, atol=1e-5, err_msg=name)
    times = m.interleaved(peers, rounds, 1)
    figures = {
        name: {"seconds": statistics.median(t), **{to: m.ratio(times, name, to) for to in (FIT, PARTIAL_FIT)}}
        for name, t in times.items()
    }
    m.table(
        f"Fitting standardize to {rows:,} × 32 float32, in one call and in batches of 65,536.",
        ["", "ms", f"× {FIT}", f"× {PARTIAL_FIT}"],
        [[n, f"{1e3 * f['seconds']:,.1f}", f"{f[FIT]:.2f}", f"{f[PARTIAL_FIT]:.2f}"] for n, f in figures.items()],
    )
    return figures


def bars(figures: Figures) -> list[Figures]:
    """Compare the measured ratios with their upper bounds."""
    sizes, fits = figures["mini-batches"], figures["fit"]
    rows = [
        (f"mini-batches of {size}: scan / {to}", f[SCAN][f"to {to}"], bar)
        for size, f in sizes.items()
        for to, bar in (("numpy", 1.0), ("torch", 0.2))
    ]
    rows += [
        (f"mini-batches of {size}: {name} / torch", f[name]["to torch"], 0.2)
        for size, f in sizes.items()
        for name in (DEVICE, HOST)
    ]
    rows += [
        (f"fit: {name} / {to}", fits[name][to], 1.0)
        for name, to in ((ON_DEVICE, FIT), (WHOLE, FIT), (STREAM, PARTIAL_FIT))
    ]
    rows += [
        (f"batch norm, {BOTH}, {case}: gradtx / {to}", passes[BOTH][GRADTX][to], 1.0)
        for case, passes in figures["batch norm"].items()
        if "float32" in case
        for to in (FLAX, LINEN)
    ]
    return m.verdicts(rows)


def measure(quick: bool) -> Figures:
    rows, rounds = (20_000, 2) if quick else (1_000_000, 9)
    figures: Figures = {
        "mini-batches": {size: minibatches(rows, size, rounds) for size in (256, 1024)},
        "fit": fit(rows, rounds),
        "batch norm": norms(2 if quick else 31),
    }
    return figures | {"bars": bars(figures)}


if __name__ == "__main__":
    m.main(__doc__, measure)
