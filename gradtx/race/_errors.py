"""Errors that are the user's to mend: each becomes one line on stderr and exit code 2."""

import difflib
from collections.abc import Iterable


class InputError(Exception):
    """Input that cannot be used; `program` names the command that says so."""

    def __init__(self, message: str, program: str = "gradtx race"):
        super().__init__(message)
        self.program = program

    def line(self) -> str:
        """One printable line, whatever the input's text contained."""
        text = f"{self.program}: error: {self}"
        return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """Say that there is no such `kind`, with the nearest names first and then all of them."""
    known = list(known)
    near = difflib.get_close_matches(name.lower(), known, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    shown = known if len(known) <= 20 else [*known[:20], f"and {len(known) - 20} more"]
    return f"unknown {kind} {shorten(name)}; {hint}known: {', '.join(shown)}"


def shorten(text: str) -> str:
    """Quote a value of the user's so that the message stays a line."""
    return repr(text if len(text) <= 120 else f"{text[:40]}...{text[-80:]}")
