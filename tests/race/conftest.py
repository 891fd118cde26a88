import os
import subprocess
import sys
from pathlib import Path

import pytest

import gradtx
from tests.helpers import environment


@pytest.fixture
def start(tmp_path):
    """Return a function that starts the real command in a separate process. The process ends with the test."""
    processes = []

    def run(*args, **options):
        path = os.pathsep.join([str(Path(gradtx.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
        variables = os.environ | environment() | {"PYTHONPATH": path, "FORCE_COLOR": "1"}
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "cwd": tmp_path} | options
        command = [sys.executable, "-m", "gradtx.race._cli", *args]
        processes.append(subprocess.Popen(command, env=variables, text=True, **options))
        return processes[-1]

    yield run
    for process in processes:
        process.kill()
        process.communicate()
