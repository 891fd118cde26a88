"""Layer-wise decay, against PyTorch's parameter groups that have one learning rate each."""

import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx
from gradtx.interop import torch as gt
from tests.interop.references import torch as reference
from tests.interop.trajectories import assert_equal, gradients, start

DECAY = 0.8
NAMES = ("embed", "layer0", "layer1", "head")  # in the order of their depths
CUTS = (2, 5, 8)
ROWS = [
    ("SGD", {"lr": 0.05, "momentum": 0.8}, 1e-3),
    ("SGD", {"lr": 0.05, "momentum": 0.8, "weight_decay": 0.1, "nesterov": True}, 1e-3),
    ("AdamW", {"lr": 0.02}, 1.0),
    ("AdamW", {"lr": 0.02, "weight_decay": 0.1, "amsgrad": True}, 1.0),
]
rows = pytest.mark.parametrize(("name", "arguments", "scale"), ROWS, ids=[f"{n}({a})" for n, a, _ in ROWS])


def _groups(arguments):
    """The learning rate of each layer."""
    return [arguments["lr"] * DECAY ** (len(NAMES) - 1 - depth) for depth in range(len(NAMES))]


def _run_gradtx(name, arguments, scale):
    tx = gx.chain(getattr(gt, name)(**arguments), gx.layerwise_decay(DECAY))

    def step(carry, g):
        params, state = gx.apply_gradients(tx, g, carry[1], carry[0])
        return (params, state), params

    params, grads = (
        dict(zip(NAMES, map(jnp.asarray, np.split(x, CUTS, -1)), strict=True)) for x in (start(), gradients(scale))
    )
    _, out = jax.jit(lambda c, g: jax.lax.scan(step, c, g))((params, tx.init(params)), grads)
    return np.concatenate([out[name] for name in NAMES], 1)


@rows
def test_equals_the_reference_with_a_rate_per_layer(name, arguments, scale):
    params, states, out = np.split(start().astype(np.float64), CUTS), [{} for _ in NAMES], []
    for t, g in enumerate(gradients(scale).astype(np.float64), 1):
        layers = zip(np.split(g, CUTS), params, states, _groups(arguments), strict=True)
        params = [getattr(reference, name)(g, p, t, s, **arguments | {"lr": lr}) for g, p, s, lr in layers]
        out.append(np.concatenate(params))
    assert_equal(_run_gradtx(name, arguments, scale), np.array(out), 1e-6)


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs PyTorch")
@rows
def test_equals_parameter_groups_of_pytorch(name, arguments, scale):
    import torch

    params = [torch.nn.Parameter(torch.tensor(p)) for p in np.split(start(), CUTS)]
    groups = [{"params": [p], "lr": lr} for p, lr in zip(params, _groups(arguments), strict=True)]
    optimizer, out = getattr(torch.optim, name)(groups, **arguments), []
    for grads in gradients(scale):
        for p, g in zip(params, np.split(grads, CUTS), strict=True):
            p.grad = torch.tensor(g)
        optimizer.step()
        out.append(np.concatenate([p.detach().numpy() for p in params]))
    assert_equal(_run_gradtx(name, arguments, scale), np.array(out), 2e-6)
