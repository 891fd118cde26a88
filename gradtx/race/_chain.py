"""Chains and schedules as text: calls of gradtx's functions with literals. Python parses the text, and runs nothing."""

import ast
import functools
import inspect
from typing import Any

from gradtx.race._errors import fail_at, shorten, unknown
from gradtx.race._names import MASKS, NAMES, NUMBERS, ROOT, SCHEDULES


def parse(text: str, kind: type) -> Any:
    """Return the transformation or the schedule that `text` makes. An `InputError` gives the column of a fault."""
    if len(text) > 10_000:
        fail_at(text, 0, f"the text has {len(text)} characters; at most 10000 are read")
    text = text.strip()
    try:
        compile(text, "", "eval")  # finds an argument that is given twice; the result is never run
        value = _value(text, ast.parse(text, mode="eval").body)
    except (SyntaxError, UnicodeEncodeError, MemoryError, RecursionError) as error:
        fail_at(text, error, getattr(error, "msg", None) or getattr(error, "reason", "nested too deep"))
    return value if isinstance(value, kind) else fail_at(text, 0, f"expected a {kind.__name__.lower()}, got {value!r}")


def _value(text: str, node: Any) -> Any:
    code, read = ast.get_source_segment(text, node) or "", functools.partial(_value, text)
    match node:
        case ast.Constant(value=None | bool() | str()):
            return node.value
        case ast.Constant(value=x) | ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=x)) if type(x) in NUMBERS:
            number = ast.literal_eval(node)
            return number if abs(number) < 2**1023 else fail_at(text, node, f"{shorten(code)} is not a finite number")
        case ast.Tuple(elts=elements) | ast.List(elts=elements):
            return (tuple if isinstance(node, ast.Tuple) else list)(map(read, elements))
        case ast.Dict(keys=keys, values=values) if all(isinstance(getattr(key, "value", None), str) for key in keys):
            return dict(zip(map(read, keys), map(read, values), strict=True))
        case ast.Name() | ast.Attribute() if code in MASKS:
            return MASKS[code]
        case ast.Attribute(value=ast.Call() as owner, attr=name):
            known = [n for n in ("learning_rate", "momentum") if hasattr(read(owner), n)]
            end = node.end_col_offset or 0
            place = ast.Name(name, lineno=node.end_lineno or 1, col_offset=end - len(name.encode()))
            missing = unknown(f"attribute of {shorten(ast.unparse(owner))}", name, known)
            return getattr(read(owner), name) if name in known else fail_at(text, place, missing)
        case ast.Call(func=function) if (name := ast.get_source_segment(text, function)) in NAMES:
            parameters = inspect.signature(NAMES[name]).parameters
            for keyword in (keyword for keyword in node.keywords if keyword.arg not in parameters):
                fail_at(text, keyword, unknown(f"argument of {name}", keyword.arg or "**", parameters))
            named = {str(keyword.arg): read(keyword.value) for keyword in node.keywords}
            try:
                return NAMES[name](*map(read, node.args), **named)
            except (TypeError, ValueError, ArithmeticError) as error:
                fail_at(text, node, f"{name}(...): {error}")
    name = ast.get_source_segment(text, getattr(node, "func", node)) or ""
    if name not in NAMES | MASKS and name.replace(".", "").isidentifier():
        fail_at(text, node, unknown("name", name, ROOT | SCHEDULES))
    return fail_at(text, node, f"expected a call of gradtx's functions with literals, found {shorten(code)}")
