"""Slots may have shapes other than the parameter's shape."""

import pickle

import chex
import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import gradtx as gx
from gradtx.core import NonNegative, Role, Rule, Scope, Slot, as_transformation
from tests.helpers import assert_close, relaxed


class Shapes(Rule):
    """A rule with slots of every kind of shape."""

    start: NonNegative = 2.0
    square: bool = True
    scope = Scope.LEAF
    slots = {
        "row": Slot(Role.SECOND_MOMENT, fill="start", like="rows"),
        "square": Slot(Role.PRECONDITIONER, like=lambda p: p @ p.T if p.ndim == 2 else None, when="square"),
        "history": Slot(Role.HISTORY, fill="param", like=lambda p: jnp.stack([p, 2 * p])),
        "calls": Slot(Role.STATISTIC, like=lambda _: jnp.zeros((), jnp.int32)),
        "norm": Slot(Role.STATISTIC, like=lambda p: jnp.sum(p.real)),
        "mu": Slot(Role.FIRST_MOMENT),
    }

    def rows(self, p):
        return p.real.sum(-1) if p.ndim > 1 else None

    def update(self, g, slot, at):
        new = dict(vars(slot), calls=slot.calls + 1, mu=slot.mu + g, norm=jnp.linalg.norm(g))
        if "row" in new:
            new["row"] = slot.row + g.real.sum(-1)
        if "square" in new:
            new["square"] = slot.square + g @ g.T
        return slot.history[1] + g, new


shapes = as_transformation(Shapes)
PARAMS = {"w": jnp.ones((2, 3)), "b": jnp.ones(4), "s": jnp.ones(()), "z": jnp.zeros((0, 2)), "n": 3, "none": None}
GRADS = {k: v if k not in ("n", "none") else None for k, v in PARAMS.items()}


def test_shapes_dtypes_and_absence_follow_from_the_parameter():
    state = shapes().init(PARAMS)
    slots = state.stages["shapes"]
    assert jax.tree.map(jnp.shape, slots["row"]) == {
        "w": (2,),
        "z": (0,),
        "b": None,
        "s": None,
        "n": None,
        "none": None,
    }
    assert (slots["row"]["w"] == 2).all()
    assert slots["square"]["w"].shape == (2, 2)
    assert (slots["history"]["w"][1] == 2).all()
    assert slots["calls"]["b"].dtype == jnp.int32
    assert slots["norm"]["w"].shape == ()
    assert "square" not in shapes(square=False).init(PARAMS).stages["shapes"]
    half = shapes().init(jnp.ones((2, 2), jnp.bfloat16)).stages["shapes"]
    assert {half[n].dtype for n in ("row", "square", "history", "mu")} == {jnp.dtype(jnp.float32)}
    twisted = shapes().init(jnp.ones((2, 2), jnp.complex64)).stages["shapes"]
    assert (twisted["row"].dtype, twisted["square"].dtype) == (jnp.float32, jnp.complex64)


@pytest.mark.parametrize("with_params", [True, False])
def test_state_is_a_fixed_point(with_params):
    tx = gx.chain(gx.clip_by_global_norm(100.0), shapes(), gx.adam(0.1))
    update, state = jax.jit(chex.assert_max_traces(tx.update, 1)), tx.init(PARAMS)
    chex.clear_trace_counter()
    for _ in range(3):
        updates, new = update(GRADS, state, PARAMS if with_params else None)
        chex.assert_trees_all_equal_shapes_and_dtypes(new, state)
        state = new
    assert updates["none"] is None
    slots = state.stages["shapes"]
    assert slots["calls"]["w"] == 3
    np.testing.assert_allclose(slots["row"]["w"], 11)
    np.testing.assert_allclose(slots["square"]["w"], 9)
    none = {**GRADS, "w": None}
    _, new = tx.update(none, state, PARAMS)
    assert_close(new.stages["shapes"]["row"]["w"], state.stages["shapes"]["row"]["w"])


@pytest.mark.parametrize("axis_type", [AxisType.Auto, AxisType.Explicit])
@pytest.mark.parametrize("jit", [False, True])
def test_sharding_follows(axis_type, jit):
    mesh = jax.make_mesh((4, 2), ("x", "y"), axis_types=(axis_type,) * 2)
    tx = shapes(square=False)
    params = jax.device_put(jnp.ones((8, 4)), NamedSharding(mesh, P("x", "y")))
    with jax.set_mesh(mesh):
        init = jax.jit(tx.init) if jit else tx.init
        slots = init(params).stages["shapes"]
        assert slots["row"].sharding.is_equivalent_to(NamedSharding(mesh, P("x")), 1)
        assert slots["history"].sharding.is_equivalent_to(NamedSharding(mesh, P(None, "x", "y")), 3)
        updates, state = jax.jit(tx.update)(params, init(params), params)
    assert state.stages["shapes"]["row"].sharding.is_equivalent_to(NamedSharding(mesh, P("x")), 1)
    np.testing.assert_array_equal(updates, 3)


def test_describe_counts_them():
    found = gx.describe(shapes(), {"w": jnp.ones((2, 3)), "b": jnp.ones(4)})
    assert {n: (s.role, s.bytes) for n, s in found.stages[0].slots.items()} == {
        "row": ("second moment", 8),
        "square": ("preconditioner", 16),
        "history": ("history", 80),
        "calls": ("statistic", 8),
        "norm": ("statistic", 8),
        "mu": ("first moment", 40),
    }


def test_round_trips(tmp_path):
    tx, params = gx.chain(shapes(), gx.adam(0.1)), {k: PARAMS[k] for k in ("w", "b", "s")}
    state = tx.update(params, tx.init(params), params)[1]
    chex.assert_trees_all_equal(pickle.loads(pickle.dumps(state)), state)
    packed = flax.serialization.from_bytes(tx.init(params), flax.serialization.to_bytes(state))
    chex.assert_trees_all_equal(packed, state)
    with relaxed(), ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "state", state)
        checkpointer.wait_until_finished()
        chex.assert_trees_all_equal(checkpointer.restore(tmp_path / "state", tx.init(params)), state)


def test_optax_maps_only_what_is_like_the_parameters():
    tx, params = gx.chain(shapes(), gx.scale_by_adam()), {"w": jnp.ones((2, 3)), "b": jnp.ones(4)}
    state = tx.init(params)
    doubled = optax.tree.map_params(tx, lambda x, p: x + p, state, params, transform_non_params=lambda x: x)
    mine, before = doubled.stages["shapes"], state.stages["shapes"]
    for slot in ("row", "square", "history", "calls", "norm"):
        chex.assert_trees_all_equal(mine[slot], before[slot])
    chex.assert_trees_all_equal(mine["mu"], jax.tree.map(lambda x, p: x + p, before["mu"], params))
    chex.assert_trees_all_equal(doubled.stages["scale_by_adam"]["nu"], params)


def test_slots_of_another_shape_are_refused_with_their_path():
    tx = shapes()
    state = tx.init({"w": jnp.ones((2, 3))})
    with pytest.raises(
        ValueError, match=r"shapes: the state's row at w has shape \(2,\); expected \(5,\) for the grad"
    ):
        tx.update({"w": jnp.ones((5, 3))}, state)
    broken = state._replace(stages={"shapes": {**state.stages["shapes"], "row": {"w": None}}})
    with pytest.raises(ValueError, match="the state's row at w is missing, although the stage keeps one there"):
        tx.update({"w": jnp.ones((2, 3))}, broken)
    lacking = state._replace(stages={"shapes": {"mu": state.stages["shapes"]["mu"]}})
    with pytest.raises(ValueError, match=r"shapes: the state has no slot row, only \['mu'\]"):
        tx.update({"w": jnp.ones((2, 3))}, lacking)


def test_nothing_is_asked_about_what_a_stage_does_not_see():
    """`like` would fail for a scalar, but neither `init` nor `update` calls it for unselected parameters."""
    params = {"w": jnp.ones((2, 3)), "s": jnp.ones(())}

    class Rows(Rule):
        scope = Scope.LEAF
        slots = {"row": Slot(Role.SECOND_MOMENT, like=lambda p: p.sum(-1))}

        def update(self, g, slot, at):
            return g, {"row": slot.row}

    tx = gx.only(gx.matrices_only, as_transformation(Rows)())
    assert tx.update(params, tx.init(params), params)[1].stages["rows"]["row"]["s"] is None


def test_a_traced_start_of_a_complex_slot():
    def first(start):
        return gx.adagrad(0.1, initial_accumulator_value=start).init(jnp.ones(2, jnp.complex64))

    def split(start):
        return gx.by_parts(gx.adagrad(0.1, initial_accumulator_value=start)).init(jnp.ones(2, jnp.complex64))

    for init in (first, split):
        assert_close(jax.jit(init)(jnp.float32(0.5)), init(0.5))


def test_an_author_hears_what_is_wrong():
    with pytest.raises(TypeError, match=r"Bad: the slot a has like=, .*declare scope = Scope\.LEAF"):

        class Bad(Rule):
            slots = {"a": Slot(Role.HISTORY, like=lambda p: p)}

    with pytest.raises(TypeError, match=r"Slot: a SCALAR is one number for the stage and takes neither like="):
        Slot(Role.SCALAR, like=lambda p: p)
    with pytest.raises(TypeError, match=r"Slot: a SCALAR .* nor fill='param'"):
        Slot(Role.SCALAR, fill="param")
    with pytest.raises(TypeError, match=r"Slot: dtype=int32 has no effect with Role\.HISTORY; give like=, or leave"):
        Slot(Role.HISTORY, dtype=np.dtype(np.int32))

    class Words(Rule):
        scope = Scope.LEAF
        slots = {"a": Slot(Role.HISTORY, like=lambda _: "text")}

    with pytest.raises(TypeError, match="words: like= of the slot a must return an array or None, got 'text'"):
        as_transformation(Words)().init(jnp.ones(2))

    class Grows(Rule):
        slots = {"a": Slot(Role.HISTORY)}

        def update(self, g, slot, at):
            return g, {"a": jnp.stack([slot.a, g])}

    with pytest.raises(TypeError, match=r"grows\.update: the slot a must keep its shape \(2,\), got \(2, 2\)"):
        as_transformation(Grows)().update(jnp.ones(2), as_transformation(Grows)().init(jnp.ones(2)))

    class Forgets(Rule):
        slots = {"total": Slot(Role.SCALAR)}

        def prepare(self, at):
            return {"sum": at.scalars["total"]}

    with pytest.raises(
        TypeError, match=r"forgets: prepare or measure must return the scalar slots total, got \['sum'\]"
    ):
        as_transformation(Forgets)().update(jnp.ones(2), as_transformation(Forgets)().init(jnp.ones(2)))
