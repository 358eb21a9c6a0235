"""The page "The photos": which photos it shows, with which answers, and what links to it say."""

import json
import re
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from PIL import Image

from wastebook.data.cards import CARD
from wastebook.learning.predictions import Model, predictions_table
from wastebook.photos.collection import load_photos
from wastebook.report import gallery
from wastebook.report.chapter import Chapter


@pytest.fixture
def folder(tmp_path):
    """Three photos of glass, two of metal; the first lies on its side by EXIF."""
    for at, name in enumerate(["glass/a.jpg", "glass/b.jpg", "glass/c.jpg", "metal/a.jpg", "metal/b.jpg"]):
        noise = np.random.default_rng(at).integers(0, 256, (400, 800, 3), np.uint8)
        (tmp_path / "own" / name).parent.mkdir(parents=True, exist_ok=True)
        exif = Image.Exif()
        exif[0x0112] = 6 if at == 0 else 1
        Image.fromarray(noise).save(tmp_path / "own" / name, exif=exif)
    return tmp_path / "own"


def keep(run, data, chapter="02-baseline", head="exact", **values):
    """A run in which a chapter has tested a model on all but the last photo, in two seeds: it calls all
    glass, less and less surely."""
    photos = data.photos.assign(split=["test"] * (len(data.photos) - 1) + ["train"])
    kept = Chapter(chapter, run, run)
    shares = np.linspace(0.9, 0.6, len(photos))
    model, answers = Model("resnet18", "64x64", head=head), np.stack([shares, 1 - shares], axis=1)
    tables = [predictions_table(photos, answers, data.classes, model, seed, "grouped") for seed in (0, 1)]
    kept.save("predictions", pd.concat([*tables, tables[0].assign(scheme="official", path="elsewhere.jpg")]))
    kept.record(**data.facts, scheme="grouped", **values)
    return pd.concat(tables).query("split == 'test'")


def told(site):
    script = (site / "photos" / "photos.js").read_text(encoding="utf-8")
    return json.loads(script.partition("\n")[0].removeprefix("const gallery = ").removesuffix(";"))


def test_each_test_photo_is_shown_upright_with_its_answers(folder, tmp_path):
    data = load_photos(folder)
    keep(tmp_path / "run", data)
    keep(tmp_path / "run", data, "04-efficientnet", "recipe", chosen="resnet18-64x64")
    gallery.write_gallery(tmp_path / "run", tmp_path / "site")
    (shown,), notes = told(tmp_path / "site")["sets"], told(tmp_path / "site")["notes"]
    assert notes == [] and shown["classes"] == ["glass", "metal"]
    assert [photo["path"] for photo in shown["photos"]] == list(data.photos["path"][:4])
    assert [photo["label"] for photo in shown["photos"]] == ["glass"] * 3 + ["metal"]
    assert [model["id"] for model in shown["models"]] == ["resnet18-64x64", "resnet18-64x64-exact"]
    assert shown["models"][0]["answers"][:2] == [
        {"photo": 0, "predicted": "glass", "sure": 0.9},
        {"photo": 1, "predicted": "glass", "sure": 0.825},
    ]
    assert len(shown["models"][0]["answers"]) == 8
    files = [tmp_path / "site" / "photos" / photo["file"] for photo in shown["photos"]]
    assert [Image.open(file).size for file in files] == [(180, 360), *[(360, 180)] * 3]


def test_photos_that_show_the_same_are_known_by_their_group(folder, tmp_path):
    (folder / "glass" / "b.jpg").write_bytes((folder / "glass" / "c.jpg").read_bytes())
    keep(tmp_path / "run", load_photos(folder))
    gallery.write_gallery(tmp_path / "run", tmp_path / "site")
    groups = [photo["group"] for photo in told(tmp_path / "site")["sets"][0]["photos"]]
    assert groups[0] == groups[3] == 0 and groups[1] == groups[2] > 0


@pytest.mark.parametrize("why", ["rights", "gone"])
def test_photos_that_are_not_to_be_shown_are_not_and_the_page_says_why(folder, tmp_path, why, monkeypatch):
    (folder / CARD[0]).write_text(
        "title: Mine\nrights: They are of people.\n" if why == "rights" else "title: Mine\n"
    )
    data = load_photos(folder)
    answers = keep(tmp_path / "run", data)
    if why == "gone":
        (folder / "glass" / "a.jpg").unlink()
    gallery.write_gallery(tmp_path / "run", tmp_path / "site")
    assert [file.name for file in (tmp_path / "site" / "photos").iterdir()] == ["photos.js"]
    assert told(tmp_path / "site")["sets"] == [] and gallery.pick_examples(tmp_path / "run") == []
    (note,) = told(tmp_path / "site")["notes"]
    expected = {"rights": "They are of people.", "gone": "was run on 5 photos"}
    assert note.startswith("The photos of Mine are not shown: ") and expected[why] in note
    if why == "rights":
        assert linked(answers, data, monkeypatch) is None


def test_a_run_without_models_has_no_photos_to_show(folder, tmp_path):
    data = load_photos(folder)
    Chapter("01-exploration", tmp_path / "run", tmp_path / "run").record(**data.facts)
    gallery.write_gallery(tmp_path / "run", tmp_path / "site")
    assert told(tmp_path / "site") == {"sets": [], "notes": []}


def test_examples_are_a_test_photo_of_each_class(folder, tmp_path):
    keep(tmp_path / "run", load_photos(folder))
    examples = gallery.pick_examples(tmp_path / "run")
    assert [label for label, _ in examples] == ["glass", "metal"]


def linked(answers, data, monkeypatch, build=True):
    shown = []
    monkeypatch.setattr(gallery, "display", shown.append)
    monkeypatch.setenv("WASTEBOOK_STAGE", "here") if build else monkeypatch.delenv(
        "WASTEBOOK_STAGE", raising=False
    )
    gallery.link_mistakes(answers, data)
    return BeautifulSoup(shown[0].data, "html.parser") if shown else None


def test_links_count_photos_and_choose_them(folder, monkeypatch, tmp_path):
    data = load_photos(folder)
    answers = keep(tmp_path / "run", data)
    first, last = linked(answers, data, monkeypatch).select("a")
    assert first.get_text() == "metal taken for glass (1)"  # in two seeds
    assert urlsplit(first["href"]).path == "../photos.html"
    chosen = {"model": ["resnet18-64x64-exact"], "label": ["metal"], "answer": ["glass"]}
    assert parse_qs(urlsplit(first["href"]).fragment) == chosen
    assert last.get_text() == "wrong answers of ResNet18, exact head (1)"
    assert linked(answers, data, monkeypatch, build=False) is None


def test_confusions_come_as_answers_count_them_and_none_leads_to_nothing(folder, monkeypatch, tmp_path):
    data = load_photos(folder)
    row = keep(tmp_path / "run", data).head(1)
    often = [row.assign(label="glass", predicted="metal", seed=seed) for seed in range(3)]
    twice = [row.assign(label="metal", predicted="glass", path=path) for path in "ab"]
    links = linked(pd.concat([*twice, *often]), data, monkeypatch).select("a")
    assert [link.get_text() for link in links][:2] == [
        "glass taken for metal (1)",
        "metal taken for glass (2)",
    ]
    assert linked(row.assign(label="glass", predicted="glass"), data, monkeypatch) is None


def test_of_several_models_each_has_its_link(folder, monkeypatch, tmp_path):
    data = load_photos(folder)
    answers = pd.concat(
        [keep(tmp_path, data), keep(tmp_path, data, head="searched").query("label == 'glass'")]
    )
    texts = [link.get_text() for link in linked(answers, data, monkeypatch).select("a")]
    assert [re.sub(r".*, ", "", text) for text in texts] == ["exact head (1)"]


@pytest.mark.fault(
    "hostile names", "a class called as markup, in a link to its photos", "shown as it is written"
)
def test_what_a_class_is_called_is_text_in_a_link(folder, monkeypatch, tmp_path):
    name = "\"'><b id=x>&model=y"
    (folder / "metal").rename(folder / name)
    data = load_photos(folder)
    page = linked(keep(tmp_path / "run", data).assign(predicted="glass"), data, monkeypatch)
    assert not page.select("b, #x") and page.select("a")[0].get_text().startswith(f"{name} taken for glass")
    assert parse_qs(urlsplit(page.select("a")[0]["href"]).fragment)["label"] == [name]
