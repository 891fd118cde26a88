import subprocess
import sys

import numpy as np
import pytest

from gradtx.race._cli import main
from tests.helpers import PATIENCE

HEADER = "a,b,y\n"
NO_EFFECT = "applies only to --optimizers, but only --chain was given"
ROWS = "".join(f"{i},{i % 3},{i % 2}\n" for i in range(20))


def rejected(capsys, *args):
    """Run the command in this process and return its one-line error."""
    assert main(["race", *map(str, args)]) == 2
    stdout, stderr = capsys.readouterr()
    assert stdout == ""
    assert stderr.startswith("gradtx race: error: ")
    assert stderr.count("\n") == 1
    return stderr


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--optimizers", "adm"], ["--optimizers", "'adm'", "did you mean adam", "sgd, momentum"]),
        (["--optimizers", "sgd,,adam"], ["unknown optimizer ''"]),
        (["--optimizers", "sgd,adam,sgd"], ["'sgd' is named twice"]),
        (["--epochs", "0"], ["--epochs", "'0'", "between 1 and"]),
        (["--epochs", "many"], ["--epochs", "'many' is not a whole number"]),
        (["--epochs", "9" * 100], ["--epochs", "999' is not between"]),
        (["--epochs", "9" * 10_000], ["--epochs", "999' is not a whole number"]),
        (["--batch-size", "0"], ["--batch-size", "'0'"]),
        (["--learning-rate", "0"], ["--learning-rate", "not positive"]),
        (["--learning-rate", "nan"], ["--learning-rate", "not positive"]),
        (["--learning-rate", "1e999"], ["--learning-rate", "finite"]),
        (["--learning-rate", "-0.1"], ["--learning-rate", "not positive"]),
        (["--learning-rate", "fast"], ["--learning-rate", "'fast' is not a number"]),
        (["--seed", "-1"], ["--seed", "'-1'"]),
        (["--seed", str(2**32)], ["--seed", "between 0 and 4294967295"]),
        (["--task", "clustering"], ["--task", "clustering", "regression"]),
        (["--out", ""], ["--out", "empty"]),
        (["--epoch", "3"], ["unrecognized arguments: --epoch 3"]),
        (["two\nlines"], ["unrecognized arguments", r"two\nlines"]),
        (["--epochs"], ["--epochs", "expected one argument"]),
        (["--data", "digit"], ["unknown data set 'digit'", "did you mean digits", "iris", "CSV or NPZ"]),
        (["--data", "no/such.csv", "--target", "y"], ["no such file: 'no/such.csv'"]),
        (["--data", "x" * 5000], ["cannot read", "name too long"]),
        (["--data", "."], ["directory"]),
        (["--data", __file__], ["neither a .csv nor an .npz"]),
        (["--data", "iris", "--target", "y"], ["--target: has no effect without a CSV file"]),
        (["--data", "iris", "--batch-size", "121"], ["--batch-size", "121 is more than the 120 training"]),
        (["--data", "iris", "--batch-size", "1", "--batch-norm"], ["--batch-norm", "at least 2", "--batch-size 1"]),
        (["--chain", "adm(1e-3)"], ["--chain: 'adm(1e-3)', column 1: unknown name 'adm'", "did you mean adam"]),
        (["--chain", "adam(1e-3, b1=1.0)"], ["--chain", "column 1: adam(...): adam: b1 must be in [0, 1)"]),
        (["--chain", "cosine_decay(1.0, 9)"], ["--chain", "expected a transformation"]),
        (["--chain", "adam(1e-3)", "--chain", " adam( 0.001)"], ["--chain", "'adam( 0.001)' is given twice"]),
        (
            ["--chain", "adam(1e-3)", "--learning-rate", "0.1"],
            ["--learning-rate: " + NO_EFFECT],
        ),
        (
            ["--chain", "adam(1e-3)", "--schedule", "cosine"],
            ["--schedule: " + NO_EFFECT],
        ),
        (
            ["--chain", "adam(1e-3)", "--find-lr"],
            ["--find-lr: " + NO_EFFECT],
        ),
        (["--find-lr", "--learning-rate", "0.1"], ["--find-lr", "not allowed with argument --learning-rate"]),
        (["--schedule", "cosin"], ["--schedule", "unknown schedule 'cosin'", "did you mean cosine", "one_cycle"]),
        (
            ["--schedule", "cosine_decay(1.0)"],
            ["--schedule", "column 1: cosine_decay(...): cosine_decay: the argument"],
        ),
        (["--schedule", "adam(1e-3)"], ["--schedule", "expected a schedule"]),
        (["--seeds", "0"], ["--seeds", "'0' is not between 1 and 100"]),
        (["--seeds", "2", "--seed", str(2**32 - 1)], ["--seeds", "beyond 4294967295"]),
        (["--batch-norm=yes"], ["--batch-norm", "ignored explicit argument 'yes'"]),
    ],
)
def test_a_bad_argument(capsys, tmp_path, monkeypatch, args, words):
    monkeypatch.chdir(tmp_path)
    line = rejected(capsys, *args)
    for word in words:
        assert word in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", ["bad.csv is empty"]),
        (HEADER, ["header but no rows"]),
        (HEADER + "1,2,3\n" * 9, ["9 examples", "at least 10"]),
        (HEADER.replace("y", "z") + ROWS, ["unknown column 'y'", "known: a, b, z"]),
        (HEADER.replace("y", "a") + ROWS, ["two columns are named 'a'"]),
        (HEADER.replace("a", "") + ROWS, ["column 1 has no name"]),
        ("y\n" + "1\n0\n" * 10, ["no features"]),
        (HEADER + ROWS + "1,two,3\n", ["line 22", "column 'b'", "'two' is not a number"]),
        (HEADER + "\n" + ROWS + "1,,3\n", ["line 23", "column 'b'", "empty"]),
        (HEADER + ROWS + "1,2, \n", ["line 22", "column 'y'", "empty"]),
        (HEADER + ROWS + "nan,2,3\n", ["line 22", "column 'a'", "'nan' is not a finite"]),
        (HEADER + ROWS + "1,2,-inf\n", ["line 22", "column 'y'", "'-inf' is not a finite"]),
        (HEADER + ROWS + f"1,{'9' * 400},3\n", ["line 22", "column 'b'", "99' is not a finite"]),
        (HEADER + ROWS + "1,2\n", ["line 22", "2 cells", "header has 3"]),
        (HEADER + ROWS + "1,2,3,4\n", ["line 22", "4 cells", "header has 3"]),
        (HEADER.encode() + b"1,\xff,3\n", ["not UTF-8", "byte 8"]),
        (HEADER + '1,"2\n', ["not a CSV file"]),
        (b"\x89PNG\r\n\x1a\n\0\0", ["not UTF-8"]),
        (HEADER + "1,2,same\n2,3,same\n" * 10, ["'same' throughout"]),
        (HEADER + "".join(f"1,2,id{i}\n" for i in range(20)), ["20 classes in 20 examples"]),
    ],
)
def test_a_bad_csv_file(capsys, tmp_path, text, words):
    path = tmp_path / "bad.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    line = rejected(capsys, "--data", path, "--target", "y", "--out", tmp_path / "out")
    for word in words:
        assert word in line
    assert not (tmp_path / "out").exists()


def test_a_csv_file_needs_a_target_and_regression_numbers(capsys, tmp_path):
    path = tmp_path / "some.csv"
    path.write_text(HEADER + ROWS + "1,2,three\n")
    assert "--target: needed" in rejected(capsys, "--data", path)
    line = rejected(capsys, "--data", path, "--target", "y", "--task", "regression")
    assert "line 22, column 'y': 'three' is not a number" in line


X, Y = np.ones((20, 2)), np.arange(20)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"y": Y}, ["no array 'x'", "it has: y"]),
        ({"x": X}, ["no array 'y'", "it has: x"]),
        ({"x": X, "y": Y[1:]}, ["x has 20 examples, y has 19"]),
        ({"x": X.astype(object), "y": Y}, ["cannot be read", "Object arrays"]),
        ({"x": X.astype(complex), "y": Y}, ["x holds complex128"]),
        ({"x": X.astype(str), "y": Y}, ["x holds <U", "not numbers"]),
        ({"x": np.where(np.eye(20, 2), np.nan, X), "y": Y}, ["x[0, 0]: nan is not"]),
        ({"x": X, "y": np.where(Y == 3, np.inf, Y)}, ["y[3]: inf is not"]),
        ({"x": X[:, 0], "y": Y}, ["shape (20,)"]),
        ({"x": X, "y": X}, ["y (20, 2)"]),
        ({"x": X[:, :0], "y": Y}, ["no features"]),
        ({"x": X[:0], "y": Y[:0]}, ["0 examples"]),
        ({"x": X, "y": np.ones(20)}, ["1.0' throughout"]),
    ],
)
def test_a_bad_npz_file(capsys, tmp_path, arrays, words):
    np.savez(tmp_path / "bad.npz", **arrays)
    line = rejected(capsys, "--data", tmp_path / "bad.npz", "--out", tmp_path / "out")
    for word in words:
        assert word in line


def test_what_is_no_npz_file(capsys, tmp_path):
    path = tmp_path / "bad.npz"
    np.savez(path, x=X, y=Y)
    whole = path.read_bytes()
    for damaged in (whole[:100], whole[:200] + b"\xff" * 40 + whole[240:]):
        path.write_bytes(damaged)
        assert "bad.npz cannot be read as an NPZ file" in rejected(capsys, "--data", path)
    with path.open("wb") as file:
        np.save(file, X)
    for other in (b"", b"text", path.read_bytes()):
        path.write_bytes(other)
        assert "bad.npz is not an NPZ file" in rejected(capsys, "--data", path)


def test_an_output_folder_that_cannot_be_written(capsys, tmp_path):
    (tmp_path / "file").write_text("mine")
    args = "--data", "iris", "--out"
    assert "it is a file" in rejected(capsys, *args, tmp_path / "file")
    assert "Not a directory" in rejected(capsys, *args, tmp_path / "file" / "below")
    assert "File name too long" in rejected(capsys, *args, tmp_path / "new" / (300 * "x"))
    assert not (tmp_path / "new").exists()
    (tmp_path / "out" / "race.png").mkdir(parents=True)
    assert "race.png' is a directory" in rejected(capsys, *args, tmp_path / "out")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("module", ["flax", "matplotlib", "rich", "sklearn"])
def test_a_missing_extra(capsys, monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    assert f"{module} not installed; run: pip install 'gradtx[race]'" in rejected(capsys)


def test_help_and_version(capsys):
    for args in ([], ["--help"], ["race", "--help"], ["--version"]):
        try:
            code = main(args)
        except SystemExit as end:
            code = end.code
        stdout, stderr = capsys.readouterr()
        assert (code, stderr) == (0, "")
        assert "gradtx" in stdout
        assert all(len(line) <= 80 for line in stdout.splitlines())
    assert main(["rice"]) == 2
    assert capsys.readouterr().err.startswith("gradtx: error: ")


def test_help_imports_nothing_heavy():
    code = """
import sys, gradtx
before = set(sys.modules)
from gradtx.race._cli import main
from tests.helpers import PATIENCE
try:
    main(["race", "--help"])
except SystemExit:
    heavy = {"jax", "flax", "sklearn", "matplotlib", "rich"}
    print("imported:", heavy & (set(sys.modules) - before))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.endswith("imported: set()\n")


@pytest.mark.parametrize("args", [["--optimizers", "adm"], ["--data", "nowhere.csv", "--target", "y"]])
def test_the_real_command_says_one_line_and_exits_with_2(start, args):
    process = start("race", *args)
    stdout, stderr = process.communicate(timeout=PATIENCE)
    assert (process.returncode, stdout) == (2, "")
    assert stderr.startswith("gradtx race: error: ")
    assert stderr.count("\n") == 1
