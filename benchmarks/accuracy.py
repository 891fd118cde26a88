"""The errors of updates: gradtx beside PyTorch, Keras and optax, each under the convention of the peer.

python benchmarks/accuracy.py [--quick] [--json FILE]

The errors are those of the updates, not of the parameters. A parameter is rounded by half an ulp at every step, and
this rounding would hide the errors of the optimizer. Each parameter is therefore set to zero before each step. After
the step the parameter is the update, bit for bit, also in libraries that only change parameters in place. For this
reason weight decay is not measured.

The reference is float64 arithmetic on the same float32 gradients. An error is given in ulps (float32) of the root mean
square of the update of the element over the steps. A single update can be arbitrarily small if averages cancel, and no
implementation is exact to the last bit of such an update. The gradients are normally distributed, and the scale of each
element lies between 1e-4 and 1e4.
"""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import _measure as m
import jax
import jax.numpy as jnp
import numpy as np
import optax

import gradtx.interop.keras as gk
import gradtx.interop.torch as gt

sys.path.append(str(Path(__file__).parents[1]))  # the tests have the references

from tests.cases import CASES
from tests.helpers import relaxed
from tests.interop.references import keras as keras_reference
from tests.interop.references import torch as torch_reference
from tests.interop.trajectories import keras_with

SHORT = 50  # first steps that are measured, besides the last step
WORSE = 1.1  # times the error of the peer; a worse error also exceeds that of the peer by a fifth of an ulp
Updates = Callable[[np.ndarray], np.ndarray]  # gradients (steps, elements) → updates (steps, elements)
Arguments = dict[str, float | bool]

TORCH: list[tuple[str, Arguments]] = [
    ("SGD", {"momentum": 0.9}),
    ("SGD", {"momentum": 0.9, "dampening": 0.1}),
    ("SGD", {"momentum": 0.9, "nesterov": True}),
    ("Adagrad", {}),
    ("Adadelta", {}),
    ("RMSprop", {}),
    ("RMSprop", {"centered": True}),
    ("RMSprop", {"momentum": 0.9}),
    ("Rprop", {}),
    ("Adam", {}),
    ("Adam", {"amsgrad": True}),
    ("AdamW", {}),
    ("Adamax", {}),
    ("NAdam", {}),
    ("RAdam", {}),
    ("ASGD", {}),
]
KERAS: list[tuple[str, Arguments]] = [
    ("SGD", {"momentum": 0.9}),
    ("SGD", {"momentum": 0.9, "nesterov": True}),
    ("Adagrad", {}),
    ("Adadelta", {}),
    ("RMSprop", {}),
    ("RMSprop", {"centered": True}),
    ("RMSprop", {"momentum": 0.9}),
    ("Adam", {}),
    ("Adam", {"amsgrad": True}),
    ("Adamax", {}),
    ("Nadam", {}),
    ("Lion", {}),
    ("Ftrl", {}),
]


class Pair(NamedTuple):
    """The updates of one technique under one convention: exact, by gradtx, and by the peer."""

    peer: str
    name: str
    exact: Updates
    ours: Updates
    theirs: Updates


def gradients(steps: int, size: int) -> np.ndarray:
    """Draw gradients, (steps, size)."""
    rng = np.random.RandomState(0)
    return (rng.standard_normal((steps, size)) * 10 ** rng.uniform(-4, 4, size)).astype(np.float32)


def exact(step: Callable[..., np.ndarray], grads: np.ndarray) -> np.ndarray:
    """Compute the updates of a float64 reference: from zero parameters, the new parameters are the update."""
    state: dict[str, np.ndarray] = {}
    zeros = np.zeros(grads.shape[1])
    return np.array([step(g, zeros, t, state) for t, g in enumerate(grads.astype(np.float64), 1)])


def scanned(tx: optax.GradientTransformation, grads: np.ndarray) -> np.ndarray:
    """Compute the updates of gradtx or optax."""

    def step(state: optax.OptState, g: jax.Array) -> tuple[optax.OptState, optax.Updates]:
        updates, state = tx.update(g, state, jnp.zeros_like(g))
        return state, updates

    with relaxed():
        init = tx.init(jnp.zeros_like(grads[0]))
        return np.asarray(jax.jit(lambda s, g: jax.lax.scan(step, s, g)[1])(init, jnp.asarray(grads)))


def torch_updates(name: str, arguments: Arguments, grads: np.ndarray) -> np.ndarray:
    """Compute the updates of PyTorch."""
    import torch  # optional

    param, out = torch.nn.Parameter(torch.zeros(grads.shape[1])), []
    optimizer = getattr(torch.optim, name)([param], **arguments)
    for g in grads:
        param.data.zero_()
        param.grad = torch.from_numpy(g)
        optimizer.step()
        out.append(param.detach().numpy().copy())
    return np.array(out)


def keras_updates(name: str, arguments: Arguments, grads: np.ndarray) -> np.ndarray:
    """Compute the updates of Keras."""
    with keras_with("float32") as keras:
        optimizer = getattr(keras.optimizers, name)(**arguments)
        optimizer.build([keras.Variable(np.zeros_like(grads[0]))])

        def step(state: list[jax.Array], g: jax.Array) -> tuple[list[jax.Array], jax.Array]:
            (param,), state = optimizer.stateless_apply(state, [g], [jnp.zeros_like(g)])
            return state, param

        run = jax.jit(lambda s, g: jax.lax.scan(step, s, g)[1])
        return np.asarray(run([v.value for v in optimizer.variables], jnp.asarray(grads)))


def _named(name: str, arguments: Mapping[str, object]) -> str:
    return f"{name}({', '.join(f'{k}={v}' for k, v in arguments.items() if k != 'learning_rate')})"


def pairs() -> Iterator[Pair]:
    """Give every technique under the convention of every installed library."""
    peers = [("PyTorch", TORCH, gt, torch_reference, torch_updates)] * m.HAS_TORCH
    peers += [("Keras", KERAS, gk, keras_reference, keras_updates)] * m.HAS_KERAS
    for peer, rows, constructors, references, updates in peers:
        for name, arguments in rows:
            tx, reference = getattr(constructors, name)(**arguments), getattr(references, name)
            yield Pair(
                peer,
                _named(name, arguments),
                lambda grads, r=reference, a=arguments: exact(lambda *x: r(*x, **a), grads),
                lambda grads, tx=tx: scanned(tx, grads),
                lambda grads, u=updates, n=name, a=arguments: u(n, a, grads),
            )
    for case in CASES:
        if case.optimizer and case.optax:
            yield Pair(
                "optax",
                _named(case.make.__name__, case.arguments),
                lambda grads, c=case: exact(lambda *x: c.reference(*x, **c.arguments), grads),
                lambda grads, c=case: scanned(c.tx(), grads),
                lambda grads, c=case: scanned(c.peer(), grads),
            )


def errors(updates: np.ndarray, wanted: np.ndarray) -> list[float]:
    """Give the median and the maximum of the errors, over the first steps and at the last step."""
    ulp = np.spacing(np.sqrt((wanted**2).mean(0)).astype(np.float32)).astype(np.float64)
    ulps = np.abs(updates - wanted) / ulp
    return [float(f(x)) for x in (ulps[:SHORT], ulps[-1]) for f in (np.median, np.max)]


def worse(ours: float, theirs: float) -> bool:
    """Tell whether an error is clearly worse than that of the peer."""
    return ours > max(WORSE * theirs, theirs + 0.2)


def figure(ulps: float) -> str:
    """Format an error."""
    return f"{ulps:.2f}" if ulps < 100 else f"{ulps:.0f}"


def measure(quick: bool) -> m.Figures:
    grads = gradients(4 * SHORT, 100 if quick else 10_000)
    figures = []
    for pair in pairs():
        wanted = pair.exact(grads)
        ours, theirs = errors(pair.ours(grads), wanted), errors(pair.theirs(grads), wanted)
        figures.append({"peer": pair.peer, "technique": pair.name, "gradtx": ours, "theirs": theirs})
    kinds = [f"{statistic} {when}" for when in (f"1-{SHORT}", f"at {len(grads)}") for statistic in ("median", "max")]
    m.table(
        f"Errors of updates in ulps (float32), gradtx / the peer: {grads.shape[1]:,} elements, by number of the step.",
        ["technique", "peer", *kinds, ""],
        [
            [
                f["technique"],
                f["peer"],
                *(f"{figure(a)} / {figure(b)}" for a, b in zip(f["gradtx"], f["theirs"], strict=True)),
                "WORSE" if any(map(worse, f["gradtx"], f["theirs"])) else "",
            ]
            for f in figures
        ],
    )
    return {"columns": kinds, "rows": figures}


if __name__ == "__main__":
    os.environ["KERAS_BACKEND"] = "jax"
    m.main(__doc__, measure)
