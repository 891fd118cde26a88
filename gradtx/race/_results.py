"""The files that a race leaves behind: race.json and race.png, each replaced as a whole."""

import json
import math
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradtx as gx
from gradtx.race._errors import InputError, shorten


class Folder:
    """The output folder, known to be writable before any training."""

    def __init__(self, path: Path):
        self.json, self.png, self.range_tests = (path / name for name in ("race.json", "race.png", "find_lr.png"))
        try:
            path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=path):
                pass
        except OSError as error:
            reason = "it is a file" if path.is_file() else error.strerror
            raise InputError(f"argument --out: cannot write to {shorten(str(path))}: {reason}") from None
        for file in (self.json, self.png, self.range_tests):
            if file.is_dir():
                raise InputError(f"argument --out: {shorten(str(file))} is a directory")

    def begin(self, result: dict[str, Any]) -> None:
        """Replace a former race's files: its pictures beside this one's numbers would mislead."""
        self.write_json(result)
        for picture in (self.png, self.range_tests):
            picture.unlink(missing_ok=True)

    def write_json(self, result: dict[str, Any]) -> None:
        """Write the numbers; whatever is not finite becomes null, as JSON has no word for it."""
        text = json.dumps(_finite(result), indent=1, allow_nan=False)
        _replace(self.json, lambda path: path.write_text(text + "\n", encoding="utf-8"))

    def write_png(self, result: dict[str, Any]) -> None:
        """Draw the loss curves."""
        from gradtx.race._plot import draw

        _save(self.png, draw(result))

    def write_range_tests(self, found: dict[str, Any]) -> None:
        """Draw how the learning rates were found."""
        _save(self.range_tests, gx.inspection.plot_range_test(found))


def _save(path: Path, figure: Any) -> None:
    _replace(path, lambda path: figure.savefig(path, format="png"))


def _replace(path: Path, write: Callable[[Path], Any]) -> None:
    """Never leave half a file, even if killed: write another, then rename."""
    beside = path.with_name(f".{path.name}.tmp")
    try:
        write(beside)
        os.replace(beside, path)
    except OSError as error:
        raise InputError(f"cannot write {shorten(str(path))}: {error.strerror}") from None


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
