"""Chains and schedules as text: names of gradtx and literals, made by a parser that can do nothing else."""

import ast
import inspect
import math
import re
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

import gradtx as gx
from gradtx.race._errors import InputError, shorten, unknown

_TOKEN = re.compile(
    r"""(?P<number>(\d[\d_]*(\.[\d_]*)?|\.\d[\d_]*)([eE][+-]?\d+)?)
    |(?P<string>'([^'\\\n]|\\.)*'|"([^"\\\n]|\\.)*")
    |(?P<name>[A-Za-z_]\w*(\.[A-Za-z_]\w*)*)
    |(?P<mark>[][(){},:=.-])""",
    re.VERBOSE | re.ASCII,
)
_LONGEST, _DEEPEST = 10_000, 32
_CONSTANTS = {"None": None, "True": True, "False": False}
_ROOT: dict[str, Callable[..., Any]] = {
    name: value
    for name, value in vars(gx).items()
    if inspect.isfunction(value) and inspect.signature(value).return_annotation in ("Transformation", gx.Transformation)
} | {"matrices_only": gx.matrices_only, "tunable": gx.tunable}
_SCHEDULES = {name: value for name, value in vars(gx.schedules).items() if name.islower() and inspect.isclass(value)}
_NAMESPACES = {
    "": _ROOT | _SCHEDULES,
    **dict.fromkeys(("gx", "gradtx"), _ROOT),
    **dict.fromkeys(("schedules", "gx.schedules", "gradtx.schedules"), _SCHEDULES),
}


def parse_chain(text: str) -> gx.Transformation:
    """The transformation that `text` makes, as `repr` prints it.

    Raises:
        InputError: it is anything but calls of gradtx's functions with literals, or gradtx refuses an argument.
    """
    return _Parser(text).result(gx.Transformation, "transformation")


def parse_schedule(text: str) -> gx.schedules.Schedule:
    """The schedule that `text` makes; raises the same."""
    return _Parser(text).result(gx.schedules.Schedule, "schedule")


class _Token(NamedTuple):
    kind: str
    text: str
    start: int


class _Parser:
    """Recursive descent: a method for each construct, which takes its tokens and gives its value."""

    def __init__(self, text: str):
        self.text = text
        if len(text) > _LONGEST:
            raise InputError(f"{shorten(text)} has {len(text)} characters; at most {_LONGEST} are read")
        self.depth = start = 0
        tokens = []
        while start < len(text):
            if text[start].isspace():
                start += 1
                continue
            found = _TOKEN.match(text, start)
            if found is None:
                code = "" if text[start].isascii() else f" (U+{ord(text[start]):04X})"  # which may look like ASCII
                self.fail(start, f"unexpected {text[start]!r}{code}")
            tokens.append(_Token(str(found.lastgroup), found.group(), start))
            start = found.end()
        self.tokens = [*tokens, _Token("end", "", start)][::-1]

    def fail(self, at: "_Token | int", message: str) -> NoReturn:
        start = at if isinstance(at, int) else at.start
        raise InputError(f"{shorten(self.text)}, column {start + 1}: {message}")

    def unexpected(self, token: _Token, expected: str) -> NoReturn:
        found = "the end" if token.kind == "end" else shorten(token.text)
        self.fail(token, f"expected {expected}, found {found}")

    def next_is(self, mark: str) -> bool:
        """Take the next token if it is `mark`."""
        if self.tokens[-1].text != mark or self.tokens[-1].kind != "mark":
            return False
        self.tokens.pop()
        return True

    def result(self, kind: type, what: str) -> Any:
        value = self.value()
        if self.tokens[-1].kind != "end":
            self.unexpected(self.tokens[-1], "the end")
        if not isinstance(value, kind):
            self.fail(0, f"expected a {what}, found {shorten(repr(value))}")
        return value

    def value(self) -> Any:
        token = self.tokens.pop()
        self.depth += 1
        if self.depth > _DEEPEST:
            self.fail(token, f"nested more than {_DEEPEST} deep")
        if token.kind == "name":
            value = self.named(token)
        elif token.text == "-" and self.tokens[-1].kind == "number":
            value = -self.number(self.tokens.pop())
        elif token.kind == "number":
            value = self.number(token)
        elif token.kind == "string":
            value = self.string(token)
        elif token.text == "(":
            value, commas = self.items(")", self.value)
            value = value[0] if len(value) == 1 and not commas else tuple(value)
        elif token.text == "[":
            value, _ = self.items("]", self.value)
        elif token.text == "{":
            value = dict(self.items("}", self.pair)[0])
        else:
            self.unexpected(token, "a name, a number, a string or a bracket")
        self.depth -= 1
        while self.next_is("."):
            value = self.attribute(value)
        return value

    def items(self, close: str, item: Callable[[], Any]) -> tuple[list[Any], int]:
        """What stands before the bracket that closes, and how many commas."""
        found: list[Any] = []
        commas = 0
        while not self.next_is(close):
            if len(found) > commas:
                if not self.next_is(","):
                    self.unexpected(self.tokens[-1], f"',' or '{close}'")
                commas += 1
            else:
                found.append(item())
        return found, commas

    def pair(self) -> tuple[Any, Any]:
        token = self.tokens.pop()
        if token.kind != "string":
            self.unexpected(token, "a string")
        if not self.next_is(":"):
            self.unexpected(self.tokens[-1], "':'")
        return self.string(token), self.value()

    def number(self, token: _Token) -> int | float:
        try:
            value = (float if re.search("[.eE]", token.text) else int)(token.text)
            finite = math.isfinite(value)
        except (ValueError, OverflowError):  # such as 1__0; or more digits than Python reads or a float holds
            finite = value = False
        return value if finite else self.fail(token, f"{shorten(token.text)} is not a finite number")

    def string(self, token: _Token) -> str:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                return ast.literal_eval(token.text)
        except (SyntaxError, ValueError, Warning):
            self.fail(token, f"{shorten(token.text)} has escapes that Python does not read")

    def named(self, token: _Token) -> Any:
        if token.text in _CONSTANTS:
            return _CONSTANTS[token.text]
        prefix, _, name = token.text.rpartition(".")
        function = _NAMESPACES.get(prefix, {}).get(name)
        if function is None:
            self.fail(token, unknown("name", token.text, _NAMESPACES[""]))
        if function is gx.matrices_only:  # a mask, which parameters are given to
            return function
        if not self.next_is("("):
            self.fail(token, f"{token.text} is to be called, as in {token.text}(...)")
        return self.call(function, token)

    def call(self, function: Callable[..., Any], token: _Token) -> Any:
        signature = inspect.signature(function)
        given: dict[str, Any] = {}

        def argument() -> list[Any]:
            if len(self.tokens) < 2 or self.tokens[-2].text != "=" or self.tokens[-1].kind != "name":
                if given:
                    self.unexpected(self.tokens[-1], "an argument with a name, as the one before has")
                return [self.value()]
            name = self.tokens.pop()
            if name.text not in signature.parameters:
                self.fail(name, unknown(f"argument of {token.text}", name.text, signature.parameters))
            if name.text in given:
                self.fail(name, f"the argument {name.text} is given twice")
            self.tokens.pop()
            given[name.text] = self.value()
            return []

        positional = [value for values in self.items(")", argument)[0] for value in values]
        try:
            signature.bind(*positional, **given)  # whose complaints do not tell of classes
            return function(*positional, **given)
        except (TypeError, ValueError, ArithmeticError) as error:
            self.fail(token, f"{token.text}(...): {error}")

    def attribute(self, value: Any) -> Any:
        """The one that schedules have: another schedule that goes with them."""
        token, properties = self.tokens.pop(), []
        if isinstance(value, gx.schedules.Schedule):
            properties = [name for name, _ in inspect.getmembers(type(value), lambda x: isinstance(x, property))]
        if token.text not in properties:
            what = f"attribute of {shorten(repr(value))}"
            self.fail(token, unknown(what, token.text, properties) if properties else f"there is no {what}")
        return getattr(value, token.text)
