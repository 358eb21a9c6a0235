"""A chapter's results, written and read; figures shown with their alternative text."""

import json
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup

from wastebook.data.datasets import fingerprint
from wastebook.errors import WastebookError
from wastebook.files import write_yaml
from wastebook.photos.collection import load_photos
from wastebook.report import chapter as chapters


@pytest.fixture
def chapter(tmp_path, monkeypatch):
    monkeypatch.setenv("WASTEBOOK_RUN", str(tmp_path))
    return chapters.open_chapter("01-first")


def test_tables_and_values_come_back_as_they_were_kept(chapter, tmp_path):
    table = pd.DataFrame({"label": ["glass", "metal"], "photos": [3, 4]}, index=[7, 9])
    chapter.save("counts", table)
    chapter.record(photos=np.int64(7), share=np.float32(0.5), by_class={"glass": np.array([1, np.int64(2)])})
    chapter.record(classes=["glass", "metal"])

    later = chapters.Chapter("02-second", tmp_path, tmp_path)
    pd.testing.assert_frame_equal(later.read("01-first", "counts"), table.reset_index(drop=True))
    expected = {"photos": 7, "share": 0.5, "by_class": {"glass": [1, 2]}, "classes": ["glass", "metal"]}
    assert later.values("01-first") == expected


def test_a_result_that_is_not_there_names_the_chapter_to_run(chapter):
    with pytest.raises(WastebookError, match=r"there first: wastebook build --run .* --chapter 05-fifth"):
        chapter.read("05-fifth", "scores")
    with pytest.raises(WastebookError, match="run 05-fifth there first"):
        chapter.values("05-fifth")


def test_a_chapter_under_build_writes_apart_and_reads_from_its_run(tmp_path, monkeypatch):
    run, stage = tmp_path / "run", tmp_path / "stage"
    (run / "results").mkdir(parents=True)
    (run / "results" / "01-first.json").write_text(json.dumps({"photos": 5}))
    monkeypatch.setenv("WASTEBOOK_RUN", str(run))
    monkeypatch.setenv("WASTEBOOK_STAGE", str(stage))
    chapter = chapters.open_chapter("02-second")
    chapter.record(seen=chapter.values("01-first")["photos"])
    assert json.loads((stage / "results" / "02-second.json").read_text()) == {"seen": 5}
    assert not (run / "results" / "02-second.json").exists()


def test_a_figure_is_shown_once_at_its_size_with_its_alternative_text(chapter, monkeypatch):
    figure, _ = plt.subplots(figsize=(4, 3))
    outputs = []
    monkeypatch.setattr(chapters, "display", lambda data, metadata, raw: outputs.append(metadata))
    chapters.show(figure, alt="Glass leads\n   by far.")
    (metadata,) = outputs
    shown = metadata["image/png"]
    assert shown["alt"] == "Glass leads by far."
    assert shown["width"] == pytest.approx(4 * 96, rel=0.1)
    assert shown["height"] == pytest.approx(3 * 96, rel=0.1)
    assert not plt.fignum_exists(figure.number)


def test_a_chapter_opened_by_hand_leaves_no_model_of_its_last_run(tmp_path, monkeypatch):
    monkeypatch.setenv("WASTEBOOK_RUN", str(tmp_path))
    model = tmp_path / "models" / "01-first" / "old.onnx"
    model.parent.mkdir(parents=True)
    model.touch()
    monkeypatch.setenv("WASTEBOOK_STAGE", str(tmp_path / "stage"))
    chapters.open_chapter("01-first")
    assert model.exists()
    monkeypatch.delenv("WASTEBOOK_STAGE")
    chapters.open_chapter("02-second")
    assert model.exists()
    chapters.open_chapter("01-first")
    assert not model.exists()


def test_results_of_other_photos_are_not_compared_with(chapter, tmp_path):
    few, all_ = (
        SimpleNamespace(drawn={"dataset": "x", "photos": at, "fingerprint": str(at)}) for at in (72, 360)
    )
    later = chapters.Chapter("02-second", tmp_path, tmp_path)
    chapter.record(drawn=few.drawn)
    later.check_same_photos("01-first", few)
    with pytest.raises(
        WastebookError, match="was run on 72 photos of x, 02-second now is on 360 photos of x"
    ):
        later.check_same_photos("01-first", all_)


def test_what_a_chapter_needs_is_asked_for_when_it_is_opened(chapter, tmp_path, monkeypatch):
    monkeypatch.setenv("WASTEBOOK_RUN", str(tmp_path))
    with pytest.raises(WastebookError, match="run 01-first there first"):
        chapters.open_chapter("02-second", ["01-first"])
    chapter.record(photos=1)
    chapters.open_chapter("02-second", ["01-first"])


def test_a_chapter_takes_the_photos_that_an_earlier_one_saw(chapter, tmp_path, sample):
    data = load_photos(sample.root, photos_per_class=4, seed=3)
    chapter.record(**data.facts)
    later = chapters.Chapter("02-second", tmp_path, tmp_path)
    assert later.load_photos("01-first").photos.equals(data.photos)
    chapter.record(drawn={**data.drawn, "fingerprint": "0"})
    with pytest.raises(WastebookError, match="Run 01-first there again"):
        later.load_photos("01-first")


NAMES = ["<script>alert(1)</script>", "a|b", "$x_$", "**b** `c` _d_", "`x`{=html}", "{{< include secret >}}",
         "[x](javascript:alert(1))", "![x](http://192.0.2.1/x.png)",
         "&lt; \"quoted\" 'too'", "- 纸板 -- 🥤..."]  # fmt: skip


@pytest.mark.fault(
    "hostile names", "names that are markup", "stand in sentences and notes as they are written"
)
@pytest.mark.parametrize("name", NAMES)
def test_names_in_sentences_are_shown_as_written(name, monkeypatch):
    outputs = []
    monkeypatch.setattr(chapters, "display", lambda data, raw: outputs.append(data["text/html"]))
    chapters.note(f"Left out: {name}.")
    for page in (*outputs, chapters.text("Left out:", "", f"{name}.").data):
        soup = BeautifulSoup(page, "html.parser")
        assert soup.p.get_text() == f"Left out: {name}." and not soup.select("p *")


def test_lines_become_paragraphs_and_lists():
    page = chapters.text("One.\n\nTwo.\n- a - b\n- c").data
    assert page == '<div class="mathjax_ignore"><p>One.</p><p>Two.</p><ul><li>a - b</li><li>c</li></ul></div>'


def test_an_empty_note_is_not_shown(monkeypatch):
    outputs = []
    monkeypatch.setattr(chapters, "display", lambda data, raw: outputs.append(data))
    chapters.note("")
    chapters.note("Mind this.", "tip")
    assert [output["text/plain"] for output in outputs] == ["Mind this."]


def _introduced(monkeypatch, chapter, drawn, weights):
    """What a chapter shows as it opens and as it records its headline: the titles and texts of its boxes."""
    shown = {}
    monkeypatch.setattr(
        chapters, "display", lambda data, raw, display_id=None, update=False: shown.update({display_id: data})
    )
    card = {"drawn": drawn, "title": "Six", "photos": 6}
    problems = pd.DataFrame({"path": [], "readable": []}, dtype=bool)
    data = SimpleNamespace(card=card, drawn={"photos": 6}, problems=problems, remarks=())
    chapter.introduce([data], SimpleNamespace(name="resnet18", weights=weights, note=""))
    verdict = BeautifulSoup(chapter.conclude("Glass is best.").data, "html.parser").text
    before = shown[f"in-short-{chapter.name}"]["text/plain"]
    chapter.record(headline="Right for 1 of 6 photos.")
    return before, verdict, shown[f"in-short-{chapter.name}"]["text/plain"]


@pytest.mark.parametrize(("gone", "drawn"), [(False, False), (True, False), (True, True)])
def test_photos_that_changed_since_a_build_began_are_told(tmp_path, monkeypatch, gone, drawn):
    monkeypatch.setenv("WASTEBOOK_STAGE", str(tmp_path / "stage"))
    files = pd.DataFrame({"sha256": ["a", "b"]})
    write_yaml(tmp_path / "run.yml", {"data": {"mine": {"fingerprint": fingerprint(files)}}})
    problems = pd.DataFrame({"path": [], "readable": []}, dtype=bool)
    here = files.head(1) if gone else files
    card = {"drawn": drawn, "title": "Mine", "photos": 2}
    data = SimpleNamespace(name="mine", title="Mine", card=card, files=here, problems=problems, remarks=())
    data.drawn = {"photos": len(here)}
    chapter = chapters.Chapter("02-baseline", tmp_path, tmp_path)
    if gone and not drawn:  # of a sample another size may be drawn
        with pytest.raises(WastebookError, match="Photos of Mine have changed since this began"):
            chapter.introduce([data])
    else:
        chapter.introduce([data])


@pytest.mark.parametrize(("drawn", "weights"), [(True, "imagenet"), (False, "random"), (True, "random")])
def test_a_run_that_is_not_informative_draws_no_conclusion(tmp_path, monkeypatch, drawn, weights):
    chapter = chapters.Chapter("02-baseline", tmp_path, tmp_path)
    before, verdict, after = _introduced(monkeypatch, chapter, drawn, weights)
    assert before == after and "ResNet18, frozen, is right for" in before
    assert verdict == chapters.NO_VERDICT
    later = [chapter.conclude("Glass is best.", instead=told).data for told in ("", "So much is known.", "")]
    later = [BeautifulSoup(each, "html.parser").text.strip() for each in later]
    assert later == ["No verdict here either.", "So much is known.", "No verdict here either."]


def test_a_chapter_that_reads_what_lacks_something_lacks_it_too(tmp_path, monkeypatch):
    monkeypatch.setenv("WASTEBOOK_RUN", str(tmp_path))
    earlier = chapters.open_chapter("02-baseline")
    _introduced(monkeypatch, earlier, False, "random")
    notes = []
    monkeypatch.setattr(chapters, "note", notes.append)
    later = chapters.open_chapter("04-efficientnet", ["02-baseline"])
    _introduced(monkeypatch, later, False, "imagenet")
    assert notes[-1] == "A chapter that this one reads was run with networks that never learned to see."
    assert not later.informative
    assert json.loads((tmp_path / "results" / "04-efficientnet.json").read_text())["lacking"]


def test_an_informative_run_speaks_for_itself_once_it_knows(tmp_path, monkeypatch):
    chapter = chapters.Chapter("02-baseline", tmp_path, tmp_path)
    before, verdict, after = _introduced(monkeypatch, chapter, False, "imagenet")
    assert "ResNet18, frozen, is right for" in before
    assert after == "- Right for 1 of 6 photos."
    assert verdict == "Glass is best."
