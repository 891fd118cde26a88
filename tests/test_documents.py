"""The documents: links lead to files and headings, the manual has every public name, and quoted code exists."""

import inspect
import re
from pathlib import Path

import pytest

import gradtx as gx

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + sorted(ROOT.glob("docs/*.md"))
every_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)


def _anchors(document):
    """The anchors that GitHub makes of the headings."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@every_document
def test_links_lead_to_files_and_headings(document):
    for link in re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8")):
        if link.startswith("https://"):
            continue
        place, _, anchor = link.partition("#")
        path = document.parent / place if place else document
        assert path.exists(), link
        assert not anchor or anchor in _anchors(path), link


@pytest.mark.parametrize("space", ["", "schedules", "inputs", "derivative_free", "inspection"])
def test_the_manual_has_every_public_name(space):
    _, _, tables = (ROOT / "docs" / "manual.md").read_text(encoding="utf-8").partition("## All public names")
    module = getattr(gx, space) if space else gx
    names = {n for n in dir(module) if not n.startswith("_") and not inspect.ismodule(getattr(module, n))}
    assert names <= set(re.findall(r"`(\w+)`", tables))


def test_code_in_contributing_is_that_of_the_files():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    quotes = re.findall(r"```python\n# (\S+)\n(.*?)```", text, re.DOTALL)
    assert len(quotes) == text.count("```python")
    for name, code in quotes:
        assert code in (ROOT / name).read_text(encoding="utf-8"), f"{name} has changed: {code}"
