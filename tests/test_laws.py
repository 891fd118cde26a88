"""Laws that every technique obeys, crossed with every row of cases.py."""

import contextlib
import pickle

import chex
import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
from flax import nnx
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import gradtx as gx
from gradtx.core import Rule, Scope, Transformation, hyperparameters
from tests import cases
from tests.cases import CASES
from tests.helpers import AS_USERS, DTYPES, assert_close, gradients, optax_trajectory, relaxed, trajectory, tree
from tests.problems import PROBLEMS

MIXES = [*((dtype, dtype) for dtype in DTYPES), (jnp.float32, jnp.bfloat16), (jnp.bfloat16, jnp.float32)]


def each(cases):
    """Parametrize over cases so that pytest runs all laws of one case in a row: the laws share compilations."""
    return pytest.mark.parametrize("case", cases, ids=str, scope="module")


every_case = each(CASES)
every_varying_case = each([c for c in CASES if c.varying])
every_optimizer = each([c for c in CASES if c.optimizer])


@pytest.fixture(autouse=True)
def _clear_trace_counter():
    chex.clear_trace_counter()


def _schedule(value):
    return lambda step: value / (1.0 + 0.1 * jnp.asarray(step, jnp.float32))


@every_optimizer
@pytest.mark.crossed
@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_descends(case, problem):
    if problem.complex and not case.complex:
        pytest.skip("the case is declared as real")
    tx = case.tx()

    def step(carry, _):
        params, state = carry
        value, grads = jax.value_and_grad(problem.value)(params)
        # The gradient of a real function of z points along its conjugate.
        grads = jax.tree.map(jnp.conj, grads)
        return gx.apply_gradients(tx, grads, state, params), value

    (params, _), values = jax.jit(lambda c: jax.lax.scan(step, c, length=300))((problem.start, tx.init(problem.start)))
    assert jnp.isfinite(values).all()
    assert problem.value(params) < 0.7 * values[0]


@every_case
@pytest.mark.crossed
@pytest.mark.parametrize("dtype", [np.float32, np.complex64])
@pytest.mark.parametrize("varies", [False, True])
def test_follows_its_float64_reference(case, dtype, varies):
    dtype, varies = dtype if case.complex else np.float32, varies and case.varying
    grads, params = gradients(20, dtype), tree(1, dtype)
    varying = case.arguments.get(case.varying, 0.5)
    tx = case.tx(**{case.varying: _schedule(varying)}) if varies else case.tx()
    updates, _, _ = trajectory(tx, params, grads)

    p = [np.asarray(x, np.complex128 if dtype == np.complex64 else np.float64) for x in jax.tree.leaves(params)]
    numbered = enumerate(jax.tree.leaves(params, is_leaf=lambda x: x is None))
    states = [{"leaf": i} for i, x in numbered if x is not None]
    scale = max(np.abs(x).max(initial=0) for x in p)
    for t, (g, u) in enumerate(zip(grads, updates, strict=True), 1):
        arguments = case.arguments | ({case.varying: varying / (1 + 0.1 * (t - 1))} if varies else {})
        g64 = [np.asarray(x, y.dtype) for x, y in zip(jax.tree.leaves(g), p, strict=True)]
        if case.whole:
            expected = case.reference(g64, p, t, {}, **arguments)
        else:
            expected = [case.reference(*x, t, s, **arguments) for *x, s in zip(g64, p, states, strict=True)]
        for ours, theirs in zip(jax.tree.leaves(u), expected, strict=True):
            size = np.abs(theirs).max(initial=1e-30)
            np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=1e-6 * max(size, scale if case.overwrites else 0))
        p = [x + y for x, y in zip(p, expected, strict=True)]


@each([c for c in CASES if c.optax])
@pytest.mark.crossed
@pytest.mark.parametrize("varies", [False, True])
def test_equals_optax(case, varies):
    changed = {"learning_rate": _schedule(0.1)} if varies and case.varying == "learning_rate" else {}
    ours = trajectory(case.tx(**changed), tree(1), gradients(20))[:2]
    theirs = optax_trajectory(case.peer(**changed), tree(1), gradients(20))[:2]
    assert_close(ours, theirs, rtol=2e-4, atol=1e-6)


@every_varying_case
def test_vmap_over_a_hyperparameter_is_a_loop(case):
    params, grads = tree(1), gradients(2)
    values = jnp.asarray([0.1, 0.3, 0.6])

    def final(value):
        return trajectory(
            case.tx(**{case.varying: value}), params, grads, update=case.tx(**{case.varying: value}).update
        )

    batched = jax.jit(jax.vmap(final))(values)
    for i, value in enumerate(values):
        assert_close(jax.tree.map(lambda x, i=i: x[i], batched), final(value), rtol=1e-5, atol=1e-6)


@every_varying_case
def test_tunable_equals_constant(case):
    params, grads = tree(1), gradients(6)
    value = case.arguments.get(case.varying, 0.5)
    tx = case.tx(**{case.varying: gx.tunable(0.125)})
    state = gx.set_hyperparams(tx, tx.init(params), **{case.varying: value})
    update = jax.jit(chex.assert_max_traces(tx.update, 1))
    p, tuned = params, []
    for g in grads:
        u, state = update(g, state, p)
        p = gx.apply_updates(p, u)
        tuned.append(u)
    constant, _, _ = trajectory(case.tx(**{case.varying: value}), params, grads)
    assert_close(tuned, constant, rtol=1e-4, atol=1e-6)


@every_case
def test_every_hyperparameter_takes_a_schedule(case):
    """Schedule all hyperparameters at once, except initial values of slots: `init` has no step."""

    def scheduled(stage):
        rule = stage.technique
        fills = {slot.fill for slot in rule.slots.values()} if isinstance(rule, Rule) else set()
        values = {name: getattr(rule, name) for name in hyperparameters(type(rule)).keys() - fills}
        numbers = {name: value for name, value in values.items() if isinstance(value, int | float)}
        return stage._replace(technique=rule.replace({n: lambda step, v=v: jnp.asarray(v) for n, v in numbers.items()}))

    tx, params, grads = case.tx(), tree(1), gradients(3)
    expected, _, _ = trajectory(tx, params, grads)
    updates, _, _ = trajectory(Transformation(tuple(map(scheduled, tx._stages))), params, grads)
    assert_close(updates, expected, rtol=2e-5, atol=1e-6)


@every_case
def test_fused_equals_stage_by_stage(case):
    params, grads = tree(1), gradients(5)
    tx = case.tx()
    apart = optax.chain(*(gx.chain(gx.Transformation((stage,))) for stage in tx._stages))
    assert_close(trajectory(tx, params, grads)[:2], trajectory(apart, params, grads)[:2], rtol=1e-6)


@pytest.mark.crossed
@every_case
@pytest.mark.parametrize(("param_dtype", "grad_dtype"), MIXES)
def test_state_is_a_fixed_point_and_compiles_once(case, param_dtype, grad_dtype):
    tx, params, grads = case.tx(), tree(1, param_dtype), tree(2, grad_dtype)
    step = jax.jit(chex.assert_max_traces(tx.update, 1))
    state = tx.init(params)
    for _ in range(3):
        updates, new = step(grads, state, params)
        chex.assert_trees_all_equal_shapes_and_dtypes(new, state)
        chex.assert_trees_all_equal_shapes_and_dtypes(updates, grads)
        assert not any(x.weak_type for x in jax.tree.leaves((new, updates)))
        state = new
    chex.assert_tree_all_finite(state)
    moments = [x for x in jax.tree.leaves(state.stages) if jnp.issubdtype(x.dtype, jnp.inexact)]
    assert all(x.dtype == jnp.float32 for x in moments)


@every_case
def test_parameters_are_optional_if_no_stage_reads_them(case):
    tx, params, grads = case.tx(), tree(1), tree(2)
    if any("param" in stage.needs for stage in tx.stages.values()):
        pytest.skip("a stage reads the parameters")
    assert_close(tx.update(grads, tx.init(params)), tx.update(grads, tx.init(params), params))


@pytest.mark.crossed
@every_case
@pytest.mark.parametrize("dtype", DTYPES)
def test_zero_gradients_give_finite_updates(case, dtype):
    zeros = jax.tree.map(jnp.zeros_like, tree(1, dtype))
    for params in (zeros, tree(1, dtype)):
        updates, _, state = trajectory(case.tx(), params, [zeros] * 3)
        chex.assert_tree_all_finite((updates, state))


@every_case
@pytest.mark.crossed
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_non_finite_gradients_do_not_spread(case, bad):
    """NaN stays visible in its element. The other elements are unaffected, unless a stage takes a norm."""
    grads = tree(2) | {"w": tree(2)["w"].at[0, 0].set(bad)}
    tx = case.tx()
    updates, _, _ = trajectory(tx, tree(1), [grads])
    touched = ~np.isfinite(updates[0]["w"])
    if case.skips:
        chex.assert_trees_all_equal(updates[0], jax.tree.map(jnp.zeros_like, grads))
    elif np.isnan(bad):
        assert touched[0, 0]
    if all(isinstance(stage, Rule) and stage.scope is Scope.ELEMENT for stage in tx.stages.values()):
        assert touched.sum() <= 1
        chex.assert_tree_all_finite(updates[0]["deep"])


@every_case
def test_none_gradients_change_neither_parameters_nor_slots(case):
    tx, params = case.tx(), tree(1)
    grads = tree(2) | {"w": None}
    updates, state = tx.update(grads, tx.init(params), params)
    assert updates["w"] is None
    assert updates["deep"][1] is None
    assert updates["z"].shape == (0, 2)
    for name, slots in tx.init(params).stages.items():
        for slot, initial in slots.items():
            if isinstance(initial, dict):  # the other slots are scalars
                assert_close(state.stages[name][slot]["w"], initial["w"])
    chex.assert_trees_all_equal(gx.apply_updates(params, updates)["w"], params["w"])
    chex.assert_trees_all_equal(gx.apply_gradients(tx, grads, tx.init(params), params)[0]["w"], params["w"])


@every_case
def test_apply_gradients_equals_update_then_apply(case):
    tx, params, grads = case.tx(), tree(1), gradients(1)[0]
    updates, state = tx.update(grads, tx.init(params), params)
    expected = gx.apply_updates(params, updates), state
    assert_close(gx.apply_gradients(tx, grads, tx.init(params), params), expected, rtol=1e-6)


FORMS = [(False, False), (True, False), (True, True)]
# A rule of the whole tree after a clip is left out: its measure reads the clipped gradients, which must be stored.
CASES_AND_FORMS = [(case, fused, clip) for case in CASES for fused, clip in FORMS if not (clip and case.whole)]


@pytest.mark.crossed
@pytest.mark.parametrize(
    ("case", "fused", "clip"), CASES_AND_FORMS, ids=[f"{f}-{c}-{case}" for case, f, c in CASES_AND_FORMS]
)
def test_needs_no_memory_besides_what_it_reads_and_writes(case, clip, fused):
    """All arithmetic on a parameter is one expression: XLA stores no intermediate array and updates slots in place."""
    stored = case.stored + (clip and case.reads_twice)
    params = {"w": jnp.ones(1 << 18)}
    tx = gx.chain(*[gx.clip_by_global_norm(1.0)] * clip, case.tx())

    def step(params, state, grads):
        if fused:
            return gx.apply_gradients(tx, grads, state, params)
        updates, state = tx.update(grads, state, params)
        return gx.apply_updates(params, updates), state

    step = jax.jit(step, donate_argnums=(0, 1)).lower(params, tx.init(params), params)
    step = step.compile(AS_USERS)
    assert step.memory_analysis().temp_size_in_bytes < (stored + 0.01) * params["w"].nbytes


@pytest.mark.crossed
@every_case
@pytest.mark.parametrize("axis_type", [AxisType.Auto, AxisType.Explicit])
@pytest.mark.parametrize("inside", [False, True])
def test_sharded_equals_unsharded(case, axis_type, inside):
    mesh = jax.make_mesh((8,), ("x",), axis_types=(axis_type,))
    sharding = NamedSharding(mesh, P("x"))
    rng = np.random.RandomState(0)
    params, grads = ({"w": rng.standard_normal((16, 3)), "b": rng.standard_normal(8)} for _ in range(2))
    params, grads = (jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), t) for t in (params, grads))
    tx = case.tx()
    expected = gx.apply_gradients(tx, grads, tx.init(params), params)
    with jax.set_mesh(mesh) if inside else contextlib.nullcontext():
        p, g = jax.device_put((params, grads), sharding)
        state = jax.jit(tx.init)(p)
        new = jax.jit(lambda g, s, p: gx.apply_gradients(tx, g, s, p))(g, state, p)
        for x in jax.tree.leaves((tx.init(p).stages, state.stages, new[0], new[1].stages)):
            assert x.ndim == 0 or x.sharding.is_equivalent_to(sharding, x.ndim), x.sharding
    # Differences of numbers of size 1, rounded in another order.
    assert_close(jax.device_get(new), jax.device_get(expected), rtol=1e-6, atol=5e-7)


@every_case
def test_is_data(case):
    tx, again = case.tx(), case.tx()
    assert tx == again
    assert (tx != again) is False  # tuple defines __ne__ separately
    assert hash(tx) == hash(again)
    assert not case.varying or tx != case.tx(**{case.varying: 0.123})
    assert pickle.loads(pickle.dumps(tx)) == tx
    assert eval(repr(tx), vars(cases) | vars(gx.schedules) | vars(gx)) == tx

    @chex.assert_max_traces(1)
    def step(tx, g):
        return tx.update(g, tx.init(g), g)

    static, argument = jax.jit(step, static_argnums=0), tree(1)
    static(tx, argument), static(again, argument), static(pickle.loads(pickle.dumps(tx)), argument)
    chex.clear_trace_counter()
    as_pytree = jax.jit(step)
    as_pytree(tx, argument), as_pytree(again, argument)


@every_case
def test_state_round_trips(case, tmp_path):
    _, _, state = trajectory(case.tx(), tree(1), gradients(3))
    chex.assert_trees_all_equal(pickle.loads(pickle.dumps(state)), state)
    template = case.tx().init(tree(1))
    packed = flax.serialization.from_bytes(template, flax.serialization.to_bytes(state))
    chex.assert_trees_all_equal(packed, state)
    arrays = {k: v for k, v in tree(1).items() if k != "z"}  # orbax cannot save empty arrays
    state = case.tx().update(arrays, case.tx().init(arrays), arrays)[1]
    with relaxed(), ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "state", state)
        checkpointer.wait_until_finished()
        restored = checkpointer.restore(tmp_path / "state", case.tx().init(arrays))
    chex.assert_trees_all_equal(restored, state)


@every_case
def test_works_inside_optax_wrappers(case):
    params, grads = tree(1), gradients(4)
    tx = case.tx()
    alone, _, _ = trajectory(tx, params, grads)
    everything = jax.tree.map(lambda _: True, params)
    nested = gx.chain(optax.chain(optax.identity(), optax.masked(tx, everything)))
    assert_close(trajectory(nested, params, grads)[0], alone)
    with relaxed():
        injected = optax.inject_hyperparams(case.make, case.static)(**case.arguments)
        assert_close(trajectory(injected, params, grads)[0], alone, rtol=1e-4, atol=1e-6)
        twice = [g for g in grads for _ in range(2)]
        several = optax.MultiSteps(tx, 2)
        assert_close(trajectory(several, params, twice)[0][1::2], alone, rtol=1e-5)
        doubled = optax.tree.map_params(tx, lambda x: 2 * x, tx.init(params))
        assert jax.tree.structure(doubled) == jax.tree.structure(tx.init(params))
        for name, slots in tx.init(params).stages.items():
            for slot in slots:
                assert_close(optax.tree.get(tx.init(params), slot), tx.init(params).stages[name][slot])


@every_optimizer
def test_trains_an_nnx_module(case):
    model = nnx.Linear(3, 2, rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, case.tx(), wrt=nnx.Param)
    x = jnp.asarray(np.random.RandomState(0).standard_normal((8, 3)), jnp.float32)

    @nnx.jit
    def step(model, optimizer):
        loss, grads = nnx.value_and_grad(lambda m: jnp.mean(jnp.square(m(x) - jnp.ones((8, 2)))))(model)
        optimizer.update(model, grads)
        return loss

    with relaxed():
        losses = [step(model, optimizer) for _ in range(20)]
    assert losses[-1] < losses[0]
