"""Every model of a run in one table, the questions asked of them, and the front of cost and quality."""

import numpy as np
import pandas as pd
import pytest

from wastebook.errors import WastebookError
from wastebook.evaluation.comparison import choose_on_validation, judge_difference
from wastebook.evaluation.metrics import score
from wastebook.learning.predictions import MODEL, Model, predictions_table
from wastebook.report import overview
from wastebook.report.chapter import Chapter
from wastebook.report.sentences import select_row

CLASSES = ["glass", "metal", "paper"]
PLAIN, SEARCHED = Model("resnet18", "64x64"), Model("resnet18", "64x64", head="searched")
NEW, LARGE = Model("efficientnet_b0", "64x64"), Model("efficientnet_b0", "96x128")
SKILLS = {PLAIN: 1.0, SEARCHED: 1.02, NEW: 2.0, LARGE: 2.1}
NEEDS = ["02-baseline", "04-efficientnet", "05-xception"]


def made_up(model, seed, split):
    """What a model of some skill says of 300 photos, the same for all models."""
    random = np.random.default_rng(1000)
    numbers = random.integers(len(CLASSES), size=300)
    logits = np.random.default_rng(seed).normal(size=(300, len(CLASSES)))
    logits[np.arange(300), numbers] += SKILLS[model]
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    paths = [f"{split}/{at}.jpg" for at in range(300)]
    photos = pd.DataFrame({"path": paths, "label": np.array(CLASSES)[numbers], "split": split})
    photos["group"] = pd.array([pd.NA] * 300, dtype="Int64")
    return predictions_table(photos, shares, CLASSES, model, seed, "grouped")


@pytest.fixture(scope="module")
def kept():
    """The tables that a chapter with these models keeps."""
    parts = [
        made_up(model, seed, part) for model in SKILLS for seed in (0, 1) for part in ("test", "validation")
    ]
    predictions = pd.concat(parts, ignore_index=True)
    costs = pd.DataFrame([model.columns for model in (PLAIN, NEW, LARGE)])
    costs = costs.assign(
        parameters=[11e6, 4e6, 4e6], multiply_adds=[3e8, 7e7, 9e7], megabytes=[44.0, 16.0, 16.0]
    )
    each = [model.columns | {"scheme": "grouped", "seed": seed} for model in SKILLS for seed in (0, 1)]
    trials = pd.DataFrame([{**SEARCHED.columns, "scheme": "grouped", "seed": seed} for seed in (0, 0, 1, 1)])
    return {
        "predictions": predictions,
        "scores": score(predictions, "trashnet", draws=50),
        "costs": costs.assign(milliseconds=[2.0, 3.0, 4.0]),
        "seconds": pd.DataFrame(each).assign(seconds=2.0),
        "trials": trials.assign(seconds=5.0),
    }


@pytest.fixture
def chapter(tmp_path, kept):
    """The comparison's chapter in a run where 04 has run."""
    earlier = Chapter("04-efficientnet", tmp_path, tmp_path)
    for name, table in kept.items():
        earlier.save(name, table)
    return Chapter("07-comparison", tmp_path, tmp_path)


def test_every_model_with_its_costs(chapter):
    models = overview.all_models(chapter, NEEDS, watts=10)
    assert set(MODEL) <= set(models) and models["network"].iloc[0] == "efficientnet_b0"
    found = models.set_index("model")
    assert found.loc[SEARCHED.id, "parameters"] == 11e6 and found.loc[LARGE.id, "milliseconds"] == 4
    assert found.loc[SEARCHED.id, "seconds"] == 12 and found.loc[SEARCHED.id, "joules"] == 120
    assert found.loc[PLAIN.id, "seconds"] == 2
    assert (models["accuracy_low"] <= models["accuracy"]).all()
    shown = overview.models_table(models)
    assert list(shown["group"].unique()) == ["trashnet, grouped split"] and "[" in shown["accuracy"][0]
    assert shown["million parameters"].iloc[-1] == "11" and shown["model"].is_unique


def test_only_the_chapters_that_are_needed_are_read(chapter):
    assert overview.read_earlier(chapter, ["05-xception"], "scores").empty
    assert set(overview.read_earlier(chapter, NEEDS, "scores")["chapter"]) == {"04-efficientnet"}
    with pytest.raises(WastebookError, match="No chapter with models"):
        overview.test_scores(chapter, ["05-xception"])


def test_costs_that_nobody_measured_are_missing(tmp_path, kept):
    Chapter("02-baseline", tmp_path, tmp_path).save("scores", kept["scores"])
    models = overview.all_models(Chapter("07-comparison", tmp_path, tmp_path), NEEDS, watts=10)
    assert models[["parameters", "seconds", "joules"]].isna().all(axis=None)
    assert overview.models_table(models)["MB"].isna().all()


def test_questions_are_answered_for_models_that_are_there(chapter):
    predictions = overview.predictions_by_dataset(chapter, overview.test_scores(chapter, NEEDS))
    questions = {
        "Is it better?": (NEW.id, PLAIN.id),
        "Does a search help?": (SEARCHED.id, PLAIN.id),
        "Is it there?": ("gone", PLAIN.id),
    }
    asked = {"trashnet": questions, "x": questions}
    answers = overview.answer_questions(predictions, {"trashnet": "grouped"}, asked)
    assert list(answers["question"]) == ["Is it better?", "Does a search help?"]
    better, search = (row for _, row in answers.iterrows())
    assert better["difference"] > 0.1 and better["p_holm"] < 0.05 and better["p_mcnemar"] < 0.05
    names = {PLAIN.id: "ResNet18", NEW.id: "EfficientNet-B0", SEARCHED.id: "a searched ResNet18"}
    assert judge_difference(search) == "undecided"
    table = overview.answers_table(answers, names)
    assert table["models"][0] == "EfficientNet-B0 − ResNet18" and len(table.columns) <= 6
    assert list(table["answer"]) == ["Yes", "That cannot be told"]
    turned = answers.assign(difference=-answers["difference"])
    assert list(overview.answers_table(turned, names)["answer"]) == ["No, it is worse", "That cannot be told"]
    same = answers.assign(difference=0.0, low=0.0, high=0.0, only_a=0, only_b=0, p_holm=1.0)
    assert set(overview.answers_table(same, names)["answer"]) == {"Both answer alike"}
    assert overview.answers_table(answers.head(0), names).empty
    assert overview.answer_questions({}, {}, {"trashnet": questions}).empty


def test_validation_names_the_model_and_test_scores_it(chapter, tmp_path, kept):
    (named,) = overview.chosen_models(chapter, NEEDS).to_dict("records")
    chosen = choose_on_validation(kept["scores"], "grouped")
    expected = select_row(kept["scores"], model=chosen, split="test", metric="accuracy")
    assert (named["dataset"], named["model"], named["split"]) == ("trashnet", chosen, "test")
    assert named["value"] == expected["value"]
    tested = kept["scores"][kept["scores"]["split"] == "test"]
    Chapter("02-baseline", tmp_path / "test", tmp_path / "test").save("scores", tested)
    alone = Chapter("07-comparison", tmp_path / "test", tmp_path / "test")
    assert overview.chosen_models(alone, NEEDS).empty, "where nothing was validated no model is named"


@pytest.mark.parametrize(
    ("first", "second", "direct", "answer"),
    [
        (0.01, 0.5, 0.01, "A"),
        (0.01, 0.01, -0.01, "B"),
        (0.01, 0.5, 0.5, "only A helps beyond luck"),
        (-0.01, 0.02, 0.5, "only B helps beyond luck"),
        (0.01, 0.02, 0.5, "cannot be told"),
        (0.5, 0.5, 0.5, "cannot be told"),
    ],
)
def test_two_changes_are_weighed_by_their_direct_test(first, second, direct, answer):
    """A number is a `p_holm`, negative where the difference is."""
    rows = [
        pd.Series({"difference": np.sign(p), "low": -1, "high": 1, "p_holm": abs(p)})
        for p in (first, second, direct)
    ]
    assert answer in overview.weigh_changes({"A": rows[0], "B": rows[1]}, rows[2])


def test_the_front_is_of_those_that_nobody_beats_in_both():
    cost = pd.Series([1.0, 2.0, 3.0, 2.0, np.nan])
    quality = pd.Series([0.5, 0.8, 0.7, 0.6, 0.9])
    assert list(overview.pareto_front(cost, quality)) == [True, True, False, False, False]


@pytest.mark.parametrize(
    ("low", "difference", "worth", "told"),
    [
        (0.05, 0.5, 0.08, "memory makes 5.0 of the 8.0 points"),
        (
            0.05,
            0.4,
            0.08,
            "has 5 more of 12 right, which may be luck (fewer than six",
        ),  # exactly, p is .06 at best
        (0.05, 0.5, 0.04, "6 more of 12 right, more than copies are worth"),
        (-0.05, 0.5, 0.08, "the head that met the twins has 6 more of 12 right, which may be luck"),
        (-0.3, -0.2, 0.05, "has −2 more of 12 right, which may be luck"),
        (0.0, 0.0, 0.0, "has 0 more of 12 right, which may be luck"),
    ],
)
def test_memory_is_told_where_it_is_sure_and_no_more_than_the_whole(low, difference, worth, told):
    row = {"difference": difference, "low": low, "high": difference, "photos": 120, "copied": 12}
    memory = pd.Series(row, dtype=object)
    assert told in overview.describe_memory(memory, pd.Series({"difference": worth}))
