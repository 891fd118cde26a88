"""Layer-wise decay: the depths in real parameter trees, and the updates for these depths."""

import operator
import pickle
import re

import equinox as eqx
import flax.linen as nn
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from hypothesis import given
from hypothesis import strategies as st

import gradtx as gx
from tests.helpers import relaxed, trajectory, trials

W, B = np.ones((2, 2), np.float32), np.ones(2, np.float32)
LINEAR = {"kernel": W, "bias": B}
BLOCK = {"attention": {"query": LINEAR}, "ln_1": B, "ln_2": B, "mlp": {"fc1": LINEAR, "fc2": LINEAR}}
EMBEDDINGS = {"word_embeddings": {"embedding": W}, "LayerNorm": {"scale": B}}


def depths(params, depth=None):
    """Return the depth l of each path, computed from the updates: with a decay of 1/2 an update is 2^(l - L)."""
    tx = gx.layerwise_decay(0.5, depth)
    ones = jax.tree.map(jnp.ones_like, params)
    updates, _ = jax.jit(tx.update)(ones, tx.init(params), params)
    leaves = {jax.tree_util.keystr(k, simple=True, separator="/"): u for k, u in jax.tree.leaves_with_path(updates)}
    below = {path: -int(np.log2(u.ravel()[0])) for path, u in leaves.items()}
    assert all(bool((u == 0.5 ** below[path]).all()) for path, u in leaves.items())
    assert min(below.values()) == 0
    return {path: max(below.values()) - n for path, n in below.items()}


class LinenBlock(nn.Module):
    @nn.compact
    def __call__(self, x):
        y = nn.MultiHeadDotProductAttention(2)(nn.LayerNorm()(x))
        return x + y + nn.Dense(4)(nn.Dense(8)(nn.LayerNorm()(x + y)))


class LinenTransformer(nn.Module):
    named: bool = True

    @nn.compact
    def __call__(self, tokens):
        x = nn.Embed(7, 4, name="embed" if self.named else None)(tokens)
        for i in range(11):
            x = LinenBlock(name=f"block_{i}" if self.named else None)(x)
        x = nn.LayerNorm(name="norm" if self.named else None)(x)
        return nn.Dense(7, name="head" if self.named else None)(x)


class LinenCNN(nn.Module):
    head: str | None = "head"

    @nn.compact
    def __call__(self, x):
        for _ in range(2):
            x = nn.BatchNorm(use_running_average=True)(nn.Conv(2, (3, 3))(x))
        return nn.Dense(3, name=self.head)(x.reshape(1, -1))


class NnxModel(nnx.Module):
    def __init__(self):
        rngs = nnx.Rngs(0)
        self.stem = nnx.Linear(2, 2, rngs=rngs)
        self.linear1, self.linear2 = nnx.Linear(2, 2, rngs=rngs), nnx.Linear(2, 2, rngs=rngs)
        self.out = nnx.Linear(2, 1, rngs=rngs)


def linen(module, *inputs):
    with relaxed():
        return module.init(jax.random.key(0), *inputs)["params"]


def haiku(f):
    with relaxed():
        return hk.transform(f).init(jax.random.key(0), jnp.ones((1, 2)))


def nnx_sequential():
    rngs = nnx.Rngs(0)
    return nnx.state(nnx.Sequential(nnx.Linear(2, 3, rngs=rngs), nnx.relu, nnx.Linear(3, 1, rngs=rngs)), nnx.Param)


def eqx_mlp(depth):
    return eqx.filter(eqx.nn.MLP(2, 1, 4, depth, key=jax.random.key(0)), eqx.is_inexact_array)


TREES = {
    "Flax: a transformer": (
        lambda: linen(LinenTransformer(), jnp.zeros((1, 3), int)),
        {"embed/": 0, **{f"block_{i}/": 1 + i for i in range(11)}, "norm/": 12, "head/": 12},
    ),
    "Flax: a CNN": (
        lambda: linen(LinenCNN(), jnp.ones((1, 8, 8, 1))),
        {"Conv_0/": 0, "BatchNorm_0/": 0, "Conv_1/": 1, "BatchNorm_1/": 1, "head/": 2},
    ),
    "Flax: Sequential": (
        lambda: {
            "params": linen(nn.Sequential([nn.Dense(3), nn.relu, nn.Dense(3), nn.relu, nn.Dense(1)]), jnp.ones(2))
        },
        {f"params/layers_{2 * i}/": i for i in range(3)},
    ),
    "nnx": (
        lambda: nnx.state(NnxModel(), nnx.Param),
        {"stem/": 0, "linear1/": 1, "linear2/": 2, "out/": 3},
    ),
    "nnx: Sequential": (nnx_sequential, {"layers/0/": 0, "layers/2/": 1}),
    "Haiku: MLP": (
        lambda: haiku(lambda x: hk.nets.MLP([4, 3, 1])(x)),
        {f"mlp/~/linear_{i}/": i for i in range(3)},
    ),
    "Haiku: MLP with a head": (
        lambda: haiku(lambda x: hk.Linear(1, name="head")(hk.nets.MLP([4, 3])(x))),
        {"mlp/~/linear_0/": 0, "mlp/~/linear_1/": 1, "head/": 2},
    ),
    "Haiku: by hand": (
        lambda: haiku(lambda x: hk.Linear(1)(hk.Linear(3)(hk.Linear(4)(x)))),
        {"linear/": 0, "linear_1/": 1, "linear_2/": 2},
    ),
    "Equinox": (lambda: eqx_mlp(2), {f"layers/{i}/": i for i in range(3)}),
    "Equinox, one layer": (lambda: eqx_mlp(0), {"layers/0/": 0}),
    "list of dictionaries": (lambda: [LINEAR] * 12, {f"{i}/": i for i in range(12)}),
    "a tree in a tuple": (lambda: ({"layers": [W, W], "head": W},), {"0/layers/0": 0, "0/layers/1": 1, "0/head": 2}),
    "pairs, with layers that have none": (lambda: [(W, B), (), (W, B)], {"0/": 0, "2/": 1}),
    "one dictionary": (lambda: {"w1": W, "b1": B, "w2": W, "b2": B}, {"w1": 0, "b1": 0, "w2": 1, "b2": 1}),
    "BERT": (
        lambda: {
            "bert": {
                "embeddings": EMBEDDINGS,
                "encoder": {"layer": {str(i): BLOCK for i in range(11)}},
                "pooler": {"dense": LINEAR},
            },
            "classifier": LINEAR,
        },
        {
            "bert/embeddings/": 0,
            **{f"bert/encoder/layer/{i}/": 1 + i for i in range(11)},
            "bert/pooler/": 12,
            "classifier/": 12,
        },
    ),
    "GPT-2": (
        lambda: {"transformer": {"wte": W, "wpe": W, "h": {"0": BLOCK, "1": BLOCK}, "ln_f": B}},
        {
            "transformer/wte": 0,
            "transformer/wpe": 0,
            "transformer/h/0/": 1,
            "transformer/h/1/": 2,
            "transformer/ln_f": 3,
        },
    ),
    "GPT-2, one block": (
        lambda: {"wte": W, "wpe": W, "h": [BLOCK], "ln_f": B},
        {"wte": 0, "wpe": 0, "h/0/": 1, "ln_f": 2},
    ),
    "BEiT": (  # as in get_num_layer_for_vit of BEiT's code
        lambda: {
            "cls_token": W,
            "mask_token": W,
            "pos_embed": W,
            "patch_embed": {"proj": LINEAR},
            "rel_pos_bias": {"table": W},
            "blocks": {"0": BLOCK, "1": BLOCK, "2": BLOCK},
            "norm": B,
            "head": LINEAR,
        },
        {
            **dict.fromkeys(("cls_token", "mask_token", "pos_embed", "patch_embed/"), 0),
            **{f"blocks/{i}/": 1 + i for i in range(3)},
            **dict.fromkeys(("norm", "head/", "rel_pos_bias/"), 4),
        },
    ),
    "Flax's ViT": (
        lambda: {
            "embedding": LINEAR,
            "Transformer": {
                "posembed_input": {"pos_embedding": W},
                "encoderblock_0": BLOCK,
                "encoderblock_1": BLOCK,
                "encoder_norm": B,
            },
            "head": LINEAR,
        },
        {
            "embedding/": 0,
            "Transformer/posembed_input/": 0,
            "Transformer/encoderblock_0/": 1,
            "Transformer/encoderblock_1/": 2,
            "Transformer/encoder_norm": 3,
            "head/": 3,
        },
    ),
    "what is not trained is no layer": (
        lambda: {"layers": [None, W, {"steps": np.arange(3)}, W], "0": None, "unembed": W, "post_norm": B},
        {"layers/1": 0, "layers/3": 1, "unembed": 2, "post_norm": 2},
    ),
}


@pytest.mark.parametrize("name", TREES)
def test_depths_of_the_frameworks(name):
    make, expected = TREES[name]
    params = jax.tree.map(lambda p: p if p.dtype == jnp.float32 else None, make())
    depth_of = depths(params)
    prefixes = {path: next(p for p in expected if path.startswith(p)) for path in depth_of}
    assert depth_of == {path: expected[prefix] for path, prefix in prefixes.items()}
    assert set(prefixes.values()) == set(expected)


SEQUENCE, NONE = "the numbers are not of one sequence", "nothing is numbered"


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: linen(LinenTransformer(named=False), jnp.zeros((1, 3), int)), SEQUENCE),
        (lambda: linen(LinenCNN(head=None), jnp.ones((1, 8, 8, 1))), SEQUENCE),
        (lambda: {"Conv_0": LINEAR, "Conv_1": LINEAR, "Dense_0": LINEAR, "Dense_1": LINEAR}, SEQUENCE),
        (lambda: {"conv1": W, "fc1": W}, SEQUENCE),
        (lambda: {"norm1": B, "norm2": B, "attention": W}, SEQUENCE),
        (lambda: {"embed": W, "blocks": {"block_0": BLOCK}, "head": W}, SEQUENCE),
        (lambda: {"encoder": {"0": W, "1": W}, "decoder": {"0": W, "1": W}}, "'decoder', 'encoder' each have layers"),
        (lambda: {"w": W, "b": B}, NONE),
        (lambda: {"Dense_0": LINEAR}, NONE),
        (lambda: W, NONE),
    ],
)
def test_names_that_do_not_determine_depths_are_refused(make, problem):
    """`init` refuses the tree and lists the names. `update` also refuses the tree, if `init` has seen another tree."""
    tx, params = gx.layerwise_decay(0.5), make()
    with pytest.raises(ValueError, match=f"layerwise_decay: depth cannot be read off the names .*{problem}; give it"):
        tx.init(params)
    state = tx.init({})
    with pytest.raises(ValueError, match="depth cannot be read off"):
        tx.update(params, state, params)
    assert set(depths(params, lambda path: 3).values()) == {0}


def test_errors_abbreviate_many_names():
    with pytest.raises(ValueError, match=r"'w_0_a', 'w_10_a', .* and 10 more in the tree"):
        gx.layerwise_decay(0.5).init({f"w_{i}_a": B for i in range(30)})


def test_depths_from_a_function_or_from_globs():
    params = linen(LinenCNN(head=None), jnp.ones((1, 8, 8, 1)))
    globs = ("*_0/*", re.compile("^(Conv|BatchNorm)_1/"))
    assert depths(params, ("[CB]*_0/*", globs[1], "Dense*")) == {
        path: 2 if path.startswith("Dense") else int(path[path.index("/") - 1]) for path in depths(params, globs)
    }
    assert depths(params, list(globs))["Dense_0/kernel"] == 0  # the first matching glob decides
    assert depths(params, lambda path: np.int64(len(path)))["Conv_0/bias"] == len("Conv_0/bias") - min(
        map(len, depths(params, globs))
    )
    with pytest.raises(ValueError, match=r"layerwise_decay: depth has no glob that matches 'Dense_0/bias', 'Dense_0/k"):
        gx.layerwise_decay(0.5, ("Conv*", "Batch*")).init(params)
    for answer, error in ((-1, ValueError), (True, TypeError), (0.5, TypeError), (None, TypeError)):
        with pytest.raises(error, match=r"layerwise_decay: depth must return an integer.* for 'BatchNorm_0/bias'"):
            gx.layerwise_decay(0.5, lambda path, answer=answer: answer).init(params)


@pytest.mark.parametrize("depth", ["*", 3, (), [3], {"*": 1}, (gx.matrices_only,)])
def test_other_kinds_of_depth_are_refused(depth):
    with pytest.raises(TypeError, match=r"layerwise_decay: depth must be a function from path to depth, or a sequence"):
        gx.layerwise_decay(0.5, depth)


@pytest.mark.parametrize("decay", [0.0, -0.1, 1.1, float("nan")])
def test_a_decay_out_of_range_is_refused(decay):
    with pytest.raises(ValueError, match=r"layerwise_decay: decay must be in \(0, 1\]"):
        gx.layerwise_decay(decay)


def test_is_data():
    depth = operator.methodcaller("count", "/")
    for tx in (gx.layerwise_decay(0.8, depth), gx.layerwise_decay(0.8, ["a", re.compile("b")])):
        assert pickle.loads(pickle.dumps(tx)) is not tx
        assert hash(tx) == hash(gx.chain(tx))
    assert depths([{"w": {"v": W}, "b": B}], pickle.loads(pickle.dumps(depth))) == {"0/w/v": 1, "0/b": 0}
    assert repr(gx.layerwise_decay(0.8, ["a", "b"])) == "layerwise_decay(0.8, depth=('a', 'b'))"


MODEL = {"embed": W, "layers": [LINEAR] * 3, "head": B}
STEPS = [jax.tree.map(lambda p, i=i: jnp.full(p.shape, 0.1 * (i + 1)), MODEL) for i in range(3)]


@pytest.mark.parametrize("dtype", [np.float32, np.complex64, np.float64])
def test_factors_are_exact(dtype):
    with jax.enable_x64(dtype == np.float64):
        params = [jnp.ones(1, dtype)] * 40
        tx = gx.layerwise_decay(0.8)
        updates, _ = jax.jit(tx.update)(params, tx.init(params), params)
        expected = np.array([[0.8 ** (39 - i)] for i in range(40)]).astype(dtype)
        np.testing.assert_array_equal(np.array(updates), expected)


@pytest.mark.parametrize("decay", [gx.tunable(0.7), lambda step: 0.7, jnp.asarray(0.7), gx.schedules.constant(0.7)])
def test_decay_may_be_tunable_scheduled_or_an_array(decay):
    tx = gx.chain(gx.adam(0.1), gx.layerwise_decay(decay))
    expected = trajectory(gx.chain(gx.adam(0.1), gx.layerwise_decay(0.7)), MODEL, STEPS)[:2]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), trajectory(tx, MODEL, STEPS)[:2], expected)


def test_none_gradients_do_not_change_the_depths():
    tx = gx.layerwise_decay(0.5)
    grads = MODEL | {"head": None, "layers": [LINEAR, None, LINEAR]}
    with pytest.raises(ValueError, match="different structures: missing layers/1/bias"):
        tx.update(grads, tx.init(MODEL), MODEL)
    grads["layers"][1] = {"kernel": None, "bias": None}
    updates, _ = tx.update(grads, tx.init(MODEL), MODEL)
    assert updates["layers"][2]["bias"].tolist() == [0.5, 0.5]
    assert updates["embed"][0, 0] == 0.5**4


def test_needs_the_parameters():
    tx = gx.layerwise_decay(0.5)
    with pytest.raises(ValueError, match=r"layerwise_decay needs the parameters"):
        tx.update(MODEL, tx.init(MODEL))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda tx: optax.chain(optax.identity(), tx),
        lambda tx: gx.named("body", tx),
        gx.by_parts,
        lambda tx: gx.chain(optax.chain(tx)),
    ],
)
def test_works_inside_other_transformations(wrap):
    tx = gx.chain(gx.adam(0.1), gx.layerwise_decay(0.7))
    expected, ours = (trajectory(t, MODEL, STEPS)[0] for t in (tx, wrap(tx)))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), ours, expected)


def test_trains_an_nnx_module():
    model = NnxModel()
    before = jax.tree.map(jnp.array, nnx.state(model, nnx.Param))
    optimizer = nnx.Optimizer(model, gx.chain(gx.sgd(1.0), gx.layerwise_decay(0.5)), wrt=nnx.Param)
    with relaxed():
        optimizer.update(model, jax.tree.map(jnp.ones_like, before))
    moved = jax.tree.map(lambda a, b: np.round(a - b, 4).ravel()[0], before, nnx.state(model, nnx.Param))
    assert [moved[n]["bias"][...] for n in ("stem", "linear1", "linear2", "out")] == [0.125, 0.25, 0.5, 1]


def test_layers_of_one_shape_share_a_trace():
    params = [{"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}] * 50
    plain, layered = gx.adam(0.1), gx.chain(gx.adam(0.1), gx.layerwise_decay(0.9))

    def traces(tx):
        jaxpr = jax.make_jaxpr(tx.update)(params, tx.init(params), params)
        return len({id(e.params["jaxpr"]) for e in jaxpr.eqns if "scale_by_adam" in str(e.params.get("name"))})

    assert traces(layered) == traces(plain) == 2


@trials(15)
@given(
    st.integers(1, 12),
    st.sampled_from(["{}", "block_{}", "Dense_{}", "h{}", "layer-{}", "encoder.{}"]),
    st.booleans(),
    st.booleans(),
    st.integers(0, 3),
)
def test_layers_are_ordered_by_their_numbers(layers, form, embed, head, start):
    """The form of the names, the first number and the parameters outside the layers do not matter."""
    if layers == 1 and form != "{}":
        layers = 2  # one number does not make a sequence
    params = {form.format(start + i): LINEAR for i in range(layers)}
    params |= {"token_embedding": W} if embed else {}
    params |= {"head": LINEAR} if head else {}
    depth_of = depths(params)
    assert [depth_of[f"{form.format(start + i)}/kernel"] for i in range(layers)] == [i + embed for i in range(layers)]
    assert depth_of.get("token_embedding", 0) == 0
    assert depth_of.get("head/kernel", layers + embed) == layers + embed
