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
    "gx.techniques": gx.techniques,
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
VOCABULARY = {
    "learning_rate",
    "b1",
    "b2",
    "eps",
    "eps_root",
    "eps_inside_sqrt",
    "eps_inside_max",
    "decay",
    "depth",
    "momentum",
    "nesterov",
    "weight_decay",
    "mask",
    "key",
    "max_norm",
    "max_delta",
    "clipping",
    "eta",
    "gamma",
    "output_last",
    "initial_scale",
    "initial_accumulator_value",
    "bias_correction",
    "flip_sign",
    "eps_hat",
    "amsgrad",
    "centered",
    "momentum_form",
    "momentum_decay",
    "dampening",
    "weight_decay_mode",
    "cautious",
    "after",
    "learning_rate_decay",
    "learning_rate_power",
    "threshold",
    "eta_minus",
    "eta_plus",
    "min_step_size",
    "max_step_size",
    "l1",
    "l2",
    "l2_shrinkage",
    "beta",
    "lambd",
    "first",
    "second",
    "t0",
    "schedule",
    "value",
    "init_value",
    "end_value",
    "peak_value",
    "transition_steps",
    "transition_begin",
    "decay_rate",
    "decay_steps",
    "warmup_steps",
    "staircase",
    "alpha",
    "exponent",
    "power",
    "cycle",
    "values",
    "boundaries",
    "boundary",
    "kind",
    "schedules",
    "steps",
    "min_value",
    "steps_per_epoch",
    "stable_steps",
    "periodic",
    "first_steps",
    "t_mul",
    "m_mul",
    "factor",
    "patience",
    "rtol",
    "atol",
    "cooldown",
    "accumulation_size",
    "mode",
    "counting",
    "relative_to",
    "min_change",
    "name",
    "at",
    "up_steps",
    "down_steps",
    "pct_start",
    "pct_final",
    "phases",
    "div_factor",
    "final_div_factor",
    "base_momentum",
    "max_momentum",
    "knots",
}
IMPORTS = {  # the floors: a folder imports from those below it, and `_tools` is below all
    "_tools": set(),
    "core": {"_tools"},
    "conditioning": {"_tools", "core"},
    "derivative_free": {"_tools", "core"},
    "inputs": {"_tools", "core"},
    "schedules": {"_tools", "core"},
    "techniques": {"_tools", "core", "conditioning", "schedules"},
    "states": {"_tools", "core"},
    "wrappers": {"_tools", "core"},
    "interop": {"_tools", "core", "conditioning", "techniques", "schedules", "inputs"},
    "inspection": {"_tools", "core", "states"},
    "race": {"", "_tools", "inspection"},
}


def _techniques():
    """Public functions that make a transformation: all but the verbs of the core and of inspection."""
    names = sorted(set(dir(gx)) - set(dir(gx.core)) - set(dir(gx.inspection)))
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
    assert inspect.getdoc(thing), thing
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
    assert set(inspect.signature(thing).parameters) <= VOCABULARY


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
    rules = [r for r in Rule.__subclasses__() if r.__module__.startswith("gradtx.")]
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


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_files_are_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 350


def test_core_is_small():
    """What a transformation is must fit in a reader's head: the floor below it holds what is not about optimisation."""
    assert sum(len(p.read_text(encoding="utf-8").splitlines()) for p in (ROOT / "core").glob("*.py")) <= 2000
