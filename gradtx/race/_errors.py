"""Errors in the input of a user. Each becomes one line on stderr and exit code 2."""

import difflib
from collections.abc import Iterable


class InputError(Exception):
    """Input that cannot be used. `program` is the name of the command that reports it."""

    def __init__(self, message: str, program: str = "gradtx race"):
        super().__init__(message)
        self.program = program

    def line(self) -> str:
        """Return one line of printable characters, whatever the input contained."""
        text = f"{self.program}: error: {self}"
        return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


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
