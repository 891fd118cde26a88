"""Chains and schedules as text: calls of gradtx's functions with literals. Nothing else is evaluated."""

import ast
import inspect
import math
import re
import warnings
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

import gradtx as gx
from gradtx.race._errors import InputError, shorten, unknown

V = TypeVar("V")
_LONGEST, _DEEPEST = 10_000, 32
_ESCAPE = r"\\(?:[\\'\"abfnrtv]|[0-7]{1,3}|x[\da-fA-F]{2}|u[\da-fA-F]{4}|U00(?:0[\da-fA-F]|10)[\da-fA-F]{4})"
_STRING = rf"\w{{0,2}}(?:'(?:[^'\\\n\r\ud800-\udfff]|{_ESCAPE})*'|\"(?:[^\"\\\n\r\ud800-\udfff]|{_ESCAPE})*\")"
_NUMBER = r"(?:\d(?:_?\d){0,307}(?:\.(?:\d(?:_?\d)*)?)?|\.\d(?:_?\d)*)(?:[eE][+-]?\d+)?(?![\d_.])"
_VALUE, _MARKS = rf"(?:{_STRING}|{_NUMBER}|[A-Za-z_]\w*)(?u:\s)*", r"(?:[][(){},:=.-](?u:\s)*)+"
_READABLE = re.compile(rf"(?:{_MARKS})?(?:{_VALUE}{_MARKS})*(?:{_VALUE})?", re.ASCII)
_ROOT: dict[str, Callable[..., object]] = {
    name: value
    for name, value in vars(gx).items()
    if inspect.isfunction(value) and inspect.signature(value).return_annotation in ("Transformation", gx.Transformation)
} | {"matrices_only": gx.matrices_only, "tunable": gx.tunable}
_SCHEDULES = {name: value for name, value in vars(gx.schedules).items() if name.islower() and inspect.isclass(value)}
_MODULES = {"": _ROOT | _SCHEDULES, "gx": _ROOT, "gradtx": _ROOT}
_MODULES |= dict.fromkeys(("schedules", "gx.schedules", "gradtx.schedules"), _SCHEDULES)


def parse(text: str, kind: type[V]) -> V:
    """Return the transformation or the schedule that `text` makes. An `InputError` gives the column of a fault."""
    if len(text) > _LONGEST:
        raise InputError(f"{shorten(text)} has {len(text)} characters; at most {_LONGEST} are read")
    reader = _Reader(text.strip())
    value = reader.result()
    if not isinstance(value, kind):
        reader.fail(0, f"expected a {kind.__name__.lower()}, found {shorten(repr(value))}")
    return value


class _Reader:
    """A text, and `end`: the column at which its words and marks stop to be those of a chain."""

    def __init__(self, text: str):
        self.text, readable = text, _READABLE.match(text)
        self.end = readable.end() if readable else 0

    def fail(self, start: int, message: str) -> NoReturn:
        raise InputError(f"{shorten(self.text)}, column {start + 1}: {message}")

    def unexpected(self, start: int, expected: str = "a call of gradtx's functions with literals") -> NoReturn:
        text = self.text[start:].lstrip()
        word = re.findall(r"\w+|[\s\S]|$", text, re.ASCII)[0]
        reason = f"expected {expected}, found {shorten(word) if word else 'the end'}"
        if not word.isascii() or not re.match(r"[]\w[(){},:=.'\"-]|$", word):  # which may look like ASCII
            reason = f"unexpected {word!r}" + f" (U+{ord(word):04X})" * (not word.isascii())
        elif word in ("'", '"') and not re.match(_STRING, text):
            reason = f"unexpected {word!r}: the string has no end, or escapes that Python does not read"
        elif word[:1].isdecimal() and not re.match(_NUMBER, text, re.ASCII):
            number = re.findall(r"[\w.]+", text)[0]
            reason = f"{shorten(number)} is not a finite number"
        self.fail(len(self.text) - len(text), reason)

    def result(self) -> Any:
        """Evaluate the text from left to right, as far as its readable part goes."""
        depth = 0
        for part in re.finditer(rf"{_STRING}|(?<!\w)\w*[([{{]|[])}}]", self.text):
            depth += (part[0][-1] in "([{") - (part[0] in ")]}")
            if depth > _DEEPEST:
                self.fail(part.start(), f"nested more than {_DEEPEST} deep")
        # Python's columns are bytes, so its parser gets ASCII. It also gets `name|value` for `name=value`, because
        # it reports an argument after a named one only at the end of the call.
        line = re.sub(r"\s", " ", self.text).encode("ascii", "replace").decode()
        try:
            with warnings.catch_warnings(action="ignore"):
                tree = ast.parse(re.sub("(?<!:)=", "|", line), mode="eval")
            value = self.value(tree.body)
        except (MemoryError, RecursionError):  # a long row of signs or calls
            self.fail(0, f"nested more than {_DEEPEST} deep")
        except SyntaxError as error:
            start = max(error.offset or 0, 1) - 1
            if self.end < len(line):
                self.unexpected(self.end)
            if "never closed" in error.msg:
                self.unexpected(self.end, f"',' or '{')]}'['([{'.index(line[start])]}'")
            self.unexpected(start)
        return value if self.end == len(line) else self.unexpected(self.end)

    def value(self, node: ast.expr) -> Any:
        """Evaluate a node of the syntax tree."""
        start, end = node.col_offset, node.end_col_offset or 0
        code = re.sub(r"\s", " ", self.text[start:end])
        if start >= self.end or (isinstance(node, ast.Constant) and end > self.end):
            self.unexpected(self.end)
        match node:
            case ast.Constant(value=None | bool() | str()):
                return ast.literal_eval(self.text[start:end])
            case (
                ast.Constant(value=int() | float() as number)
                | ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number))
            ) if not isinstance(number, bool):
                if math.isfinite(number):
                    return ast.literal_eval(code)
                self.fail(start, f"{shorten(code)} is not a finite number")
            case ast.Tuple(elts=elements):
                return tuple(map(self.value, elements))
            case ast.List(elts=elements):
                return list(map(self.value, elements))
            case ast.Dict(keys=keys, values=values):
                for key in keys:
                    if not (isinstance(key, ast.Constant) and isinstance(key.value, str)):
                        self.unexpected(key.col_offset if key else self.end, "a string")
                return {self.value(key): self.value(value) for key, value in zip(keys, values, strict=True) if key}
            case ast.Name() | ast.Attribute() if function := self.function(node):
                if function is gx.matrices_only:  # a mask, which gradtx calls
                    return function
                self.fail(start, f"{code} is to be called, as in {code}(...)")
            case ast.Call(func=name) if (function := self.function(name)) and function is not gx.matrices_only:
                return self.call(node, function)
            case ast.Attribute(value=owner, attr=name):
                return self.attribute(self.value(owner), name, end - len(name))
            case (
                ast.BinOp(left=first) | ast.BoolOp(values=[first, *_]) | ast.Call(func=first) | ast.Compare(left=first)
                | ast.GeneratorExp(elt=first) | ast.IfExp(body=first) | ast.ListComp(elt=first)
                | ast.NamedExpr(target=first) | ast.Set(elts=[first, *_]) | ast.Subscript(value=first)
            ):  # fmt: skip
                self.value(first)
                self.unexpected(first.end_col_offset or 0)
        return self.unexpected(start)

    def function(self, node: ast.expr) -> Callable[..., object] | None:
        """Return the function that a node names, or None if the node is not a name."""
        code = self.text[node.col_offset : node.end_col_offset]
        module, _, name = code.rpartition(".")
        if re.fullmatch(r"[\w.]+", code) and name not in _MODULES.get(module, {}):
            self.fail(node.col_offset, unknown("name", code, _MODULES[""]))
        return _MODULES.get(module, {}).get(name)

    def call(self, node: ast.Call, function: Callable[..., object]) -> Any:
        """Call the function that a node names, with the arguments of the node."""
        code = self.text[node.func.col_offset : node.func.end_col_offset]
        signature, positional, named = inspect.signature(function), [], {}
        opening = self.text.find("(", node.func.end_col_offset)
        for argument in node.args:
            before = self.text[: argument.col_offset].rstrip()
            match argument:
                case ast.BinOp(left=ast.Name(id=keyword), op=ast.BitOr(), right=value) if (
                    before[-1] == "," or len(before) == opening + 1  # not in brackets
                ):
                    if keyword not in signature.parameters:
                        message = unknown(f"argument of {code}", keyword, signature.parameters)
                        self.fail(argument.col_offset, message)
                    if keyword in named:
                        self.fail(argument.col_offset, f"the argument {keyword} is given twice")
                    named[keyword] = self.value(value)
                case _ if named:
                    self.unexpected(argument.col_offset, "an argument with a name, as the one before has")
                case _:
                    positional.append(self.value(argument))
        if (node.end_col_offset or 0) > self.end:
            self.unexpected(self.end)
        try:
            signature.bind(*positional, **named)  # its errors name no class
            return function(*positional, **named)
        except (TypeError, ValueError, ArithmeticError) as error:
            self.fail(node.col_offset, f"{code}(...): {error}")

    def attribute(self, owner: object, name: str, start: int) -> Any:
        """Return an attribute that is another schedule: the one that goes with a schedule."""
        is_schedule = isinstance(owner, gx.schedules.Schedule)
        names = [key for key, value in inspect.getmembers(type(owner)) if is_schedule and isinstance(value, property)]
        if name not in names:
            what = f"attribute of {shorten(repr(owner))}"
            self.fail(start, unknown(what, name, names) if names else f"there is no {what}")
        return getattr(owner, name)
