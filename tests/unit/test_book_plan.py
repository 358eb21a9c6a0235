"""What a build is asked for, checked before anything starts; and what decides that a chapter is stale."""

import re
from typing import Any

import nbformat
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from wastebook.book import plan as project
from wastebook.errors import WastebookError

PARAMETERS = {
    "01-exploration": "dataset: str = 'sample'  # which\nphotos: int | None = None  # how many a class",
    "02-baseline": "dataset: str = 'sample'  # which\nrate: float = 0.01  # a step\nseeds: list[int] = [1]",
    "03-baseline-again": "scheme: Literal['official', 'grouped'] = 'official'  # split\nfast: bool = False",
}
NEEDS = {"02-baseline": ["01-exploration"], "03-baseline-again": ["02-baseline"]}


def write(book, name, source="", needs=()):
    parameters = f"needs: list[str] = {list(needs)}\n{PARAMETERS[name]}"
    cells = [new_markdown_cell("# A chapter")]
    cells += [new_code_cell(parameters, metadata={"tags": ["parameters"]}), new_code_cell(source)]
    nbformat.write(new_notebook(cells=cells), book.chapters / f"{name}.ipynb")


@pytest.fixture
def book(tmp_path, monkeypatch):
    """A book of three chapters, with a profile and a library of one module and a part that is apart."""
    (tmp_path / "library" / "apart").mkdir(parents=True)
    (tmp_path / "library" / "module.py").touch()
    book = project.Book(tmp_path, library=tmp_path / "library", apart=("apart",), computes=("numpy",))
    (book.chapters / "profiles").mkdir(parents=True)
    profile = {
        "*": {"dataset": "trashnet"},
        "02-baseline": {"dataset": "sample"},
        "exploration": {"photos": 5},
    }
    (book.chapters / "profiles" / "quick.yml").write_text(yaml.safe_dump(profile))
    for name in PARAMETERS:
        write(book, name, needs=NEEDS.get(name, []))
    monkeypatch.chdir(tmp_path)
    return book


@pytest.mark.parametrize(
    "name", ["photos #1", "null", "2024", "1e5", "no", "'mine'", " mine ", "a: b", "[a]", "~", "=1"]
)
def test_a_text_is_taken_as_it_is_typed(book, name):
    given = project.check_parameters(book, "02-baseline", {"dataset": project.Text(name)})["dataset"]
    assert given == name and type(given) is str


@pytest.mark.fault(
    "disk and places", "notebooks of an editor, or to try things in, beside the chapters", "no chapters"
)
def test_a_chapter_has_a_number(book):
    for name in ("Untitled", "01-exploration-Copy1", "._01-exploration", ".~02-baseline", "scratch"):
        (book.chapters / f"{name}.ipynb").write_bytes(b"\0\5")
    assert project.chapter_names(book) == sorted(PARAMETERS) and project.plan(book, "quick")


def test_profile_and_settings_in_their_order(book):
    assert project.plan(book, "quick") == {
        "01-exploration": {"dataset": "trashnet", "photos": 5},
        "02-baseline": {"dataset": "sample", "rate": 0.01, "seeds": [1]},
        "03-baseline-again": {"scheme": "official", "fast": False},
    }
    settings = [
        "02.rate=1e-3",
        "*.dataset=trashnet",
        "01.photos=null",
        "02-baseline.seeds=[1, 2]",
        "03.fast=true",
    ]
    assert project.plan(book, "quick", settings) == {
        "01-exploration": {"dataset": "trashnet", "photos": None},
        "02-baseline": {"dataset": "trashnet", "rate": 0.001, "seeds": [1, 2]},
        "03-baseline-again": {"scheme": "official", "fast": True},
    }


@pytest.mark.parametrize("written", ["010", "0o12", "10"])
def test_numbers_are_those_of_quarto(book, tmp_path, written):
    (tmp_path / "mine.yml").write_text(f"02: {{seeds: [{written}]}}")
    assert project.plan(book, "mine.yml", [f"01.photos={written}"])["01-exploration"]["photos"] == 10
    assert project.plan(book, "mine.yml")["02-baseline"]["seeds"] == [10]


def test_values_are_made_fit_for_another_folder(book):
    book = book._replace(resolve=lambda name, value: f"/{value}" if name == "dataset" else value)
    planned = project.plan(book, "quick", ["01.dataset=mine"])
    assert planned["01-exploration"] == {"dataset": "/mine", "photos": 5}
    assert planned["02-baseline"]["dataset"] == "/sample"


def test_chapters_asked_for_come_with_what_they_need(book):
    assert list(project.plan(book, "quick", wanted=["02"])) == ["01-exploration", "02-baseline"]
    assert list(project.plan(book, "quick", wanted=["exploration"])) == ["01-exploration"]


@pytest.mark.parametrize(
    ("profile", "settings", "wanted", "message"),
    [
        ("quik", [], [], "No profile (or file) is called 'quik'. Did you mean quick?"),
        ("quick", [], ["basline"], "No chapter is called 'basline'. Did you mean 02-baseline or"),
        ("quick", [], ["base"], "'base' may be chapter 02-baseline or 03-baseline-again: which?"),
        ("quick", ["04.x=1"], [], "No chapter is called '04'."),
        (
            "quick",
            ["01.photo=1"],
            [],
            "No parameter of chapter 01-exploration is called 'photo'. Did you mean photos?",
        ),
        ("quick", ["*.seed=1"], [], "No parameter of any chapter is called 'seed'. Did you mean seeds"),
        ("quick", ["01.needs=[]"], [], "No parameter of chapter 01-exploration is called 'needs'"),
        ("quick", ["*.needs=[]"], [], "No parameter of any chapter is called 'needs'"),
        ("quick", ["01.photos"], [], "--set 01.photos: expected chapter.parameter=value"),
        ("quick", ["01.photos=many"], [], "01-exploration.photos = 'many': should be a valid integer"),
        ("quick", ["01.photos=1.5"], [], "(it takes int | None)"),
        ("quick", ["01.photos=12:30"], [], "01-exploration.photos = '12:30': should be a valid integer"),
        ("quick", ["02.seeds=1"], [], "02-baseline.seeds = '1': should be a valid"),
        ("quick", ["02.rate="], [], "02-baseline.rate = '': should be a valid number"),
        ("quick", ["02.rate=[1"], [], "02-baseline.rate = '[1': should be a valid number"),
        ("quick", ["02.rate=2024-02-30"], [], "02-baseline.rate = '2024-02-30': should be a valid number"),
        ("quick", ["02.rate=0b_"], [], "02-baseline.rate = '0b_': should be a valid number"),
        ("quick", [f"02.rate={'[' * 3000}"], [], "should be a valid number"),
        ("quick", ["03.scheme=random"], [], "should be 'official' or 'grouped'"),
        ("quick", ["03.fast=2"], [], "should be a valid boolean"),
    ],
)
def test_what_is_wrong_is_said_before_anything_starts(book, profile, settings, wanted, message):
    with pytest.raises(WastebookError, match=re.escape(message)) as error:
        project.plan(book, profile, settings, wanted)
    assert len(str(error.value).split("\n")) <= 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "is not YAML"),
        ("a: 2024-02-30", "is not YAML"),
        (f"a: {'[' * 3000}", "is not YAML"),
        ("- a", "is not YAML of names and values"),
        ("01: {photos: 1}\n01: {photos: 2}", "is not YAML of names and values"),  # the last would win
        ("a: 1", "parameters by chapter"),
        ("01: {photos: many}", "01-exploration.photos = 'many'"),  # which YAML takes for a number
        ("02-baseline: {rate: fast}", "02-baseline.rate = 'fast'"),
        ("05-xception: {}", "No chapter is called '05-xception'"),
    ],
)
def test_a_bad_profile(book, tmp_path, text, message):
    (tmp_path / "mine.yml").write_text(text)
    with pytest.raises(WastebookError, match=re.escape(message)):
        project.plan(book, "mine.yml")


@pytest.mark.fault("disk and places", "a run.yml that is damaged", "a line names it")
@pytest.mark.parametrize("text", ["a: [", "- a", "- ab", "\0", "text", "parameters: {a: 1}"])
def test_a_damaged_run(book, tmp_path, text):
    (tmp_path / "run.yml").write_text(text)
    with pytest.raises(WastebookError, match=re.escape(f"{tmp_path / 'run.yml'} ")) as error:
        project.load_profile(book, str(tmp_path / "run.yml"))
    assert len(str(error.value).split("\n")) == 1


def test_a_run_is_a_profile_too(book, tmp_path):
    (tmp_path / "run.yml").write_text("parameters: {01-exploration: {photos: 2}, 02-baseline: {rate: 0.5}}")
    (tmp_path / "chapters" / "02-baseline.yml").write_text("parameters: {rate: 0.25}")
    planned = project.plan(book, "run.yml")
    assert (planned["01-exploration"]["photos"], planned["02-baseline"]["rate"]) == (2, 0.25)


def test_needs_that_are_not_there_or_go_round(book):
    write(book, "01-exploration", needs=["03-baseline-agin"])
    with pytest.raises(WastebookError, match="Did you mean 03-baseline-again"):
        project.plan(book, "quick")
    write(book, "01-exploration", needs=["03-baseline-again"])
    with pytest.raises(WastebookError, match="need each other"):
        project.plan(book, "quick")


def test_each_ingredient_is_seen_alone(book, monkeypatch):
    def made_from(book=book, values=None, data="data"):
        chapter = "01-exploration"
        return project.ingredients(book, {chapter: values or {"a": 1}}, {chapter: data})[chapter]

    first = made_from()
    (book.library / "apart" / "module.py").write_text("# for nothing")
    write(book, "01-exploration")
    assert made_from() == first  # new cell ids, same chapter
    source = book.chapters / "01-exploration.ipynb"
    source.write_text(source.read_text().replace("A chapter", "Another"))
    assert made_from() == first  # other prose, same results
    changed = {
        "parameters": made_from(values={"a": 2}),
        "data": made_from(data="other"),
        "more": made_from(book._replace(ingredients=lambda chapter, values: "weights")),
    }
    write(book, "01-exploration", "1 + 1")
    changed["notebook"] = made_from()
    write(book, "01-exploration")
    (book.library / "module.py").write_text("# something else")
    changed["library"] = made_from()
    (book.library / "module.py").write_text("")
    monkeypatch.setattr(project, "versions", lambda names: {"numpy": "9"})
    changed["versions"] = made_from()
    for name, others in changed.items():
        assert [key for key in first if first[key] != others[key]] == [name]
    assert changed.keys() == first.keys()


@pytest.mark.fault(
    "hostile names", "papermill's plain parameters, `x = 5`", "taken, with their default's type"
)
def test_parameters_without_annotations():
    cell = new_code_cell(
        'x = 5\nnames = ["a"]\nwhen = None\nrate = -0.5\nfolder = print\nmost: "Optional[int]" = None',
        metadata={"tags": ["parameters"]},
    )
    known = project.parameters_of(new_notebook(cells=[cell]))
    assert {name: (one.type, one.default) for name, one in known.items()} == {
        "x": (int, 5), "names": (list, ["a"]), "when": (Any, None), "rate": (float, -0.5),
        "most": (int | None, None),
    }  # fmt: skip


@pytest.mark.fault(
    "disk and places",
    "chapters saved with a mark before them, cut, in another encoding, as no notebook",
    "read, or a line",
)
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('\ufeff{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}', ""),
        ('{"cells": [', "does not appear to be JSON"),
        ('{"cells": [], "nbformat": 4, "nbformat_minor": 5}', "missing an expected key: metadata"),
        ('{"cells": [], "metadata": {}, "nbformat": 5, "nbformat_minor": 0}', "Unsupported nbformat"),
        ("[]", "has no attribute"),
        ("\xe9".encode("latin-1"), "can't decode"),
    ],
)
def test_a_chapter_that_an_editor_saved(book, text, said):
    (book.chapters / "04-saved.ipynb").write_bytes(text if isinstance(text, bytes) else text.encode())
    if not said:
        assert project.read_chapter(book, "04-saved").cells == []
        return
    with pytest.raises(WastebookError, match=rf"chapters/04-saved\.ipynb is not a notebook: [^\n]*{said}"):
        project.read_chapter(book, "04-saved")


def test_a_plain_parameter_takes_its_defaults_type(book):
    cell = new_code_cell("x = 5", metadata={"tags": ["parameters"]})
    nbformat.write(new_notebook(cells=[cell]), book.chapters / "04-plain.ipynb")
    assert project.check_parameters(book, "04-plain", {"x": project.Text("6")}) == {"x": 6}
    for given, message in (
        ({"x": project.Text("many")}, "it takes int"),
        ({"y": 1}, "Did you mean x|Known: x"),
    ):
        with pytest.raises(WastebookError, match=message):
            project.check_parameters(book, "04-plain", given)
