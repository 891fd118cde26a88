"""Every pair of arguments of every schedule: what has no effect is an error that names it; and optax's order."""

import inspect
import itertools

import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradtx as gx
from tests.schedules.test_plateau import followed, metrics
from tests.test_surface import SCHEDULES

S = gx.schedules
STEPS = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 5, 5.5, 6, 7, 9, 12, 16, 23, 31], np.float32)
SLOW = np.asarray(300 - 0.0015 * np.arange(240), np.float32)  # between the absolute and the relative threshold
METRICS = np.array([SLOW, *(sign * metrics(seed) for seed in range(1, 9) for sign in (1, -1))])
CURVE = S.linear(0.5, 0.1, 20)
# Legal values by argument, those that switch something off among them; the last is the one for a required argument.
VALUES = {
    "init_value": [0.3],
    "end_value": [None, 0.05],
    "peak_value": [0.7],
    "value": [0.4],
    "min_value": [0.0, 0.03],
    "transition_steps": [1, 5],
    "transition_begin": [0, 3],
    "decay_rate": [1.0, 0.5],
    "staircase": [False, True],
    "decay_steps": [13, 17],
    "alpha": [0.0, 0.2],
    "exponent": [1.0, 2.0],
    "periodic": [False, True],
    "warmup_steps": [0, 4],
    "stable_steps": [0, 3],
    "power": [1.0, 2.0],
    "cycle": [False, True],
    "up_steps": [2, 3],
    "down_steps": [None, 5],
    "base_momentum": [0.0, 0.5],
    "max_momentum": [0.0, 0.8],
    "phases": [2, 3],
    "knots": ["pytorch", "optax"],
    "pct_start": [0.3, 0.5],
    "pct_final": [None, 0.7],
    "div_factor": [25.0, 4.0],
    "final_div_factor": [1e4, 7.0],
    "first_steps": [3, 5],
    "t_mul": [1.0, 2.0],
    "m_mul": [1.0, 0.5],
    "values": [[0.3], [0.3, 0.1], [0.3, 0.1, 0.7]],
    "boundaries": [[], [0], [3, 9]],
    "boundary": ["from", "after"],
    "schedule": [0.6, CURVE],
    "schedules": [[0.2], [0.2, CURVE]],
    "steps": [0, 5],
    "steps_per_epoch": [2, 4],
    "factor": [0.5],
    "first": [CURVE],
    "second": [0.5],
    "total_steps": [32, 64],
    "skip_init_value": [False, True],
    "kind": {
        "cyclic": ["triangular", "triangular2", "exp_range"],
        "one_cycle": ["cosine", "linear"],
        "piecewise_interpolate": ["linear", "cosine"],
        "warmup": ["linear", "exponential"],
        "warmup_stable_decay": ["linear", "cosine", "sqrt"],
    },
    "patience": [0, 2],
    "rtol": [0.0, 0.02],
    "atol": [0.0, 1e-3],
    "cooldown": [0, 2],
    "accumulation_size": [1, 2],
    "min_change": [0.0, 0.02],
    "mode": ["min", "max"],
    "counting": ["pytorch", "keras"],
    "relative_to": ["magnitude", "value"],
}
HERE = {
    ("reduce_on_plateau", "value"): [CURVE, 0.4],
    ("warmup", "init_value"): [0.0, 0.3],
    ("linear", "end_value"): [0.05],
    ("polynomial", "end_value"): [0.05],
    ("warmup_cosine", "end_value"): [0.0, 0.05],
    ("warmup_stable_decay", "end_value"): [0.0, 0.05],
    ("inverse_time_decay", "decay_rate"): [0.0, 0.5],
    ("one_cycle", "transition_steps"): [11, 29],
    ("join", "boundaries"): [[4]],
    ("target", "value"): [-3.2],
}
RESULTS = {}
ROWS = [
    pytest.param(name, b, id=f"{name}-{b}")
    for name, make in SCHEDULES.items()
    for b, parameter in inspect.signature(make).parameters.items()
    if parameter.default is not parameter.empty  # what is required cannot be left out
    and b != "name"  # which changes no value
]


def values(name, argument):
    found = HERE.get((name, argument), VALUES[argument])
    return found[name] if isinstance(found, dict) else found


def complaint(make, arguments):
    try:
        make(**arguments)
    except (ValueError, TypeError) as raised:
        return str(raised)
    return ""


def unchecked(make, arguments):
    """A schedule with arguments that its checks may refuse."""
    defaults = {n: p.default for n, p in inspect.signature(make).parameters.items()}
    record = object.__new__(make)
    record.__dict__.update(defaults | arguments)
    return record


def reference(plateau, metrics):
    """The values of a schedule that follows a metric, after each metric of each row, in float64.

    It is a loop over the evaluations. To compile `followed` for every pair of arguments would take minutes.
    """
    arguments = vars(plateau)
    sign, keras = (1 if arguments["mode"] == "min" else -1), arguments.get("counting") == "keras"
    size = arguments.get("accumulation_size", 1)
    value = arguments.get("value")
    rates = value(np.arange(metrics.shape[1])) if callable(value) else np.full(metrics.shape[1], value, float)
    first = np.full(len(metrics), np.inf)
    if "rtol" not in arguments:  # a target
        reached = sign * (value - metrics) >= 0
        return np.minimum.accumulate(np.where(reached, np.arange(metrics.shape[1]), np.inf), axis=1)
    best, scale = np.full(len(metrics), sign * np.inf), np.ones(len(metrics))
    bad, cooldown, found = np.zeros(len(metrics)), np.zeros(len(metrics)), []
    for step, rate in enumerate(np.asarray(rates, float)):
        if (step + 1) % size == 0:
            metric = metrics[:, step + 1 - size : step + 1].mean(axis=1, dtype=float)
            least = arguments["rtol"] * (best if arguments["relative_to"] == "value" else abs(best)) + arguments["atol"]
            better = sign * (best - metric) > np.where(np.isinf(best), 0, least)
            best, cooling = np.where(better, metric, best), cooldown > 0
            cooldown = np.maximum(cooldown - 1, 0)
            bad = np.where(better | (cooldown > 0 if keras else cooling), 0, np.where(cooling, 0, bad) + 1)
            stopped = bad >= (max(arguments["patience"], 1) if keras else arguments["patience"] + 1)
            bad, cooldown = np.where(stopped, 0, bad), np.where(stopped, arguments.get("cooldown", 0), cooldown)
            first = np.where(stopped, np.minimum(first, step), first)
            if value is not None:
                least = min(rate, arguments["min_value"])
                now, lower = (np.maximum(rate * x, least) for x in (scale, scale * arguments["factor"]))
                scale = np.where(stopped & (now - lower > arguments["min_change"]), scale * arguments["factor"], scale)
        found.append(first if value is None else np.maximum(rate * scale, min(rate, arguments["min_value"])))
    return np.array(found).T


def results(schedule):
    """The values at all steps; those of the momentum too; or those after each of a series of metrics."""
    if (code := repr(schedule)) not in RESULTS:
        if isinstance(schedule, gx.core.Stateful):
            with np.errstate(invalid="ignore"):  # some metrics are NaN
                RESULTS[code] = [reference(schedule, METRICS)]
        else:
            momentum = [schedule.momentum(STEPS)] if hasattr(schedule, "momentum") else []
            RESULTS[code] = [schedule(STEPS), *momentum]
    return RESULTS[code]


@pytest.mark.parametrize(
    "schedule",
    [
        S.plateau(patience=2, counting="keras", mode="max"),
        S.plateau(rtol=0.02, relative_to="value", atol=1e-3, accumulation_size=2),
        S.reduce_on_plateau(CURVE, 0.5, patience=2, cooldown=2, min_value=0.03, min_change=0.02),
        S.reduce_on_plateau(0.4, 0.5, patience=0, cooldown=2, counting="keras", rtol=0.02, mode="max"),
        S.target(-3.2),
        S.target(-3.2, mode="max"),
    ],
    ids=repr,
)
def test_the_reference(schedule):
    with np.errstate(invalid="ignore"):
        expected = reference(schedule, METRICS)
    expected = np.where(np.isinf(expected), np.iinfo(np.int32).max, expected)
    np.testing.assert_allclose(followed(schedule, METRICS), expected, rtol=1e-5)


@pytest.mark.parametrize(("name", "b"), ROWS)
def test_an_argument_without_effect_is_an_error(name, b):
    make = SCHEDULES[name]
    signature = inspect.signature(make).parameters
    defaults = {n: p.default for n, p in signature.items() if p.default is not p.empty}
    base = {n: values(name, n)[-1] for n in signature if n not in defaults}
    others = [(a, va) for a in signature if a not in (b, "name") for va in values(name, a)]
    tried = 0
    for (a, va), vb in itertools.product(others or [(None, None)], values(name, b)):
        arguments = base | ({} if a is None else {a: va})
        if vb == defaults[b] or complaint(make, arguments):
            continue  # a default counts as left out
        with_b, without = results(unchecked(make, arguments | {b: vb})), results(make(**arguments))
        idle = all(np.array_equal(x, y, equal_nan=True) for x, y in zip(with_b, without, strict=True))
        error = complaint(make, arguments | {b: vb})
        assert idle <= bool(error), f"{name}: {b}={vb!r} has no effect with {a}={va!r}, and is accepted"
        if error:
            assert error.startswith(f"{name}: "), error
            assert b in error, error
        tried += 1
    assert tried


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: S.exponential_decay(0.1, 10, 1.0, staircase=True),
            "exponential_decay: staircase=True has no effect with decay_rate=1, which changes nothing",
        ),
        (
            lambda: S.exponential_decay(0.1, 10, 1.0, 5),
            "exponential_decay: transition_begin=5 has no effect with decay_rate=1, which changes nothing",
        ),
        (
            lambda: S.inverse_time_decay(0.1, 10, 0.0, staircase=True),
            "inverse_time_decay: staircase=True has no effect with decay_rate=0.0; set decay_rate, or leave out",
        ),
        (
            lambda: S.warmup(0.1, 0, init_value=0.01),
            "warmup: init_value=0.01 has no effect with steps=0; set steps, or leave out init_value",
        ),
        (
            lambda: S.warmup(0.1, 0, kind="exponential", init_value=0.1),
            "warmup: init_value=0.1 has no effect with steps=0; set steps, or leave out init_value",
        ),
        (
            lambda: S.piecewise_constant([0.1], [], boundary="after"),
            "piecewise_constant: boundary='after' has no effect without boundaries; leave out boundary",
        ),
        (
            lambda: S.piecewise_interpolate([0.1, 0.2], [0], kind="cosine"),
            "piecewise_interpolate: kind='cosine' has no effect without a boundary after step 0; leave out kind",
        ),
        (
            lambda: S.reduce_on_plateau(0.1, rtol=0.0, relative_to="value"),
            "reduce_on_plateau: relative_to='value' has no effect with rtol=0.0; set rtol, or leave out relative_to",
        ),
        (
            lambda: S.plateau(rtol=0.0, relative_to="value"),
            "plateau: relative_to='value' has no effect with rtol=0.0; set rtol, or leave out relative_to",
        ),
        (
            lambda: S.plateau(patience=0, counting="keras"),
            "plateau: counting='keras' has no effect with patience=0; set patience, or leave out counting",
        ),
        (
            lambda: S.reduce_on_plateau(0.1, patience=0, counting="keras"),
            "reduce_on_plateau: counting='keras' has no effect with patience=0 and cooldown=0; leave out counting",
        ),
        (
            lambda: S.reduce_on_plateau(0.1, min_value=0.1),
            "reduce_on_plateau: min_value must be less than value=0.1, got 0.1; otherwise nothing is ever reduced",
        ),
        (
            lambda: S.warmup_cosine(0.0, 1.0, 10, 10),
            "warmup_cosine: decay_steps must be greater than warmup_steps=10, got 10; decay_steps is the length of the",
        ),
    ],
)
def test_messages(make, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011, the message is compared
        make()
    assert str(caught.value).startswith(message)


def test_a_plateau_has_no_cooldown():
    """Its value is the first step, and what comes after does not count."""
    with pytest.raises(TypeError, match="plateau: unknown argument cooldown; the arguments are patience, "):
        S.plateau(cooldown=3)


LENGTHS = {  # name → the argument that must not be 0, and the call
    "linear": lambda n: S.linear(1.0, 0.5, n, 3),
    "polynomial": lambda n: S.polynomial(1.0, 0.5, 2.0, n, 3),
    "exponential_decay": lambda n: S.exponential_decay(1.0, n, 0.5, 3),
    "inverse_time_decay": lambda n: S.inverse_time_decay(1.0, n, 0.5),
    "power_decay": lambda n: S.power_decay(1.0, n, 0.5),
    "inverse_sqrt": lambda n: S.inverse_sqrt(1.0, n),
    "cosine_decay": lambda n: S.cosine_decay(1.0, n),
    "cyclic": lambda n: S.cyclic(1.0, 0.5, n),
    "per_epoch": lambda n: S.per_epoch(CURVE, n),
}


@pytest.mark.parametrize("name", LENGTHS)
@pytest.mark.parametrize("zero", [0, 0.0, np.int32(0)])
def test_no_steps_are_an_error(name, zero):
    """optax stays at the first value forever, or raises an error. The limit would be the last value."""
    with pytest.raises(ValueError, match=rf"^{name}: .*steps.* must be in \(0, inf\), got .*0.*; write constant"):
        LENGTHS[name](zero)
    with pytest.raises(ValueError, match=r"must be in \(0, inf\), got 1e-40, which float32 rounds to 0"):
        LENGTHS[name](1e-40)


def test_what_optax_does_without_steps():
    for theirs in (
        optax.linear_schedule(1.0, 0.5, 0, 3),
        optax.polynomial_schedule(1.0, 0.5, 2.0, 0, 3),
        optax.exponential_decay(1.0, 0, 0.5, 3),
    ):
        assert [float(theirs(step)) for step in (0, 3, 10)] == [1.0, 1.0, 1.0]
    with pytest.raises(ValueError, match="positive"):
        optax.cosine_decay_schedule(1.0, 0)
    with pytest.raises(ValueError, match="positive"):
        optax.warmup_cosine_decay_schedule(0.0, 1.0, 10, 10)


def test_less_than_one_step():
    np.testing.assert_array_equal(S.linear(1.0, 0.0, 0.5)(jnp.arange(3)), [1.0, 0.0, 0.0])
    np.testing.assert_array_equal(S.linear(1.0, 0.0, 0.5)(jnp.asarray([0.25, 0.375])), [0.5, 0.25])
    np.testing.assert_allclose(S.cosine_decay(1.0, 0.5)(jnp.asarray([0.0, 0.25, 0.5])), [1.0, 0.5, 0.0], atol=1e-7)


PEERS = {
    "constant": optax.constant_schedule,
    "linear": optax.linear_schedule,
    "polynomial": optax.polynomial_schedule,
    "exponential_decay": optax.exponential_decay,
    "cosine_decay": optax.cosine_decay_schedule,
    "warmup_cosine": optax.warmup_cosine_decay_schedule,
    "join": optax.join_schedules,
}


@pytest.mark.parametrize("name", PEERS)
def test_positional_arguments_have_optaxs_order(name):
    theirs = [(p.name, p.default) for p in inspect.signature(PEERS[name]).parameters.values()]
    ours = inspect.signature(SCHEDULES[name]).parameters.values()
    assert [(p.name, p.default) for p in ours if p.kind is not p.KEYWORD_ONLY] == theirs


@pytest.mark.parametrize("name", SCHEDULES)
def test_other_arguments_with_a_default_are_by_name(name):
    follows = {"cyclic": ["down_steps", "kind", "decay_rate"], "cosine_restarts": ["t_mul", "m_mul", "alpha"]}
    follows["reduce_on_plateau"] = ["factor"]  # as in PyTorch's `CyclicLR`, Keras's `CosineDecayRestarts`
    if name in PEERS:
        return
    places = [p for p in inspect.signature(SCHEDULES[name]).parameters.values() if p.kind is not p.KEYWORD_ONLY]
    assert [p.name for p in places if p.default is not p.empty] == follows.get(name, [])
