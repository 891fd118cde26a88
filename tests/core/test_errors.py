"""Every error has the right type and names the stage, the path, the given value and the expected value."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradtx as gx
from gradtx.core import Rule, as_transformation
from tests.helpers import tree


class NeedsValue(Rule):
    """A rule that multiplies gradients by the loss."""

    needs = frozenset({"value"})

    def update(self, g, slot, at):
        return g * jnp.asarray(at.value, g.dtype), {}


needs_value = as_transformation(NeedsValue)
PARAMS = {"dense": {"kernel": jnp.ones((3, 2)), "bias": jnp.ones(2)}, "steps": jnp.asarray(3)}
GRADS = {"dense": {"kernel": jnp.ones((3, 2)), "bias": jnp.ones(2)}, "steps": None}


def _grads(**changed):
    return GRADS | {"dense": GRADS["dense"] | changed}


@pytest.mark.parametrize("with_params", [True, False])
@pytest.mark.parametrize(
    ("grads", "error", "words"),
    [
        (_grads(kernel=jnp.ones((2, 3))), ValueError, ["dense/kernel", "float32[2, 3]", "(3, 2)"]),
        (_grads(kernel=jnp.ones((3, 2), jnp.int32)), TypeError, ["dense/kernel", "int32[3, 2]", "floating"]),
        (_grads(kernel="text"), TypeError, ["dense/kernel", "'text' (str)", "floating"]),
        ({"dense": {"kernel": jnp.ones((3, 2))}, "steps": None}, ValueError, ["missing dense/bias"]),
        (_grads(extra=jnp.ones(1)), ValueError, ["unexpected dense/extra"]),
        (_grads(kernel={"deeper": jnp.ones(1)}), ValueError, ["dense/kernel", "dense/kernel/deeper"]),
        (GRADS | {"steps": jnp.ones(())}, TypeError, ["at steps", "not trained", "None or float0"]),
        ([1.0], ValueError, ["unexpected 0"]),
    ],
)
def test_gradients_unlike_the_parameters(grads, error, words, with_params):
    tx = gx.chain(gx.scale_by_adam(), gx.scale_by_learning_rate(0.1))
    state = tx.init(PARAMS)
    for update in (tx.update, jax.jit(lambda g, s, p: tx.update(g, s, p))):
        if update is not tx.update and any(isinstance(x, str) for x in jax.tree.leaves(grads)):
            continue  # JAX raises its own error first
        with pytest.raises(error) as caught:
            update(grads, state, PARAMS if with_params else None)
        for word in ["scale_by_adam", *words]:
            assert word in str(caught.value)


def test_paths_that_slashes_make_alike_are_shown_as_code():
    tx = gx.sgd(0.1)
    with pytest.raises(ValueError, match=r"missing \['a/b'\], d; unexpected \['a'\]\['b'\], c"):
        tx.update({"a": {"b": 1.0}, "c": 1.0}, tx.init({"a/b": 1.0, "d": 1.0}), {"a/b": 1.0, "d": 1.0})


def test_complex_gradient_of_a_real_parameter():
    tx = gx.sgd(0.1)
    with pytest.raises(TypeError, match=r"scale_by_learning_rate: .* at the root is complex64\[2\].*floating"):
        tx.update(jnp.ones(2, jnp.complex64), tx.init(jnp.ones(2)), jnp.ones(2))


def test_errors_come_before_arithmetic():
    calls = []

    class Probe(Rule):
        def update(self, g, slot, at):
            calls.append(g)
            return g, {}

    tx = gx.chain(as_transformation(Probe)(), gx.add_decayed_weights(0.1))
    with pytest.raises(ValueError, match="add_decayed_weights needs the parameters"):
        tx.update(jnp.ones(2), tx.init(jnp.ones(2)))
    tx = gx.chain(as_transformation(Probe)(), needs_value())
    with pytest.raises(TypeError, match="needs_value needs the argument value"):
        tx.update(jnp.ones(2), tx.init(jnp.ones(2)), jnp.ones(2))
    assert not calls


def test_parameters_are_needed():
    tx = gx.adamw(0.1)
    with pytest.raises(
        ValueError, match=r"add_decayed_weights needs the parameters: call update\(grads, state, params\)"
    ):
        tx.update(jnp.ones(2), tx.init(jnp.ones(2)))
    with pytest.raises(ValueError, match="apply_gradients needs the parameters"):
        gx.apply_gradients(tx, jnp.ones(2), tx.init(jnp.ones(2)), None)


def test_extra_arguments():
    tx, x = gx.chain(needs_value(), gx.sgd(1.0)), jnp.ones(2)
    state = tx.init(x)
    with pytest.raises(TypeError, match=r"needs_value needs the argument value: call update\(.*value=\.\.\.\)"):
        tx.update(x, state, x)
    with pytest.raises(TypeError, match=r"no stage takes vlaue=; needs_value needs value="):
        tx.update(x, state, x, vlaue=2.0)
    with pytest.raises(TypeError, match=r"no stage takes values=; needs_value needs value="):
        tx.update(x, state, x, value=2.0, values=2.0)
    assert tx.update(x, state, x, value=2.0)[0][0] == -2
    assert tx.update(x, state, x, value=2.0, value_fn=jnp.sum)[0][0] == -2  # optax accepts this argument
    # As in optax, an extra argument is ignored unless its name resembles a required name.
    assert tx.update(x, state, x, value=2.0, batch=1)[0][0] == -2
    assert gx.sgd(1.0).update(x, gx.sgd(1.0).init(x), x, vlaue=2.0)[0][0] == -1


def test_a_foreign_stage_may_take_a_near_miss():
    def update(updates, state, params=None, *, values, **extra):
        return jax.tree.map(lambda u: u * values, updates), state

    foreign = optax.GradientTransformationExtraArgs(lambda _: optax.EmptyState(), update)
    tx, x = gx.chain(needs_value(), foreign), jnp.ones(2)
    assert tx.update(x, tx.init(x), x, value=2.0, values=3.0)[0][0] == 6


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: gx.adam(-1e-3), ["adam: learning_rate", "[0, inf)", "-0.001"]),
        (lambda: gx.sgd(float("nan")), ["learning_rate", "nan"]),
        (lambda: gx.sgd(float("inf")), ["learning_rate", "inf"]),
        (lambda: gx.adam(0.1, b1=1.0), ["adam: b1 must be in [0, 1), got 1.0"]),
        (lambda: gx.adam(0.1, b2=-0.1), ["adam: b2 must be in [0, 1), got -0.1"]),
        (lambda: gx.adam(0.1, eps=-1e-8), ["adam: eps", "-1e-08"]),
        (lambda: gx.adam(0.1, eps_root=-1.0), ["adam: eps_root"]),
        (lambda: gx.adamw(0.1, weight_decay=-1.0), ["adamw: weight_decay"]),
        (lambda: gx.rmsprop(0.1, decay=1.5), ["rmsprop: decay must be in [0, 1], got 1.5"]),
        (lambda: gx.rmsprop(0.1, initial_scale=-1.0), ["rmsprop: initial_scale"]),
        (lambda: gx.clip(-1.0), ["clip: max_delta must be in [0, inf], got -1"]),
        (lambda: gx.clip_by_global_norm(float("nan")), ["clip_by_global_norm: max_norm", "nan"]),
        (lambda: gx.sgd(gx.tunable(-1.0)), ["sgd: learning_rate", "-1"]),
        (lambda: gx.sgd(jnp.asarray(-1.0)), ["learning_rate", "-1"]),
        (lambda: gx.sgd(np.float64(-1.0)), ["learning_rate", "-1"]),
        (lambda: gx.sgd(0.1, momentum=1.5), ["sgd: momentum must be in [0, 1], got 1.5"]),
        (lambda: gx.sgd(0.1, nesterov=True), ["sgd: nesterov=True has no effect with momentum=None; set momentum"]),
        (lambda: gx.sgd(0.1, momentum=0, nesterov=True), ["sgd: nesterov=True has no effect with momentum=0.0"]),
        (
            lambda: gx.trace(0.9, nesterov=True, dampening=0.1),
            ["trace: dampening=0.1 has no meaning with nesterov=True; leave out one"],
        ),
        (lambda: gx.sgd(0.1, momentum=0.9, momentum_form="ball"), ["momentum_form", "heavy_ball", "'ball'"]),
        (lambda: gx.trace(0.9, momentum_form="velocity"), ["trace: momentum_form must be one of", "'velocity'"]),
        (lambda: gx.adam(0.1, weight_decay=0.1, weight_decay_mode="l2"), ["weight_decay_mode", "coupled", "'l2'"]),
        (lambda: gx.adam(0.1, amsgrad="yes"), ["adam: amsgrad must be one of 'raw', 'corrected', None, got 'yes'"]),
        (lambda: gx.rprop(0.1, eta_minus=0.0), ["rprop: eta_minus must be in (0, 1), got 0"]),
        (lambda: gx.rprop(0.1, eta_plus=1.0), ["rprop: eta_plus must be in (1, inf), got 1"]),
        (lambda: gx.rprop(0.1, min_step_size=1.0, max_step_size=0.1), ["rprop: min_step_size must be at most"]),
        (lambda: gx.ftrl(0.1, learning_rate_power=0.5), ["ftrl: learning_rate_power must be in (-inf, 0], got 0.5"]),
        (
            lambda: gx.adagrad(0.1, learning_rate_decay=-1.0),
            ["adagrad: learning_rate_decay must be in [0, inf), got -1.0"],
        ),
        (lambda: gx.nadam(0.1, momentum_decay=-1.0), ["nadam: momentum_decay must be in [0, inf), got -1"]),
        (lambda: gx.tunable(float("nan")), ["tunable: value", "nan"]),
        (lambda: gx.schedules.linear(0.0, 1.0, -1), ["linear: transition_steps must be in (0, inf), got -1"]),
        (lambda: gx.schedules.cosine_decay(1.0, 0), ["cosine_decay: decay_steps", "got 0"]),
        (lambda: gx.schedules.exponential_decay(1.0, 10, 0.0), ["exponential_decay: decay_rate"]),
        (
            lambda: gx.schedules.warmup_cosine(0.0, 1.0, 20, 10),
            ["warmup_cosine: decay_steps must be greater than warmup_steps=20, got 10"],
        ),
        (lambda: gx.named("", gx.sgd(0.1)), ["non-empty string"]),
        (lambda: gx.chain(gx.named("a", gx.clip(1.0)), gx.named("a", gx.sgd(0.1))), ["two stages are named 'a'"]),
    ],
)
def test_values_out_of_range(make, words):
    with pytest.raises(ValueError) as caught:  # noqa: PT011, the message is checked below
        make()
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: gx.sgd("fast"), ["learning_rate must be a number, a schedule or tunable(number)", "'fast'"]),
        (lambda: gx.sgd(True), ["learning_rate", "True (bool)"]),
        (lambda: gx.sgd(None), ["learning_rate", "None"]),
        (lambda: gx.sgd(jnp.ones(3)), ["learning_rate", "float32[3]"]),
        (lambda: gx.sgd(0.1j), ["learning_rate", "complex"]),
        (lambda: gx.sgd(0.1, momentum=0.9, nesterov=1), ["sgd: nesterov must be True or False, got 1"]),
        (lambda: gx.tunable(lambda step: 0.1), ["tunable: value must be a number"]),
        (lambda: gx.schedules.linear(0.0, lambda s: s, 3), ["linear: end_value must be a number"]),
        (lambda: gx.chain(gx.sgd), ["expected a gradient transformation"]),
        (lambda: gx.chain(0.1), ["expected a gradient transformation", "0.1 (float)"]),
        (lambda: gx.sgd(0.1).init({"f": jnp.tanh}), ["init: the parameter at f", "has no gradient", "eqx.filter"]),
        (lambda: gx.sgd(0.1).init(jax.ShapeDtypeStruct((3,), jnp.float32)), ["jax.eval_shape(tx.init, params)"]),
        (
            lambda: gx.hyperparams(optax.sgd(0.1), None),
            ["hyperparams: the first argument must be a"],
        ),
        (lambda: gx.sgd(0.1).init("text"), ["init: the parameter at the root is 'text' (str)"]),
        (
            lambda: gx.sgd(0.1).update(1.0, optax.EmptyState()),
            ["the state must be the one that init returned", "EmptyState"],
        ),
    ],
)
def test_values_of_the_wrong_kind(make, words):
    with pytest.raises(TypeError) as caught:
        make()
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("make", [lambda x: gx.adam(x, b1=x, b2=x, eps=x), lambda x: gx.clip_by_global_norm(x)])
def test_tracers_pass(make):
    grads = tree(1)

    def run(x):
        return make(x).update(grads, make(x).init(grads), grads)[0]

    jax.jit(run)(2.0)
    jax.vmap(run)(jnp.asarray([0.5, -1.0]))


def test_state_of_another_chain():
    x = jnp.ones(2)
    with pytest.raises(ValueError, match=r"scale_by_adam: .* only \['trace'\]; it was made by another chain"):
        gx.adam(0.1).update(x, gx.sgd(0.1, momentum=0.9).init(x))
    with pytest.raises(ValueError, match=r"scale_by_learning_rate.learning_rate: .*hyperparams"):
        gx.sgd(gx.tunable(0.1)).update(x, gx.sgd(0.1).init(x))
    with pytest.raises(ValueError, match=r"trace: the gradient at the root is float32\[2\].* state's buffer .*\(3,\)"):
        gx.sgd(0.1, momentum=0.9).update(x, gx.sgd(0.1, momentum=0.9).init(jnp.ones(3)))


def test_schedule_that_gives_no_scalar():
    tx = gx.sgd(lambda step: jnp.ones(3))
    with pytest.raises(ValueError, match="schedule of learning_rate must return a scalar"):
        tx.update(jnp.ones(2), tx.init(jnp.ones(2)))


def test_a_slot_cannot_start_from_a_schedule():
    with pytest.raises(TypeError, match="initial_scale must be a number, because a slot starts from it"):
        gx.scale_by_rms(initial_scale=lambda step: 0.1).init(jnp.ones(2))


def test_rules_that_break_their_contract():
    class Forgets(Rule):
        slots = {"m": gx.core.Slot(gx.core.Role.FIRST_MOMENT)}

        def update(self, g, slot, at):
            return g, {}

    tx = as_transformation(Forgets)()
    with pytest.raises(TypeError, match=r"forgets.update must return .* the slots \['m'\]"):
        tx.update(jnp.ones(2), tx.init(jnp.ones(2)))
    with pytest.raises(TypeError, match="scope TREE exactly if it has a measure"):

        class Measures(Rule):
            def measure(self, grads, at):
                return {}

    with pytest.raises(TypeError, match="unknown entries"):

        class Wants(Rule):
            needs = frozenset({"moon"})


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"rounding": "up"}, "rounding must be one of 'nearest', 'stochastic', got 'up'"),
        ({"rounding": "stochastic"}, "rounding='stochastic' needs a PRNG key; give key="),
        ({"key": jax.random.key(0)}, "key has no effect with rounding='nearest'; set rounding, or leave out key"),
    ],
)
def test_rounding(arguments, words):
    tx, x = gx.sgd(0.1), jnp.ones(2)
    with pytest.raises(ValueError, match=words):
        gx.apply_gradients(tx, x, tx.init(x), x, **arguments)
    with pytest.raises(ValueError, match=words):
        gx.apply_updates(x, x, **arguments)


def test_updates_unlike_the_parameters():
    with pytest.raises(ValueError, match=r"apply_updates: the update at w is float32\[2\].*\(3,\)"):
        gx.apply_updates({"w": jnp.ones(3)}, {"w": jnp.ones(2)})
    with pytest.raises(ValueError, match=r"apply_updates: the updates and the parameters have different structures"):
        gx.apply_updates({"w": jnp.ones(3)}, {})


def test_set_hyperparams():
    x = jnp.ones(2)
    tx = gx.chain(gx.clip(gx.tunable(1.0)), gx.adam(gx.tunable(0.1), b1=gx.tunable(0.9)))
    state = tx.init(x)
    for name, words in {
        "learnig_rate": "did you mean learning_rate",
        "b2": "unknown hyperparameter b2; did you mean b1",
        "zzz": "the state has clip.max_delta, scale_by_adam.b1",
    }.items():
        with pytest.raises(ValueError, match=words):
            gx.set_hyperparams(tx, state, **{name: 0.1})
    with pytest.raises(ValueError, match=r"is not in this state; construct the chain with learning_rate=gx.tunable"):
        gx.set_hyperparams(gx.sgd(0.1), gx.sgd(0.1).init(x), learning_rate=0.1)
    twice = gx.chain(gx.clip(gx.tunable(1.0)), gx.clip(gx.tunable(2.0)))
    with pytest.raises(ValueError, match=r"is ambiguous; write one of clip\.max_delta, clip_2\.max_delta"):
        gx.set_hyperparams(twice, twice.init(x), max_delta=1.0)
    with pytest.raises(ValueError, match="got nan"):
        gx.set_hyperparams(tx, state, b1=float("nan"))
    with pytest.raises(ValueError, match=r"must have the shape \(\) of its old value, got \(2,\)"):
        gx.set_hyperparams(tx, state, b1=jnp.ones(2))
    with pytest.raises(TypeError, match="must be a number, got 'x'"):
        gx.set_hyperparams(tx, state, b1="x")


def test_calls_without_an_argument_name_the_function():
    with pytest.raises(
        TypeError, match=r"apply_gradients: the argument state is missing; write apply_gradients\(state="
    ):
        gx.apply_gradients(gx.sgd(0.1), jnp.ones(2), params=jnp.ones(2), value=1.0)
    with pytest.raises(TypeError, match="apply_updates: unknown argument roundign; did you mean rounding"):
        gx.apply_updates(jnp.ones(2), jnp.ones(2), roundign="nearest")
    with pytest.raises(TypeError, match=r"stacked: takes 2 positional arguments .* name the others, as in axis=1"):
        gx.stacked("*", gx.clip_by_norm(1.0), 1)


def test_an_array_without_effect_is_refused_only_if_it_is_known_to_differ_from_the_default():
    assert gx.sgd(0.1, dampening=jnp.asarray(0.0)) == gx.sgd(0.1)
    jax.jit(lambda x: gx.sgd(0.1, dampening=x).update(x, gx.sgd(0.1).init(x))[0])(jnp.asarray(0.5))
    with pytest.raises(ValueError, match=r"sgd: dampening=.* has no effect with momentum=None"):
        gx.sgd(0.1, dampening=jnp.asarray(0.5))
