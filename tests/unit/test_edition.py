"""What the press is told of this book."""

import json
import shutil

import pytest
import requests
import yaml

from wastebook import edition, paths
from wastebook.book import plan
from wastebook.errors import WastebookError
from wastebook.learning import weights


@pytest.fixture
def hub(monkeypatch):
    """What the servers of weights answer, as set; no weights at hand."""
    answers = {"up": False}
    monkeypatch.setattr("wastebook.learning.weights.server_answers", lambda url: answers["up"])
    monkeypatch.setenv("WASTEBOOK_WEIGHTS", "")
    edition._servers.cache_clear()
    yield answers
    edition._servers.cache_clear()


def test_places_are_made_absolute_and_names_are_left(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("2024", "trashnet", "mine"):
        (tmp_path / name).mkdir()
    (tmp_path / "weights.pt").touch()
    assert edition.resolve("dataset", "2024") == str(tmp_path / "2024")
    assert edition.resolve("dataset", "trashnet") == "trashnet"
    assert edition.resolve("photos_dir", "mine") == str(tmp_path / "mine")
    assert edition.resolve("others", ["mine", "sample"]) == [str(tmp_path / "mine"), "sample"]
    assert edition.resolve("weights", "weights.pt") == str(tmp_path / "weights.pt")
    assert (edition.resolve("weights", "auto"), edition.resolve("photos_dir", None)) == ("auto", None)
    assert edition.resolve("scheme", "mine") == "mine"


def test_weights_that_come_within_reach_make_chapters_stale(hub):
    away = edition.ingredients("02-baseline", {"weights": "auto"})
    edition._servers.cache_clear()
    hub["up"] = True
    assert edition.ingredients("02-baseline", {"weights": "auto"}) != away
    assert edition.ingredients("01-exploration", {}) == [away[0], None]


@pytest.mark.parametrize("up", [True, False])
def test_what_auto_comes_to_is_decided_once_for_all_chapters(hub, tmp_path, monkeypatch, up):
    hub["up"] = up
    facts, _ = edition.prepare({"02": {"weights": "auto"}, "03": {"weights": "imagenet"}})
    assert edition.HUB in facts["02"]["servers"] and set(facts["02"]["servers"].values()) == {up}
    assert facts["03"]["servers"] == {}
    (tmp_path / "run.yml").write_text(yaml.safe_dump(facts["02"]))
    monkeypatch.undo()
    monkeypatch.setenv("WASTEBOOK_RUN", str(tmp_path))

    def head(url, timeout):
        raise AssertionError(f"{url} was asked again")

    monkeypatch.setattr(requests, "head", head)
    weights.server_answers.cache_clear()
    keras = yaml.safe_load((paths.CARDS / "weights" / "keras.yml").read_text(encoding="utf-8"))
    for url in [edition.HUB, *(card["url"] for card in keras if "url" in card)]:
        assert weights.server_answers(url) is up
    weights.server_answers.cache_clear()


def test_no_server_is_asked_where_no_chapter_leaves_weights_open(hub):
    facts, _ = edition.prepare({"02-baseline": {"weights": "random"}, "01-exploration": {}})
    assert all(one["servers"] == {} for one in facts.values())


def test_weights_are_known_by_their_content(hub, tmp_path, monkeypatch):
    file = tmp_path / "some.safetensors"
    file.write_bytes(b"one")
    named = [edition.weights_found(str(file))]
    monkeypatch.setenv("WASTEBOOK_WEIGHTS", str(tmp_path))
    auto = [edition.weights_found("auto")]
    file.write_bytes(b"other")
    assert edition.weights_found(str(file)) != named[0] and edition.weights_found("auto") != auto[0]
    assert edition.weights_found("random") == {}


def test_data_sets_are_prepared_once_and_known_by_their_photos(sample, tmp_path):
    photo = tmp_path / "photo.jpg"
    photo.write_bytes((sample.root / sample.photos["path"][0]).read_bytes())
    values = {"dataset": str(sample.root), "photos_per_class": 3}
    parameters = {"01": values, "02": values | {"photos_dir": str(tmp_path)}, "03": {"seed": 1}}
    facts, hashes = edition.prepare(parameters)
    assert facts["01"]["data"][sample.root.name]["photos"] == len(sample.photos)
    assert len(set(hashes.values())) == 3
    photo.write_bytes(b"another")
    _, again = edition.prepare(parameters)
    assert {name for name in hashes if hashes[name] != again[name]} == {"02"}


@pytest.mark.parametrize(
    "further", [lambda place: {"elsewhere": str(place)}, lambda place: {"others": ["nowhere", str(place)]}]
)
def test_further_sets_make_a_chapter_stale_as_its_own_does(sample, tmp_path, further):
    place = tmp_path / "another"
    shutil.copytree(sample.root, place)
    parameters = {"01": {"seed": 0} | further(place), "02": {"seed": 0}}
    _, before = edition.prepare(parameters)
    (place / sample.photos["path"][0]).unlink()
    _, after = edition.prepare(parameters)
    assert {name for name in before if before[name] != after[name]} == {"01"}


def test_a_further_set_of_photos_is_recorded_as_one_s_own_is(sample, tmp_path):
    """Their makers are to be named as well; a drawn set has none."""
    place = tmp_path / "another"
    for name in ("Cartón", "Glass, clear"):
        shutil.copytree(sample.root / "glass", place / name)
    further = {"others": [str(place), "sample"], "elsewhere": "sample-elsewhere"}
    facts, _ = edition.prepare({"01": {"seed": 0, "dataset": str(place)}, "02": {"seed": 0} | further})
    assert facts["01"]["data"]["another"]["classes"] == "Cartón; Glass, clear"
    assert facts["02"]["data"] == {}


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("02.trials=0", "02-baseline.trials = 0: should be 1 or more."),
        ("02.trials=-1", "02-baseline.trials = -1: should be 1 or more."),
        ("02.epochs=0", "02-baseline.epochs = 0: should be 1 or more."),
        ("02.batch_size=0", "02-baseline.batch_size = 0: should be 1 or more."),
        ("03.views=0", "03-augmentation.views = 0: should be 1 or more."),
        ("01.photos_per_class=0", "01-exploration.photos_per_class = 0: should be 1 or more."),
        ("02.image_size=5", "02-baseline.image_size = 5: should be 32 or more."),
        ("02.scheme=offical", "02-baseline.scheme = 'offical': should be official or random or grouped."),
        ("02.weights=nope", "02-baseline.weights = 'nope': should be auto, imagenet, random or a file."),
        ("02.seeds=[-1]", "02-baseline.seeds = [-1]: should be some, 0 or more, each once."),
        ("02.seeds=[1, 1]", "02-baseline.seeds = [1, 1]: should be some, 0 or more, each once."),
        ("02.seeds=[]", "02-baseline.seeds = []: should be some, 0 or more, each once."),
        ("07.level=1.5", "07-comparison.level = 1.5: should be between 0 and 1."),
        ("01.seed=4294967296", "01-exploration.seed = 4294967296: should be 0 to 4294967295."),
        ("05.spoiling_cost=-0.5", "05-xception.spoiling_cost = -0.5: should be above 0."),
        ("05.spoiling_cost=.nan", "05-xception.spoiling_cost = nan: should be above 0."),
        ("05.patience=-1", "05-xception.patience = -1: should be 1 or more."),
        ("04.own_shape=[1]", "04-efficientnet.own_shape = [1]: should be two sides, 32 or more."),
    ],
)
def test_a_value_that_cannot_be_is_refused_before_anything_starts(setting, told):
    with pytest.raises(WastebookError) as refused:
        plan.plan(edition.BOOK, "quick", [setting])
    assert str(refused.value) == told


def test_values_at_the_ends_of_what_is_right_are_taken(tmp_path):
    (tmp_path / "some.pt").touch()
    ends = ["trials=1", "epochs=1", "image_size=32", "seeds=[0]", "photos_per_class=null", "scheme=official"]
    taken = plan.plan(edition.BOOK, "full", [f"02.{end}" for end in [*ends, f"weights={tmp_path}/some.pt"]])
    assert taken["02-baseline"]["seeds"] == [0] and taken["02-baseline"]["photos_per_class"] is None


def test_what_is_bounded_is_a_parameter_of_some_chapter():
    chapters = [plan.read_chapter(edition.BOOK, name) for name in plan.chapter_names(edition.BOOK)]
    known = {name for chapter in chapters for name in plan.parameters_of(chapter)}
    assert {name for name in edition.RIGHT if isinstance(name, str)} <= known


@pytest.mark.parametrize("further", ["elsewhere", "others"])
def test_a_further_set_of_the_same_name_is_refused(sample, tmp_path, further):
    for place in ("lab", "street"):
        shutil.copytree(sample.root, tmp_path / place / "photos")
    (tmp_path / "street" / "photos" / sample.photos["path"][0]).unlink()
    lab, street = (str(tmp_path / place / "photos") for place in ("lab", "street"))
    named = {"dataset": lab, further: street if further == "elsewhere" else [street]}
    with pytest.raises(WastebookError, match="are both called photos: rename one"):
        edition.prepare({"01": {"seed": 0} | named})


def test_what_a_chapter_asks_may_be_of_another_set(sample):
    values = {"dataset": str(sample.root), "elsewhere": "sample-elsewhere"}
    assert edition.unsuited(values, {"those classes": "labels >= labels_of(elsewhere)"}) == ""
    told = edition.unsuited(values, {"one class more": "labels > labels_of(elsewhere)"})
    assert told.startswith("it takes one class more, and")


def test_what_a_deck_says_of_its_run(tmp_path):
    (tmp_path / "results").mkdir()
    lacking = ["on drawn pictures", "with networks that never learned to see"]
    (tmp_path / "results" / "02-baseline.json").write_text(json.dumps({"lacking": lacking}))
    record = {"written": "2026-11-25T20:00:00", "data": {"sample": {"title": "Six materials"}}}
    (tmp_path / "run.yml").write_text(yaml.safe_dump(record))
    told = edition.describe(tmp_path)
    assert told.startswith(f"The run {tmp_path.name} of 2026-11-25, on Six materials.")
    assert "built on drawn pictures, with networks that never learned to see." in told
    (tmp_path / "results" / "02-baseline.json").write_text(json.dumps({"weights": "imagenet"}))
    assert edition.describe(tmp_path).strip() == f"The run {tmp_path.name} of 2026-11-25, on Six materials."


def test_every_chapter_of_the_book_has_its_room():
    assert edition.BOOK.chapters == paths.PROJECT / "chapters"
    assert all((edition.BOOK.library / name).exists() for name in edition.BOOK.apart)
