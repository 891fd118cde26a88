"""The public names: each documented, in one place, in the common vocabulary, in the table of cases."""

import ast
import dataclasses
import inspect
import re
from pathlib import Path

import pytest

import gradtx as gx
import gradtx.interop.grain
import gradtx.interop.keras
import gradtx.interop.sklearn
import gradtx.interop.torch
from gradtx.core import Rule, Transformation
from tests.cases import CASES

ROOT = Path(gx.__file__).parent
NAMESPACES = {
    "gx": gx,
    "gx.inputs": gx.inputs,
    "gx.inspection": gx.inspection,
    "gx.schedules": gx.schedules,
    "gx.core": gx.core,
    "gx.conditioning": gx.conditioning,
    "gx.derivative_free": gx.derivative_free,
    "gx.averaging": gx.averaging,
    "gx.states": gx.states,
    "gx.techniques": gx.techniques,
    "gx.views": gx.views,
    "gx.wrappers": gx.wrappers,
    "gx.interop.torch": gradtx.interop.torch,
    "gx.interop.keras": gradtx.interop.keras,
    "gx.interop.sklearn": gradtx.interop.sklearn,
    "gx.interop.grain": gradtx.interop.grain,
}
PUBLIC = [
    pytest.param(getattr(module, name), id=f"{prefix}.{name}")
    for prefix, module in NAMESPACES.items()
    for name in dir(module)
    if not name.startswith("_") and not inspect.ismodule(getattr(module, name))
]
# One meaning for each word that several techniques or schedules share. Other words belong to one file each.
GLOSSARY = {
    "learning_rate": "η, the size of a step",
    "b1": "decay rate of the average of gradients",
    "b2": "decay rate of the average of their squares",
    "eps": "ε, added to a divisor",
    "eps_hat": "whether ε is added to an uncorrected root",
    "eps_inside_sqrt": "whether ε is under the root",
    "decay": "decay rate of an average, or of layers",
    "initial_accumulator_value": "a sum of squares before the first step",
    "momentum": "β, the decay rate of momentum",
    "momentum_form": "what the buffer of momentum is",
    "nesterov": "whether momentum looks ahead",
    "dampening": "δ, by which momentum damps a gradient",
    "weight_decay": "λ",
    "weight_decay_mode": "where λ·θ goes",
    "mask": "a selector of the parameters that decay",
    "max_norm": "the bound on a norm",
    "inner": "the transformation that a wrapper holds",
    "every": "the number of steps between two of something",
    "start": "the number of steps before something begins",
    "name": "a name in the state",
    "schedule": "a function from step to value",
    "value": "a constant, or a metric",
    "init_value": "the first value",
    "end_value": "the last value",
    "peak_value": "the largest value",
    "min_value": "the least value",
    "transition_steps": "the steps over which a value changes",
    "transition_begin": "the step at which a value starts to change",
    "decay_steps": "the steps until the last value",
    "decay_rate": "the factor, or the rate, of a decay",
    "warmup_steps": "the steps until the peak",
    "steps": "a number of steps",
    "boundaries": "the steps at which pieces end",
    "staircase": "whether a value changes in jumps",
    "exponent": "a power",
    "kind": "the shape of an interpolation",
    "factor": "a factor of a value",
    "mode": "min or max",
    "first": "the first of two",
    "second": "the second of two",
}
OWN = {  # file → its own words
    "_accumulate": {"reduce", "weights"},
    "_adam": {"eps_root", "amsgrad"},
    "_adamax": {"eps_inside_max"},
    "_adagrad": {"learning_rate_decay"},
    "_adaptive_clipping": {"clipping"},
    "_noise": {"eta", "gamma", "key"},
    "_asgd": {"lambd", "alpha", "t0"},
    "_centralization": {"output_last"},
    "_clipping": {"max_delta"},
    "_weight_decay": {"after", "cautious"},
    "_conditionally_mask": {"should_transform_fn", "forward_extra_args"},
    "_ema_params": {"warmup", "debias"},
    "_ftrl": {"learning_rate_power", "l1", "l2", "l2_shrinkage", "beta"},
    "_layerwise_decay": {"depth"},
    "_learning_rate": {"flip_sign"},
    "_outer_step": {"outer", "axis_name", "fast_optimizer", "sync_period", "slow_step_size"},
    "_nadam": {"momentum_decay"},
    "_radam": {"threshold"},
    "_rmsprop": {"initial_scale", "centered", "bias_correction"},
    "_rprop": {"eta_minus", "eta_plus", "min_step_size", "max_step_size"},
    "_scale": {"step_size"},
    "_skip_nonfinite": {"max_consecutive", "spike"},
    "_switch": {"at"},
    "_cosine": {"alpha", "periodic"},
    "_restarts": {"first_steps", "t_mul", "m_mul", "alpha"},
    "_cyclic": {"up_steps", "down_steps", "base_momentum", "max_momentum"},
    "_combine": {"schedules", "steps_per_epoch", "total_steps"},
    "_one_cycle": {
        "base_momentum",
        "max_momentum",
        "pct_start",
        "pct_final",
        "phases",
        "div_factor",
        "final_div_factor",
        "knots",
    },
    "_pieces": {"boundary", "values"},
    "_powers": {"power", "cycle"},
    "_plateau": {
        "patience",
        "rtol",
        "atol",
        "cooldown",
        "accumulation_size",
        "counting",
        "relative_to",
        "min_change",
    },
    "_warmup": {"stable_steps", "skip_init_value"},
}
IMPORTS = {  # the floors: a folder imports from those below it, and `_tools` is below all
    "_tools": set(),
    "core": {"_tools"},
    "views": {"_tools", "core"},
    "conditioning": {"_tools", "core", "views"},
    "derivative_free": {"_tools", "core"},
    "inputs": {"_tools", "core"},
    "schedules": {"_tools", "core"},
    "techniques": {"_tools", "core", "conditioning", "schedules", "states"},
    "averaging": {"_tools", "core", "techniques"},
    "states": {"_tools", "core"},
    "wrappers": {"_tools", "core", "conditioning"},
    "interop": {"_tools", "core", "views", "conditioning", "techniques", "schedules", "inputs"},
    "inspection": {"_tools", "core", "states"},
    "race": {"", "_tools", "inspection"},
}


def _techniques():
    """Public functions that make a transformation: all but the verbs of the core and of inspection."""
    names = sorted(
        set(dir(gx)) - set(dir(gx.core)) - set(dir(gx.inspection)) - set(dir(gx.views)) - {"identity", "monitor"}
    )
    functions = {n: getattr(gx, n) for n in names if inspect.isfunction(getattr(gx, n))}
    made = {n: inspect.signature(function).return_annotation for n, function in functions.items()}
    return {n: functions[n] for n, kind in made.items() if kind in ("Transformation", Transformation)}


TECHNIQUES = _techniques()
SCHEDULES = {
    n: getattr(gx.schedules, n)
    for n in dir(gx.schedules)
    if n[0].islower() and inspect.isclass(getattr(gx.schedules, n))
}


@pytest.mark.parametrize("thing", PUBLIC)
def test_every_public_name_is_documented(thing):
    if not (inspect.isclass(thing) or inspect.isfunction(thing)):
        pytest.skip("a type alias carries its words in the source")
    doc = inspect.getdoc(thing)
    assert re.match(r"(A|[A-Za-z][\w'.-]+),? \S", doc), f"the docstring does not open with words: {doc[:60]!r}"
    assert not re.match(r"\S+ [=≥≤~] ", doc), f"the docstring opens with an equation: {doc[:60]!r}"
    if inspect.isfunction(thing):
        arguments = [
            p for p in inspect.signature(thing).parameters if p not in ("args", "kwargs", "extra_args", "values")
        ]
        if thing.__name__ in TECHNIQUES:
            for argument in arguments:
                assert re.search(rf"\b{argument}: ", thing.__doc__), f"{thing.__name__} does not explain {argument}"


@pytest.mark.parametrize("name", TECHNIQUES)
def test_every_technique_has_a_case(name):
    assert name in {case.make.__name__ for case in CASES}
    assert isinstance(next(c for c in CASES if c.make.__name__ == name).tx(), Transformation)


@pytest.mark.parametrize("name", [*TECHNIQUES, *SCHEDULES])
def test_arguments_are_of_the_vocabulary(name):
    thing = TECHNIQUES.get(name) or SCHEDULES[name]
    own = OWN.get(thing.__module__.rpartition(".")[2], set())
    assert set(inspect.signature(thing).parameters) <= GLOSSARY.keys() | own


def test_the_vocabulary_is_small():
    assert len(GLOSSARY) <= 40
    assert not set().union(*OWN.values()) & GLOSSARY.keys()


@pytest.mark.parametrize("name", TECHNIQUES)
def test_techniques_name_their_source_or_their_rule(name):
    doc = inspect.getdoc(TECHNIQUES[name])
    assert re.search(r"arXiv:\d{4}\.\d{4,5}|Source|See `|optax", doc)


SCALERS = ("standardize", "min_max", "max_abs", "robust")


@pytest.mark.parametrize("name", SCALERS)
def test_scalers_explain_the_arguments_they_share(name):
    scaler = getattr(gx.inputs, name)
    assert list(inspect.signature(scaler).parameters)[-2:] == ["missing", "axis_name"]
    for argument in inspect.signature(scaler).parameters:
        assert re.search(rf"\b{argument}: ", scaler.__doc__), f"{name} does not explain {argument}"


def test_no_name_has_two_paths():
    """What the root exports is what the namespace below defines, and schedules are in their namespace alone."""
    assert not set(SCHEDULES) & set(dir(gx))
    ids = [id(getattr(gx, n)) for n in dir(gx) if not n.startswith("_")]
    assert len(ids) == len(set(ids))


def test_rules_have_the_names_of_their_functions():
    rules = [r for r in Rule.__subclasses__() if r.__module__.startswith("gradtx.") and r.label not in dir(gx.views)]
    assert {r.label for r in rules} <= set(dir(gx))
    for rule in rules:
        fields = [f.name for f in dataclasses.fields(rule)]
        arguments = list(inspect.signature(getattr(gx, rule.label)).parameters)
        assert [a for a in arguments if a in fields] == fields
        assert set(arguments) - set(fields) <= {"mask"}  # short for `only`


@pytest.mark.parametrize("folder", IMPORTS)
def test_imports_go_one_way(folder):
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                top, _, rest = (name or "").partition(".")
                if top == "gradtx":
                    target = rest.partition(".")[0]
                    assert target in IMPORTS[folder] | {folder}, f"{path.name} imports {name}"
                    private = rest.partition(".")[2].startswith("_")
                    assert target == folder or not private, f"{path.name} imports {name}, a file of another folder"


def test_every_folder_is_in_the_rule_about_imports():
    assert {p.name for p in ROOT.iterdir() if (p / "__init__.py").exists()} == set(IMPORTS)


FUNCTIONS = [
    pytest.param(node, id=f"{path.relative_to(ROOT)}:{node.name}")
    for path in sorted(ROOT.rglob("*.py"))
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    if isinstance(node, ast.FunctionDef)
]


def _parameters(node):
    arguments = node.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return [a for a in named if a.arg not in ("self", "cls")]


@pytest.mark.parametrize("node", FUNCTIONS)
def test_functions_are_not_dense(node):
    """At most eight parameters, unless they are a public constructor's hyperparameters, and four comprehensions."""
    public = not node.name.startswith("_") and ast.get_docstring(node)
    assert public or len(_parameters(node)) <= 8
    comprehensions = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
    assert sum(isinstance(inner, comprehensions) for inner in ast.walk(node)) <= 4


def test_arguments_are_typed_as_what_they_are():
    annotated = [a for param in FUNCTIONS for a in _parameters(param.values[0]) if a.annotation is not None]
    vague = [a for a in annotated if any(isinstance(n, ast.Name) and n.id == "Any" for n in ast.walk(a.annotation))]
    assert len(vague) <= 0.1 * len(annotated)


def test_core_is_small():
    """What a transformation is must fit in a reader's head: the floor below it holds what is not about optimisation."""
    assert sum(len(p.read_text(encoding="utf-8").splitlines()) for p in (ROOT / "core").glob("*.py")) <= 2000
