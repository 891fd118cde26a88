"""Clipping equals PyTorch and Keras, if they are installed, and numbers that they gave before."""

import functools
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx
from tests.helpers import relaxed

GRADIENTS = [
    pytest.param([[3.0], [4.0]], id="clipped"),
    pytest.param([[0.3, -0.2], [0.1]], id="passing"),
    pytest.param([[0.0], [0.0, 0.0]], id="zero"),
    pytest.param([[np.nan, 1.0], [4.0]], id="nan"),
    pytest.param([[1e-7], [2e-7, 0.0]], id="small"),
    pytest.param([[1e15, -2e15], [3.0]], id="large"),
]


@functools.partial(jax.jit, static_argnums=0)  # one compilation serves all bounds
def _update(clip, grads, *arguments):
    bound, *eps = arguments
    tx = clip(bound, **dict(zip(("eps",), eps, strict=False)))
    return tx.update(grads, tx.init(grads))[0]


def _ours(clip, grads, *arguments):
    return _update(clip, [jnp.asarray(g, jnp.float32) for g in grads], *arguments)


def _same(ours, theirs, rtol=5e-7):
    for x, y in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(x, y, rtol=rtol, atol=1e-38)


def _torch(clip, grads, *arguments):
    torch = pytest.importorskip("torch")
    params = [torch.nn.Parameter(torch.zeros(len(g))) for g in grads]
    for p, g in zip(params, grads, strict=True):
        p.grad = torch.tensor(g)
    getattr(torch.nn.utils, clip)(params, *arguments)
    return [p.grad.numpy() for p in params]


def _keras(grads, **arguments):
    os.environ["KERAS_BACKEND"] = "jax"
    with relaxed():
        keras = pytest.importorskip("keras")
        if keras.backend.backend() != "jax":
            pytest.skip("keras was imported with another backend")
        variables = [keras.Variable(np.zeros(len(g), np.float32)) for g in grads]
        optimizer = keras.optimizers.SGD(learning_rate=1.0, **arguments)
        optimizer.apply([jnp.asarray(g, jnp.float32) for g in grads], variables)
        return [-np.asarray(v.value) for v in variables]


@pytest.mark.parametrize("grads", GRADIENTS)
@pytest.mark.parametrize("bound", [0.0, 1e-8, 1.0, 5.0, float("inf")])
def test_equals_torch(grads, bound):
    _same(_ours(gx.clip_by_global_norm, grads, bound, 1e-6), _torch("clip_grad_norm_", grads, bound))
    one_by_one = [_torch("clip_grad_norm_", [g], bound)[0] for g in grads]
    _same(_ours(gx.clip_by_norm, grads, bound, 1e-6), one_by_one)
    _same(_ours(gx.clip, grads, bound), _torch("clip_grad_value_", grads, bound))


@pytest.mark.parametrize("grads", GRADIENTS)
@pytest.mark.parametrize("bound", [1e-8, 1.0, 5.0])
def test_equals_keras(grads, bound):
    _same(_ours(gx.clip_by_norm, grads, bound), _keras(grads, clipnorm=bound))
    _same(_ours(gx.clip_by_global_norm, grads, bound), _keras(grads, global_clipnorm=bound))
    _same(_ours(gx.clip, grads, bound), _keras(grads, clipvalue=bound))


def test_equals_numbers_recorded_from_torch_and_keras():
    """The numbers are from torch 2.13.0 and keras 3.15.1."""
    grads = [[3.0], [4.0]]
    _same(_ours(gx.clip_by_global_norm, grads, 1.0, 1e-6), [[0.5999999046325684], [0.7999998331069946]], 1e-7)
    _same(_ours(gx.clip_by_global_norm, grads, 1.0), [[0.6000000238418579], [0.800000011920929]], 1e-7)
    _same(_ours(gx.clip_by_norm, grads, 1.0), [[1.0], [1.0]], 1e-7)
    halfway = [[0.3e-6], [0.4e-6]]  # c = ε: the factor is 1 / 1.5, although the norm is below the bound
    _same(_ours(gx.clip_by_global_norm, halfway, 1e-6, 1e-6), [[0.2e-6], [0.8e-6 / 3]])


def test_overflowing_squares_lose_gradients_in_torch_and_keras_only():
    """PyTorch gives zeros and Keras NaN for gradients whose squares overflow."""
    grads = [[3e38] * 4, [-3e38]]
    _same(_ours(gx.clip_by_global_norm, grads, 1.0, 1e-6), [[np.sqrt(0.2)] * 4, [-np.sqrt(0.2)]])
    assert not np.any(np.concatenate(_torch("clip_grad_norm_", grads, 1.0)))
    assert np.isnan(np.concatenate(_keras(grads, global_clipnorm=1.0))).all()
