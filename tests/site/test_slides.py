"""The deck: what a run with two of the chapters makes of it, by one renderer and by the other."""

import json
import re
import shutil
import sys
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
import yaml
from bs4 import BeautifulSoup
from playwright.sync_api import Browser, Page, expect

from wastebook import cli, paths
from wastebook.book import deck as slides
from wastebook.book.render import find_renderer
from wastebook.data.datasets import Dataset, fingerprint
from wastebook.edition import BOOK
from wastebook.errors import WastebookError
from wastebook.evaluation.metrics import score
from wastebook.learning.predictions import Model, predictions_table
from wastebook.report.findings import findings
from wastebook.report.sentences import format_percent, format_share

RUN = ("01-exploration", "02-baseline")  # the chapters that the example's run holds
DOUBLES = 17  # a number that is in no other place
LONG = "a finding that needs more than a few words to be told rightly, with all that it holds for; " * 6
MODELS = [Model("resnet18", "64x64", head=head) for head in ("recipe", "exact", "searched")]


def write_results(run: Path, sample: Dataset, informative: bool = False) -> Path:
    """A run with made-up results of two chapters, on the photos of the small sample, said to be real where
    it is to be informative."""
    weights = "imagenet" if informative else "random"
    lacking = [] if informative else ["on drawn pictures", "with networks that never learned to see"]
    photos = sample.photos.assign(group=range(len(sample.photos)))
    first = {"title": "Drawn sample", "photos": len(photos), "imbalance": 4.25, "pairs": {"object": 2}}
    seen = {"dataset": str(sample.root), "photos_per_class": None, "seed": 0, "photos": len(photos)}
    first |= {
        "balance": "The number of photos is 12 for all.",
        "drawn": seen | {"fingerprint": fingerprint(photos)},
    }
    first |= {"photos_with_a_double": DOUBLES, "test_photos": 12, "test_photos_known": 3, "lacking": lacking}
    some = photos["path"].to_list()[:4]
    pairs = pd.DataFrame({"path_a": some[::2], "path_b": some[1::2]})
    pairs = pairs.assign(kind="object", similarity=1.0, same_label=True, same_split=True)
    second = {
        "dataset": "sample",
        "scheme": "grouped",
        "photos": len(photos),
        "weights": weights,
        "lacking": lacking,
        "drawn": first["drawn"],
    }
    predictions = pd.concat([answers(photos, model) for model in MODELS], ignore_index=True)
    recipe, *others = (model.id for model in MODELS)
    gains = pd.DataFrame({"model_a": others, "model_b": recipe, "scheme": "grouped", "split": "test"})
    gains = gains.assign(metric="macro_f1", difference=0.02, low=-0.01, high=0.05, p=0.2, p_holm=0.4)
    tables = {
        "01-exploration": {"photos": photos, "duplicates": pairs},
        "02-baseline": {
            "predictions": predictions,
            "scores": score(predictions, "sample", draws=20),
            "differences": gains,
        },
    }
    for chapter, values in zip(RUN, (first, second), strict=True):
        (run / "results" / chapter).mkdir(parents=True)
        (run / "results" / f"{chapter}.json").write_text(json.dumps(values), encoding="utf-8")
        for name, table in tables[chapter].items():
            table.to_parquet(run / "results" / chapter / f"{name}.parquet")
    facts = {"title": "sample", "task": "Which is it?", "classes": "glass, metal", "licence": "MIT"}
    record = {"data": {"sample": facts | {"photos": len(photos), "drawn": not informative}}}
    record["parameters"] = {"01-exploration": {"dataset": str(sample.root)}}
    (run / "run.yml").write_text(yaml.safe_dump(record), encoding="utf-8")
    return run


def add_long_findings(run: Path) -> Path:
    """The last two chapters of an informative run, which have more to say than others."""
    rows = pd.DataFrame({"low": [-0.2, -0.1], "high": [0.1, 0.2], "difference": [-0.1, 0.1], "p_holm": 1.0})
    changes = rows.assign(changed=["cut out", "a rough ground"], metric="accuracy", scheme="grouped")
    changes = pd.concat([changes.assign(model_b=other) for other in ("none", "cut_out")])
    leaks = pd.concat(
        [rows.assign(scheme=known, value=0.5, network="resnet18", head="exact") for known in "01"]
    )
    family = pd.DataFrame(
        {"set": ["a/b", "c/d"], "photos": 9, "trashnet": [3, 4], "trashnet_again": [1.0, None]}
    )
    tables = {"09-elsewhere": {"changes": changes}}
    tables["10-leaks"] = {"leaks": leaks.assign(set="mine"), "family": family}
    finding = {"title": LONG[:110], "number": "45 %", "words": LONG[:300], "section": "sec-x"}
    for chapter, kept in tables.items():
        (run / "results" / chapter).mkdir()
        values = {"finding": finding, "headline": [LONG], "rises": "1 of 2", "worth": LONG[:300]}
        (run / "results" / f"{chapter}.json").write_text(json.dumps(values), encoding="utf-8")
        for name, table in kept.items():
            table.reset_index(drop=True).to_parquet(run / "results" / chapter / f"{name}.parquet")
    return run


def answers(photos: pd.DataFrame, model: Model) -> pd.DataFrame:
    """Predictions of a model that guesses, the same on every machine."""
    classes = sorted(photos["label"].unique())
    sure = np.random.default_rng(len(model.id)).dirichlet(np.ones(len(classes)), len(photos))
    split = np.where(np.arange(len(photos)) % 2, "test", "validation")
    return predictions_table(photos.assign(split=split), sure, classes, model, 0, "grouped")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, sample: Dataset) -> Path:
    return write_results(tmp_path_factory.mktemp("runs") / "a rün", sample)


@pytest.fixture(scope="module")
def pandoc_deck(run: Path) -> Path:
    return slides.render_slides(BOOK, run, "pandoc")


@pytest.fixture(scope="module")
def quarto_deck(tmp_path_factory: pytest.TempPathFactory, sample: Dataset) -> Path:
    try:
        find_renderer("quarto")
    except WastebookError as error:
        pytest.skip(str(error))
    run = write_results(tmp_path_factory.mktemp("quarto") / "run", sample)
    return slides.render_slides(BOOK, run, "quarto")


@pytest.fixture(params=["pandoc_deck", pytest.param("quarto_deck", marks=pytest.mark.quarto)])
def deck(request: pytest.FixtureRequest) -> Path:
    """The example's deck, by one renderer and by the other."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def shown(deck: Path) -> list:
    """The slides."""
    soup = BeautifulSoup(deck.read_text(encoding="utf-8"), "html.parser")
    return soup.select(".slides > section")


def slides_in_source() -> dict[str, set[str]]:
    """The chapters that each slide needs, by the cell that opens it, as the deck's source has them."""
    cells = nbformat.read(paths.PROJECT / "chapters" / "slides" / "index.ipynb", as_version=4).cells
    opens = [cell for cell in cells if cell.source.startswith("## ") or "#| output: asis" in cell.source]
    added = "others"  # a slide for each chapter that has none of its own: here there is no such
    return {cell.id: set(cell.metadata.get("tags", [])) for cell in opens if cell.id != added}


def test_chapters_that_were_not_run_leave_their_slides_out(shown: list) -> None:
    needed = slides_in_source().values()
    assert len(shown) - 1 == sum(chapters <= set(RUN) for chapters in needed)
    assert set().union(*needed) > set(RUN)


def test_titles_state_what_was_found(shown: list) -> None:
    titles = [" ".join(section.find(["h1", "h2"]).get_text().split()) for section in shown]
    assert not any("?" in title for title in titles)
    for finding in RUN:
        assert " ".join(findings()[finding].title.split()) in titles


def test_the_opening_slide_says_what_the_deck_is_made_from(shown: list) -> None:
    opening = " ".join(shown[0].get_text().split())
    assert opening.startswith("Telling waste apart in photos")
    assert "on sample. This copy was built on drawn pictures, with networks that never" in opening


def texts(deck: Path) -> list[str]:
    soup = BeautifulSoup(deck.read_text(encoding="utf-8"), "html.parser")
    return [" ".join(section.get_text().split()) for section in soup.select(".slides > section")]


def accuracy_of(run: Path) -> str:
    scores = pd.read_parquet(run / "results" / "02-baseline" / "scores.parquet")
    tested = scores.query("head == 'recipe' and split == 'test' and metric == 'accuracy'")
    return " ".join(f"right for {format_share(tested.iloc[0])}".split())


def test_an_informative_run_speaks_for_itself(tmp_path: Path, sample: Dataset) -> None:
    run = write_results(tmp_path / "run", sample, informative=True)
    added = {"11-my-chapter": {"headline": ["It is so.", "And so."]}, "12-quiet": {"weights": "imagenet"}}
    for chapter, values in added.items():
        (run / "results" / f"{chapter}.json").write_text(json.dumps(values), encoding="utf-8")
    told = texts(slides.render_slides(BOOK, run, "pandoc"))
    assert "My chapter It is so. And so." in told and not any("quiet" in text.lower() for text in told)
    title = f"{format_percent(DOUBLES / 72)} of the photos of Drawn sample show, as found, what others show"
    assert sum(" ".join(title.split()) in text for text in told) == 2  # its slide, and what was found
    assert any(accuracy_of(run) in text for text in told)
    assert not any("From the full run" in text for text in told)


def test_a_chapter_that_lacks_something_is_silent_for_itself_alone(tmp_path: Path, sample: Dataset) -> None:
    run = write_results(tmp_path / "run", sample, informative=True)
    file = run / "results" / "01-exploration.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"lacking": ["on drawn pictures"]}))
    told = texts(slides.render_slides(BOOK, run, "pandoc"))
    assert "on sample. Built on drawn pictures: “01-exploration”. What is scored there" in told[0]
    shown = [f"of the photos of {name} show" for name in ("Drawn sample", "TrashNet")]
    assert [sum(title in text for text in told) for title in shown] == [0, 1]
    assert any(accuracy_of(run) in text for text in told)
    assert (
        sum("names" in text and "ResNet18, frozen" in text for text in told) == 2
    )  # its slide, what was found


def test_of_drawn_pictures_nothing_is_concluded(shown: list, run: Path) -> None:
    told = [" ".join(section.get_text().split()) for section in shown]
    assert not any(accuracy_of(run) in text for text in told)
    for finding in ("02-baseline", "03-augmentation"):
        assert any(" ".join(findings()[finding].title.split()) in text for text in told)
    (baseline,) = (
        text for text in told if text.startswith(" ".join(findings()["02-baseline"].title.split()))
    )
    assert " ".join(findings()["02-baseline"].sentences[0].split()) in baseline


def test_slides_have_notes_and_pictures_their_text(deck: Path, shown: list) -> None:
    for section in shown[1:]:
        assert len(section.select("aside.notes")[0].get_text().split()) > 8, section.get("id")
    pictures = [picture for section in shown for picture in section.select("img")]
    assert len(pictures) == 8
    for picture in pictures:
        source = picture.get("src") or picture.get(
            "data-src"
        )  # Quarto loads a slide's pictures when it is near
        assert (deck.parent / source).is_file()
        assert len(picture["alt"].split()) > 4


def outside(page: Page) -> list[str]:
    """What of the slide shown lies outside of it, or below where its number stands."""
    page.wait_for_function("[...Reveal.getCurrentSlide().querySelectorAll('img')].every(i => i.naturalWidth)")
    return page.evaluate(
        """[...Reveal.getCurrentSlide().querySelectorAll(':scope *:not(aside, aside *)')]
        .filter(element => element.getClientRects().length)
        .map(element => [element.outerHTML.slice(0, 80), element.getBoundingClientRect()])
        .filter(([_, box]) => box.left < 40 || box.right > 1240 || box.bottom > 690)
        .map(([element, _]) => element)"""
    )


@pytest.mark.browser
def test_keys_lead_through_all_slides_and_nothing_overflows(deck: Path, browser: Browser) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 720})
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(deck.as_uri())
    page.wait_for_function("window.Reveal && Reveal.isReady()")
    count = page.evaluate("Reveal.getTotalSlides()")
    for number in range(1, count + 1):
        expect(page.locator(".slide-number")).to_have_text(f"{number} / {count}")
        assert outside(page) == [], page.evaluate("Reveal.getCurrentSlide().id")
        page.keyboard.press("ArrowRight")
    assert [address for address in asked if not address.startswith(("file:", "data:", "blob:"))] == []
    page.close()


@pytest.mark.browser
def test_pictures_leave_room_for_what_is_long(tmp_path: Path, sample: Dataset, browser: Browser) -> None:
    run = add_long_findings(write_results(tmp_path / "run", sample, informative=True))
    page = browser.new_page(viewport={"width": 1280, "height": 720})
    page.goto(slides.render_slides(BOOK, run, "pandoc").as_uri())
    page.wait_for_function("window.Reveal && Reveal.isReady()")
    for _ in range(page.evaluate("Reveal.getTotalSlides()")):
        assert outside(page) == [], page.evaluate("Reveal.getCurrentSlide().id")
        page.keyboard.press("ArrowRight")
    page.close()


@pytest.mark.browser
def test_speaker_notes_and_paper(deck: Path, shown: list, browser: Browser) -> None:
    page = browser.new_page()
    page.goto(f"{deck.as_uri()}#/1")
    page.wait_for_function("window.Reveal && Reveal.isReady()")
    with page.expect_popup() as opened:
        page.keyboard.press("s")
    expect(opened.value.locator(".speaker-controls-notes .value")).to_contain_text("Ask the room")
    page.goto(f"{deck.as_uri()}?print-pdf")
    expect(page.locator(".pdf-page")).to_have_count(len(shown))
    highest = page.evaluate(
        "Math.max(...[...document.images].map(one => parseFloat(getComputedStyle(one).maxHeight)))"
    )
    assert highest == 400  # as on the screen, where what stands below has room
    expect(page.locator(".pdf-page h2").last).to_have_text(
        re.compile("^Of things found new to it, it names [0-9.]+.%$")
    )
    page.close()


def test_what_fails_names_its_place_and_leaves_the_last_good_deck(
    tmp_path: Path, sample: Dataset, pandoc_deck: Path
) -> None:
    run = write_results(tmp_path / "run", sample)
    (run / "results" / "01-exploration.json").unlink()  # the fewer slides, the sooner
    (run / "results" / "02-baseline" / "scores.parquet").unlink()
    shutil.copytree(pandoc_deck.parent, run / "slides")
    with pytest.raises(
        WastebookError,
        match=r"02-baseline/scores\.parquet.*run 02-baseline there first: .*--chapter 02-baseline",
    ):
        slides.render_slides(BOOK, run, "pandoc")
    assert (run / "slides" / "index.html").read_bytes() == pandoc_deck.read_bytes()


def test_a_run_without_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    with pytest.raises(WastebookError, match="no results"):
        slides.render_slides(BOOK, tmp_path, "pandoc")
    monkeypatch.setattr(paths, "RUNS", tmp_path)
    monkeypatch.setattr(sys, "argv", ["wastebook", "slides", "never-built"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 1 and "never-built" in capsys.readouterr().err


def test_the_source_is_kept_without_outputs() -> None:
    notebook = nbformat.read(paths.PROJECT / "chapters" / "slides" / "index.ipynb", as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert cell.cell_type != "code" or (not cell.outputs and cell.execution_count is None)
        chapters = {file.stem for file in (paths.PROJECT / "chapters").glob("*.ipynb")}
        assert set(cell.metadata.get("tags", [])) <= chapters
