"""The depth of the layer of each parameter: given by the user, or found from the numbers in the paths.

Without a specification, `depths` looks for the level of the tree whose names are numbered, such as "block_0",
"block_1", …. Parameters with input names (an embedding, a stem) come before these layers, and all others after them.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Annotated, NamedTuple, TypeAlias

import jax
import numpy as np

from gradtx._tools import listed, summary
from gradtx.core import matches

_NUMBERED = re.compile(r"(.*?)[_.-]?(\d+)")
_INPUT = re.compile(r"(?<![a-z])(?:emb|token|patch|stem|wte|wpe)|(?:^|/)pos(?:$|[^a-z]|emb|enc|ition)", re.IGNORECASE)

DepthSpec: TypeAlias = Callable[[str], object] | Sequence[str | re.Pattern[str]]
Params: TypeAlias = Mapping[int, tuple[str, jax.ShapeDtypeStruct]]
"""Number of a parameter → its path, and its shape and dtype."""


class DepthKind:
    """The kind of a field that specifies the depths of parameters."""

    def check(self, where: str, value: object) -> DepthSpec:
        """Returns `value` in a form that hashes."""
        if callable(value):
            return value
        globs = tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else ()
        if globs and all(isinstance(glob, str | re.Pattern) for glob in globs):
            return globs
        raise TypeError(
            f"{where} must be a function from path to depth, or a sequence of globs or compiled regular expressions "
            f"from input to output, got {summary(value)}"
        )


Depth: TypeAlias = Annotated[DepthSpec, DepthKind()]
"""A function from path to depth, or a sequence of globs from input to output."""


def depths(depth: DepthSpec | None, params: Params, where: str) -> dict[int, int]:
    """The depth of each parameter, by number. `where` is the name of the stage, for errors."""
    if depth is None:
        return _depths_from_names(params, where) if params else {}
    if callable(depth):
        return {i: _checked(depth(path), path, where) for i, (path, _) in params.items()}
    return _depths_from_globs(depth, params, where)


def _checked(depth: object, path: str, where: str) -> int:
    if isinstance(depth, bool) or not isinstance(depth, int | np.integer):
        raise TypeError(f"{where}: depth must return an integer, got {depth!r} for {path!r}")
    if depth < 0:
        raise ValueError(f"{where}: depth must return an integer ≥ 0, got {depth} for {path!r}")
    return int(depth)


def _depths_from_globs(globs: Sequence[str | re.Pattern[str]], params: Params, where: str) -> dict[int, int]:
    """The position of the first glob that matches."""
    matching = {
        i: [position for position, glob in enumerate(globs) if matches(glob, path, array)]
        for i, (path, array) in params.items()
    }
    if unmatched := [params[i][0] for i, positions in matching.items() if not positions]:
        raise ValueError(f"{where}: depth has no glob that matches {_quoted(unmatched)}; it has {_quoted(globs)}")
    return {i: positions[0] for i, positions in matching.items()}


class Level(NamedTuple):
    """A level of the tree.

    Attributes:
        above: The names of the containers of this level, the outermost first.
        inside: Number of a parameter in these containers → its path below them.
        outside: Number of a parameter outside one of these containers → its path beside that container.
    """

    above: tuple[str, ...]
    inside: dict[int, list[str]]
    outside: dict[int, list[str]]

    @property
    def names(self) -> dict[int, str]:
        """Number of a parameter → its name at this level."""
        return {i: path[0] for i, path in self.inside.items() if path}

    @property
    def layers(self) -> dict[int, str]:
        """Like `names`, without the names of inputs."""
        return {i: name for i, name in self.names.items() if not _INPUT.search(name)}

    @property
    def numbers(self) -> dict[str, tuple[str, int]]:
        """Name of a numbered layer → its kind and number."""
        return _numbers(set(self.layers.values()))

    @property
    def containers(self) -> set[str]:
        """The names below which something is numbered."""
        return {name for i, name in self.layers.items() if _numbers(self.inside[i][1:])}

    def opened(self, container: str) -> "Level":
        """The level inside a container."""
        names = self.names
        outside = {i: path for i, path in self.inside.items() if names.get(i) != container}
        inside = {i: path[1:] for i, path in self.inside.items() if names.get(i) == container}
        return Level((*self.above, container), inside, self.outside | outside)

    def next_container(self) -> str | None:
        """The container that has the layers. None if this level has them, or if no container has all of them."""
        names, containers, numbers = set(self.names.values()), self.containers, self.numbers
        if len(names) == 1 and not (numbers and self.outside) and (containers or not max(names).isdecimal()):
            return max(names)  # a wrapper; if it is numbered, it wraps the whole tree
        return max(containers) if len(containers) == 1 and not numbers else None


def _depths_from_names(params: Params, where: str) -> dict[int, int]:
    """The depths according to the first level with numbered names: inputs first, then by number, then all others."""
    level = Level((), {i: path.split("/") for i, (path, _) in params.items()}, {})
    while (container := level.next_container()) is not None:
        level = level.opened(container)
    numbers = level.numbers
    if not _is_one_sequence(numbers, {name for i, name in level.layers.items() if len(params[i][1].shape) > 1}):
        advice = "give it, as a function of the path or as globs from input to output"
        raise ValueError(f"{where}: {_problem(level, params)}; {advice}")
    order = sorted({number for _, number in numbers.values()})
    depth_of = {i: 1 + order.index(numbers[name][1]) for i, name in level.names.items() if name in numbers}
    for i, path in (level.inside | level.outside).items():
        depth_of.setdefault(i, 0 if _INPUT.search("/".join(path)) else 1 + len(order))
    return _from_zero(depth_of)


def _problem(level: Level, params: Params) -> str:
    names = sorted(set(level.names.values())) or [path for path, _ in params.values()]
    reason = "nothing is numbered"
    if level.numbers:
        reason = "the numbers are not of one sequence"
    elif level.containers:
        reason = f"{_quoted(sorted(level.containers))} each have layers"
    place = "/".join(level.above) or "the tree"
    return f"depth cannot be read off the names {_quoted(names)} in {place}: {reason}"


def _from_zero(depth_of: Mapping[int, int]) -> dict[int, int]:
    first = min(depth_of.values())
    return {i: depth - first for i, depth in depth_of.items()}


def _numbers(names: Collection[str]) -> dict[str, tuple[str, int]]:
    """Name → (kind, number), for names that end in a number. "linear" beside Haiku's "linear_1" has the number 0."""
    numbered = {name: (parts[1], int(parts[2])) for name in names if (parts := _NUMBERED.fullmatch(name))}
    taken = set(numbered.values())
    return numbered | {name: (name, 0) for name in names if (name, 1) in taken and (name, 0) not in taken}


def _is_one_sequence(numbers: Mapping[str, tuple[str, int]], with_matrices: set[str]) -> bool:
    """Whether the numbers count one sequence of layers. `with_matrices` are the names of layers that hold matrices.

    The numbers of a list always do. Other names need two numbers. Several kinds count the same layers if they have the
    same numbers and only one kind holds matrices, because normalisation layers hold only vectors. A Conv_0 and a
    Dense_0 are different layers.
    """
    kinds: dict[str, set[int]] = {}
    for kind, number in numbers.values():
        kinds.setdefault(kind, set()).add(number)
    main = {numbers[name][0] for name in with_matrices if name in numbers}
    alike = len(set(map(frozenset, kinds.values()))) == 1 and ("" in kinds or len(numbers) > len(kinds))
    return alike and (len(main) == 1 if with_matrices else len(kinds) == 1)


def _quoted(names: Sequence[object]) -> str:
    return listed([repr(name) for name in names], 20)
