"""Batch normalisation: statistics, derivatives, masks, devices, dtypes, merging, refreshing and errors."""

import pickle
from functools import partial

import chex
import flax.linen as nn
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from jax.test_util import check_grads

import gradtx as gx
from tests.helpers import DTYPES, assert_close, relaxed, trials

inputs, S = gx.inputs, gx.schedules
RULES = (inputs.batch_norm, inputs.batch_renorm)
every_rule = pytest.mark.parametrize("make", RULES)


def draw(seed, *shape, mean=2.0, spread=3.0, dtype=np.float32):
    return jnp.asarray(mean + spread * np.random.RandomState(seed).standard_normal(shape), dtype)


def trained(tx, *batches, params=None, **extra):
    state = tx.init(batches[0])
    for x in batches:
        y, state = tx.update(x, state, params, **extra)
    return y, state


def statistics(state):
    (slots,) = state.stages.values()
    return slots


def some_params(tx, x):
    """Return parameters that change the outputs."""
    return jax.tree.map(lambda p: p + draw(9, *p.shape, dtype=p.dtype), inputs.parameters(tx, x))


# Statistics


def test_a_mean_far_from_zero_does_not_cancel_the_variance():
    x = draw(0, 512, 8, mean=1e4, spread=0.1)
    exact = np.asarray(x, np.float64)
    expected = (exact - exact.mean(0)) / np.sqrt(exact.var(0) + 1e-5)
    y, state = trained(inputs.batch_norm(momentum=0.0), x)
    # One unit in the last place of the mean is 0.01 of the standard deviation.
    np.testing.assert_allclose(y, expected, atol=0.01)
    np.testing.assert_allclose(statistics(state)["var"], exact.var(0), rtol=1e-4)
    with relaxed():
        flax, _ = nn.BatchNorm(use_running_average=False).init_with_output(jax.random.key(0), x)
    assert np.abs(flax - expected).max() > 1


def test_cumulative_averages():
    batches = [draw(i, 5 + i, 3) for i in range(4)]
    slots = statistics(trained(inputs.batch_norm(momentum=None), *batches)[1])
    batches = [np.asarray(x) for x in batches]
    np.testing.assert_allclose(slots["mean"], np.mean([x.mean(0) for x in batches], 0), rtol=1e-6)
    np.testing.assert_allclose(slots["var"], np.mean([x.var(0) for x in batches], 0), rtol=1e-6)
    assert slots["count"] == 4


@pytest.mark.parametrize("momentum", [S.piecewise_constant([0.9, 0.5], [2]), gx.tunable(0.9)])
def test_a_momentum_that_varies(momentum):
    tx, batches = inputs.batch_norm(momentum=momentum), [draw(i, 5, 3) for i in range(4)]
    state, mean = tx.init(batches[0]), np.zeros(3)
    chex.clear_trace_counter()
    update = jax.jit(chex.assert_max_traces(tx.update, 1))
    for i, x in enumerate(batches):
        if i == 2 and state.hyperparams:
            state = gx.set_hyperparams(tx, state, momentum=0.5)
        _, state = update(x, state)
        m = 0.9 if i < 2 else 0.5
        mean = m * mean + (1 - m) * np.asarray(x, np.float64).mean(0)
    np.testing.assert_allclose(statistics(state)["mean"], mean, rtol=1e-6)


def paper(batches, gamma, beta, alpha, eps, bounds):
    """Compute Algorithm 1 of Ioffe 2017 in float64."""
    mu, sigma, out = 0.0, 1.0, []
    for x, (r_max, d_max) in zip(batches, bounds, strict=True):
        x = np.asarray(x, np.float64)
        mean = x.mean(0)
        std = np.sqrt(eps + ((x - mean) ** 2).mean(0))
        r = np.clip(std / sigma, 1 / r_max, r_max)
        d = np.clip((mean - mu) / sigma, -d_max, d_max)
        out.append(gamma * ((x - mean) / std * r + d) + beta)
        mu, sigma = mu + alpha * (mean - mu), sigma + alpha * (std - sigma)
    return out, gamma * (np.asarray(batches[0], np.float64) - mu) / sigma + beta


@pytest.mark.parametrize("scheduled", [False, True])
def test_renormalisation_is_the_papers(scheduled):
    batches = [draw(i, 4, 3, mean=i - 2, spread=1 + i / 2) for i in range(6)]
    bounds = [(1.0 + i / 2, 0.4 * i) if scheduled else (1.5, 0.5) for i in range(6)]
    r_max, d_max = (S.linear(1.0, 3.5, 5), S.linear(0.0, 2.0, 5)) if scheduled else bounds[0]
    tx = inputs.batch_renorm(momentum=0.8, r_max=r_max, d_max=d_max)
    params = some_params(tx, batches[0])
    gamma, beta = (np.asarray(params["batch_renorm"][name], np.float64) for name in ("scale", "bias"))
    expected, inference = paper(batches, gamma, beta, 0.2, 1e-5, bounds)
    state = tx.init(batches[0])
    for x, y in zip(batches, expected, strict=True):
        got, state = tx.update(x, state, params)
        np.testing.assert_allclose(got, y, rtol=2e-5, atol=2e-5)
    np.testing.assert_allclose(tx.update(batches[0], state, params, train=False)[0], inference, rtol=2e-5, atol=2e-5)


def test_renormalisation_within_its_bounds_sees_the_outputs_of_inference():
    batches = [draw(i, 4, 3) for i in range(20)]
    tx = inputs.batch_renorm(momentum=0.5, r_max=jnp.inf, d_max=jnp.inf)
    _, state = trained(tx, *batches)
    assert_close(*(tx.update(batches[3], state, train=train)[0] for train in (True, False)), rtol=1e-4, atol=1e-5)


def test_renormalisation_with_bounds_of_1_and_0_is_batch_normalisation():
    x = draw(0, 6, 3)
    y, _ = trained(inputs.batch_renorm(r_max=1.0, d_max=0.0), x)
    assert_close(y, trained(inputs.batch_norm(), x)[0])


# Derivatives


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("axis", [-1, 1])
def test_derivatives_are_those_of_finite_differences(axis, masked):
    with jax.enable_x64(True):
        x = draw(0, 4, 3, 3, dtype=np.float64)
        mask = np.array([True, False, True, True]) if masked else None
        tx = inputs.batch_norm(axis)
        params, state = some_params(tx, x), tx.init(x)

        def run(x, params):
            y, new = tx.update(x, state, params, mask=mask)
            return jnp.sin(y), {name: statistics(new)[name] for name in ("mean", "var")}

        check_grads(run, (x, params), order=2, modes=("fwd", "rev"), atol=1e-6, rtol=1e-6)


def test_the_corrections_of_renormalisation_are_constants_to_the_gradient():
    with jax.enable_x64(True):
        x, before = draw(0, 4, 3, dtype=np.float64), draw(1, 4, 3, dtype=np.float64)
        tx = inputs.batch_renorm(momentum=0.5)
        _, state = trained(tx, before)
        mu, sigma = statistics(state)["mean"], jnp.sqrt(statistics(state)["var"] + 1e-5)
        r, d = jnp.sqrt(x.var(0) + 1e-5) / sigma, (x.mean(0) - mu) / sigma
        assert np.all((np.abs(d) < 5) & (r > 1 / 3) & (r < 3))  # nothing is clipped

        def reference(x):
            centered = x - x.mean(0)[None]
            return jnp.sum(jnp.sin(centered / jnp.sqrt((centered**2).mean(0) + 1e-5)[None] * r[None] + d[None]))

        grads = jax.jit(jax.grad(lambda x: jnp.sum(jnp.sin(tx.update(x, state)[0]))))(x)
        assert_close(grads, jax.jit(jax.grad(reference))(x), rtol=1e-9)


# Masks


@partial(jax.jit, static_argnums=0)
def outputs_and_gradients(tx, x, params, mask):
    """Return (y, state) after two steps, and the gradients of a loss at the next step."""
    y, state = trained(tx, x, x, params=params, mask=mask)

    def loss(x, params):
        return jnp.sum(jnp.sin(tx.update(x, state, params, mask=mask)[0]))

    return (y, state), jax.grad(loss, (0, 1))(x, params)


@every_rule
@pytest.mark.parametrize("axis", [-1, 1])
@pytest.mark.parametrize("unbiased", [False, True])
@trials(15)
@given(data=st.data(), kept=st.sampled_from([3, 8, 12]))
def test_what_is_masked_does_not_exist(make, axis, unbiased, data, kept):
    x = np.asarray(draw(data.draw(st.integers(0, 99)), 4, 3, 5))  # 5 features
    mask = np.array(data.draw(st.permutations(range(12)))).reshape(4, 3) < kept
    tx, alone = make(axis, unbiased=unbiased), make(unbiased=unbiased)
    params = some_params(alone, x)
    spoilt = np.where(mask[..., None], x, np.float32(data.draw(st.sampled_from([np.nan, 1e30, 0.0]))))
    given = outputs_and_gradients(tx, np.moveaxis(spoilt, -1, axis), params, mask)
    ((y, state), (dx, dp)), expected = jax.device_get((given, outputs_and_gradients(alone, x[mask], params, None)))
    y, dx = (np.moveaxis(a, axis, -1) for a in (y, dx))
    assert_close((y[mask], state), expected[0], rtol=1e-5, atol=1e-5)
    assert_close((dx[mask], dp), expected[1], rtol=1e-4, atol=1e-4)
    assert not np.any(y[~mask])


@pytest.mark.parametrize("shape", [(4,), (4, 1), (4, 3), (1, 3)])
def test_masks_of_examples_and_of_their_places(shape):
    x, mask = draw(0, 4, 3, 2), np.arange(np.prod(shape)).reshape(shape) % 3 > 0
    tx = inputs.batch_norm()
    full = np.broadcast_to(mask if mask.ndim == 2 else mask[:, None], (4, 3))
    assert_close(trained(tx, x, mask=mask), trained(tx, x, mask=full))


@every_rule
@pytest.mark.parametrize("momentum", [0.9, None])
def test_a_batch_that_is_masked_as_a_whole_leaves_the_statistics(make, momentum):
    tx, x = make(momentum=momentum), draw(0, 4, 3)
    first, state = tx.update(x, tx.init(x), mask=np.zeros(4, bool))
    assert not np.any(first)
    assert_close(statistics(state), statistics(tx.init(x)))
    # A masked batch is not counted.
    assert_close(statistics(tx.update(x, state)[1]), statistics(trained(tx, x)[1]))


# Inference


@every_rule
def test_inference_is_a_fixed_affine_map_and_keeps_the_state(make):
    x = draw(0, 6, 4, 3)
    tx = make(momentum=0.5)
    params = some_params(tx, x)
    _, state = trained(tx, x, draw(1, 6, 4, 3), params=params)
    apply = partial(tx.update, state=state, params=params, train=False)
    y, same = apply(x)
    assert same is state
    assert_close(apply(x[:1])[0], y[:1])  # examples do not affect each other, and one example is no error
    slots, (own,) = jax.device_get((statistics(state), tuple(params.values())))
    expected = (np.asarray(x) - slots["mean"]) / np.sqrt(slots["var"] + 1e-5) * own["scale"] + own["bias"]
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


def test_parameters_are_optional():
    x = draw(0, 6, 3)
    tx = inputs.batch_norm(bias=False)
    assert list(inputs.parameters(tx, x)["batch_norm"]) == ["scale"]
    assert inputs.parameters(inputs.batch_norm(scale=False, bias=False), x) == {}
    assert_close(trained(tx, x), trained(tx, x, params=inputs.parameters(tx, x)))


def test_trees_have_statistics_and_parameters_for_each_array():
    a, b = draw(0, 6, 3), draw(1, 6, 4, 2)
    tx = inputs.batch_norm()
    mask = np.arange(6) < 4
    tree = {"a": a, "b": b, "none": None}
    params = some_params(tx, tree)
    y, state = trained(tx, tree, params=params, mask=mask)
    for name, x in (("a", a), ("b", b)):
        own = {"batch_norm": {p: t[name] for p, t in params["batch_norm"].items()}}
        alone, slots = trained(tx, x, params=own, mask=mask)
        assert_close(y[name], alone)
        assert_close({n: t[name] for n, t in statistics(state).items()}, statistics(slots))
    assert y["none"] is None


# Compilation, devices, dtypes


@every_rule
def test_compiled_once_and_the_same_as_eager(make):
    tx, batches = make(), [draw(i, 6, 3) for i in range(3)]
    params, state = some_params(tx, batches[0]), tx.init(batches[0])
    chex.clear_trace_counter()
    update = jax.jit(chex.assert_max_traces(tx.update, 1))
    for x in batches:
        y, state = update(x, state, params)
    assert_close((y, state), trained(tx, *batches, params=params), rtol=1e-5, atol=1e-6)


@every_rule
@pytest.mark.parametrize("masked", [False, True])
def test_parts_of_a_batch_under_vmap_are_the_whole(make, masked):
    x = draw(0, 8, 3, 2)
    mask = np.arange(8) != 2 if masked else None
    tx, whole = make(axis_name="parts", unbiased=True), make(unbiased=True)
    params, state = some_params(tx, x), tx.init(x)

    def loss(tx, split, x, params):
        update = partial(tx.update, params=params, train=True)
        if not split:
            y, new = update(x, state, mask=mask)
            return jnp.sum(jnp.sin(y)), (y, new)
        parts = x.reshape(4, 2, 3, 2), None if mask is None else mask.reshape(4, 2)
        y, new = jax.vmap(lambda x, m: update(x, state, mask=m), axis_name="parts", out_axes=(0, None))(*parts)
        return jnp.sum(jnp.sin(y)), (y.reshape(x.shape), new)

    ours, expected = (
        jax.jit(jax.value_and_grad(partial(loss, *a), (0, 1), has_aux=True))(x, params)
        for a in ((tx, True), (whole, False))
    )
    assert_close(ours, expected, rtol=2e-5, atol=2e-5)


def gradients(tx, mesh_update=None):
    """Make a function of x, state, params and mask that returns ((y, state), gradients) of a loss over the batch."""
    update = mesh_update or (lambda x, state, params, mask: tx.update(x, state, params, mask=mask))

    def run(x, state, params, mask):
        def loss(x, params):
            y, new = update(x, state, params, mask)
            return jnp.sum(jnp.sin(y)), (y, new)

        (_, aux), grads = jax.value_and_grad(loss, (0, 1), has_aux=True)(x, params)
        return aux, grads

    return run


@every_rule
@pytest.mark.parametrize("axis_type", [AxisType.Auto, AxisType.Explicit])
@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_sharded_batches_are_the_whole(make, axis_type, mapped, masked):
    mesh = jax.make_mesh((8,), ("data",), axis_types=(axis_type,))
    x, mask = draw(0, 16, 3, 2), np.arange(16) % 5 > 0 if masked else None
    tx = make(axis_name="data" if mapped else None)
    params, state = some_params(tx, x), tx.init(x)
    expected = jax.jit(gradients(make()))(x, state, params, mask)
    with jax.set_mesh(mesh):
        split = jax.device_put((x, mask), NamedSharding(mesh, P("data")))
        state, params = jax.device_put((state, params), NamedSharding(mesh, P()))
        update = None
        if mapped:
            specs = {"in_specs": (P("data"), P(), P(), P("data")), "out_specs": (P("data"), P())}
            update = jax.shard_map(lambda x, s, p, m: tx.update(x, s, p, mask=m), mesh=mesh, **specs)
        ours = jax.jit(gradients(tx, update))(split[0], state, params, split[1])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5), ours, expected)


@pytest.mark.parametrize("axis_type", [AxisType.Auto, AxisType.Explicit])
def test_statistics_and_parameters_are_sharded_as_the_features_are(axis_type):
    mesh = jax.make_mesh((4, 2), ("data", "model"), axis_types=(axis_type,) * 2)
    x, tx = draw(0, 8, 4), inputs.batch_norm()
    expected = trained(tx, x, x, params=inputs.parameters(tx, x))
    with jax.set_mesh(mesh):
        x = jax.device_put(x, NamedSharding(mesh, P("data", "model")))
        params, state, update = inputs.parameters(tx, x), tx.init(x), jax.jit(tx.update)
        _, state = update(x, state, params)
        ours = update(x, state, params)
    for array in (*jax.tree.leaves(params), statistics(ours[1])["mean"], statistics(ours[1])["var"]):
        assert array.sharding.spec == P("model")
    assert update._cache_size() == 1
    assert_close(jax.device_get(ours), jax.device_get(expected), rtol=1e-5, atol=1e-6)


@every_rule
@pytest.mark.parametrize("dtype", DTYPES)
def test_statistics_are_of_float32_whatever_the_activations(make, dtype):
    x = draw(0, 64, 3, mean=200.0, spread=30.0, dtype=dtype)  # squares can overflow in float16 (> 65504)
    tx = make(r_max=jnp.inf, d_max=jnp.inf) if make is inputs.batch_renorm else make()
    params = some_params(tx, x)
    y, state = trained(tx, x, params=params)
    wide, same = trained(tx, jnp.asarray(x, jnp.float32), params=params)
    assert y.dtype == dtype
    assert_close(y, jnp.asarray(wide, dtype))
    assert_close(state, same)
    grads = jax.jit(jax.grad(lambda x: jnp.sum(jnp.asarray(jnp.sin(tx.update(x, state, params)[0]), jnp.float32))))(x)
    assert grads.dtype == dtype
    assert np.all(np.isfinite(np.asarray(grads, np.float32)))


@pytest.mark.parametrize("momentum", [0.9, gx.tunable(0.9), S.linear(0.9, 0.9, 10), None])
def test_float64_is_kept(momentum):
    with jax.enable_x64(True):
        x = draw(0, 6, 3, dtype=np.float64)
        y, state = jax.jit(partial(trained, inputs.batch_norm(momentum=momentum)))(x)
        x = np.asarray(x)
        np.testing.assert_allclose(y, (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5), rtol=1e-13)
        assert {n: a.dtype for n, a in statistics(state).items()} == {"mean": "f8", "var": "f8", "count": "i4"}
        weight = 1 if momentum is None else 0.1
        rtol = 1e-14 if momentum in (0.9, None) else 1e-6
        np.testing.assert_allclose(statistics(state)["mean"], weight * x.mean(0), rtol=rtol)


# As data


@pytest.mark.parametrize(
    "tx",
    [
        inputs.batch_norm(),
        inputs.batch_norm(1, momentum=None, unbiased=True, axis_name=("a", "b")),
        inputs.batch_renorm(momentum=gx.tunable(0.9), r_max=2.0, scale=False),
    ],
)
def test_is_data(tx):
    assert pickle.loads(pickle.dumps(tx)) == tx
    assert eval(repr(tx), vars(gx) | vars(inputs)) == tx
    assert hash(eval(repr(tx), vars(gx) | vars(inputs))) == hash(tx)
    assert tx != inputs.batch_norm(0)


def test_describe_shows_the_statistics():
    assert "mean   statistic" in str(gx.describe(inputs.batch_norm(), jnp.zeros((4, 3))))


# Folding and refreshing


@every_rule
@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
@pytest.mark.parametrize("with_bias", [False, True])
def test_fold_into_a_convolution(make, layout, with_bias):
    flax = layout == "NHWC"
    axis, out, numbers = (-1, -1, ("NHWC", "HWIO", "NHWC")) if flax else (1, 0, ("NCHW", "OIHW", "NCHW"))
    x = draw(0, 4, 6, 6, 2) if flax else draw(0, 4, 2, 6, 6)
    kernel = draw(1, 3, 3, 2, 5) if flax else draw(1, 5, 2, 3, 3)
    bias = draw(2, 5) if with_bias else None
    conv = partial(jax.lax.conv_general_dilated, window_strides=(2, 2), padding="VALID", dimension_numbers=numbers)
    spread = partial(jnp.expand_dims, axis=(0, 1, 2) if flax else (0, 2, 3))
    h = conv(x, kernel) + (spread(bias) if with_bias else 0.0)
    tx = make(axis)
    params = some_params(tx, h)
    _, state = trained(tx, h, params=params)
    expected = tx.update(h, state, params, train=False)[0]
    w, b = inputs.fold_into(tx, state, params, kernel, bias, axis=out)
    assert_close(conv(x, w) + spread(b), expected, rtol=2e-5, atol=2e-4)


def test_fold_into_a_dense_layer_keeps_dtypes():
    kernel, tx = draw(1, 3, 4, dtype=jnp.bfloat16), inputs.batch_norm(scale=False)
    wide = jnp.asarray(kernel, jnp.float32)
    _, state = trained(tx, draw(0, 8, 3) @ wide)
    exact, b = inputs.fold_into(tx, state, None, wide, jnp.zeros(4))
    assert_close(inputs.fold_into(tx, state, None, kernel, jnp.zeros(4)), (jnp.asarray(exact, jnp.bfloat16), b))


@every_rule
def test_refresh_averages_over_the_batches_and_keeps_all_else(make):
    batches = [draw(i, 5, 3) for i in range(3)]
    tx = gx.chain(make(momentum=gx.tunable(0.9)), make(1, unbiased=True), gx.named("own", make(bias=False)))
    state = trained(tx, *batches)[1]
    state = gx.set_hyperparams(tx, state, momentum=0.8)
    spoilt = state.stages["own"] | {"mean": jnp.full(3, jnp.nan)}
    spoilt = state._replace(stages=state.stages | {"own": spoilt})
    new = inputs.refresh(tx, spoilt, batches)
    name = next(iter(tx.stages))
    np.testing.assert_allclose(new.stages[name]["mean"], np.mean([x.mean(0) for x in batches], 0), rtol=1e-5)
    spread = np.mean([np.sqrt(x.var(0) + 1e-5) for x in batches], 0) ** 2 - 1e-5
    spread = spread if make is inputs.batch_renorm else np.mean([x.var(0) for x in batches], 0)
    np.testing.assert_allclose(new.stages[name]["var"], spread, rtol=1e-5)
    assert all(np.all(np.isfinite(a)) for a in jax.tree.leaves(new))
    assert (new.step, new.hyperparams) == (3, state.hyperparams)
    assert_close(inputs.refresh(tx, new, iter(batches)), new)


def test_refresh_of_a_network_with_a_transformation_per_layer():
    x, kernel = draw(0, 6, 3), draw(1, 3, 2)
    txs = {"in": inputs.batch_norm(0), "out": inputs.batch_renorm(momentum=0.5)}

    def forward(txs, states, x):
        h, before = txs["in"].update(x.T, states["in"])
        return {"in": before, "out": txs["out"].update(h.T @ kernel, states["out"])[1]}

    states = {"in": txs["in"].init(x.T), "out": txs["out"].init(x @ kernel)}
    new = inputs.refresh(txs, states, [x, x], forward=forward)
    np.testing.assert_allclose(statistics(new["in"])["mean"], x.mean(0), rtol=1e-5)
    x, kernel = np.asarray(x), np.asarray(kernel)
    h = (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5)
    np.testing.assert_allclose(statistics(new["out"])["var"], (h @ kernel).var(0), rtol=1e-4)


# Errors


X = jnp.ones((4, 3))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda tx: inputs.batch_norm(2).init(X), ValueError, r"axis 2 is out of range for inputs of shape \(4, 3\)"),
        (lambda tx: inputs.batch_norm(-3).init(X), ValueError, "axis -3 is out of range"),
        (lambda tx: inputs.batch_norm(1.5), ValueError, "axis must be a whole number, got 1.5"),
        (lambda tx: inputs.batch_norm(momentum=1.1), ValueError, r"momentum must be in \[0, 1\], got 1.1"),
        (lambda tx: inputs.batch_norm(eps=0.0), ValueError, r"eps must be in \(0, inf\), got 0"),
        (lambda tx: inputs.batch_norm(axis_name=1), TypeError, "axis_name must be"),
        (lambda tx: inputs.batch_renorm(r_max=0.5), ValueError, r"r_max must be in \[1, inf\], got 0.5"),
        (lambda tx: inputs.batch_renorm(d_max=-1.0), ValueError, "d_max must be in"),
        (
            lambda tx: tx.update(jnp.ones((4, 2)), tx.init(X)),
            ValueError,
            r"state's mean .* \(3,\); expected \(2,\) for the inputs float32\[4, 2\]",
        ),
        (lambda tx: tx.update(X[:1], tx.init(X)), ValueError, r"2 values per feature.*shape \(1, 3\) have 1"),
        (lambda tx: tx.update(X[:0], tx.init(X)), ValueError, r"2 values per feature.*shape \(0, 3\) have 0"),
        (lambda tx: tx.init(jnp.ones((4, 3), int)), TypeError, "real floating arrays"),
        (lambda tx: tx.update(X, tx.init(X), mask=np.ones(3)), ValueError, r"mask must have shape \(4,\).*got \(3,\)"),
        (lambda tx: tx.update(X, tx.init(X), mask=np.ones((4, 3))), ValueError, r"got \(4, 3\)"),
        (lambda tx: tx.update(X, tx.init(X), weights=np.ones(4)), TypeError, "no stage takes weights="),
        (lambda tx: tx.update(X, tx.init(X), train=1), TypeError, "train must be True or False, got 1"),
        (
            lambda tx: tx.update(X, tx.init(X), {"batch_norm": {"scale": jnp.ones(2)}}),
            ValueError,
            r"scale must have shape \(3,\), got \(2,\)",
        ),
        (
            lambda tx: tx.update(X, tx.init(X), {"batch_norm": {"gamma": jnp.ones(3)}}),
            ValueError,
            "there is no parameter gamma, only bias, scale",
        ),
        (
            lambda tx: tx.update(X, tx.init(X), {"batch_norm": {"scale": {"a": jnp.ones(3)}}}),
            ValueError,
            "the inputs and the parameter scale have different structures",
        ),
        (lambda tx: inputs.fold_into(tx, tx.init(X), None, X), None, None),
        (lambda tx: inputs.fold_into(tx, tx.init(X), None, X.T), ValueError, r"4 output features.*have shape \(3,\)"),
        (
            lambda tx: inputs.fold_into(tx, tx.init(X), None, X, axis=2),
            ValueError,
            "axis 2 is out of range for a kernel",
        ),
        (lambda tx: inputs.fold_into(tx, tx.init(X), None, X, axis=0.5), ValueError, "fold_into: axis must be a whole"),
        (
            lambda tx: inputs.fold_into(tx, tx.init(X), None, X, X),
            ValueError,
            r"bias must have shape \(3,\), got \(4, 3\)",
        ),
        (
            lambda tx: inputs.fold_into(tx, tx.init(X), {"norm": {"scale": jnp.ones(3)}}, X),
            ValueError,
            "fold_into: params must be .* there is no stage norm, only batch_norm",
        ),
        (
            lambda tx: inputs.fold_into(tx, tx.init(X), {"batch_norm": {"gamma": jnp.ones(3)}}, X),
            ValueError,
            "fold_into: there is no parameter gamma, only bias, scale",
        ),
        (
            lambda tx: inputs.fold_into(
                inputs.batch_norm(scale=False), tx.init(X), {"batch_norm": {"scale": jnp.ones(3)}}, X
            ),
            ValueError,
            "fold_into: there is no parameter scale, only bias",
        ),
        (
            lambda tx: inputs.fold_into(gx.chain(tx, tx), tx.init(X), None, X),
            TypeError,
            "fold_into: expected a single batch_norm or batch_re",
        ),
        (lambda tx: inputs.refresh(tx, tx.init(X), []), ValueError, "there are no batches"),
        (
            lambda tx: inputs.refresh({"a": tx}, {"a": tx.init(X)}, [X]),
            TypeError,
            "refresh: several layers need forward=, a function",
        ),
        (
            lambda tx: inputs.batch_norm(-1, 0.9, 1e-5, True),
            TypeError,
            r"batch_norm: takes 3 positional arguments \(axis",
        ),
        (lambda tx: inputs.batch_renorm(-1, 0.9, 1e-5, 3.0), TypeError, "batch_renorm: takes 3 positional arguments"),
        (lambda tx: inputs.refresh(gx.clip(1.0), tx.init(X), [X]), ValueError, "no batch normalisation in clip"),
    ],
)
def test_errors(call, error, message):
    if error is None:
        call(inputs.batch_norm())
        return
    with pytest.raises(error, match=message):
        call(inputs.batch_norm())
