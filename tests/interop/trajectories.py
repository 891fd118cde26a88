"""The same 50 steps for gradtx, PyTorch, Keras and the float64 references.

A trajectory is an array of shape (50, 10): all parameters after each step, those of a matrix and then of a vector.
"""

import contextlib
import functools
import inspect
import math
import os
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import gradtx as gx
from tests.helpers import relaxed
from tests.interop.references import keras as keras_reference
from tests.interop.references import torch as torch_reference
from tests.interop.rows import Row

STEPS = 50
KEPT = (1, 2, 3, 5, 10, 20, 35, 50)  # the steps in the golden files
SHAPES = ((3, 2), (4,))
GOLDEN = Path(__file__).parent.parent / "golden"
_OWN = ("weight_decay", "clipnorm", "clipvalue", "global_clipnorm")  # the arguments of keras_reference.before


def named(rows: list[Row]) -> list[tuple[str, Row, bool]]:
    """(name, row, whether the learning rate varies).

    Every row has a varying learning rate, except Rprop's. Rows of one flag have a constant learning rate too. A
    constant rate reaches the step in another form, which does not depend on combinations of flags.
    """
    both = [
        (row, varies)
        for row in rows
        for varies in (False, True)
        if (row.varies if varies else not row.varies or len(row.arguments) <= 2)
    ]
    return [(f"{row}, {'varying' if varies else 'constant'}", row, varies) for row, varies in both]


def factor(step: Any) -> Any:
    """The varying learning rate is lr·factor. It falls and rises, and is exact in any dtype: a multiple of 1/8."""
    return 1 - step % 7 / 8


@functools.cache
def golden(library: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """(steps, name → the parameters after each of them), as tests/golden/make.py wrote them."""
    with np.load(GOLDEN / f"{library}.npz") as file:
        return file["steps"], dict(zip(file["names"], file["parameters"], strict=True))


def assert_equal(ours: np.ndarray, theirs: np.ndarray, rtol: float) -> None:
    error = relative_error(ours, theirs)
    assert error <= rtol, f"{error:.2g}, element by element {elementwise_error(ours, theirs):.2g}"


def relative_error(ours: np.ndarray, theirs: np.ndarray) -> float:
    """The largest |a - b| / max |b| of all steps and arrays. The maximum is over the elements of one array."""
    pairs = [(a, b) for o, t in zip(ours, theirs, strict=True) for a, b in zip(split(o), split(t), strict=True)]
    return np.max([np.abs(a - b).max() / (np.abs(b).max() or 1) for a, b in pairs])  # NaN if there is a NaN


def elementwise_error(ours: np.ndarray, theirs: np.ndarray) -> float:
    """The largest |a - b| / |b| of all steps and elements, except for b that are 0 up to the rounding of float64."""
    return np.divide(abs(ours - theirs), abs(theirs), out=np.zeros(theirs.shape), where=abs(theirs) > 1e-12).max()


def split(row: Any) -> list[Any]:
    """One step of a trajectory, or all of them, as a tree."""
    cut = math.prod(SHAPES[0])
    parts = row[..., :cut], row[..., cut:]
    return [x.reshape(row.shape[:-1] + shape) for x, shape in zip(parts, SHAPES, strict=True)]


def start() -> np.ndarray:
    """Parameters of order one. None is small, because errors are relative to the largest element of an array."""
    rng = np.random.RandomState(3)
    return (rng.uniform(0.5, 2, 10) * rng.choice([-1, 1], 10)).astype(np.float32)


@functools.cache
def gradients(scale: float = 1.0) -> np.ndarray:
    """Gradients over six orders of magnitude, with changes of sign, zeros, and steps without any gradient."""
    rng = np.random.RandomState(7)
    g = rng.standard_normal((STEPS, 10)) * 10 ** rng.uniform(-3, 3, (STEPS, 1)) * scale
    g[rng.uniform(size=g.shape) < 0.1] = 0
    g[3::8] = 0
    return g.astype(np.float32)


def _rate(reference: Any, row: Row) -> tuple[str, float]:
    """The name and the value of the learning rate. The value may be the library's default."""
    name = next(n for n in inspect.signature(reference).parameters if n in ("lr", "learning_rate"))
    return name, row.arguments.get(name, inspect.signature(reference).parameters[name].default)


def _arguments(reference: Any, row: Row, varies: bool, schedule: Any) -> dict[str, Any]:
    name, rate = _rate(reference, row)
    return row.arguments | ({name: schedule(rate)} if varies else {})


def run_gradtx(make: Any, reference: Any, row: Row, varies: bool) -> np.ndarray:
    tx = make(**_arguments(reference, row, varies, lambda rate: lambda step: rate * factor(step.astype(jnp.float32))))
    return run_transformation(tx, gradients(row.scale))


def run_transformation(tx: Any, grads: np.ndarray, params: np.ndarray | None = None) -> np.ndarray:
    def step(carry, g):
        params, state = carry
        updates, state = tx.update(g, state, params)
        params = gx.apply_updates(params, updates)
        return (params, state), params

    params = [jnp.asarray(p) for p in split(start() if params is None else params)]
    stacked = [jnp.asarray(g) for g in split(grads)]
    _, out = jax.jit(lambda c, g: jax.lax.scan(step, c, g))((params, tx.init(params)), stacked)
    return np.concatenate([np.reshape(x, (len(grads), -1)) for x in out], 1)


def run_torch_reference(row: Row, varies: bool) -> np.ndarray:
    reference = getattr(torch_reference, row.name)
    (name, rate), p, state, out = _rate(reference, row), start().astype(np.float64), {}, []
    for t, g in enumerate(gradients(row.scale).astype(np.float64), 1):
        p = reference(g, p, t, state, **row.arguments | {name: rate * (factor(t - 1) if varies else 1)})
        out.append(p)
    return np.array(out)


def run_keras_reference(row: Row, varies: bool) -> np.ndarray:
    reference = getattr(keras_reference, row.name)
    (name, rate), ps, states, out = _rate(reference, row), split(start().astype(np.float64)), ({}, {}), []
    arguments = ({"weight_decay": 0.004} if row.name == "AdamW" else {}) | row.arguments
    common = {k: arguments.pop(k) for k in _OWN if k in arguments}
    for t, g in enumerate(gradients(row.scale).astype(np.float64), 1):
        arguments[name] = rate * (factor(t - 1) if varies else 1)
        gs, ps = keras_reference.before(split(g), ps, arguments[name], **common)
        ps = [reference(*x, t, s, **arguments) for *x, s in zip(gs, ps, states, strict=True)]
        out.append(np.concatenate([p.ravel() for p in ps]))
    return np.array(out)


def run_torch(row: Row, varies: bool, dtype: str = "float32") -> np.ndarray:
    import torch

    _, rate = _rate(getattr(torch_reference, row.name), row)
    default = torch.get_default_dtype()
    torch.set_default_dtype(getattr(torch, dtype))  # the dtype of its scalar state
    try:
        params = [torch.nn.Parameter(torch.tensor(p.astype(dtype))) for p in split(start())]
        optimizer, out = getattr(torch.optim, row.name)(params, **row.arguments), []
        for t, grads in enumerate(gradients(row.scale).astype(dtype)):
            if varies:
                optimizer.param_groups[0]["lr"] = rate * factor(t)
            for p, g in zip(params, split(grads), strict=True):
                p.grad = torch.tensor(g)
            optimizer.step()
            out.append(np.concatenate([p.detach().numpy().ravel() for p in params]))
    finally:
        torch.set_default_dtype(default)
    return np.array(out)


@contextlib.contextmanager
def keras_with(dtype: str):
    """Keras on JAX, computing in `dtype`."""
    os.environ["KERAS_BACKEND"] = "jax"
    with relaxed(), jax.enable_x64(dtype == "float64"):
        import keras

        default = keras.config.floatx()
        keras.config.set_floatx(dtype)
        try:
            yield keras
        finally:
            keras.config.set_floatx(default)


def run_keras(row: Row, varies: bool, dtype: str = "float32") -> np.ndarray:
    with keras_with(dtype) as keras:

        class Varying(keras.optimizers.schedules.LearningRateSchedule):
            def __init__(self, rate):
                self.rate = rate

            def __call__(self, step):
                return self.rate * factor(keras.ops.cast(step, dtype))

        arguments = _arguments(getattr(keras_reference, row.name), row, varies, Varying)
        optimizer = getattr(keras.optimizers, row.name)(**arguments)
        return run_keras_optimizer(keras, optimizer, gradients(row.scale), dtype)


def run_keras_optimizer(keras: Any, optimizer: Any, grads: np.ndarray, dtype: str) -> np.ndarray:
    """Run the optimizer's stateless form, compiled, as Keras's training does with JAX."""
    variables = [keras.Variable(p, dtype=dtype) for p in split(start())]
    optimizer.build(variables)

    def step(carry, g):
        params, state = optimizer.stateless_apply(carry[1], g, carry[0])
        return (params, state), params

    stacked = [jnp.asarray(g) for g in split(grads.astype(dtype))]
    carry = [v.value for v in variables], [v.value for v in optimizer.variables]
    _, out = jax.jit(lambda c, g: jax.lax.scan(step, c, g))(carry, stacked)
    return np.concatenate([np.reshape(x, (len(grads), -1)) for x in out], 1)
