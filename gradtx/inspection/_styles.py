"""How curves are told apart in every picture."""

from collections.abc import Iterator
from itertools import count
from typing import Any, NamedTuple


class Style(NamedTuple):
    """The look of one curve."""

    colour: str
    dashes: Any
    marker: str
    width: float


# Okabe and Ito's colours, which the colour-blind can tell apart, less the yellow that vanishes on white.
# Dashes and markers tell the curves apart without any colour, and the widths where one curve hides another.
_STYLES = (
    Style("#000000", "-", "o", 2.4),
    Style("#E69F00", "--", "s", 2.2),
    Style("#0072B2", "-.", "^", 2.0),
    Style("#009E73", ":", "D", 2.8),
    Style("#D55E00", (0, (5, 1, 1, 1, 1, 1)), "v", 1.3),
    Style("#CC79A7", (0, (9, 2)), "P", 1.8),
    Style("#56B4E9", (0, (2, 1)), "X", 2.4),
)


def styles() -> Iterator[Style]:
    """The looks of curves, one after another without end. When the colours repeat, their dashes and markers differ."""
    for i in count():
        pattern = _STYLES[(i + i // len(_STYLES)) % len(_STYLES)]
        yield _STYLES[i % len(_STYLES)]._replace(dashes=pattern.dashes, marker=pattern.marker)
