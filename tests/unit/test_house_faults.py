"""The table of faults in the docs is that of the tests' marks, and counts them right."""

import ast
import importlib.util
from collections import Counter

import pytest

from wastebook import paths

TESTS = paths.PROJECT / "tests"
PAGE = paths.PROJECT / "docs" / "faults.md"


def marks():
    """The area, what was tried and what follows of each mark `fault` in the tests."""
    for file in sorted(TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.fault":
                yield tuple(map(ast.literal_eval, node.args))


def rows(page):
    """The same of a page, and the number of inputs and of those that held."""
    area, found = "", {}
    for line in page.replace(r"\|", "\0").splitlines():
        if line.startswith("## "):
            area = line.removeprefix("## ").lower()
        elif line.startswith("| ") and not line.startswith(("| tried |", "| ---")):
            tried, inputs, held, follows = (
                cell.strip().replace("\0", "|") for cell in line.strip("|").split("|")
            )
            found[area, tried, follows] = (inputs, held)
    return found


@pytest.fixture(scope="module")
def shared():
    """The tests' own conftest."""
    spec = importlib.util.spec_from_file_location("shared", TESTS / "conftest.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_has_a_row_for_each_mark():
    page = PAGE.read_text(encoding="utf-8")
    behind = [" / ".join(row) for row in sorted({*rows(page)} ^ {*marks()})]
    assert not behind, "renew the page: python -m pytest -m fault --faults docs/faults.md\n" + "\n".join(
        behind
    )
    assert "and 0 did not" in page


def test_each_mark_says_what_the_page_needs(shared):
    wrong = [mark for mark in marks() if len(mark) != 3 or mark[0] not in shared.AREAS or not all(mark)]
    assert not wrong and set(marks())


def test_inputs_are_counted_by_how_they_ended(shared):
    counts = {
        ("app", "a | b", "a line"): Counter(passed=1200, failed=3),
        ("kills", "kill -9", "built again"): Counter(skipped=50),
        ("own folders", "a zip", "a site"): Counter(passed=2, skipped=1),
    }
    page = shared.describe_faults(counts)
    assert rows(page) == {
        ("own folders", "a zip", "a site"): ("3", "2"),
        ("kills", "kill -9", "built again"): ("50", "not tried here"),
        ("app", "a | b", "a line"): ("1,203", "1,200"),
    }
    assert next(iter(rows(page)))[0] == "own folders"
    assert "Of 1,256 inputs, 1,202 held and 3 did not.\n51 were not tried" in page
