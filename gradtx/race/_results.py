"""The files that a race writes: race.json, race.png and find_lr.png. Each file is replaced as a whole."""

import json
import math
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import gradtx as gx
from gradtx.race._contestant import Result
from gradtx.race._errors import InputError, shorten

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Folder:
    """The output folder. It is checked before the race, and made when the race begins.

    Raises:
        InputError: nothing can be written to the folder.
    """

    def __init__(self, path: Path):
        self._path = path
        self.json, self.png, self.range_tests = (path / name for name in ("race.json", "race.png", "find_lr.png"))
        try:
            absolute = path.absolute()
            existing = next(place for place in (absolute, *absolute.parents) if place.exists())
            for name in absolute.parts[len(existing.parts) :]:
                (existing / name).exists()  # an error if the name is too long
            with tempfile.TemporaryFile(dir=existing):
                pass
        except OSError as error:
            reason = "it is a file" if isinstance(error, NotADirectoryError) and path.is_file() else error.strerror
            raise InputError(f"argument --out: cannot write to {shorten(str(path))}: {reason}") from None
        for file in (self.json, self.png, self.range_tests):
            if file.is_dir():
                raise InputError(f"argument --out: {shorten(str(file))} is a directory")

    def begin(self, result: Result) -> None:
        """Make the folder, write the numbers and delete the pictures of an earlier race."""
        try:
            self._path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"argument --out: cannot make {shorten(str(self._path))}: {error.strerror}") from None
        self.write_json(result)
        for picture in (self.png, self.range_tests):
            picture.unlink(missing_ok=True)

    def write_json(self, result: Result) -> None:
        """Write the numbers. NaN and infinities become null, because JSON has no numbers for them."""
        text = json.dumps(_finite(result), indent=1, allow_nan=False)
        _replace(self.json, lambda path: path.write_text(text + "\n", encoding="utf-8"))

    def write_png(self, result: Result) -> None:
        """Draw the loss curves."""
        from gradtx.race._plot import draw

        _save(self.png, draw(result))

    def write_range_tests(self, tests: dict[str, gx.inspection.RangeTest]) -> None:
        """Draw the range tests that chose the learning rates."""
        _save(self.range_tests, gx.inspection.plot_range_test(tests))


def _save(path: Path, figure: "Figure") -> None:
    _replace(path, lambda path: figure.savefig(path, format="png"))


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file beside `path` and rename it, so that a killed process leaves no half of a file."""
    beside = path.with_name(f".{path.name}.tmp")
    try:
        write(beside)
        os.replace(beside, path)
    except OSError as error:
        raise InputError(f"cannot write {shorten(str(path))}: {error.strerror}") from None


def _finite(value: object) -> object:
    """Replace every number that is not finite by None."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
