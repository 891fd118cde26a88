"""Batch normalisation equals Flax, Keras and PyTorch in each convention. Batch renormalisation equals Keras."""

import importlib.util
import os

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx
import gradtx.interop.keras
import gradtx.interop.torch
from tests.helpers import relaxed

inputs = gx.inputs
LAYER = {  # name → (axis of the features, shape of the inputs)
    "flax": (-1, (6, 5, 3)),
    "keras": (-1, (6, 5, 3)),
    "torch 1d": (1, (6, 3)),
    "torch 2d": (1, (4, 3, 2, 5)),
}
needs = {
    name: pytest.mark.skipif(importlib.util.find_spec(name) is None, reason=f"needs {name}")
    for name in ("keras", "torch")
}


def _case(name, *args):
    return pytest.param(name, *args, marks=[mark for library, mark in needs.items() if name.startswith(library)])


def _batches(shape, axis, count=4):
    """Return batches with changing means and spreads, weights of the outputs in the loss, a scale and a bias."""
    rng = np.random.RandomState(0)
    xs = [rng.standard_normal(shape) * (1 + i) + 3 * i for i in range(count)]
    return xs, rng.standard_normal(shape), 1 + rng.uniform(size=shape[axis]), rng.standard_normal(shape[axis])


def _flax(xs, w, scale, bias, mask=None, **arguments):
    layer, stats, out = nn.BatchNorm(**arguments), {"mean": 0 * bias, "var": 0 * bias + 1}, []

    def loss(x, scale, bias, stats):
        variables = {"params": {"scale": scale, "bias": bias}, "batch_stats": stats}
        full = None if mask is None else mask[..., None]
        y, new = layer.apply(variables, x, use_running_average=False, mutable=["batch_stats"], mask=full)
        return jnp.sum(y * w), (y, new["batch_stats"])

    step = jax.jit(jax.value_and_grad(loss, (0, 1, 2), has_aux=True))
    for x in xs:
        (_, (y, stats)), grads = step(x, scale, bias, stats)
        out.append((y, stats["mean"], stats["var"], *grads))
    variables = {"params": {"scale": scale, "bias": bias}, "batch_stats": stats}
    return out, layer.apply(variables, xs[0], use_running_average=True)


def _keras(xs, w, scale, bias, mask=None, **arguments):
    os.environ["KERAS_BACKEND"] = "jax"
    import keras

    layer = keras.layers.BatchNormalization(dtype="float64", **arguments)
    layer.build(xs[0].shape)
    others = [jnp.asarray(v.value) for v in layer.non_trainable_variables]
    names = [v.name for v in layer.non_trainable_variables]

    def loss(x, scale, bias, others):
        y, others = layer.stateless_call([scale, bias], others, x, training=True, mask=mask)
        return jnp.sum(y * w), (y, others)

    out, step = [], jax.jit(jax.value_and_grad(loss, (0, 1, 2), has_aux=True))
    for x in xs:
        (_, (y, others)), grads = step(x, scale, bias, others)
        out.append((y, others[names.index("moving_mean")], others[names.index("moving_variance")], *grads))
    return out, layer.stateless_call([scale, bias], others, xs[0], training=False)[0]


def _torch(xs, w, scale, bias, **arguments):
    import torch

    make = torch.nn.BatchNorm2d if xs[0].ndim == 4 else torch.nn.BatchNorm1d
    layer = make(len(scale), dtype=torch.float64, **arguments)
    layer.load_state_dict({"weight": torch.tensor(scale), "bias": torch.tensor(bias)}, strict=False)
    out = []
    for x in xs:
        x = torch.tensor(x, requires_grad=True)
        layer.zero_grad()
        y = layer(x)
        (y * torch.tensor(w)).sum().backward()
        found = (y, layer.running_mean, layer.running_var, x.grad, layer.weight.grad, layer.bias.grad)
        out.append(tuple(a.detach().numpy().copy() for a in found))
    return out, layer.eval()(torch.tensor(xs[0])).detach().numpy()


def assert_close(ours, theirs, tolerance):
    """Compare with a tolerance relative to the largest element of each array."""
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 0, tolerance * np.abs(b).max()), ours, theirs)


# Keras's float64 layers round intermediate results to float32.
TOLERANCE = {"flax": 1e-12, "torch": 1e-12, "keras": 3e-6}
PEERS = {"flax": _flax, "keras": _keras, "torch": _torch}


LAYERS = {
    "keras": gradtx.interop.keras.BatchNormalization,
    "torch 1d": gradtx.interop.torch.BatchNorm1d,
    "torch 2d": gradtx.interop.torch.BatchNorm2d,
}


def _ours(tx, xs, w, scale, bias, mask=None):
    (name,), state, out = tx.stages, tx.init(xs[0]), []

    def loss(x, scale, bias, state):
        y, state = tx.update(x, state, {name: {"scale": scale, "bias": bias}}, mask=mask)
        return jnp.sum(y * w), (y, state)

    step = jax.jit(jax.value_and_grad(loss, (0, 1, 2), has_aux=True))
    for x in xs:
        (_, (y, state)), grads = step(x, scale, bias, state)
        out.append((y, state.stages[name]["mean"], state.stages[name]["var"], *grads))
    return out, tx.update(xs[0], state, {name: {"scale": scale, "bias": bias}}, train=False)[0]


@pytest.mark.parametrize(
    ("peer", "theirs", "arguments"),
    [
        _case("flax", {}, {}),
        _case("flax", {"momentum": 0.9, "epsilon": 1e-2, "use_fast_variance": False}, {"momentum": 0.9, "eps": 1e-2}),
        _case("keras", {}, {"eps": 1e-3}),
        _case("keras", {"momentum": 0.5, "epsilon": 1e-5}, {"momentum": 0.5}),
        _case("torch 1d", {}, {"momentum": 0.9, "unbiased": True}),
        _case("torch 2d", {}, {"momentum": 0.9, "unbiased": True}),
        _case("torch 2d", {"momentum": None, "eps": 1e-3}, {"momentum": None, "unbiased": True, "eps": 1e-3}),
    ],
)
def test_forward_statistics_and_gradients(peer, theirs, arguments):
    axis, shape = LAYER[peer]
    tx = inputs.batch_norm(axis, **arguments)
    if peer in LAYERS:
        assert LAYERS[peer](**theirs) == tx
    with jax.enable_x64(True):
        given = _batches(shape, axis)
        ours = _ours(tx, *given)
        library = peer.split()[0]
        with relaxed():
            expected = PEERS[library](*given, **theirs)
    assert_close(ours, expected, TOLERANCE[library])


@pytest.mark.parametrize("peer", [_case("flax"), _case("keras")])
def test_masks(peer):
    """Unmasked outputs are equal. Masked outputs are 0 in gradtx, but Flax and Keras normalise them too."""
    axis, shape = LAYER[peer]
    mask = np.arange(shape[1])[None] < np.array([5, 3, 1, 4, 0, 2])[:, None]
    with jax.enable_x64(True):
        xs, w, scale, bias = _batches(shape, axis)
        w = w * mask[..., None]
        ours, _ = _ours(inputs.batch_norm(eps=1e-3), xs, w, scale, bias, mask)
        with relaxed():
            theirs = {"epsilon": 1e-3, "momentum": 0.99}
            expected, _ = PEERS[peer](xs, w, scale, bias, mask, **theirs)
    assert not any(np.any(np.asarray(y)[~mask]) for y, *_ in ours)
    assert_close(ours, [(np.where(mask[..., None], y, 0), *rest) for y, *rest in expected], TOLERANCE[peer])


@needs["keras"]
@pytest.mark.parametrize(("r_max", "d_max"), [(1.0, 0.0), (1.2, 0.1), (3.0, 5.0), (np.inf, np.inf)])
def test_renormalisation_is_that_of_keras(r_max, d_max):
    with jax.enable_x64(True):
        given = _batches((6, 5, 3), -1)
        clipping = {"rmax": r_max, "rmin": 1 / r_max, "dmax": d_max}
        theirs = {"momentum": 0.8, "renorm": True, "renorm_momentum": 0.8, "renorm_clipping": clipping}
        tx = inputs.batch_renorm(momentum=0.8, eps=1e-3, r_max=r_max, d_max=d_max)
        assert LAYERS["keras"](**theirs) == tx
        ours = _ours(tx, *given)
        with relaxed():
            expected = _keras(*given, **theirs)
    assert_close(ours, expected, TOLERANCE["keras"])


@needs["torch"]
def test_refresh_is_pytorchs_update_bn():
    import torch

    rng = np.random.RandomState(1)
    batches = [rng.standard_normal((7, 4)) * i for i in range(1, 4)]
    first, second = rng.standard_normal((4, 5)), rng.standard_normal((5, 2))
    net = torch.nn.Sequential(
        torch.nn.Linear(4, 5, bias=False), torch.nn.BatchNorm1d(5), torch.nn.ReLU(),
        torch.nn.Linear(5, 2, bias=False), torch.nn.BatchNorm1d(2),
    ).double()  # fmt: skip
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor(first.T))
        net[3].weight.copy_(torch.tensor(second.T))
    torch.optim.swa_utils.update_bn([torch.tensor(x) for x in batches], net)

    def forward(tx, states, x):
        x, one = tx.update(x @ first, states[0])
        _, two = tx.update(jax.nn.relu(x) @ second, states[1])
        return one, two

    with jax.enable_x64(True):
        tx = inputs.batch_norm(momentum=0.9, unbiased=True)
        states = tx.init(jnp.zeros((1, 5), np.float64)), tx.init(jnp.zeros((1, 2), np.float64))
        for x in batches[::-1]:
            states = forward(tx, states, x)
        new = inputs.refresh(tx, states, batches, forward=forward)
    for layer, state in zip((net[1], net[4]), new, strict=True):
        np.testing.assert_allclose(state.stages["batch_norm"]["mean"], layer.running_mean.numpy(), rtol=1e-10)
        np.testing.assert_allclose(state.stages["batch_norm"]["var"], layer.running_var.numpy(), rtol=1e-10)
        assert state.step == states[0].step


@pytest.mark.parametrize(
    ("layer", "arguments", "error", "message"),
    [
        ("torch 2d", {"momentum": 1.5}, ValueError, r"BatchNorm2d: momentum must be in \[0, 1\], got 1.5"),
        ("torch 1d", {"eps": 0}, ValueError, "BatchNorm1d: eps must be in"),
        ("torch 1d", {"track_running_stats": False}, NotImplementedError, "give update train=True"),
        ("keras", {"epsilon": -1}, ValueError, "BatchNormalization: epsilon must be in"),
        ("keras", {"gamma_initializer": "zeros"}, NotImplementedError, "gamma_initializer is not supported"),
        ("keras", {"synchronized": True}, NotImplementedError, "axis_name"),
        ("keras", {"renorm": True, "momentum": 0.9}, NotImplementedError, "must be momentum, 0.9, got 0.99"),
        ("keras", {"renorm": True, "renorm_clipping": {"rmax": 3}}, NotImplementedError, "rmin=0 and rmax=3"),
        ("keras", {"renorm": True, "renorm_clipping": {"max": 3}}, ValueError, "unknown keys 'max'"),
    ],
)
def test_what_a_layer_refuses(layer, arguments, error, message):
    with pytest.raises(error, match=message):
        LAYERS[layer](**arguments)
