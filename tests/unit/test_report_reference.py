"""Two runs held against one another, the reference that a run leaves, and every model in one table."""

import json

import numpy as np
import pandas as pd
import pytest
import yaml
from test_evaluation_metrics import made_up

from wastebook import paths
from wastebook.errors import WastebookError
from wastebook.evaluation.metrics import score
from wastebook.files import write_text
from wastebook.report import overview, reference, sentences
from wastebook.report.chapter import Chapter


def predictions_of(models, split="test"):
    """A model a skill, on the same photos, under two seeds."""
    tables = [
        made_up(skill=skill, seed=seed, model=model).assign(split=split, scheme="grouped")
        for model, skill in models.items()
        for seed in (0, 1)
    ]
    return pd.concat(tables, ignore_index=True)


MODELS = {"resnet18": 1.0, "resnet18-tuned": 1.02, "efficientnet_b0": 2.0, "efficientnet_b0-96x128": 2.1}


@pytest.fixture(scope="module")
def kept():
    """The tables that a chapter with these models keeps."""
    both = pd.concat([predictions_of(MODELS), predictions_of(MODELS, "validation")], ignore_index=True)
    costs = pd.DataFrame({"model": ["resnet18", "efficientnet_b0", "efficientnet_b0-96x128"]})
    costs = costs.assign(
        parameters=[11e6, 4e6, 4e6], multiply_adds=[3e8, 7e7, 9e7], megabytes=[44.0, 16.0, 16.0]
    )
    seconds = pd.DataFrame(
        [(model, "grouped", seed, 2.0) for model in MODELS for seed in (0, 1)],
        columns=["model", "scheme", "seed", "seconds"],
    )
    trials = pd.DataFrame({"scheme": "grouped", "seed": [0, 0, 1, 1], "seconds": 5.0})
    return {
        "predictions": both,
        "scores": score(both, "trashnet", draws=100),
        "costs": costs.assign(milliseconds=[2.0, 3.0, 4.0]),
        "seconds": seconds,
        "trials": trials,
    }


@pytest.fixture
def run(tmp_path, kept):
    """A run of one chapter on real photos."""
    folder = tmp_path / "run"
    chapter = Chapter("04-efficientnet", folder, folder)
    for name, table in kept.items():
        chapter.save(name, table)
    chapter.record(size="96x128", scheme="grouped")
    record = {"written": "2026", "commit": "abc", "hardware": {"cores": 2}, "versions": {"python": "3.11"}}
    record["data"] = {"trashnet": {"name": "trashnet", "photos": 400, "fingerprint": "f" * 64}}
    record["parameters"] = {"04-efficientnet": {"dataset": "trashnet"}}
    write_text(folder / "run.yml", yaml.safe_dump(record))
    write_text(folder / ".build" / "04-efficientnet.json", json.dumps({"seconds": 12.34}))
    return folder


@pytest.fixture
def empty_reference(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "REFERENCE", tmp_path / "reference")
    return tmp_path / "reference"


def test_a_run_does_not_differ_from_itself(run):
    outcome = reference.compare_runs(run, run)
    assert outcome["differ"] == [] and outcome["notes"] == []
    assert outcome["shared"] == len(MODELS) * 2 * 6 and outcome["largest"]["difference"] == 0


def test_what_differs_beyond_its_interval_is_said(run, tmp_path, kept):
    changed = kept["scores"].copy()
    of_one = (
        (changed["model"] == "resnet18") & (changed["split"] == "test") & (changed["metric"] == "accuracy")
    )
    changed.loc[of_one, ["value", "low", "high"]] += 0.3
    nudged = (changed["model"] == "efficientnet_b0") & (changed["metric"] == "accuracy")
    changed.loc[nudged, ["value", "low", "high"]] += 0.005
    other = Chapter("04-efficientnet", tmp_path / "other", tmp_path / "other")
    other.save("scores", changed[changed["model"] != "resnet18-tuned"])
    outcome = reference.compare_runs(run, tmp_path / "other")
    (differs,) = outcome["differ"]
    assert (differs["model"], differs["split"], differs["metric"]) == ("resnet18", "test", "accuracy")
    assert differs["difference"] == pytest.approx(0.3)
    assert outcome["only_first"] == ["trashnet/resnet18-tuned"] and outcome["only_second"] == []


def test_runs_without_a_score_in_common_cannot_be_compared(run, tmp_path, kept):
    other = Chapter("02-baseline", tmp_path / "other", tmp_path / "other")
    other.save("scores", kept["scores"].assign(dataset="another"))
    with pytest.raises(WastebookError, match="no score in common"):
        reference.compare_runs(run, tmp_path / "other")
    with pytest.raises(WastebookError, match="no scores in"):
        reference.compare_runs(run, tmp_path / "nothing")


def test_the_reference_is_what_the_run_found(run, empty_reference):
    with pytest.raises(WastebookError, match="No reference is kept yet"):
        reference.find_results("reference")
    (folder,) = reference.write_reference(run)
    assert folder == empty_reference / "trashnet" / "04-efficientnet"
    assert {file.name for file in folder.iterdir()} == {
        "scores.csv", "costs.csv", "seconds.csv", "trials.csv", "values.json", "run.yml",
    }  # fmt: skip
    facts = yaml.safe_load((folder / "run.yml").read_text())
    assert (facts["seconds"], facts["data"]["photos"], facts["versions"]["python"]) == (12.3, 400, "3.11")
    assert reference.compare_runs(run, reference.find_results("reference"))["differ"] == []
    assert len(reference.reference_scores("trashnet")) == len(MODELS) * 2 * 6
    assert reference.reference_scores("sample").empty


def test_other_photos_and_versions_are_noted(run, empty_reference):
    reference.write_reference(run)
    record = yaml.safe_load((run / "run.yml").read_text())
    record["data"]["trashnet"]["fingerprint"] = "0" * 64
    record["versions"]["python"] = "3.12"
    write_text(run / "run.yml", yaml.safe_dump(record))
    notes = reference.compare_runs(run, empty_reference)["notes"]
    assert notes == ["The photos of trashnet are not the same.", "Not the same versions."]


def test_drawn_photos_make_no_reference(run, empty_reference):
    text = (run / "run.yml").read_text().replace("trashnet", "sample")
    write_text(run / "run.yml", text)
    with pytest.raises(WastebookError, match="drawn photos"):
        reference.write_reference(run)
    assert not empty_reference.exists()


@pytest.fixture
def chapter(run):
    return Chapter("07-comparison", run, run)


def test_every_model_with_its_costs(chapter):
    models = overview.all_models(chapter, overview.test_scores(chapter), watts=10)
    assert models["model"].iloc[0] in ("efficientnet_b0", "efficientnet_b0-96x128")
    found = models.set_index("model")
    assert found.loc["resnet18-tuned", "parameters"] == 11e6
    assert found.loc["efficientnet_b0-96x128", "milliseconds"] == 4
    assert found.loc["resnet18-tuned", "seconds"] == 12 and found.loc["resnet18-tuned", "joules"] == 120
    assert found.loc["resnet18", "seconds"] == 2
    assert (models["accuracy_low"] <= models["accuracy"]).all()
    told = overview.told(models)
    assert list(told["group"].unique()) == ["trashnet, grouped split"] and "[" in told["accuracy"][0]


def test_chapters_that_did_not_run_are_left_out(tmp_path, chapter):
    assert overview.read_values(chapter, "05-xception") == {}
    assert overview.read_earlier(chapter, "learning_curve").empty
    with pytest.raises(WastebookError, match="No chapter with models"):
        overview.test_scores(Chapter("07-comparison", tmp_path / "new", tmp_path / "new"))


def test_questions_are_answered_for_models_that_are_there(chapter):
    scores = overview.test_scores(chapter)
    predictions = overview.predictions_by_dataset(chapter, scores)
    questions = {
        "Is it better?": ("efficientnet_b0", "resnet18"),
        "Does a search help?": ("resnet18-tuned", "resnet18"),
        "Is it there?": ("gone", "resnet18"),
    }
    answers = overview.answer_questions(
        predictions, {"trashnet": "grouped"}, {"trashnet": questions, "x": questions}
    )
    assert list(answers["question"]) == ["Is it better?", "Does a search help?"]
    better, search = (row for _, row in answers.iterrows())
    assert better["difference"] > 0.1 and better["p"] < 0.05 and better["p_mcnemar"] < 0.05
    assert overview.answer_in_words(better).startswith("**Is it better?** Yes: +")
    assert "cannot be told" in overview.answer_in_words(search)
    assert len(overview.answers_told(answers)) == 2
    assert overview.answer_questions({}, {}, {"trashnet": questions}).empty


def test_the_front_is_of_those_that_nobody_beats_in_both():
    cost = pd.Series([1.0, 2.0, 3.0, 2.0, np.nan])
    quality = pd.Series([0.5, 0.8, 0.7, 0.6, 0.9])
    assert list(overview.pareto_front(cost, quality)) == [True, True, False, False, False]


def test_published_figures_are_read_from_our_interval(chapter):
    scores = overview.test_scores(chapter)
    published = pd.DataFrame(
        [("A", "p", "resnet18", "accuracy", 0.0, ""), ("B", "q", "other", "accuracy", 0.9, "")],
        columns=["work", "data", "what", "statistic", "value", "source"],
    )
    beside = overview.beside_published(published, scores, scores.head(0))
    assert list(beside["reading"].fillna("")) == ["below", ""]
    assert "[" in beside["this_run"][0] and beside["reference"].isna().all()
    works = set(sentences.published_for(["cardboard", "glass", "metal", "paper", "plastic", "trash"])["work"])
    assert {"FIUBA", "Single 2023"} <= works and "TFM" not in works
    assert set(sentences.published_for(["organic", "recyclable"])["work"]) == {"TFM"}
    assert sentences.published_for(["a", "b"]).empty
