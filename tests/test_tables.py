"""The tables in the documents show the results that the benchmarks stored."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def tables(benchmark):
    return benchmark("tables")


def test_documents_show_the_committed_results(tables):
    for document in tables.DOCUMENTS:
        assert tables.rendered(document.read_text()) == document.read_text(), "run python benchmarks/tables.py"


def test_every_block_has_a_table(tables):
    names_by_document = [re.findall(r"<!-- ([^/].*?) -->\n\n\S", document.read_text()) for document in tables.DOCUMENTS]
    assert {name for names in names_by_document for name in names} == set(tables.BLOCKS)


def test_files_named_in_the_comparison_exist(tables):
    paths = re.findall(r"`((?:tests|benchmarks)/\S+)`", tables.comparison())
    assert len(paths) == tables.comparison().count("\n") - 1
    assert all((ROOT / path).exists() for path in paths)
