"""The names that the text of a chain may use: gradtx's transformations and schedules, with or without their modules."""

import inspect
from typing import Any

import gradtx as gx

SCHEDULES = {name: f for name, f in vars(gx.schedules).items() if name.islower() and inspect.isclass(f)}
FUNCTIONS = {name: inspect.signature(f) for name, f in vars(gx).items() if inspect.isfunction(f)}
ROOT = {name: vars(gx)[name] for name, s in FUNCTIONS.items() if "Transformation" in str(s.return_annotation)}
ROOT |= {"tunable": gx.tunable}
NAMES: dict[str | None, Any] = {**ROOT, **SCHEDULES}
for _module in ("gx.", "gradtx."):
    NAMES |= {f"{_module}{name}": f for name, f in ROOT.items()}
for _module in ("schedules.", "gx.schedules.", "gradtx.schedules."):
    NAMES |= {f"{_module}{name}": f for name, f in SCHEDULES.items()}
MASKS = dict.fromkeys(("matrices_only", "gx.matrices_only", "gradtx.matrices_only"), gx.matrices_only)
NUMBERS = (int, float)  # a bool is none
