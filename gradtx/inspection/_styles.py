"""The looks that tell curves apart in every picture."""

from collections.abc import Iterator
from itertools import count
from typing import NamedTuple, TypeAlias

Dashes: TypeAlias = str | tuple[int, tuple[int, ...]]
"""A line style as matplotlib takes it: a name such as "--", or (offset, lengths of dashes and gaps)."""


class Style(NamedTuple):
    """The look of one curve.

    Attributes:
        colour: A hexadecimal colour.
        dashes: Matplotlib's line style.
        marker: Matplotlib's marker.
        width: The width of the line in points.
    """

    colour: str
    dashes: Dashes
    marker: str
    width: float


# Okabe and Ito's colours, which colour-blind readers can tell apart, without the yellow that vanishes on white.
# Dashes and markers tell the curves apart without colours. The widths differ because curves may lie on one another.
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
    """Yields the looks of curves, one after another, without end.

    There are seven colours. When the colours repeat, the dashes and the markers differ, so that 49 looks are distinct.
    The colours are those of Okabe and Ito 2008, "Color Universal Design".

    >>> import gradtx as gx
    >>> looks = gx.inspection.styles()
    >>> next(looks).colour, next(looks).colour
    ('#000000', '#E69F00')
    """
    for i in count():
        pattern = _STYLES[(i + i // len(_STYLES)) % len(_STYLES)]
        yield _STYLES[i % len(_STYLES)]._replace(dashes=pattern.dashes, marker=pattern.marker)
