"""A chapter executed, on tiny notebooks: what it leaves when whole, and when it fails."""

import errno
import json
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from wastebook import paths
from wastebook.book import execute
from wastebook.errors import WastebookError

PARAMETERS = "count: int = 3  # how many\nname: str | None = None  # whose"
OPEN = "from wastebook.report.chapter import open_chapter, show\nchapter = open_chapter('01-first')"
FIGURE = """#| label: fig-line
#| fig-cap: A line
#| fig-alt: A drawing.
from matplotlib.figure import Figure
figure = Figure(figsize=(1, 1))
show(figure, alt=f'It "rises": {count} of 100 % # steeply')"""


KEEP = """import os, pathlib
kept = pathlib.Path(os.environ["WASTEBOOK_STAGE"], "results", "01-first.json")
kept.parent.mkdir()
kept.write_text(str(count))
if count > 3:
    raise ValueError("too\\nmany\\nof us")"""


def write(name, *sources, parameters=PARAMETERS, needs=()):
    """Write a chapter of a heading, a parameters cell and the given code."""
    cells = [new_markdown_cell(f"# {name} {{#sec-{name}}}")]
    cells.append(new_code_cell(parameters, metadata={"tags": ["parameters"]}))
    cells += [new_code_cell(source) for source in sources]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = new_notebook(cells=cells, metadata={"kernelspec": kernel, "wastebook": {"needs": list(needs)}})
    nbformat.write(notebook, paths.CHAPTERS / f"{name}.ipynb")


@pytest.fixture(autouse=True)
def chapters(tmp_path, monkeypatch):
    """A folder of chapters of the test's own, with braces and a blank in its path."""
    folder = tmp_path / "my {book}"
    for name in ("PROFILES", "CHAPTERS", "CARDS", "RUNS"):
        monkeypatch.setattr(paths, name, folder / name.lower())
        (folder / name.lower()).mkdir(parents=True)
    return folder


def cell(notebook: Path, label: str) -> nbformat.NotebookNode:
    cells = nbformat.read(notebook, as_version=4).cells
    return next(cell for cell in cells if label in cell.source)


def test_a_whole_chapter(chapters):
    run = paths.RUNS / "a {run}"
    write(
        "01-first",
        OPEN,
        FIGURE,
        "import sys, os, pandas\nprint('to the log', file=sys.stderr)\nprint(os.getcwd())",
        "chapter.save('table', pandas.DataFrame({'a': [count]}))\nchapter.record(count=count)\n"
        "chapter.models.mkdir(parents=True)\n(chapter.models / 'model.txt').write_text('weights');",
    )
    followed = []
    executed = execute.run_chapter("01-first", {"count": 5}, run, lambda state: followed.append(dict(state)))

    assert executed == run / "chapters" / "01-first.ipynb"
    assert json.loads((run / "results" / "01-first.json").read_text()) == {"count": 5}
    assert (run / "results" / "01-first" / "table.parquet").exists()
    assert (run / "models" / "01-first" / "model.txt").read_text() == "weights"
    assert not (run / execute.BUILD / "01-first").exists()
    assert (run / "logs" / "01-first.log").read_text() == "to the log\n"
    assert [(state["cell"], state["cells"]) for state in followed if "cell" in state][:2] == [(1, 5), (2, 5)]
    assert followed[-1]["state"] == "done"
    again = execute.run_chapter("01-first", {"count": 5}, paths.RUNS / "again")
    assert again.read_bytes() == executed.read_bytes()

    options, _ = execute.cell_options(cell(executed, "fig-line").source)
    assert options == {
        "label": "fig-line", "fig-cap": "A line", "fig-alt": 'It "rises": 5 of 100 % # steeply'
    }  # fmt: skip
    printed = cell(executed, "getcwd").outputs
    assert [output.text for output in printed] == [f"{paths.CHAPTERS}\n"]
    tagged = {tag: cell for cell in nbformat.read(executed, 4).cells for tag in cell.metadata.get("tags", [])}
    assert "remove-cell" in tagged["injected-parameters"].metadata.tags
    assert tagged["parameters"].source == "count: int = 5  # how many\nname: str | None = None  # whose"


def test_a_failure_keeps_the_last_good_chapter():
    run = paths.RUNS / "sample"
    write("01-first", KEEP)
    good = execute.run_chapter("01-first", {}, run).read_text()
    key = run / execute.BUILD / "01-first.key"
    key.write_text("the key")

    with pytest.raises(WastebookError) as failure:
        execute.run_chapter("01-first", {"count": 4}, run)

    first, second, third = str(failure.value).split("\n")
    assert first == "Chapter 01-first failed in cell 2 (import os, pathlib): ValueError: too"
    assert (second, third) == ("many", f"More is in {run / 'logs' / '01-first.log'}")
    assert (run / "chapters" / "01-first.ipynb").read_text() == good
    assert (run / "results" / "01-first.json").read_text() == "3"
    assert key.read_text() == "the key"
    assert "of us" in (run / "logs" / "01-first.log").read_text()
    assert "raise ValueError" in (run / "logs" / "01-first.ipynb").read_text()

    execute.run_chapter("01-first", {}, run)
    assert not (run / "logs" / "01-first.ipynb").exists()
    assert not key.exists()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "#| label: tbl-a\nfrom wastebook import errors\nraise errors.WastebookError('Mend it.\\nSo.')",
            "Chapter 01-first failed in cell 2 (tbl-a): Mend it.\nSo.",
        ),
        ("import os\nos._exit(9)", "Chapter 01-first failed in cell 2 (import os): its kernel died"),
        ("#| label: fig-none\n1 + 1", "Chapter 01-first failed to show anything in its cell fig-none"),
        ("raise MemoryError", "Chapter 01-first failed in cell 2 (raise MemoryError): MemoryError"),
    ],
)
def test_what_a_failure_says(source, message):
    write("01-first", source)
    with pytest.raises(WastebookError) as failure:
        execute.run_chapter("01-first", {}, paths.RUNS / "sample")
    assert str(failure.value).startswith(message)
    assert not (paths.RUNS / "sample" / "chapters").exists()


def test_no_space_left(monkeypatch):
    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    write("01-first", "1")
    run = paths.RUNS / "sample"
    monkeypatch.setattr("papermill.engines.write_ipynb", full)
    with pytest.raises(WastebookError, match="no space left"):
        execute.run_chapter("01-first", {}, run)
    assert not (run / execute.BUILD / "01-first").exists()
    assert json.loads((run / execute.BUILD / "01-first.json").read_text())["state"] == "failed"


def test_one_process_a_chapter():
    write("01-first", "1")
    run = paths.RUNS / "sample"
    with (
        execute.alone(run / execute.BUILD / "01-first.lock"),
        pytest.raises(WastebookError, match="Another process"),
    ):
        execute.run_chapter("01-first", {}, run)
