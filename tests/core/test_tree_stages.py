"""Tree stages: parts that run conditionally, slots, evaluation parameters, sharding and memory."""

from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradtx as gx
from gradtx.core import Part, Role, Rule, Slot, TreeStage, as_transformation, map_trained, run_if
from tests.helpers import assert_close, gradients, trajectory, tree


class EverySecond(TreeStage):
    """A stage that runs its part on the mean of two gradients."""

    inner: Part
    slots = {"sum": Slot(Role.ACCUMULATOR)}

    def parts(self):
        return {"inner": self.inner}

    def update(self, updates, state, at):
        total = map_trained(lambda u, s: u + s, updates, state["sum"])
        due = at.count % 2 == 0
        zeros = map_trained(jnp.zeros_like, updates)
        mean = map_trained(lambda x: x / 2, total)
        after, state = self.run_part_if(due, "inner", mean, state, at, otherwise=zeros)
        return after, state | {"sum": map_trained(lambda x: jnp.where(due, jnp.zeros_like(x), x), total)}


class Twice(TreeStage):
    """A stage that runs its part twice."""

    inner: Part

    def parts(self):
        return {"inner": self.inner}

    def update(self, updates, state, at):
        first, state = self.run_part("inner", updates, state, at)
        return self.run_part("inner", first, state, at)


class Nan(Rule):
    """A rule that makes every update NaN."""

    def update(self, g, slot, at):
        return g * jnp.nan, {}


class Ema(Rule):
    """A rule that stores an average of the parameters."""

    slots = {"average": Slot(Role.AVERAGE, fill="param")}
    needs = frozenset({"param"})

    def evaluated(self, param, slot, at):
        return slot.average

    def update(self, g, slot, at):
        return g, {"average": 0.5 * slot.average + 0.5 * (at.param + g)}


every_second, twice, nan, ema = map(as_transformation, (EverySecond, Twice, Nan, Ema))


def test_a_part_runs_only_when_it_is_due():
    calls: list[Any] = []

    class Counted(Rule):
        def update(self, g, slot, at):
            jax.debug.callback(lambda: calls.append(1))
            return g, {}

    tx = every_second(gx.chain(as_transformation(Counted)(), gx.sgd(1.0, momentum=0.5)))
    grads, params = gradients(6), tree(1)
    updates, _, state = trajectory(tx, params, grads)
    jax.effects_barrier()
    assert len(calls) == 3 * 4  # four arrays
    assert state.stages["every_second"]["inner"].step == 3
    means = [jax.tree.map(lambda a, b: (a + b) / 2, *grads[i : i + 2]) for i in (0, 2, 4)]
    expected, _, _ = trajectory(gx.sgd(1.0, momentum=0.5), params, means)
    assert_close(updates[1::2], expected)
    assert not any(x.any() for x in jax.tree.leaves(updates[::2]))


def test_slots_are_described_sharded_and_checked():
    tx, params = every_second(gx.adam(0.1)), {"w": jnp.ones((8, 2)), "n": 3}
    found = gx.describe(tx, params)
    assert found.stages[0].slots["sum"].role == "accumulated gradient"
    assert found.bytes_per_parameter == 12
    mesh = jax.make_mesh((8,), ("x",), axis_types=(jax.sharding.AxisType.Auto,))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("x"))
    state = jax.jit(tx.init)(jax.device_put({"w": params["w"]}, sharding))
    assert state.stages["every_second"]["sum"]["w"].sharding.is_equivalent_to(sharding, 2)
    with pytest.raises(ValueError, match=r"every_second: the gradient at w is float32\[2, 2\], but the state's sum"):
        tx.update({"w": jnp.ones((2, 2))}, tx.init({"w": jnp.ones((8, 2))}))
    doubled = optax.tree.map_params(tx, lambda x: x + 1, tx.init(params))
    assert (doubled.stages["every_second"]["sum"]["w"] == 1).all()


def test_nothing_of_a_part_is_computed_or_copied_when_it_is_not_due():
    params = {"w": jnp.ones(1 << 16)}
    tx = every_second(gx.adam(0.1))
    state = jax.eval_shape(tx.init, params)

    def step(params, state, grads):
        return gx.apply_gradients(tx, grads, state, params)

    compiled = jax.jit(step, donate_argnums=(0, 1)).lower(params, state, params).compile()
    # The sum, the mean and the updates are copied into the conditional loop. The two slots of Adam are not.
    assert compiled.memory_analysis().temp_size_in_bytes <= 3.01 * params["w"].nbytes


def test_run_if_works_in_place_and_has_derivatives():
    def f(x, on):
        return run_if(on, lambda a, scale: (a * scale,), (x,), x)[0].sum()

    x = jnp.asarray([1.0, 3.0])
    for on, value, slope in ((True, 10.0, 2 * x), (False, 4.0, jnp.ones(2))):
        assert jax.jit(f)(x, jnp.asarray(on)) == value
        assert_close(jax.grad(f)(x, jnp.asarray(on)), slope)
        assert_close(jax.jacfwd(f)(x, jnp.asarray(on)), slope)
    batched = jax.vmap(f)(jnp.stack([x, x]), jnp.asarray([True, False]))
    np.testing.assert_array_equal(batched, [10, 4])


def test_parts_nest_and_repeat():
    tx, params = twice(every_second(gx.sgd(1.0))), {"w": jnp.ones(2), "none": None}
    state = tx.init(params)
    updates, state = jax.jit(tx.update)({"w": jnp.ones(2), "none": None}, state, params)
    assert state.stages["twice"]["inner"].step == 2
    np.testing.assert_array_equal(updates["w"], -0.5)
    assert eval(repr(tx), vars(gx) | {"twice": twice, "every_second": every_second}) == tx


@pytest.mark.parametrize("jit", [False, True])
def test_evaluation_params_go_through_parts_and_selections(jit):
    params = {"w": jnp.ones((2, 2)), "b": jnp.ones(2, jnp.bfloat16), "n": 3, "none": None}
    grads = {"w": jnp.ones((2, 2)), "b": jnp.ones(2, jnp.bfloat16), "n": None, "none": None}
    average = gx.chain(gx.sgd(0.5), ema())
    evaluate = jax.jit(gx.evaluation_params, static_argnums=0) if jit else gx.evaluation_params
    chains = {
        "plain": average,
        "part": every_second(average),
        "only": gx.chain(gx.only("w", average), gx.only("b", gx.sgd(0.5))),
        "switch": gx.switch(gx.sgd(0.5), average, at=1),
        "nested": gx.only("w", gx.switch(average, gx.sgd(0.5), at=9)),
    }
    for name, tx in chains.items():
        p, state = params, tx.init(params)
        chex.assert_trees_all_equal(evaluate(tx, state, p), params)
        for _ in range(2):
            p, state = gx.apply_gradients(tx, grads, state, p)
        found = evaluate(tx, state, p)
        assert [found[k].dtype for k in "wb"] == [jnp.float32, jnp.bfloat16]
        assert (found["none"], found["n"]) == (None, 3)
        expected = {"plain": 0.375, "part": 0.75, "only": 0.375, "switch": 0.5, "nested": 0.375}[name]
        np.testing.assert_allclose(found["w"], expected)
        assert (float(found["b"][0]) == float(p["b"][0])) is (name in ("only", "nested"))


def test_the_parameters_to_evaluate_with_are_checked():
    tx, params = ema(), {"w": jnp.ones(2)}
    with pytest.raises(TypeError, match="evaluation_params: tx must be a transformation of gradtx"):
        gx.evaluation_params(optax.sgd(0.1), None, params)
    with pytest.raises(TypeError, match=r"state must be the one that tx\.init returned, got \{\}"):
        gx.evaluation_params(tx, {}, params)
    with pytest.raises(ValueError, match="ema: the state has no entry of that name"):
        gx.evaluation_params(tx, gx.adam(0.1).init(params), params)
    with pytest.raises(ValueError, match="and the state's average have different structures"):
        gx.evaluation_params(tx, tx.init(params), {"v": jnp.ones(2)})
    assert_close(gx.evaluation_params(gx.adam(0.1), gx.adam(0.1).init(params), params), params)


def test_evaluated_sees_the_last_step():
    class Shows(Rule):
        rate: gx.core.Real = 1.0
        slots = {"seen": Slot(Role.SCALAR)}

        def prepare(self, at):
            return {"seen": self.rate}

        def update(self, g, slot, at):
            return g, {}

        def evaluated(self, param, slot, at):
            return jnp.stack([at.scalars["seen"], self.rate, at.count * 1.0])

    tx = as_transformation(Shows)(gx.schedules.linear(1.0, 0.0, 4))
    params, state = jnp.zeros(3), tx.init(jnp.zeros(3))
    for _ in range(3):
        _, state = tx.update(params, state)
    np.testing.assert_allclose(gx.evaluation_params(tx, state, params), [0.5, 0.5, 3])
