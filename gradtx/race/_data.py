"""Making a data set ready to train on."""

from dataclasses import dataclass

import jax
import numpy as np

import gradtx as gx
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
    # What varies by no more than rounding is constant, and so it is made in the test set too, where the network could
    # make nothing of it.
    constant = np.ptp(train, axis=0) <= 1e-14 * np.abs(train).max(axis=0)
    train, test = (np.where(constant, 0.0, part) for part in (train, test))
    tx = gx.inputs.standardize()
    with jax.enable_x64(True):  # in single precision 1e9 + 1 is 1e9
        state = gx.inputs.fit(tx, [train])
        scale = jax.jit(lambda state, *parts: [tx.update(x, state, train=False)[0] for x in parts])
        with np.errstate(over="ignore"):  # a wild test value may become infinite; the loss then says so
            train, test = (np.asarray(x).astype(np.float32) for x in scale(state, train, test))
    return train, test
