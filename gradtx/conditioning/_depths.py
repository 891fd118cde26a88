"""Which layer a parameter belongs to: told by the user, or read off the numbers in the paths."""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any, TypeAlias

import jax
import numpy as np

from gradtx.core import matches

_NUMBERED = re.compile(r"(.*?)[_.-]?(\d+)")
_INPUT = re.compile(r"(?<![a-z])(?:emb|token|patch|stem|wte|wpe)|(?:^|/)pos(?:$|[^a-z]|emb|enc|ition)", re.IGNORECASE)


class TellsDepth:
    """The kind of a field that tells the depths of parameters."""

    def check(self, where: str, value: Any) -> Any:
        """`value` in a form that hashes."""
        if callable(value):
            return value
        globs = tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else ()
        if globs and all(isinstance(glob, str | re.Pattern) for glob in globs):
            return globs
        raise TypeError(
            f"{where} must be a function from path to depth, or a sequence of globs or compiled regular expressions "
            f"from input to output, got {value!r}"
        )


Depth: TypeAlias = Annotated[Any, TellsDepth()]
"""A function from path to depth, or a sequence of globs."""


def depths(depth: Any, params: Mapping[int, tuple[str, jax.ShapeDtypeStruct]], where: str) -> dict[int, int]:
    """The depth of each parameter, by number."""
    if depth is None:
        return _found(params, where) if params else {}
    if callable(depth):
        return {i: _told(depth(path), path, where) for i, (path, _) in params.items()}
    found = {i: [d for d, glob in enumerate(depth) if matches(glob, *at)] for i, at in params.items()}
    if strays := [params[i][0] for i, fits in found.items() if not fits]:
        raise ValueError(f"{where}: depth has no glob that matches {_listed(strays)}; it has {_listed(depth)}")
    return {i: fits[0] for i, fits in found.items()}


def _told(depth: Any, path: str, where: str) -> int:
    if isinstance(depth, bool) or not isinstance(depth, int | np.integer):
        raise TypeError(f"{where}: depth must give an integer, got {depth!r} for {path!r}")
    if depth < 0:
        raise ValueError(f"{where}: depth must give an integer ≥ 0, got {depth} for {path!r}")
    return int(depth)


def _found(params: Mapping[int, tuple[str, jax.ShapeDtypeStruct]], where: str) -> dict[int, int]:
    """Depths by the first level whose names are numbered: inputs before it, its numbers in order, the rest after it."""
    inside = {i: path.split("/") for i, (path, _) in params.items()}
    beside, above = {}, []
    while True:
        heads = {i: path[0] for i, path in inside.items() if path}
        layers = {i: name for i, name in heads.items() if not _INPUT.search(name)}
        numbers = _numbers(set(layers.values()))
        names, deeper = set(heads.values()), {name for i, name in layers.items() if _numbers(inside[i][1:])}
        if len(names) == 1 and not (numbers and beside) and (deeper or not max(names).isdecimal()):
            (below,) = names  # a wrapper; a numbered one is of the whole tree
        elif len(deeper) == 1 and not numbers:
            (below,) = deeper
        else:
            break
        beside |= {i: path for i, path in inside.items() if heads.get(i) != below}
        inside = {i: path[1:] for i, path in inside.items() if heads.get(i) == below}
        above.append(below)
    if not _in_one_way(numbers, {name for i, name in layers.items() if len(params[i][1].shape) > 1}):
        problem = f"{_listed(deeper)} each have layers" if deeper else "nothing is numbered"
        problem = "the numbers are not of one sequence" if numbers else problem
        listed, place = _listed(names or [path for path, _ in params.values()]), "/".join(above) or "the tree"
        raise ValueError(
            f"{where}: depth cannot be read off the names {listed} in {place}: {problem}; give it, as a function of "
            "the path or as globs from input to output"
        )
    order = sorted({number for _, number in numbers.values()})
    found = {i: 1 + order.index(numbers[name][1]) for i, name in heads.items() if name in numbers}
    for i, path in (inside | beside).items():
        found.setdefault(i, 0 if _INPUT.search("/".join(path)) else 1 + len(order))
    first = min(found.values())
    return {i: depth - first for i, depth in found.items()}


def _numbers(names: Collection[str]) -> dict[str, tuple[str, int]]:
    """Name → (kind, number) of the names that end in one; the first of Haiku's, "linear" beside "linear_1", has 0."""
    found = {name: (fits[1], int(fits[2])) for name in names if (fits := _NUMBERED.fullmatch(name))}
    taken = set(found.values())
    return found | {name: (name, 0) for name in names if (name, 1) in taken and (name, 0) not in taken}


def _in_one_way(numbers: Mapping[str, tuple[str, int]], wide: set[str]) -> bool:
    """Whether the numbers are those of one sequence of layers, where `wide` are the names that hold matrices.

    A list is one; of other names, it takes two numbers to tell. Kinds go together where they have the same numbers and
    all but one have vectors alone, as normalisation has: a Conv_0 and a Dense_0 are not of one layer.
    """
    kinds: dict[str, set[int]] = {}
    for kind, number in numbers.values():
        kinds.setdefault(kind, set()).add(number)
    main = {numbers[name][0] for name in wide if name in numbers}
    alike = len(set(map(frozenset, kinds.values()))) == 1 and ("" in kinds or len(numbers) > len(kinds))
    return alike and (len(main) == 1 if wide else len(kinds) == 1)


def _listed(names: Collection[Any]) -> str:
    names = names if isinstance(names, Sequence) else sorted(names)
    return ", ".join(map(repr, names[:20])) + f" and {len(names) - 20} more" * (len(names) > 20)
