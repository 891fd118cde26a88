"""Making a data set ready to train on."""

from dataclasses import dataclass

import numpy as np

from gradtx.race._errors import InputError, shorten
from gradtx.race._read import Table

_MOST_CLASSES = 20


@dataclass(frozen=True)
class Problem:
    """A split and standardised table."""

    name: str
    task: str
    outputs: int
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


def prepare(table: Table, task: str | None, seed: int) -> Problem:
    """Decide the task, split off a fifth for testing, and standardise by the training part."""
    from sklearn.model_selection import train_test_split

    values, codes, counts = np.unique(table.target, return_inverse=True, return_counts=True)
    text = table.target.dtype.kind == "U"
    if task is None:
        few = not text and len(values) <= _MOST_CLASSES and counts.min() >= 2
        task = "classification" if text or (few and (values == np.round(values)).all()) else "regression"
    if len(values) < 2:
        raise InputError(f"{table.name}: the target is {shorten(str(values[0]))} throughout: nothing to learn")
    classes = task == "classification"
    if classes and len(values) > len(codes) // 2:
        raise InputError(f"{table.name}: {len(values)} classes in {len(codes)} examples: too many to learn")

    # Stratifying takes two examples of each class, and room for each class in the test set.
    strata = codes if classes and counts.min() >= 2 and len(values) <= len(codes) // 5 else None
    target = codes if classes else table.target
    train, test = train_test_split(np.arange(len(target)), test_size=0.2, random_state=seed, stratify=strata)
    x_train, x_test = _standardise(table.features[train], table.features[test])
    y_train, y_test = target[train], target[test]
    if classes:
        y_train, y_test = y_train.astype(np.int32), y_test.astype(np.int32)
    else:
        y_train, y_test = _standardise(y_train, y_test)
    outputs = len(values) if classes else 1
    return Problem(table.name, task, outputs, x_train, y_train, x_test, y_test)


def _standardise(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean, deviation = train.mean(axis=0), train.std(axis=0)
    # What varies by no more than rounding is constant. It becomes zero in the test set too, where the network
    # could make nothing of it.
    constant = deviation <= 1e-14 * np.abs(train).max(axis=0)
    scale = np.where(constant, np.inf, deviation)
    with np.errstate(over="ignore"):  # a wild test value may become infinite; the loss then says so
        return ((train - mean) / scale).astype(np.float32), ((test - mean) / scale).astype(np.float32)
