"""Every chapter: its source keeps the contract, and it runs in each of the ways in which readers run it."""

import ast
import os
import re
import subprocess
import sys
from collections import Counter

import nbformat
import pytest

from wastebook import paths
from wastebook.book.deck import DECK
from wastebook.book.execute import cell_options, run_chapter
from wastebook.book.plan import annotated, chapter_names, check_parameters, needs_of, parameters_of, plan

CHAPTERS = chapter_names()
LONGEST_CELL = 24
SMALL = {"photos_per_class": 12, "epochs": 1, "trials": 2, "seeds": [0]}  # those of them that a chapter has

# What may hold a digit in prose without being measured.
ALLOWED = [
    r"```.*?```|`[^`]*`",  # code
    r"\$[^$]+\$",  # formulas
    r"\]\([^)]*\)|<https?://[^>]*>",  # addresses of links
    r"\{[^}]*\}",  # attributes, and {{< var >}}
    r"@[\w:-]+",  # references and citations
    r"\b(?:19|20)\d\d\b",  # years
    r"\b\w*[A-Za-z]-?\d\w*",  # names: ResNet18, EfficientNet-B0, F1
    r"\b95 %",  # the level of every interval
    r"\b0 is black\b|\b255 (?:is )?white\b",  # the scale of pixels
    r"\b\d+(?:-bit|-pixel|-D| bits)\b",
]


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


@pytest.fixture
def notebook(chapter):
    return nbformat.read(paths.CHAPTERS / f"{chapter}.ipynb", as_version=4)


each_chapter = pytest.mark.parametrize("chapter", CHAPTERS)


@each_chapter
def test_source(notebook, chapter):
    assert (notebook.nbformat, notebook.nbformat_minor) >= (4, 5)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
    for cell in code_cells(notebook):
        assert not cell.outputs and cell.execution_count is None, f"cell {cell.id} has outputs"
        assert len(cell.source.split("\n")) <= LONGEST_CELL, f"cell {cell.id} is too long"
    assert set(needs_of(notebook)) <= set(CHAPTERS) - {chapter}
    assert f'open_chapter("{chapter}")' in "".join(cell.source for cell in code_cells(notebook))


@each_chapter
def test_headings(notebook):
    prose = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    titles = re.findall(r"^# .*$", "\n".join(prose), re.MULTILINE)
    assert len(titles) == 1 and prose[0].startswith(titles[0])
    assert re.search(r"\{#sec-[\w-]+\}$", titles[0])
    assert any(re.search(r"^## What we learned\b", text, re.MULTILINE) for text in prose)


@each_chapter
def test_parameters(notebook, chapter):
    (cell,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    assigned = [node for node in ast.parse(cell.source).body if isinstance(node, (ast.Assign, ast.AnnAssign))]
    named = annotated(cell.source)
    assert len(assigned) == len(named), "every parameter is annotated"
    lines = cell.source.split("\n")
    for name, node, _ in named:
        assert re.search(r"  # \w", lines[(node.end_lineno or 0) - 1]), f"{name} says what it is"
    defaults = {name: parameter.default for name, parameter in parameters_of(notebook).items()}
    assert check_parameters(chapter, defaults) == defaults
    assert defaults.get("dataset", "sample").startswith("sample")


@each_chapter
def test_figures_and_tables_are_told(notebook):
    for cell in code_cells(notebook):
        options, body = cell_options(cell.source)
        kind = options.get("label", "").partition("-")[0]
        if kind == "fig":
            assert options.get("fig-cap") and options.get("fig-alt"), options
        elif kind == "tbl":
            assert options.get("tbl-cap"), options
        else:
            assert "show(" not in body, f"cell {cell.id} shows a figure without a fig- label"


def test_labels_are_unique_in_the_book():
    labels: Counter[str] = Counter()
    for name in CHAPTERS:
        for cell in nbformat.read(paths.CHAPTERS / f"{name}.ipynb", as_version=4).cells:
            labels.update(re.findall(r"\{#([\w-]+)", cell.source) if cell.cell_type == "markdown" else [])
            labels.update([cell_options(cell.source)[0].get("label", cell.id)] * (cell.cell_type == "code"))
    assert [label for label, count in labels.items() if count > 1] == []


def prose_of(notebook):
    """What a reader reads that is not made from results: Markdown, captions, the fixed parts of f-strings."""
    for cell in notebook.cells:
        if cell.cell_type != "code":
            yield cell.source
            continue
        options, body = cell_options(cell.source)
        yield from (str(options.get(name, "")) for name in ("fig-cap", "fig-alt", "tbl-cap"))
        nodes = list(ast.walk(ast.parse(body)))
        formats = [node.format_spec for node in nodes if isinstance(node, ast.FormattedValue)]
        for node in nodes:
            if isinstance(node, ast.JoinedStr) and node not in formats:
                yield "".join(str(part.value) for part in node.values if isinstance(part, ast.Constant))


@pytest.mark.parametrize("chapter", [*CHAPTERS, DECK])
def test_no_number_is_typed(notebook):
    for text in prose_of(notebook):
        rest = re.sub("|".join(ALLOWED), "", text, flags=re.DOTALL)
        assert not re.findall(r".{0,20}\d.{0,20}", rest), "a number in prose comes from the results"


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("We have 501 photos.", True),
        ("An accuracy of .93.", True),
        ("In 2016 [@thung2016], `x = 3` and ResNet18 at $p < 0.05$; see [here](https://a.b/1).", False),
        ("The 95 % interval of EfficientNet-B0's F1.", False),
    ],
)
def test_the_scan_for_typed_numbers(text, number):
    assert bool(re.search(r"\d", re.sub("|".join(ALLOWED), "", text, flags=re.DOTALL))) == number


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of every chapter on little data, for each to find there what it needs."""
    folder = tmp_path_factory.mktemp("runs") / "small"
    done: dict[str, object] = {}

    def run_up_to(chapter):
        for name in plan("quick", wanted=[chapter]):
            if name not in done:
                done[name] = run_chapter(name, small(name), folder)
        return folder

    return run_up_to


def small(chapter):
    notebook = nbformat.read(paths.CHAPTERS / f"{chapter}.ipynb", as_version=4)
    return {name: value for name, value in SMALL.items() if name in parameters_of(notebook)}


@each_chapter
def test_by_wastebook(chapter, run):
    executed = nbformat.read(run(chapter) / "chapters" / f"{chapter}.ipynb", as_version=4)
    for cell in code_cells(executed):
        options, _ = cell_options(cell.source)
        if options.get("label", "").startswith("fig-"):
            pictures = [output.metadata.get("image/png", {}) for output in cell.outputs]
            assert all(picture.get("alt") for picture in pictures), (
                f"{options['label']} computes its alt text"
            )


@each_chapter
def test_by_papermill(chapter, run, tmp_path):
    source = f"{chapter}.ipynb"
    arguments = ["papermill", source, str(tmp_path / source)]
    for name, value in small(chapter).items():
        arguments += ["--parameters_yaml", f"{name}: {value}"]
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=paths.CHAPTERS,
        env=os.environ | {"WASTEBOOK_RUN": str(run(chapter))},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
