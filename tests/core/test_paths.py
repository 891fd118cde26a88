"""Paths are those that users of each framework expect, and masks written for optax work."""

import dataclasses
import pickle
from typing import Any, NamedTuple

import equinox as eqx
import flax.core
import flax.linen as linen
import flax.traverse_util
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
from gradtx._tools import Selects, flatten, select
from tests.helpers import assert_close, relaxed


class Network(nnx.Module):
    def __init__(self, rngs):
        self.first = nnx.Linear(3, 4, rngs=rngs)
        self.norm = nnx.BatchNorm(4, rngs=rngs)
        self.layers = nnx.List([nnx.Linear(4, 4, rngs=rngs), nnx.Linear(4, 1, rngs=rngs)])

    def __call__(self, x):
        x = nnx.relu(self.norm(self.first(x)))
        return self.layers[1](nnx.relu(self.layers[0](x)))


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class Data:
    w: Any
    layers: Any


class Pair(NamedTuple):
    w: Any
    b: Any


@jax.tree_util.register_pytree_node_class
class Custom:
    def __init__(self, x, y):
        self.x, self.y = x, y

    def tree_flatten(self):
        return (self.x, self.y), None

    @classmethod
    def tree_unflatten(cls, aux, children):
        return cls(*children)


def _nnx():
    return Network(nnx.Rngs(0))


def _linen(boxed=False):
    init = linen.initializers.ones
    init = linen.with_partitioning(init, ("in", "out")) if boxed else init
    with relaxed():
        return linen.Dense(2, kernel_init=init).init(jax.random.key(0), jnp.ones((1, 2)))


def _haiku():
    with relaxed():
        return hk.transform(lambda x: hk.nets.MLP([2, 2])(x)).init(jax.random.key(0), jnp.ones((1, 2)))


def _equinox():
    return eqx.filter(eqx.nn.MLP(2, 2, 2, 1, key=jax.random.key(0)), eqx.is_array)


NNX = ["first/bias", "first/kernel", "layers/0/bias", "layers/0/kernel", "layers/1/bias", "layers/1/kernel"]
NNX += ["norm/bias", "norm/scale"]
FRAMEWORKS = {
    "nnx.state": (lambda: nnx.state(_nnx(), nnx.Param), NNX, "*/kernel", 3),
    "nnx.split": (lambda: nnx.split(_nnx(), nnx.Param, ...)[1], NNX, "*/kernel", 3),
    "nnx pure": (lambda: nnx.to_pure_dict(nnx.state(_nnx(), nnx.Param)), NNX, "layers/*", 4),
    "nnx.Linear": (lambda: nnx.state(nnx.Linear(2, 2, rngs=nnx.Rngs(0)), nnx.Param), ["bias", "kernel"], "*/kernel", 1),
    "linen": (_linen, ["params/bias", "params/kernel"], "params/kernel", 1),
    "linen boxed": (lambda: _linen(True), ["params/bias", "params/kernel"], "*/kernel", 1),
    "linen frozen": (lambda: flax.core.freeze(_linen())["params"], ["bias", "kernel"], "kernel", 1),
    "haiku": (_haiku, [f"mlp/~/linear_{i}/{n}" for i in (0, 1) for n in "bw"], "*/~/linear_0/*", 2),
    "equinox": (_equinox, [f"layers/{i}/{n}" for i in (0, 1) for n in ("weight", "bias")], "*/weight", 2),
    "dataclass": (lambda: Data(jnp.ones(1), [jnp.ones(1)]), ["w", "layers/0"], "layers/*", 1),
    "named tuple": (lambda: {"a": Pair(jnp.ones(1), jnp.ones(1))}, ["a/w", "a/b"], "*/w", 1),
    "list": (lambda: [jnp.ones(1), (jnp.ones(1), None)], ["0", "1/0"], "1/*", 1),
    "numbers": (lambda: {0: jnp.ones(1), 10: jnp.ones(1)}, ["0", "10"], "10", 1),
    "custom": (lambda: {"c": Custom(jnp.ones(1), jnp.ones(1))}, ["c/0", "c/1"], "c/1", 1),
    "one array": (lambda: jnp.ones(1), [""], "*", 1),
}


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_paths_say_what_users_say(name):
    make, expected, glob, number = FRAMEWORKS[name]
    params = flatten(make())
    assert sorted(path for path, _ in params.trained().values()) == sorted(expected)
    assert sum(select(glob, params, "test").values()) == number
    tx = gx.only(glob, gx.sgd(0.1, momentum=0.9))
    with relaxed():
        state = tx.init(make())
        tx.update(make(), state, make())
    assert len(jax.tree.leaves(state.stages)) == number


def by_rank(params):
    return jax.tree.map(lambda x: x.ndim > 1, params)


def by_name(params):
    return flax.traverse_util.path_aware_map(lambda path, x: path[-1] == "kernel", params)


def by_jax_path(params):
    return jax.tree_util.tree_map_with_path(lambda path, x: "kernel" in jax.tree_util.keystr(path), params)


PARAMS = {
    "dense": {"kernel": jnp.full((3, 2), 2.0), "bias": jnp.ones(2)},
    "out": {"kernel": jnp.full((2, 1), 3.0), "bias": jnp.ones(1)},
}
MASKS = {
    "function of the tree": by_rank,
    "path_aware_map": by_name,
    "tree_map_with_path": by_jax_path,
    "tree": by_rank(PARAMS),
    "prefix tree": {"dense": True, "out": False},
    "lambda with a default": lambda params, least=1: jax.tree.map(lambda x: x.ndim > least, params),
}


@pytest.mark.parametrize("name", MASKS)
@pytest.mark.parametrize("frozen", [False, True])
def test_masks_of_optax_work_as_they_are(name, frozen):
    """A mask made for a dict also works for parameters in a FrozenDict."""
    ours, theirs = (
        gx.adamw(0.1, weight_decay=0.5, mask=MASKS[name]),
        optax.adamw(0.1, weight_decay=0.5, mask=MASKS[name]),
    )
    params = flax.core.freeze(PARAMS) if frozen else PARAMS
    updates, _ = jax.jit(ours.update)(params, ours.init(params), params)
    with relaxed():
        expected, _ = theirs.update(PARAMS, theirs.init(PARAMS), PARAMS)
    assert_close(flax.core.unfreeze(updates) if frozen else updates, expected, rtol=1e-5)
    assert hash(ours) == hash(gx.adamw(0.1, weight_decay=0.5, mask=MASKS[name]))


@pytest.mark.parametrize("source", ["split", "state", "model", "pure"])
def test_a_tree_of_booleans_made_from_an_nnx_module(source):
    """gradtx accepts this mask. optax accepts the mask at `init` and fails at the first step."""
    model = _nnx()
    trees = {
        "split": lambda: nnx.split(model, nnx.Param, ...)[1],
        "state": lambda: nnx.state(model, nnx.Param),
        "model": lambda: nnx.state(model, nnx.Param),
        "pure": lambda: nnx.to_pure_dict(nnx.state(model, nnx.Param)),
    }
    mask = jax.tree.map(lambda x: x.ndim > 1, trees[source]())
    optimizer = nnx.Optimizer(model, gx.adamw(0.1, weight_decay=0.5, mask=mask), wrt=nnx.Param)
    named = nnx.Optimizer(twin := _nnx(), gx.adamw(0.1, weight_decay=0.5, mask="*/kernel"), wrt=nnx.Param)

    @nnx.jit
    def step(model, optimizer):
        grads = nnx.grad(lambda m: jnp.mean(m(jnp.ones((4, 3))) ** 2))(model)
        optimizer.update(model, grads)

    with relaxed():
        for m, o in ((model, optimizer), (twin, named)):
            step(m, o)
            step(m, o)
    assert_close(nnx.to_pure_dict(nnx.state(model, nnx.Param)), nnx.to_pure_dict(nnx.state(twin, nnx.Param)))


def test_lists_of_selectors():
    tx = gx.only(["*/bias", lambda path, array: array.shape == (2, 1)], gx.sgd(1.0))
    updates, _ = tx.update(PARAMS, tx.init(PARAMS), PARAMS)
    touched = jax.tree.map(lambda u, p: bool((u != p).all()), updates, PARAMS)
    assert touched == {"dense": {"kernel": False, "bias": True}, "out": {"kernel": True, "bias": True}}
    plain = gx.only(["*/bias", "*/scale"], gx.sgd(1.0))
    assert repr(plain) == "only(['*/bias', '*/scale'], scale_by_learning_rate(1.0))"
    assert eval(repr(plain), vars(gx)) == plain == pickle.loads(pickle.dumps(plain))
    booleans = gx.only([True, False], gx.sgd(1.0))  # a list of booleans is a tree that matches a list of parameters
    assert float(booleans.update([1.0, 1.0], booleans.init([1.0, 1.0]))[0][1]) == 1


def test_the_dtype_is_that_of_the_parameter():
    """A gradient of another dtype never changes the selection: the selection is right, or there is an error."""

    def halves(path, array):
        return array.dtype == jnp.bfloat16

    params = {"h": jnp.ones(2, jnp.bfloat16), "f": jnp.ones(2)}
    grads = {"h": jnp.ones(2), "f": jnp.ones(2, jnp.bfloat16)}
    tx = gx.only(halves, gx.sgd(2.0))
    updates, state = tx.update(grads, tx.init(params), params)
    assert [float(updates[k][0]) for k in "hf"] == [-2, 1]
    with pytest.raises(
        ValueError, match=r"reads the dtype of a parameter, which is unknown without the parameters; call update"
    ):
        tx.update(grads, state)
    by_tree = gx.only(lambda params: jax.tree.map(lambda x: x.dtype == jnp.bfloat16, params), gx.sgd(2.0))
    with pytest.raises(ValueError, match=r"call update\(grads, state, params\)"):
        by_tree.update(grads, by_tree.init(params))
    by_shape = gx.only(by_rank, gx.sgd(2.0))
    assert by_shape.update(PARAMS, by_shape.init(PARAMS))[0]["dense"]["bias"][0] == 1


@given(
    names=st.lists(st.sampled_from(["a", "b", "kernel", "bias"]), min_size=1, max_size=4, unique=True),
    glob=st.sampled_from(["*", "*/kernel", "x/*", "*b*", "kernel", "*/y/*"]),
    frozen=st.booleans(),
    half=st.booleans(),
)
def test_a_selector_answers_at_a_step_what_it_answered_at_init(names, glob, frozen, half):
    params = {n: {"kernel": jnp.ones((2, 2)), "y": {"b": jnp.ones(2)}} for n in names} | {"x": [jnp.ones(1)] * 2}
    try:
        at_init = select(glob, flatten(params), "test")
    except ValueError:
        return
    other = flax.core.freeze(params) if frozen else params
    other = jax.tree.map(lambda x: jnp.asarray(x, jnp.bfloat16), other) if half else other
    assert select(glob, flatten(other), "test", check=False, dtypes=False) == at_init
    tree = jax.tree.unflatten(jax.tree.structure(params), [at_init[i] for i in range(len(at_init))])
    assert select(Selects().check("test", tree), flatten(other), "test", check=False) == at_init


@pytest.mark.parametrize(
    ("mask", "error", "words"),
    [
        ({"dense": True}, ValueError, "none for out/bias, out/kernel"),
        ({"dense": True, "out": True, "extra": True}, None, ""),
        ({"dens": True, "out": True}, ValueError, "none for dense/bias, dense/kernel, but has one for dens"),
        (lambda params: params["dense"]["kernel"].sum() > 0, TypeError, "shapes and dtypes, not values"),
        (lambda params: "dense", TypeError, "must return a tree of booleans, got 'dense'"),
        (lambda path, array: "yes", TypeError, "must return True or False, got 'yes'"),
    ],
)
def test_masks_that_do_not_fit(mask, error, words):
    tx = gx.add_decayed_weights(0.1, mask=mask)
    if error is None:
        tx.init(PARAMS)
        return
    with pytest.raises(error, match=words):
        tx.init(PARAMS)


def test_paths_with_slashes_stay_apart_in_errors():
    params = {"a/b": jnp.ones(1), "a": {"b": jnp.ones(1)}}
    assert flatten(params).paths() == ("a/b", "a/b")
    assert len(set(flatten(params).code())) == 2
    np.testing.assert_array_equal(gx.only("a/b", gx.sgd(1.0)).update(params, gx.sgd(1.0).init(params))[0]["a"]["b"], -1)
