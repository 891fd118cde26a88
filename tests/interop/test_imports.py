"""Imports of gradtx.interop do not import the other frameworks."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("library", ["torch", "keras", "sklearn", "grain"])
def test_imports_neither_library(library):
    frameworks = {"torch", "keras", "tensorflow", "sklearn", "grain"}
    code = f"import sys, gradtx.interop.{library}; print(*{frameworks} & set(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert out.stdout.split() == []
