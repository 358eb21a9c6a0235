"""Scores: scikit-learn's numbers, intervals by group, and metrics that know weights as repetition."""

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as reference

from wastebook.evaluation.metrics import (
    METRICS,
    SCORE_COLUMNS,
    count_groups,
    describe_draws,
    metric_values,
    score,
    score_classes,
    share_interval,
    value_and_draws,
)
from wastebook.learning.predictions import MODEL, Model, predictions_table

CLASSES = ["glass", "metal", "paper"]


def made_up(classes=CLASSES, count=400, skill=1.5, seed=0, model="model", group_size=1, rounding=None):
    """The predictions of a model with some skill; photos of a group are all alike."""
    random = np.random.default_rng(1000)
    groups = np.arange(count) // group_size
    numbers = random.integers(len(classes), size=groups.max() + 1)[groups]
    logits = np.random.default_rng(seed).normal(size=(groups.max() + 1, len(classes)))[groups]
    logits[np.arange(count), numbers] += skill
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    if rounding is not None:
        probabilities = probabilities.round(rounding)
        probabilities /= probabilities.sum(axis=1, keepdims=True)
    photos = pd.DataFrame(
        {"path": [f"{at}.jpg" for at in range(count)], "label": np.array(classes)[numbers], "split": "test"}
    )
    photos["group"] = pd.array(groups if group_size > 1 else [pd.NA] * count, dtype="Int64")
    return predictions_table(photos, probabilities, list(classes), Model(model, "64x64"), seed, "official")


@pytest.mark.parametrize("classes", [CLASSES, CLASSES[:2]])
@pytest.mark.parametrize("rounding", [None, 1])
def test_values_are_scikit_learns(classes, rounding):
    told = made_up(classes, rounding=rounding)
    values = score(told, "made up", draws=20).set_index("metric")["value"]
    truth, guess = told["label"], told["predicted"]
    shares = told[[f"p_{name}" for name in classes]].to_numpy()
    ranked = shares if len(classes) > 2 else shares[:, 1]
    assert values["accuracy"] == pytest.approx(reference.accuracy_score(truth, guess))
    assert values["macro_f1"] == pytest.approx(reference.f1_score(truth, guess, average="macro"))
    assert values["balanced_accuracy"] == pytest.approx(reference.balanced_accuracy_score(truth, guess))
    assert values["auc"] == pytest.approx(reference.roc_auc_score(truth, ranked, multi_class="ovr"))
    if rounding is None:
        assert values["log_loss"] == pytest.approx(reference.log_loss(truth, shares), rel=1e-5)


def test_the_calibration_error_is_what_it_says():
    told = made_up()
    confidence = told[[f"p_{name}" for name in CLASSES]].max(axis=1)
    right = told["label"] == told["predicted"]
    bins = np.minimum((confidence * 15).astype(int), 14)
    error = sum(abs((confidence - right)[bins == at].sum()) for at in range(15)) / len(told)
    assert score(told, "made up", draws=1).set_index("metric")["value"]["ece"] == pytest.approx(error)


def test_a_weight_is_a_repetition():
    told = made_up(count=60, rounding=1)
    weights = np.random.default_rng(3).integers(0, 4, size=(1, 60)).astype(np.float32)
    repeated = told.loc[told.index.repeat(weights[0].astype(int))]
    names = [*METRICS, "recall:glass", "precision:metal", "f1:paper"]
    weighted = metric_values(told, names)(weights)
    plainly = metric_values(repeated, names)(np.ones((1, len(repeated)), np.float32))
    for name in names:
        assert weighted[name] == pytest.approx(plainly[name], rel=1e-5)


def test_scores_table_and_interval():
    several = pd.concat([made_up(seed=seed, model=model) for model in ("one", "two") for seed in range(3)])
    table = score(several, "made up")
    assert list(table) == SCORE_COLUMNS
    assert set(MODEL) <= set(table) and set(table["network"]) == {"one", "two"}
    assert list(table["metric"]) == list(METRICS) * 2
    assert set(table["n"]) == {400}
    assert set(table["seeds"]) == {3}
    accuracy = table.query("metric == 'accuracy' and network == 'one'").iloc[0]
    by_seed = [
        (part["label"] == part["predicted"]).mean()
        for _, part in several.query("network == 'one'").groupby("seed")
    ]
    assert accuracy["value"] == pytest.approx(np.mean(by_seed))
    assert accuracy["low"] < accuracy["value"] < accuracy["high"]
    pd.testing.assert_frame_equal(table, score(several, "made up"))
    assert table.loc[table["low"].isna(), "metric"].unique().tolist() == ["ece"]  # it need not hold its value


def test_photos_of_one_object_count_as_one():
    def width(group_size):
        table = score(made_up(count=400, group_size=group_size), "made up").set_index("metric")
        return table.loc["accuracy", "high"] - table.loc["accuracy", "low"]

    assert 1.5 < width(4) / width(1) < 2.6  # a quarter of the objects: twice as wide


def test_the_interval_is_a_binomials():
    accuracy = score(made_up(count=1000), "made up").set_index("metric").loc["accuracy"]
    half = 1.96 * np.sqrt(accuracy["value"] * (1 - accuracy["value"]) / 1000)
    assert (accuracy["high"] - accuracy["low"]) / 2 == pytest.approx(half, rel=0.1)


def test_groups_are_drawn_whole():
    value, (weights, seeds) = value_and_draws(made_up(count=40, group_size=4), draws=50)
    assert [each.tolist() for each in value] == [[[1] * 40], [[1]]]
    assert weights.shape == (50, 40)
    assert (weights.reshape(50, 10, 4).std(axis=2) == 0).all()
    assert (weights.sum(axis=1) == 40).all()
    assert (seeds == 1).all()


def test_scores_class_by_class():
    told = made_up()
    table = score_classes(told, draws=50).set_index(["label", "metric"])
    expected = reference.precision_recall_fscore_support(told["label"], told["predicted"], labels=CLASSES)
    for metric, values in zip(("precision", "recall", "f1", "support"), expected, strict=True):
        for name, value in zip(CLASSES, values, strict=True):
            found = (
                table.loc[(name, "recall"), "support"]
                if metric == "support"
                else table.loc[(name, metric), "value"]
            )
            assert found == pytest.approx(value)
    assert (table["low"] <= table["value"]).all()
    assert (table["value"] <= table["high"]).all()


def test_a_class_without_photos_is_left_out_of_the_means():
    told = made_up().query("label != 'paper'")
    values = score(told, "made up", draws=20).set_index("metric")["value"]
    recalls = [(part["predicted"] == name).mean() for name, part in told.groupby("label")]
    assert values["balanced_accuracy"] == pytest.approx(np.mean(recalls))
    assert np.isfinite(values).all()


def test_the_interval_of_a_share_holds_it():
    number = np.arange(1, 400)
    for hits in (0 * number, number, number // 2):
        low, high = share_interval(hits, number)
        assert (low <= hits / number).all() and (hits / number <= high).all()
        assert (high - low > 0.009).all()


@pytest.mark.parametrize(("right", "share"), [(True, 1.0), (False, 0.0)])
def test_where_all_are_right_or_none_is_the_interval_is_a_shares(right, share):
    told = made_up(CLASSES[:2], count=60, group_size=3)
    other = told["label"].map({"glass": "metal", "metal": "glass"})
    told["predicted"] = told["label"] if right else other
    told["p_glass"] = (told["predicted"] == "glass").astype(float)
    told["p_metal"] = 1 - told["p_glass"]
    things = told.groupby("label")["group"].nunique()
    scores = score(told, "made up", draws=20).set_index("metric")
    assert (scores["value"].drop(["log_loss", "ece"]) == share).all()
    numbers = {"accuracy": things.sum(), "macro_f1": things.min(), "auc": things.min()}
    classes = score_classes(told, draws=20).set_index(["label", "metric"])
    for found, number in [
        *((scores.loc[metric], number) for metric, number in numbers.items()),
        (classes.loc[("glass", "recall")], things["glass"]),
        (classes.loc[("glass", "precision")], things["glass" if right else "metal"]),
    ]:
        assert (found["low"], found["high"]) == share_interval(share * number, number)
        assert found["low"] < found["high"]


def test_no_interval_of_one_photo_holds_what_cannot_be():
    for value in (-1.0, -0.6, 1.0):
        told = describe_draws(np.full(21, value), groups=1)
        assert -1 <= told["low"] <= value <= told["high"] <= 1 and told["low"] < told["high"]
    assert describe_draws(np.zeros(21), groups=1) == {"difference": 0, "low": 0, "high": 0, "p": 1}
    told = describe_draws(np.full(21, -1.4), groups=1)  # of what may go further than a share
    assert told["low"] == -1.4 < told["high"]
    one = made_up(count=60).head(1)
    scores = score(one, "made up", 20, ("accuracy", "macro_f1", "balanced_accuracy", "log_loss"))
    scores = scores.set_index("metric")
    assert scores.drop("log_loss")[["low", "high"]].stack().between(0, 1).all()
    assert scores.loc["log_loss", ["low", "high"]].isna().all()
    assert np.isnan(count_groups(one, "log_loss")) and count_groups(one, "accuracy") == 1


def test_what_is_never_named_has_no_interval_of_precision():
    told = made_up(count=60).assign(predicted="glass")
    row = score_classes(told, draws=20).set_index(["label", "metric"]).loc[("metal", "precision")]
    assert row["value"] == 0 and np.isnan(row["low"]) and np.isnan(row["high"])
