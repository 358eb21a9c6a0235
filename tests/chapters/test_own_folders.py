"""Photos of one's own, of whatever shape, through the book: what is left out, said before anything starts."""

import json
import re
from functools import cache

import pytest
from bs4 import BeautifulSoup
from own_folders import NAMES, SHAPES, make_folder

from wastebook.book.build import build
from wastebook.book.plan import leave_out, plan
from wastebook.edition import BOOK, prepare
from wastebook.errors import WastebookError
from wastebook.paths import read_record
from wastebook.photos.collection import load_photos

LEARNING = ["02-baseline", "03-augmentation", "04-efficientnet", "06-trust", "07-comparison", "08-new-photos"]
OTHER = {"09-elsewhere": "the classes of those elsewhere"}  # asked of photos of other things
LEFT_OUT = {
    "flat": {"05-xception": "it takes exactly two classes, and flat has 3", **OTHER},
    "split": OTHER,
    "hole": {"05-xception": "it takes exactly two classes, and hole has 3", **OTHER},
    "burst": OTHER,  # what is left of it can be told apart
    "few": {"05-xception": "it takes exactly two classes, and few has 6"},
    "names": {"05-xception": "it takes exactly two classes, and names has 6", **OTHER},
    "odd": {"05-xception": "it takes exactly two classes, and On has 5", **OTHER},
    "one-thing": dict.fromkeys(["02-baseline", "05-xception"], "and one-thing has 0") | OTHER,
}


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """The folder of a shape, made once."""
    place = tmp_path_factory.mktemp("own")
    return cache(lambda shape: make_folder(shape, place))


@pytest.mark.fault(
    "own folders", "eight folders of different shape", "what suits a chapter not is left out, and why"
)
@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_left_out_is_known_before_anything_starts(own, shape):
    reasons = leave_out(BOOK, plan(BOOK, "quick", [f"*.dataset={own(shape)}"]))
    for chapter, why in LEFT_OUT[shape].items():
        assert why in reasons[chapter]
    expected = {*LEFT_OUT[shape], *(LEARNING if shape == "one-thing" else [])}
    assert set(reasons) == expected
    assert all("\n" not in why for why in reasons.values())


@pytest.mark.fault(
    "own folders", "a class that is one burst, a class of two photos", "left out of learning by name"
)
def test_a_class_that_cannot_be_dealt_out_is_named(own):
    data = load_photos(own("burst"))
    learned = data.for_learning("grouped")
    assert data.classes == ["battery", "glass", "paper", "trash"] and learned.classes == ["glass", "paper"]
    (remark,) = learned.remarks
    assert re.search(r"battery \(photos: 10, to deal out: 1\), trash \(photos: 2, to deal out: 2\)", remark)
    assert set(learned.photos["label"]) == {"glass", "paper"}
    assert data.for_learning("random").classes == ["battery", "glass", "paper"]


@pytest.mark.fault(
    "own folders", "an own split with a hole, or none, under the scheme official", "dealt out grouped"
)
@pytest.mark.parametrize(
    ("shape", "scheme"), [("flat", "grouped"), ("hole", "grouped"), ("split", "official")]
)
def test_an_official_split_is_one_with_every_class_on_every_side(own, shape, scheme):
    data = load_photos(own(shape)).for_learning("official")
    assert (data.scheme, len(data.remarks)) == (scheme, scheme == "grouped")


@pytest.mark.fault("own folders", "two folders of one name in a run", "refused, with the way out")
def test_two_folders_of_one_name_do_not_take_each_others_place(tmp_path):
    folders = [make_folder("few", tmp_path / name) for name in ("a", "b")]
    values = {f"0{at}-x": {"dataset": str(folder), "seed": 0} for at, folder in enumerate(folders)}
    with pytest.raises(WastebookError, match="are both called few: rename one"):
        prepare(values)


def build_whole(folder, run, *settings, wanted=()):
    """The outcome of the README's command on a folder, and what the front page has."""
    outcome = build(BOOK, run, "quick", [f"*.dataset={folder}", *settings], wanted, renderer="pandoc")
    assert outcome["errors"] == [] and outcome["page"]
    return outcome, (run / "site" / "index.html").read_text(encoding="utf-8")


def check_site(shape, run, outcome, page):
    assert outcome["left_out"].keys() >= LEFT_OUT[shape].keys()
    for chapter in outcome["left_out"]:
        assert f"{chapter}</em> is left out" in page
        assert not (run / "site" / "chapters" / f"{chapter}.html").exists()
    assert "Drawn, not photographed" not in page and "What others published" not in page
    assert all(not facts["drawn"] for facts in read_record(run)["data"].values())
    for file in (run / "site").rglob("*.html"):
        whole = BeautifulSoup(file.read_text(encoding="utf-8"), "html.parser")
        assert not whole.find(lambda tag: any(name.startswith("on") for name in tag.attrs)), file
        assert not whole.select("a[href^='javascript:'], script:not([src]):not([type])"), file
    comparison = run / "results" / "07-comparison.json"
    if comparison.exists():
        assert json.loads(comparison.read_text())["dataset"] == shape


@pytest.mark.campaign
@pytest.mark.fault("own folders", "each of the eight through the whole book", "a whole site, exit 0")
@pytest.mark.parametrize("shape", SHAPES)
def test_the_whole_book_on_an_own_folder(own, tmp_path, shape):
    outcome, page = build_whole(own(shape), tmp_path / shape)
    check_site(shape, tmp_path / shape, outcome, page)
    assert (tmp_path / shape / "slides" / "index.html").exists()
    if shape == "names":
        told = " ".join(BeautifulSoup(page, "html.parser").get_text().split())
        assert all(" ".join(name.split()) in told for name in NAMES)


@pytest.mark.fault("own folders", "three classes, learned from quickly", "a site of one chapter")
def test_what_is_learned_from_three_classes_is_told(own, tmp_path):
    less = ["*.seeds=[0]", "*.epochs=1", "*.trials=2"]
    outcome, _ = build_whole(own("flat"), tmp_path / "flat", *less, wanted=["02-baseline"])
    assert list(outcome["chapters"]) == ["02-baseline"]
