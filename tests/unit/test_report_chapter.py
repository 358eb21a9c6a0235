"""A chapter's results, written and read; figures shown with their alternative text."""

import json

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from wastebook.errors import WastebookError
from wastebook.report import chapter as chapters
from wastebook.report.figures import style


@pytest.fixture
def chapter(tmp_path, monkeypatch):
    monkeypatch.setenv("WASTEBOOK_RUN", str(tmp_path))
    return chapters.open_chapter("01-first")


def test_tables_and_values_come_back_as_they_were_kept(chapter, tmp_path):
    table = pd.DataFrame({"label": ["glass", "metal"], "photos": [3, 4]}, index=[7, 9])
    chapter.save("counts", table)
    chapter.record(photos=np.int64(7), share=np.float32(0.5), by_class={"glass": np.array([1, 2])})
    chapter.record(classes=["glass", "metal"])

    later = chapters.Chapter("02-second", tmp_path, tmp_path)
    pd.testing.assert_frame_equal(later.read("01-first", "counts"), table.reset_index(drop=True))
    expected = {"photos": 7, "share": 0.5, "by_class": {"glass": [1, 2]}, "classes": ["glass", "metal"]}
    assert later.values("01-first") == expected


def test_a_result_that_is_not_there_names_the_chapter_to_run(chapter):
    with pytest.raises(WastebookError, match="run chapter 05-fifth there first"):
        chapter.read("05-fifth", "scores")
    with pytest.raises(WastebookError, match="run chapter 05-fifth there first"):
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


def test_a_class_and_a_model_look_the_same_wherever_they_are_drawn():
    alone = style.class_styles(["glass"])["glass"]
    assert style.class_styles(["paper", "glass", "batteries"])["glass"] == alone
    looks = style.class_styles(["cardboard", "glass", "metal", "paper", "plastic", "trash"])
    assert len(set(looks.values())) == 6
    models = style.model_styles(["resnet18", "resnet18+rotation", "efficientnet_b0"])
    assert models["resnet18"][0] == models["resnet18+rotation"][0] != models["efficientnet_b0"][0]
    assert models["resnet18"][1] != models["resnet18+rotation"][1]
