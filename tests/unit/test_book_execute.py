"""A chapter executed, on tiny notebooks: what it leaves when whole, and when it fails."""

import errno
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from wastebook import paths
from wastebook.book import execute, work
from wastebook.errors import WastebookError
from wastebook.files import exclusive_lock

PARAMETERS = "needs: list[str] = []  # nothing\ncount: int = 3  # how many\nname: str | None = None  # whose"
OPEN = """import base64, os, pathlib, sys
from IPython.display import display
stage = pathlib.Path(os.environ["WASTEBOOK_STAGE"])"""
FIGURE = """#| label: fig-line
#| fig-cap: A line
def show(alt):
    picture = base64.b64encode(b"picture").decode()
    display({"image/png": picture}, metadata={"image/png": {"alt": alt}}, raw=True)
show(f'It "rises": {count} of 100 % # steeply')"""
KEEP = """import os, pathlib
kept = pathlib.Path(os.environ["WASTEBOOK_STAGE"], "results", "01-first.json")
kept.parent.mkdir()
kept.write_text(str(count))
if count > 3:
    raise ValueError("too\\nmany\\nof us")"""


@pytest.fixture
def book(tmp_path):
    """A folder of the test's own, with braces and a blank in its path."""
    (tmp_path / "my {book}").mkdir()
    return tmp_path / "my {book}"


def run_chapter(run, *sources, parameters=None, follow=lambda state: None):
    """Execute a chapter of a heading, a parameters cell and the given code into `run`."""
    cells = [new_markdown_cell("# First {#sec-first}", id="heading")]
    cells.append(new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}, id="parameters"))
    cells += [new_code_cell(source, id=f"cell-{at}") for at, source in enumerate(sources)]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = new_notebook(cells=cells, metadata={"kernelspec": kernel})
    given = {"count": 3, "name": None} | (parameters or {})
    return execute.run_chapter(notebook, "01-first", {"parameters": given}, run, run.parent, follow)


def cell(notebook: Path, label: str) -> nbformat.NotebookNode:
    cells = nbformat.read(notebook, as_version=4).cells
    return next(cell for cell in cells if label in cell.source)


def test_a_whole_chapter(book):
    run = book / "a {run}"
    sources = [
        OPEN,
        FIGURE,
        "print('to the log', file=sys.stderr)\nprint(os.getcwd())",
        "(stage / 'results' / '01-first').mkdir(parents=True)\n"
        "(stage / 'results' / '01-first.json').write_text(f'{count}')\n"
        "(stage / 'models' / '01-first').mkdir(parents=True)\n"
        "(stage / 'models' / '01-first' / 'model.txt').write_text('weights');",
    ]
    followed = []
    executed = run_chapter(
        run, *sources, parameters={"count": 5}, follow=lambda state: followed.append({**state})
    )

    assert executed == run / "chapters" / "01-first.ipynb"
    assert (run / "results" / "01-first.json").read_text() == "5"
    assert (run / "results" / "01-first").is_dir()
    assert (run / "models" / "01-first" / "model.txt").read_text() == "weights"
    assert not list((run / work.BUILD).rglob(f"{work.STAGE}*"))
    assert (run / "logs" / "01-first.log").read_text() == "to the log\n"
    assert [(state["cell"], state["cells"]) for state in followed if "cell" in state][:2] == [(1, 5), (2, 5)]
    assert followed[-1]["state"] == "done"
    made = paths.read_yaml(executed.with_suffix(".yml"))
    assert list(made["spent"]) == ["kernel", "opening", "work", "saving"]
    assert all(seconds >= 0 for seconds in made["spent"].values())
    assert sum(made["spent"].values()) == pytest.approx(made["seconds"], abs=0.05)
    again = run_chapter(book / "again", *sources, parameters={"count": 5})
    assert again.read_bytes() == executed.read_bytes()

    options, _ = execute.cell_options(cell(executed, "fig-line").source)
    assert options == {
        "label": "fig-line", "fig-cap": "A line", "fig-alt": 'It "rises": 5 of 100 % # steeply'
    }  # fmt: skip
    printed = cell(executed, "getcwd").outputs
    assert [output.text for output in printed] == [f"{book}\n"]
    shown = "needs: list[str] = []  # nothing\ncount: int = 5  # how many\nname: str | None = None  # whose"
    assert cell(executed, "needs").source == shown
    assert not any("papermill" in part.metadata for part in nbformat.read(executed, as_version=4).cells)


def test_several_pictures_of_a_cell_are_told_apart(book):
    again = FIGURE + "\nshow('It falls.')"
    executed = run_chapter(book / "run", OPEN, again)
    options, _ = execute.cell_options(cell(executed, "fig-line").source)
    assert options["fig-subcap"] is True
    assert options["fig-alt"] == ['It "rises": 3 of 100 % # steeply', "It falls."]


@pytest.mark.parametrize(("count", "shown"), [(5, True), (3, False)])
def test_what_says_nothing_for_the_data_at_hand_has_no_place_on_the_page(book, count, shown):
    figure = "#| optional: true\n" + FIGURE.replace("\nshow(", "\nif count > 3:\n    show(")
    executed = cell(run_chapter(book / "run", OPEN, figure, parameters={"count": count}), "def show")
    options, _ = execute.cell_options(executed.source)
    assert options.get("label") == ("fig-line" if shown else None)
    assert options.get("include", True) == shown == bool(executed.outputs)


def test_names_in_sentences_are_no_html(book):
    told = "**a** <script>b</script> `<c>` ``d`<e>`` `<f>`{=html} <https://g.example> h < i"
    executed = run_chapter(book / "run", f"from IPython.display import Markdown\nMarkdown({told!r})")
    (output,) = cell(executed, "Markdown").outputs
    safe = "**a** \\<script>b\\</script> `<c>` ``d`<e>`` `<f>` <https://g.example> h < i"
    assert output.data["text/markdown"] == safe


@pytest.mark.fault(
    "disk and places", "a folder for temporary files that is far down, or gone", "a chapter runs all the same"
)
@pytest.mark.parametrize("place", ["a" * 60 + "/" + "b" * 60, "gone"])
def test_a_long_or_missing_temporary_folder_is_no_hindrance(book, monkeypatch, place):
    if place != "gone":
        (book / place).mkdir(parents=True)
    monkeypatch.setenv("TMPDIR", str(book / place))
    monkeypatch.setattr("tempfile.tempdir", None)  # to be looked for again
    assert run_chapter(book / "run", "1 + 1").exists()


def test_a_failure_keeps_the_last_good_chapter(book):
    run = book / "sample"
    good = run_chapter(run, KEEP).read_text()
    stamp = run / work.BUILD / "01-first.done"
    stamp.touch()

    with pytest.raises(WastebookError) as failure:
        run_chapter(run, KEEP, parameters={"count": 4})

    first, second, third = str(failure.value).split("\n")
    line = 'line 6, `raise ValueError("too\\nmany\\nof us")`'
    assert first == f"Chapter 01-first failed in cell 2 (import os, pathlib): {line}: ValueError: too"
    assert (second, third) == ("many", f"More is in {run / 'logs' / '01-first.log'}")
    assert (run / "chapters" / "01-first.ipynb").read_text() == good
    assert (run / "results" / "01-first.json").read_text() == "3"
    assert stamp.exists()
    assert "of us" in (run / "logs" / "01-first.log").read_text()
    assert "raise ValueError" in (run / "logs" / "01-first.ipynb").read_text()

    run_chapter(run, KEEP)
    assert not (run / "logs" / "01-first.ipynb").exists()
    assert not stamp.exists()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "#| label: tbl-a\nfrom wastebook import errors\nraise errors.WastebookError('Mend it.\\nSo.')",
            "Chapter 01-first failed in cell 2 (tbl-a): Mend it.\nSo.",
        ),
        ("import os\nos._exit(9)", "Chapter 01-first failed in cell 2 (import os): its kernel died"),
        (
            "#| label: fig-none\n1 + 1",
            "Chapter 01-first failed: Cell 3 is named fig-none but shows nothing: expected image/.",
        ),
        (
            "raise MemoryError",
            "Chapter 01-first failed in cell 2 (raise MemoryError): line 1, `raise MemoryError`: MemoryError",
        ),
    ],
)
def test_what_a_failure_says(book, source, message):
    with pytest.raises(WastebookError) as failure:
        run_chapter(book / "sample", source)
    assert str(failure.value).startswith(message)
    assert not (book / "sample" / "chapters").exists()


def test_no_space_left(book, monkeypatch):
    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    run = book / "sample"
    monkeypatch.setattr("papermill.execute.write_ipynb", full)
    with pytest.raises(WastebookError, match="no space left"):
        run_chapter(run, "1")
    assert not list((run / work.BUILD).rglob(f"{work.STAGE}*"))
    assert paths.read_yaml(run / work.BUILD / "01-first.yml")["state"] == "failed"


def test_one_process_a_chapter(book, monkeypatch):
    monkeypatch.setattr(work, "ORPHANS_END", 0.1)
    run = book / "sample"
    with (
        exclusive_lock(run / work.BUILD / "01-first.lock"),
        pytest.raises(WastebookError, match="Another process"),
    ):
        run_chapter(run, "1")


@pytest.mark.fault("disk and places", "a kernel that an editor named, or none", "the Python at hand runs it")
@pytest.mark.parametrize(
    "metadata",
    [
        {"kernelspec": {"name": "conda-env-waste-py", "display_name": "waste", "language": "python"}},
        {"kernelspec": {"name": "waste", "display_name": "waste"}},
        {"language_info": {"name": "python"}},
        {},
    ],
)
def test_the_python_at_hand_runs_a_notebook(book, metadata):
    cells = [
        new_markdown_cell("# First", id="a"),
        new_code_cell("import sys\nprint(sys.executable)", id="b"),
    ]
    notebook = new_notebook(cells=cells, metadata=metadata)
    executed = execute.run_chapter(notebook, "01-first", {"parameters": {}}, book / "run", book)
    assert cell(executed, "sys").outputs[0].text.strip() == sys.executable
    assert nbformat.read(executed, as_version=4).metadata.kernelspec.name == "python3"


def test_what_only_a_terminal_or_a_live_kernel_shows(book):
    """Escapes are taken out, widgets left out, what stands between them stays."""
    sources = [
        r"print('\x1b[1;38;5;208mred\x1b[0m \x1b]8;;https://a.example\x07link\x1b]8;;\x1b\\ \x1b[?25lend')",
        "'plain'",
        "from IPython.display import display\nview = {'version_major': 2, 'model_id': 'a'}\n"
        "display({'application/vnd.jupyter.widget-view+json': view, 'text/plain': 'HBox()'}, raw=True)",
        "from tqdm.auto import tqdm\nfor _ in tqdm(range(3)):\n    pass",
    ]
    executed = run_chapter(book / "run", *sources)
    told = [
        output for one in nbformat.read(executed, as_version=4).cells for output in one.get("outputs", [])
    ]
    assert [output.get("text") or output.data["text/plain"] for output in told] == [
        "red link end\n",
        "'plain'",
    ]
