"""Preparation of a data set: task, split and standardisation."""

from dataclasses import dataclass

import jax
import numpy as np

import gradtx as gx
from gradtx.race._errors import InputError, shorten
from gradtx.race._read import Table

_MOST_CLASSES = 20


@dataclass(frozen=True)
class Problem:
    """A data set that is split and standardised.

    `x_train` and `x_test` have shape (examples, features) and dtype float32. `y_train` and `y_test` have shape
    (examples,), and dtype int32 for classes or float32 for a regression.
    """

    name: str
    task: str
    outputs: int
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


def prepare(table: Table, task: str | None, seed: int) -> Problem:
    """Return the problem of a seed: a fifth of the examples is the test set, and the training set standardises both.

    Without a `task`, the target decides it.

    Raises:
        InputError: the target is constant, or has too many classes.
    """
    from sklearn.model_selection import train_test_split

    values, codes, counts = np.unique(table.target, return_inverse=True, return_counts=True)
    text = table.target.dtype.kind == "U"
    if task is None:
        few = not text and len(values) <= _MOST_CLASSES and counts.min() >= 2
        task = "classification" if text or (few and (values == np.round(values)).all()) else "regression"
    if len(values) < 2:
        raise InputError(
            f"{table.name}: the target is {shorten(str(values[0]))} throughout; training needs at least 2 values"
        )
    classes = task == "classification"
    if classes and len(values) > len(codes) // 2:
        raise InputError(
            f"{table.name}: {len(values)} classes in {len(codes)} examples; classification needs 2 examples a class"
        )

    # Stratified splits need two examples of each class, and a test set with room for each class.
    strata = codes if classes and counts.min() >= 2 and len(values) <= len(codes) // 5 else None
    train, test = train_test_split(np.arange(len(codes)), test_size=0.2, random_state=seed, stratify=strata)
    columns = table.features if classes else np.column_stack([table.features, table.target])
    x_train, x_test = _standardise(columns[train], columns[test])
    if classes:
        y_train, y_test = codes[train].astype(np.int32), codes[test].astype(np.int32)
    else:
        x_train, y_train, x_test, y_test = x_train[:, :-1], x_train[:, -1], x_test[:, :-1], x_test[:, -1]
    outputs = len(values) if classes else 1
    return Problem(table.name, task, outputs, x_train, y_train, x_test, y_test)


def _standardise(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both parts, standardised by the training part, in float32."""
    # A column that varies by rounding only is constant. It becomes constant in the test set too, because the network
    # cannot have learned from it.
    constant = np.ptp(train, axis=0) <= 1e-14 * np.abs(train).max(axis=0)
    train, test = (np.where(constant, 0.0, part) for part in (train, test))
    tx = gx.inputs.standardize()
    with jax.enable_x64(True):  # in single precision 1e9 + 1 is 1e9
        state = gx.inputs.fit(tx, [train])
        scale = jax.jit(lambda state, *parts: [tx.update(x, state, train=False)[0] for x in parts])
        with np.errstate(over="ignore"):  # an extreme test value may become infinite, and so does the loss
            train, test = (np.asarray(x).astype(np.float32) for x in scale(state, train, test))
    return train, test
