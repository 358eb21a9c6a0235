"""What is promised of a model, learning curves, suspect labels, and what a model says to strange photos."""

import numpy as np
import pandas as pd
import pytest
from test_evaluation_metrics import made_up

from wastebook.evaluation import trust as promises
from wastebook.evaluation import trust as transfer
from wastebook.evaluation.trust import suspect_labels
from wastebook.learning import study

CLASSES = ["glass", "metal", "paper"]


@pytest.fixture(scope="module")
def predictions():
    """Validation and test of a fair model under two seeds."""
    parts = [
        made_up(skill=2.0, seed=seed + 10 * (split == "test")).assign(seed=seed, split=split)
        for seed in (0, 1)
        for split in ("validation", "test")
    ]
    return pd.concat(parts, ignore_index=True)


def test_the_surest_answers_are_right_more_often(predictions):
    table = promises.selective_accuracy(predictions[predictions["split"] == "test"], (0.3, 1.0))
    cautious, all_of_them = table.set_index("share").loc[0.3], table.set_index("share").loc[1.0]
    test = predictions[predictions["split"] == "test"]
    assert all_of_them["accuracy"] == pytest.approx((test["label"] == test["predicted"]).mean())
    assert (
        cautious["accuracy"] > all_of_them["accuracy"] and cautious["confidence"] > all_of_them["confidence"]
    )
    surest = test.assign(sure=test.filter(like="p_").max(axis=1)).nlargest(round(0.3 * len(test)), "sure")
    assert cautious["photos"] == surest["path"].nunique() < len(surest)  # two seeds are asked of each photo
    again = pd.concat([test, test.assign(seed=test["seed"] + 2)])
    more_seeds = promises.selective_accuracy(again, (1.0,)).iloc[0]
    assert more_seeds["low"] == pytest.approx(all_of_them["low"])  # and more seeds are not more photos
    assert (table["low"] < table["accuracy"]).all() and (table["accuracy"] < table["high"]).all()


def test_sets_hold_the_truth_as_often_as_asked(predictions):
    table = promises.conformal_sets(predictions, 0.9)
    assert len(table) == 2 and table["coverage"].between(0.85, 0.95).all()
    wider = promises.conformal_sets(predictions, 0.98)
    assert (wider["coverage"] > table["coverage"]).all() and (wider["size"] > table["size"]).all()


def test_with_too_few_photos_to_promise_every_class_is_in_the_set(predictions):
    few = pd.concat([part.head(5) for _, part in predictions.groupby(["seed", "split"])])
    table = promises.conformal_sets(few, 0.99)
    assert (table["coverage"] == 1).all() and (table["single"] == 0).all()


def test_the_threshold_is_the_third_least_of_twenty_nine(predictions):
    first = predictions[predictions["seed"] == 0]
    known = first[first["split"] == "validation"].head(29)
    table = promises.conformal_sets(pd.concat([known, first[first["split"] == "test"]]), 0.9)
    truth = sorted(row[f"p_{row['label']}"] for row in known.to_dict("records"))
    assert table["threshold"].item() == truth[2]  # (29 + 1) / 10, whatever the floating point makes of it


def test_a_learning_curve_is_drawn_on_by_its_law():
    photos = np.array([100, 200, 400, 800])
    value = 1 - 0.05 - 2 * photos**-0.5
    curve = pd.DataFrame({"photos": photos, "value": value, "low": value - 0.01, "high": value + 0.01})
    more = promises.with_more_photos(curve, 800)
    assert more["photos"] == 800
    assert more["then"] == pytest.approx(1 - 0.05 - 2 * 1600**-0.5, abs=2e-3)
    assert more["low"] < more["gain"] < more["high"] and more["low"] >= 0


def test_a_flat_learning_curve_promises_nothing():
    curve = pd.DataFrame({"photos": [100, 200, 400], "value": 0.8, "low": 0.8, "high": 0.8})
    assert promises.with_more_photos(curve, 1000)["gain"] == pytest.approx(0, abs=1e-3)


@pytest.fixture(scope="module")
def photos():
    labels = np.repeat(CLASSES, 40)
    table = pd.DataFrame({"path": [f"{at:03}.jpg" for at in range(120)], "label": labels})
    table["split"] = ["train", "train", "train", "validation", "test"] * 24
    table["group"] = pd.array(np.arange(120) // 2, dtype="Int64")
    return table.assign(sha256=table["path"])


@pytest.fixture(scope="module")
def features(photos):
    """(120, 6): three clusters well apart."""
    centres = 3 * np.eye(3, 6)[[CLASSES.index(label) for label in photos["label"]]]
    return (centres + 0.5 * np.random.default_rng(0).normal(size=(120, 6))).astype(np.float32)


def test_wrong_labels_are_suspected_first(photos, features):
    wrong = photos.copy()
    wrong.loc[[3, 50], "label"] = ["paper", "glass"]
    found = suspect_labels(wrong, features, CLASSES)
    assert set(found.head(2)["path"]) == {"003.jpg", "050.jpg"}
    told = found.set_index("path")
    assert (told.loc["003.jpg", "label"], told.loc["003.jpg", "suggested"]) == ("paper", "glass")
    assert (found["p_suggested"] > found["p_label"]).all()


def test_no_copy_vouches_for_another(photos, features):
    """Two photos of one object under a wrong label are both suspect: they are never in different folds."""
    wrong = photos.copy()
    wrong.loc[[0, 1], "label"] = "metal"
    twins = features.copy()
    twins[1] = twins[0]
    assert {"000.jpg", "001.jpg"} <= set(suspect_labels(wrong, twins, CLASSES)["path"])


def test_a_model_asked_about_strange_photos(photos, features):
    deals = study.deal_photos(photos, "grouped", [0])
    done, _ = study.solve_heads("exact", features[None], features, deals, CLASSES)
    strange = photos.head(4).assign(label="no waste", split=pd.NA)
    replies = transfer.ask(done, ("grouped", 0), features[[0, 1, 50, 51]], strange)
    assert list(replies["predicted"]) == ["glass", "glass", "metal", "metal"]
    assert np.allclose(replies.filter(like="p_").sum(axis=1), 1)
    summary = transfer.summarise_replies(replies).iloc[0]
    assert (summary["label"], summary["photos"], summary["share"]) == ("no waste", 4, 0.5)
    assert summary["confidence"] > 0.5
