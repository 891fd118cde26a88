"""Errors in the input of a user. Each becomes one line on stderr and exit code 2."""

import ast
import difflib
from collections.abc import Iterable
from typing import NoReturn


class InputError(Exception):
    """Input that cannot be used. `program` is the name of the command that reports it."""

    def __init__(self, message: str, program: str = "gradtx race"):
        super().__init__(message)
        self.program = program

    def line(self) -> str:
        """Return one line of printable characters, whatever the input contained."""
        text = f"{self.program}: error: {self}"
        return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def fail_at(text: str, place: ast.expr | ast.keyword | BaseException | int, message: str) -> NoReturn:
    """Complain about a place in a text: a node of its syntax tree, an error of Python's parser, or a position."""
    line = (getattr(place, "lineno", 1) or 1) - 1
    before, here = text.split("\n")[:line], [*text.split("\n"), ""][line]
    if isinstance(place, ast.expr | ast.keyword):  # in bytes
        start = len(here.encode()[: place.col_offset].decode())
    else:
        start = place if isinstance(place, int) else max(getattr(place, "offset", 1) or 1, 1) - 1
    start = getattr(place, "start", start + sum(len(passed) + 1 for passed in before))
    raise InputError(f"{shorten(text)}, column {start + 1}: {message[:600] if text else 'found the end'}")


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """Return an error text for a name that is not known: the nearest names, then up to 20 known names."""
    known = list(known)
    near = difflib.get_close_matches(name.lower(), known, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    shown = known if len(known) <= 20 else [*known[:20], f"and {len(known) - 20} more"]
    return f"unknown {kind} {shorten(name)}; {hint}known: {', '.join(shown)}"


def shorten(text: str) -> str:
    """Return a quoted text of at most about 120 characters, so that messages stay short."""
    return repr(text if len(text) <= 120 else f"{text[:40]}...{text[-80:]}")
