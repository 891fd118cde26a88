"""Races for tests: the whole command in this process, and a small regression."""

import json

import numpy as np
from matplotlib.image import imread

from gradtx.race._cli import main
from gradtx.race._data import prepare
from gradtx.race._optimizers import entries
from gradtx.race._options import check, parser
from gradtx.race._read import Table
from gradtx.race._train import Race


def strict(path):
    def refuse(word):
        raise AssertionError(f"{word} is not JSON")

    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


def race(out, *args):
    assert main(["race", "--out", str(out), *args]) == 0
    assert imread(out / "race.png").ndim == 3
    return strict(out / "race.json")


def contest(rows, *args):
    """Prepare a race on a small regression."""
    defaults = "--optimizers", "sgd,adam", "--epochs", "2", "--batch-size", "16"
    args = parser().parse_args(["race", *defaults, *args])
    check(args)
    x = np.random.default_rng(0).normal(size=(rows, 3))
    table = Table("t", x, x[:, 0] * x[:, 1] + x[:, 2])
    race = Race([prepare(table, None, args.seed + i) for i in range(args.seeds)], args)
    race.enter(entries(args, race.steps))
    return race


def finish(race):
    for _ in race.run(lambda: False, lambda: None):
        pass
    return race
