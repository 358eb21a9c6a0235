"""What a build is asked for, checked before anything starts; and the key that decides what runs again."""

import re

import nbformat
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_notebook

from wastebook import paths
from wastebook.book import plan as project
from wastebook.errors import WastebookError

PARAMETERS = {
    "01-exploration": "dataset: str = 'sample'  # which\nphotos: int | None = None  # how many a class",
    "02-baseline": "dataset: str = 'sample'  # which\nrate: float = 0.01  # a step\nseeds: list[int] = [1]",
    "03-baseline-again": "scheme: Literal['official', 'grouped'] = 'official'  # split\nfast: bool = False",
}
NEEDS = {"02-baseline": ["01-exploration"], "03-baseline-again": ["02-baseline"]}


def write(name, source="", needs=()):
    cells = [new_code_cell(PARAMETERS[name], metadata={"tags": ["parameters"]}), new_code_cell(source)]
    notebook = new_notebook(cells=cells, metadata={"wastebook": {"needs": list(needs)}})
    nbformat.write(notebook, paths.CHAPTERS / f"{name}.ipynb")


@pytest.fixture(autouse=True)
def chapters(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "CHAPTERS", tmp_path / "chapters")
    monkeypatch.setattr(paths, "PROFILES", tmp_path / "chapters" / "profiles")
    monkeypatch.setattr(paths, "CARDS", tmp_path / "cards")
    paths.PROFILES.mkdir(parents=True)
    paths.CARDS.mkdir()
    (paths.CARDS / "trashnet.yml").touch()
    profile = {
        "*": {"dataset": "trashnet"},
        "02-baseline": {"dataset": "sample"},
        "exploration": {"photos": 5},
    }
    (paths.PROFILES / "quick.yml").write_text(yaml.safe_dump(profile))
    for name in PARAMETERS:
        write(name, needs=NEEDS.get(name, []))
    monkeypatch.chdir(tmp_path)


def test_profile_and_settings_in_their_order():
    assert project.plan("quick") == {
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
    assert project.plan("quick", settings) == {
        "01-exploration": {"dataset": "trashnet", "photos": None},
        "02-baseline": {"dataset": "trashnet", "rate": 0.001, "seeds": [1, 2]},
        "03-baseline-again": {"scheme": "official", "fast": True},
    }


def test_a_folder_of_ones_own_is_found_from_the_chapters(tmp_path):
    (tmp_path / "2024").mkdir()
    (tmp_path / "trashnet").mkdir()
    planned = project.plan("quick", ["01.dataset=2024", "02.dataset=trashnet"])
    assert planned["01-exploration"]["dataset"] == str(tmp_path / "2024")
    assert planned["02-baseline"]["dataset"] == "trashnet"


def test_every_folder_of_photos_is_found_from_the_chapters(tmp_path):
    (tmp_path / "mine").mkdir()
    source = "binary_dataset: str = 'trashnet'  # which\nphotos_dir: str | None = None  # where"
    PARAMETERS["01-exploration"], kept = source, PARAMETERS["01-exploration"]
    write("01-exploration")
    PARAMETERS["01-exploration"] = kept
    found = project.check_parameters("01-exploration", {"photos_dir": "mine", "binary_dataset": "mine"})
    assert found == {"binary_dataset": str(tmp_path / "mine"), "photos_dir": str(tmp_path / "mine")}
    assert project.check_parameters("01-exploration", {}) == {
        "binary_dataset": "trashnet",
        "photos_dir": None,
    }


def test_chapters_asked_for_come_with_what_they_need():
    assert list(project.plan("quick", wanted=["02"])) == ["01-exploration", "02-baseline"]
    assert list(project.plan("quick", wanted=["exploration"])) == ["01-exploration"]


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
        ("quick", ["01.photos"], [], "--set 01.photos: expected chapter.parameter=value"),
        ("quick", ["01.photos=many"], [], "01-exploration.photos = 'many': should be a valid integer"),
        ("quick", ["01.photos=1.5"], [], "(it takes int | None)"),
        ("quick", ["02.seeds=1"], [], "02-baseline.seeds = '1': should be a valid"),
        ("quick", ["02.rate="], [], "02-baseline.rate = '': should be a valid number"),
        ("quick", ["02.rate=[1"], [], "02-baseline.rate = '[1': should be a valid number"),
        ("quick", ["03.scheme=random"], [], "should be 'official' or 'grouped'"),
        ("quick", ["03.fast=2"], [], "should be a valid boolean"),
    ],
)
def test_what_is_wrong_is_said_before_anything_starts(profile, settings, wanted, message):
    with pytest.raises(WastebookError, match=re.escape(message)) as error:
        project.plan(profile, settings, wanted)
    assert len(str(error.value).split("\n")) <= 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "is not YAML"),
        ("- a", "parameters by chapter"),
        ("02-baseline: {rate: fast}", "02-baseline.rate = 'fast'"),
        ("05-xception: {}", "No chapter is called '05-xception'"),
    ],
)
def test_a_bad_profile(tmp_path, text, message):
    (tmp_path / "mine.yml").write_text(text)
    with pytest.raises(WastebookError, match=re.escape(message)):
        project.plan("mine.yml")


def test_needs_that_are_not_there_or_go_round():
    write("01-exploration", needs=["03-baseline-agin"])
    with pytest.raises(WastebookError, match="Did you mean 03-baseline-again"):
        project.plan("quick")
    write("01-exploration", needs=["03-baseline-again"])
    with pytest.raises(WastebookError, match="need each other"):
        project.plan("quick")


def test_the_key_changes_with_what_the_chapter_is_made_from(monkeypatch):
    def key(parameters=None, data="data", needs=("need",)):
        return project.chapter_key("01-exploration", parameters or {"a": 1}, data, needs)

    write("01-exploration", "%matplotlib inline\nfrom wastebook import errors")
    first = key()
    write("01-exploration", "%matplotlib inline\nfrom wastebook import errors")
    (paths.CARDS / "photo.jpg").write_bytes(b"\xff\xd8")
    assert key() == first  # new cell ids, same chapter; and photos left among the cards are none
    others = [key({"a": 2}), key(data="other"), key(needs=("other",))]
    write("01-exploration", "from wastebook import paths")
    others.append(key())
    monkeypatch.setattr(project, "versions", lambda: {"torch": "9"})
    others.append(key())
    assert len({first, *others}) == 6


def test_modules_are_found_through_modules():
    names = {
        file.relative_to(project.LIBRARY).as_posix()
        for file in project.own_modules(["import wastebook.paths"])
    }
    assert names == {"__init__.py", "errors.py", "paths.py"}
    found = project.own_modules(["def f():\n    from wastebook.report.chapter import open_chapter"])
    names = {file.relative_to(project.LIBRARY).as_posix() for file in found}
    assert {"report/chapter.py", "report/figures/style.py", "errors.py", "paths.py"} <= names
    assert "cli.py" not in names


def test_run_folders(tmp_path):
    assert project.run_folder("mine") == paths.RUNS / "mine"
    assert project.run_folder("./mine") == tmp_path / "mine"
    with pytest.raises(WastebookError):
        project.run_folder(" ")
