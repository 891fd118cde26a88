"""Reading of data sets: CSV files, NPZ files and the data sets that scikit-learn has."""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gradtx.race._errors import InputError, shorten, unknown

_LEAST_ROWS = 10


@dataclass(frozen=True)
class Table:
    """A data set: features of shape (examples, features), and a target of numbers or texts of shape (examples,)."""

    name: str
    features: np.ndarray
    target: np.ndarray


def load(data: str, target: str | None, text: bool, bundled: Sequence[str]) -> Table:
    """Read a data set by its name in `bundled`, or a CSV or an NPZ file by its path.

    Only with `text` the target can be text.

    Raises:
        InputError: the data set cannot be read or used.
    """
    path = Path(data)
    suffix = path.suffix.lower()
    try:
        if suffix != ".csv" and target is not None:
            raise InputError("argument --target: has no effect without a CSV file; leave --target out")
        if data in bundled:
            import sklearn.datasets

            return Table(data, *getattr(sklearn.datasets, f"load_{data}")(return_X_y=True))
        if not path.exists():
            if not suffix and len(path.parts) == 1:
                raise InputError(f"{unknown('data set', data, bundled)}, or the path of a CSV or NPZ file")
            raise InputError(f"no such file: {shorten(data)}")
        if not path.is_file():
            raise InputError(f"{shorten(data)} is {'a directory' if path.is_dir() else 'no regular file'}")
        if suffix == ".csv":
            table = _read_csv(path, target, text)
        elif suffix == ".npz":
            table = _read_npz(path, text)
        else:
            raise InputError(f"{shorten(data)} is neither a .csv nor an .npz file")
    except OSError as error:
        raise InputError(f"cannot read {shorten(data)}: {error.strerror or error}") from None
    if len(table.features) < _LEAST_ROWS:
        raise InputError(f"{path.name} has {len(table.features)} examples; at least {_LEAST_ROWS} are needed")
    if not table.features.shape[1]:
        raise InputError(f"{path.name} has no features besides the target")
    return table


def _read_csv(path: Path, target: str | None, text: bool) -> Table:
    if target is None:
        raise InputError("argument --target: needed with a CSV file; give the name of the column to predict")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = [name.strip() for name in next(reader, [])]
            _check_header(path.name, header, target)
            rows, lines = [], []
            for row in filter(None, reader):  # csv gives [] for a blank line
                if len(row) != len(header):
                    cells = f"{len(row)} cells where the header has {len(header)}"
                    raise InputError(f"{path.name}, line {reader.line_num}: {cells}")
                rows.append(row)
                lines.append(reader.line_num)
    except UnicodeDecodeError as error:
        raise InputError(f"{path.name} is not UTF-8 text: {error.reason} at byte {error.start}") from None
    except csv.Error as error:
        raise InputError(f"{path.name} is not a CSV file: {error}") from None
    if not rows:
        raise InputError(f"{path.name} has a header but no rows")

    def column(index: int, text: bool) -> np.ndarray:
        cells = [row[index].strip() for row in rows]
        numbers = [_number(cell) for cell in cells]
        text = text and None in numbers
        for line, cell, number in zip(lines, cells, numbers, strict=True):
            fault = None
            if not cell:
                fault = "the cell is empty"
            elif number is None and not text:
                fault = f"{shorten(cell)} is not a number"
            elif number is not None and not _fits(number):
                fault = f"{shorten(cell)} is not a finite single-precision number"
            if fault:
                raise InputError(f"{path.name}, line {line}, column {shorten(header[index])}: {fault}")
        return np.array(cells if text else numbers)

    chosen = header.index(target)
    features = [column(index, text=False) for index in range(len(header)) if index != chosen]
    return Table(path.name, np.array(features).T.reshape(len(rows), -1), column(chosen, text))


def _check_header(name: str, header: list[str], target: str) -> None:
    if not header:
        raise InputError(f"{name} is empty")
    for position, column in enumerate(header):
        if not column:
            raise InputError(f"{name}, line 1: column {position + 1} has no name")
        if column in header[:position]:
            raise InputError(f"{name}, line 1: two columns are named {shorten(column)}")
    if target not in header:
        raise InputError(f"argument --target: {unknown('column', target, header)}")


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def _fits(numbers: float | np.ndarray) -> np.ndarray:
    """Return which numbers are finite in single precision, the network's. NaN compares false."""
    return np.abs(numbers) < np.finfo(np.float32).max


def _read_npz(path: Path, text: bool) -> Table:
    with path.open("rb") as stream:
        if stream.read(2) != b"PK":  # numpy would read other files as arrays or pickles
            raise InputError(f"{path.name} is not an NPZ file")
        stream.seek(0)
        try:
            arrays = {key: np.asarray(array) for key, array in np.load(stream, allow_pickle=False).items()}
        except Exception as error:  # a damaged file fails in zipfile, zlib or numpy, with many kinds of errors
            raise InputError(f"{path.name} cannot be read as an NPZ file: {error}") from None
    for key in ("x", "y"):
        if key not in arrays:
            raise InputError(f"{path.name} has no array {key!r}; it has: {', '.join(arrays) or 'none'}")
    x, y = arrays["x"], arrays["y"]
    y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    for key, array, kinds in (("x", x, "biuf"), ("y", y, "biufU" if text else "biuf")):
        if array.dtype.kind not in kinds:
            raise InputError(f"{path.name}: {key} holds {array.dtype}, not numbers")
        if array.dtype.kind != "U" and not (good := _fits(array)).all():
            where = [int(i) for i in np.argwhere(~good)[0]]
            fault = f"{array[tuple(where)]} is not a finite single-precision number"
            raise InputError(f"{path.name}, {key}{where}: {fault}")
    if x.ndim < 2 or y.ndim != 1:
        raise InputError(f"{path.name}: x has shape {x.shape} and y {y.shape}; needed: (n, features) and (n,)")
    if len(x) != len(y):
        raise InputError(f"{path.name}: x has {len(x)} examples, y has {len(y)}")
    x = x.reshape(len(x), math.prod(x.shape[1:])).astype(float)
    return Table(path.name, x, y if y.dtype.kind == "U" else y.astype(float))
