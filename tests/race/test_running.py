import math
import os
import re
import signal
import time

import chex
import jax
import numpy as np
import pytest
from matplotlib.image import imread
from sklearn.model_selection import train_test_split

import gradtx as gx
from gradtx.race._chain import parse
from gradtx.race._contestant import Contestant
from gradtx.race._data import prepare
from gradtx.race._read import Table, load
from tests.helpers import PATIENCE
from tests.race.contests import contest, finish, race, strict


def test_the_command_learns_digits_and_leaves_its_results(start, tmp_path):
    process = start("race", "--optimizers", "momentum,adam", "--epochs", "4")
    stdout, stderr = process.communicate(timeout=PATIENCE)
    assert (process.returncode, stderr) == (0, "")
    assert "\x1b" not in stdout
    lines = stdout.splitlines()
    assert [line for line in lines if line.startswith("epoch 4/4  test loss: momentum ")]
    table = [line for line in lines if re.match(r" (optimizer|momentum|adam) ", line)]
    assert len(table) == 3
    assert all(len(line) <= 80 for line in table)
    assert re.search(r" 35,88\d ", table[1])

    result = strict(tmp_path / "race" / "race.json")
    assert (result["status"], result["epochs_done"]) == ("finished", 4)
    assert {"gradtx", "jax", "flax", "python"} <= set(result["versions"])
    settings = result["settings"]
    assert (settings["data"], settings["task"], settings["network"]) == (
        "digits",
        "classification",
        [64, 64, 64, 10],
    )
    assert (settings["training_examples"], settings["test_examples"]) == (1437, 360)
    assert list(result["chains"]) == ["momentum", "adam"]
    for chain in result["chains"].values():
        assert chain["test_accuracy"][-1] > 0.9
        assert chain["train_loss"][-1] < chain["train_loss"][0] < result["initial"]["train_loss"]
        for key in ("train_loss", "test_loss", "train_accuracy", "test_accuracy"):
            assert len(chain[key]) == 4
        assert chain["milliseconds_per_step"] > 0
    adam = result["chains"]["adam"]
    # Two float32 moments of 64·64 + 64 + 64·64 + 64 + 64·10 + 10 parameters, and a step count.
    assert adam["state_bytes"] == pytest.approx(2 * 4 * 8970, abs=16)
    assert adam["learning_rate"] == 0.003
    assert "adam" in adam["chain"].lower()

    image = tmp_path / "race" / "race.png"
    assert image.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    height, width, _ = imread(image).shape
    assert width > height > 500
    assert sorted(os.listdir(tmp_path / "race")) == ["race.json", "race.png"]


@pytest.mark.parametrize("options", [[], ["--batch-norm"]], ids=" ".join)
def test_the_same_seed_gives_the_same_numbers_and_another_seed_others(tmp_path, options):
    def numbers(seed):
        args = "--data", "iris", "--optimizers", "adam", "--epochs", "1", "--seed", seed
        result = race(tmp_path / "out", *args, *options)
        for chain in result["chains"].values():
            del chain["milliseconds_per_step"]
        return result["chains"], result["initial"]

    assert numbers("7") == numbers("7")
    assert numbers("7") != numbers("8")


def test_all_five_race_unless_told_otherwise(tmp_path):
    chains = race(tmp_path / "out", "--data", "wine", "--epochs", "1")["chains"]
    assert list(chains) == ["sgd", "momentum", "rmsprop", "adam", "adamw"]
    rates = {name: chain["learning_rate"] for name, chain in chains.items()}
    assert rates == {"sgd": 0.1, "momentum": 0.03, "rmsprop": 0.001, "adam": 0.003, "adamw": 0.003}
    for chain in chains.values():
        # Each chain in race.json is the code that makes the chain.
        assert repr(parse(chain["chain"], gx.Transformation)) == chain["chain"]


def test_regression(tmp_path, capsys):
    result = race(tmp_path / "new" / "out", "--data", "diabetes", "--optimizers", "sgd,adam", "--epochs", "6")
    assert result["settings"]["task"] == "regression"
    assert "standardised" in result["settings"]["loss"]
    for chain in result["chains"].values():
        assert chain["train_r2"][-1] == pytest.approx(1 - chain["train_loss"][-1], abs=1e-4)
        assert chain["test_r2"][-1] > 0.2
    assert "R²" in capsys.readouterr().out


def test_a_diverging_chain_is_shown_as_such_and_disturbs_no_other(tmp_path, capsys):
    args = "--data", "diabetes", "--epochs", "3", "--optimizers"
    result = race(tmp_path, *args, "momentum,adam", "--learning-rate", "5")
    assert result["chains"]["momentum"]["test_loss"][-1] is None
    assert result["chains"]["momentum"]["diverged"]
    assert not result["chains"]["adam"]["diverged"]
    assert "diverged" in capsys.readouterr().out
    result = race(tmp_path, *args, "sgd", "--learning-rate", "1e30")
    assert result["chains"]["sgd"]["train_loss"] == [None] * 3


@pytest.mark.parametrize(("text", "task"), [(True, "classification"), (False, "regression")])
def test_a_csv_file(tmp_path, text, task):
    words = ["low", '"high, ""really"""']
    rows = ["a,b, constant ,target"]
    rows += [f"{i},{i * i},0.1,{words[i // 20] if text else i / 7}" for i in range(40)]
    path = tmp_path / "some.csv"
    path.write_text("\ufeff" + "\n".join(rows) + "\n\n", encoding="utf-8")
    args = (
        "--data",
        str(path),
        "--target",
        "target",
        "--optimizers",
        "adam",
        "--epochs",
        "2",
        "--batch-size",
        "32",
    )
    result = race(tmp_path / "out", *args)
    assert result["settings"]["task"] == task
    assert result["settings"]["network"] == [3, 64, 64, 2 if text else 1]


def test_an_npz_file_and_the_task_by_option(tmp_path):
    path = tmp_path / "some.npz"
    np.savez(path, x=np.random.default_rng(0).normal(size=(30, 2, 3)), y=np.arange(30) % 3)
    table = load(str(path), None, True, ())
    assert prepare(table, None, seed=0).outputs == 3
    args = "--data", str(path), "--optimizers", "sgd", "--epochs", "1", "--batch-size", "24"
    assert race(tmp_path, *args, "--task", "regression")["settings"]["network"] == [6, 64, 64, 1]


def test_the_split_is_stratified_unless_a_class_has_one_example():
    y = np.array([0.0] * 80 + [5.0] * 20)
    problem = prepare(Table("t", np.ones((100, 1)), y), None, seed=0)
    assert np.bincount(problem.y_test).tolist() == [16, 4]
    single = prepare(Table("t", np.ones((100, 1)), np.append(y[1:], 9.0)), "classification", seed=0)
    assert single.outputs == 3


def test_inputs_are_standardised_by_the_training_part_and_constants_become_zero():
    x = np.random.default_rng(0).normal(3, 50, size=(200, 3))
    x[:, 1] = 0.1
    problem = prepare(Table("t", x, x[:, 0]), None, seed=0)
    np.testing.assert_allclose(problem.x_train[:, [0, 2]].mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(problem.x_train[:, [0, 2]].std(0), 1, atol=1e-6)
    assert not problem.x_train[:, 1].any()
    assert not problem.x_test[:, 1].any()
    assert problem.y_train.mean() == pytest.approx(0, abs=1e-6)
    assert abs(problem.x_test.mean(0)[0]) > 1e-3


def test_hard_columns_are_standardised_in_double_precision_and_noise_is_constant():
    i, noise = np.arange(100.0), np.random.default_rng(0).permutation(100)
    easy = prepare(Table("t", i[:, None], i), None, seed=0)
    columns = [1e9 + 1e-3 * i, 1e30 * i, 1e-30 * i, 1e30 + 1e20 * i, 0.3 + 1e-17 * noise]
    hard = prepare(Table("t", np.stack(columns, 1), 1e9 + 1e-3 * i), None, seed=0)
    for part in ("train", "test"):
        expected, x, y = getattr(easy, f"x_{part}"), getattr(hard, f"x_{part}"), getattr(hard, f"y_{part}")
        assert x.dtype == y.dtype == np.float32
        # At 1e9 the numbers are exact to 1e-7, about a millionth of the spread.
        np.testing.assert_allclose(x[:, :4], np.repeat(expected, 4, axis=1), atol=1e-5)
        np.testing.assert_allclose(y, expected[:, 0], atol=1e-5)
        assert not x[:, 4].any()


def test_a_wild_test_value_is_infinite_but_zero_where_training_saw_a_constant():
    _, test = train_test_split(np.arange(50), test_size=0.2, random_state=0)
    x = np.stack([1e-30 * np.arange(50.0), np.ones(50)], 1)
    x[test[0]] = 1e38
    problem = prepare(Table("t", x, np.arange(50.0)), None, seed=0)
    assert problem.x_test[0].tolist() == [np.inf, 0.0]
    assert np.isfinite(problem.x_test[1:]).all()


def test_every_contestant_sees_every_training_example_once_an_epoch(monkeypatch):
    race, seen, step = contest(50), {"sgd": [], "adam": []}, Contestant.step
    monkeypatch.setattr(Contestant, "step", lambda self, batch: seen[self.name].append(batch) or step(self, batch))
    finish(race)
    chex.assert_trees_all_equal(*seen.values())
    assert [int(batch.mask.sum()) for batch in seen["sgd"]] == [16, 16, 8] * 2
    first, second = (
        np.concatenate([np.asarray(batch.data[0])[np.asarray(batch.mask)] for batch in epoch])
        for epoch in (seen["sgd"][:3], seen["sgd"][3:])
    )
    assert not np.array_equal(first, second)
    for epoch in (first, second):
        np.testing.assert_array_equal(np.sort(epoch, axis=0), np.sort(race.problem.x_train, axis=0))
    variables = [contest(50).contestants[0].variables for _ in range(2)]
    chex.assert_trees_all_equal(*variables)


@pytest.mark.parametrize("options", [[], ["--batch-norm"]], ids=" ".join)
def test_padding_counts_for_nothing(options):
    race = contest(50, *options)
    *_, (last, _) = race.batches[0].iterate(race.batches[0].init())
    assert last.mask.tolist() == [True] * 8 + [False] * 8
    short = jax.tree.map(lambda x: x[:8], last)
    wild = last._replace(data=jax.tree.map(lambda x: x.at[8:].set(1e30), last.data))
    params, statistics = race.contestants[0].variables
    found, expected, same = (race._batch_loss(params, statistics, batch) for batch in (last, short, wild))
    chex.assert_trees_all_close(found, expected, rtol=1e-5)
    chex.assert_trees_all_equal(found, same)


def test_batch_norm(tmp_path, capsys):
    args = "--data", "wine", "--optimizers", "sgd,adam", "--epochs", "8"
    plain, normal = (race(tmp_path, *args, *options) for options in ([], ["--batch-norm"]))
    assert [result["settings"].pop("batch_norm") for result in (plain, normal)] == [False, True]
    assert plain["settings"] == normal["settings"]
    assert capsys.readouterr().out.count("network 13-64-64-3 with batch normalisation, batches of 64") == 1
    for chain in normal["chains"].values():
        assert chain["test_accuracy"][-1] > 0.9
    # Batch normalisation replaces 64 + 64 biases by 64 + 64 scales and 64 + 64 biases.
    sizes = [result["chains"]["adam"]["state_bytes"] for result in (plain, normal)]
    assert sizes[1] - sizes[0] == 2 * 4 * 2 * 64


def test_evaluation_is_by_the_running_statistics():
    race = finish(contest(200, "--batch-norm"))
    for chain in race.contestants:
        params, statistics = chain.variables
        x, y = race.problem.x_test, race.problem.y_test
        losses = []
        for i in range(len(x)):
            h = x[i]
            for layer in (0, 1):
                linear, norm = params["hidden"][layer]["linear"], params["hidden"][layer]["norm"]["params"]
                slots = statistics["hidden"][layer]["norm"]["state"].get_value().stages["batch_norm"]
                scale, bias = (norm.get_value()["batch_norm"][name] for name in ("scale", "bias"))
                assert slots["count"] == 20
                h = (h @ linear["kernel"].get_value() - slots["mean"]) / np.sqrt(slots["var"] + 1e-5) * scale + bias
                h = np.maximum(h, 0)
            last = params["last"]
            losses.append((h @ last["kernel"].get_value() + last["bias"].get_value() - y[i]) ** 2)
        assert chain.history["test_loss"][-1] == pytest.approx(np.mean(losses), rel=1e-4)


def test_the_time_of_a_step_is_the_median_in_milliseconds():
    contestant = contest(50).contestants[0]
    assert contestant.milliseconds is None
    contestant.seconds = [0.002, 9.0, 0.004]
    assert contestant.milliseconds == pytest.approx(4)


def test_a_last_example_alone_leaves_the_running_statistics_as_they_are():
    race = finish(contest(82, "--batch-norm", "--batch-size", "64", "--epochs", "30"))
    assert len(race.problem.x_train) % 64 == 1
    for chain in race.contestants:
        assert chain.history["train_loss"][-1] < 0.3
        assert jax.tree.all(jax.tree.map(lambda x: bool(np.isfinite(x).all()), chain.variables))


def endless(start, tmp_path):
    process = start("race", "--data", "iris", "--optimizers", "sgd,adam", "--epochs", "1000000")
    file = tmp_path / "race" / "race.json"
    deadline = time.monotonic() + PATIENCE
    while not (file.exists() and strict(file)["epochs_done"] > 0):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return process, file


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_leaves_the_results_so_far(start, tmp_path, number, code):
    process, file = endless(start, tmp_path)
    process.send_signal(number)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=PATIENCE)
    assert process.returncode == code
    assert re.fullmatch(r"gradtx race: interrupted after \d+ of 1000000 epochs; their results .*\n", stderr)
    result = strict(file)
    assert result["status"] == "interrupted"
    assert {len(chain["test_loss"]) for chain in result["chains"].values()} == {result["epochs_done"]}
    assert imread(file.with_name("race.png")).ndim == 3


def test_even_a_kill_leaves_valid_numbers(start, tmp_path):
    process, file = endless(start, tmp_path)
    process.kill()
    process.wait()
    result = strict(file)
    assert result["status"] == "running"
    assert math.isfinite(result["chains"]["adam"]["test_loss"][-1])


@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")
def test_a_terminal_gets_a_live_table(start):
    import pty

    ours, theirs = pty.openpty()
    process = start("race", "--data", "iris", "--optimizers", "sgd", "--epochs", "2", stdout=theirs)
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 4096):
            shown += chunk
    except OSError:  # Linux reports a closed terminal in this way
        pass
    os.close(ours)
    assert process.wait(timeout=PATIENCE) == 0
    assert b"\x1b[?25l" in shown  # the cursor is hidden while the table changes
    assert shown.rindex(b"\x1b[?25h") > shown.rindex(b"\x1b[?25l")  # and shown at the end
    assert b"2/2" in shown
    assert shown.count(b"optimizer") >= 2
