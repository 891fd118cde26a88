"""Every chapter of the guide runs from top to bottom without errors."""

import importlib.util
import os
import tempfile
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from traitlets.config import Config

from tests.helpers import PATIENCE, environment

CHAPTERS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
every_chapter = pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
OPTIONAL = ("torch", "keras")


def _read(path):
    return nbformat.read(path, as_version=4)


def test_there_are_at_least_ten_chapters():
    assert len(CHAPTERS) >= 10


def _execute(chapter, folder):
    """Run a chapter through its own sockets: another kernel that starts at the same time could take a free port."""
    with tempfile.TemporaryDirectory() as directory:  # the path of a socket must be short
        sockets = {"transport": "ipc", "connection_file": f"{directory}/kernel.json"} if os.name == "posix" else {}
        NotebookClient(
            chapter,
            timeout=PATIENCE,
            startup_timeout=PATIENCE,
            kernel_name="python3",
            resources={"metadata": {"path": folder}},
            config=Config(KernelManager=sockets),
        ).execute()


@every_chapter
def test_a_chapter_is_stored_without_outputs(path):
    for cell in _read(path).cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


@every_chapter
def test_a_chapter_runs_and_draws_a_picture(path, monkeypatch, pytestconfig):
    chapter = _read(path)
    code = "\n".join(cell.source for cell in chapter.cells if cell.cell_type == "code")
    for package in OPTIONAL:
        if package in code and importlib.util.find_spec(package) is None:
            pytest.skip(f"needs {package}")
    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    if not pytestconfig.getoption("--exhaustive"):  # a chapter trains for longer than it compiles
        kept = [flag for flag in os.environ["XLA_FLAGS"].split() if "fusion_emitters" in flag]
        monkeypatch.setenv("XLA_FLAGS", " ".join(["--xla_backend_optimization_level=1", *kept]))
        monkeypatch.delenv("JAX_DISABLE_MOST_OPTIMIZATIONS", raising=False)
    _execute(chapter, path.parent)
    outputs = [output for cell in chapter.cells for output in cell.get("outputs", [])]
    assert [output.text for output in outputs if output.get("name") == "stderr"] == []
    assert any("image/png" in output.get("data", {}) for output in outputs), "a chapter has a picture"
