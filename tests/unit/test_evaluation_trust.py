"""Calibration, decisions, promises, suspect labels, and what a model says to strange and to bad photos,
and what is foretold of photos elsewhere."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from test_evaluation_metrics import CLASSES, made_up

from wastebook.data.datasets import fingerprint
from wastebook.errors import WastebookError
from wastebook.evaluation import trust
from wastebook.evaluation.metrics import score
from wastebook.evaluation.trust import apply_temperature, fit_temperature
from wastebook.learning.heads import predict_head, solve_head
from wastebook.learning.predictions import MODEL, Model, predictions_table
from wastebook.photos.augment import KINDS


@pytest.fixture(scope="module")
def predictions():
    """Validation and test of a fair model under two seeds."""
    parts = [
        made_up(skill=2.0, seed=seed + 10 * (split == "test")).assign(seed=seed, split=split)
        for seed in (0, 1)
        for split in ("validation", "test")
    ]
    return pd.concat(parts, ignore_index=True)


def test_the_temperature_is_found_again():
    honest = made_up(count=4000, skill=1.0, seed=8)
    factor = fit_temperature(honest)
    for temperature in (0.5, 3.0):
        overheated = apply_temperature(honest, temperature)
        assert fit_temperature(overheated) == pytest.approx(factor / temperature, rel=1e-3)
    assert (apply_temperature(honest, 3.0).filter(regex="^p_").sum(axis=1) - 1).abs().max() < 1e-12


def test_calibration_lessens_the_error_and_no_label_changes():
    sure = apply_temperature(made_up(count=2000), 0.2)
    sure["split"] = np.where(np.arange(2000) % 2, "validation", "test")
    both = pd.concat([sure, apply_temperature(sure, 0.5).assign(**Model("surer", "64x64").columns)])
    repaired, temperatures = trust.calibrate(both)
    assert temperatures["temperature"].iloc[1] == pytest.approx(
        2 * temperatures["temperature"].iloc[0], rel=1e-3
    )
    before, after = (
        score(table, "made up", draws=1).query("metric == 'ece' and split == 'test'")["value"].to_numpy()
        for table in (both, repaired)
    )
    assert (after < before / 2).all()
    columns = [f"p_{name}" for name in CLASSES]
    assert (repaired[columns].idxmax(axis=1).str[2:].to_numpy() == both["predicted"].to_numpy()).all()


def test_reliability_counts_every_photo_once():
    table = trust.reliability(made_up())
    assert set(MODEL) <= set(table)
    assert table["photos"].sum() == 400
    assert table["confidence"].is_monotonic_increasing
    assert (table["low"] <= table["accuracy"]).all()
    assert (table["accuracy"] <= table["high"]).all()


def test_costs_of_decisions():
    photos = pd.DataFrame({"path": list("abcd"), "label": ["organic", "organic", "recyclable", "recyclable"]})
    photos = photos.assign(group=pd.NA, split="test")
    sure = np.array([0.1, 0.6, 0.8, 0.95])
    classes, model = ["organic", "recyclable"], Model("cnn", "64x64")
    table = predictions_table(photos, np.stack([1 - sure, sure], 1), classes, model, 0, "official")
    costs = trust.decision_costs(table, "recyclable", 4.0, [0.0, 0.5, 0.7, 0.99]).set_index("threshold")
    assert costs["cost"].tolist() == [200.0, 100.0, 0.0, 50.0]
    # One photo in four costs 4: drawn with replacement, none to all.
    assert costs.loc[0.5, "low"] == 0 and 200 <= costs.loc[0.5, "high"] <= 400
    several = trust.decision_costs(pd.concat([table, table.assign(model="other")]), "recyclable", 4.0, [0.5])
    assert several["model"].tolist() == [model.id, "other"] and several["cost"].tolist() == [100.0, 100.0]


def test_the_surest_answers_are_right_more_often(predictions):
    table = trust.selective_accuracy(predictions[predictions["split"] == "test"], (0.3, 1.0))
    cautious, all_of_them = table.set_index("share").loc[0.3], table.set_index("share").loc[1.0]
    test = predictions[predictions["split"] == "test"]
    assert all_of_them["accuracy"] == pytest.approx((test["label"] == test["predicted"]).mean())
    assert (
        cautious["accuracy"] > all_of_them["accuracy"] and cautious["confidence"] > all_of_them["confidence"]
    )
    surest = test.assign(sure=test.filter(like="p_").max(axis=1)).nlargest(round(0.3 * len(test)), "sure")
    assert cautious["photos"] == surest["path"].nunique() < len(surest)  # two seeds are asked of each photo
    again = pd.concat([test, test.assign(seed=test["seed"] + 2)])
    grouped = test.assign(group=pd.factorize(test["path"])[0])
    twins = pd.concat([grouped, grouped.assign(path=grouped["path"] + "'")])
    more_seeds, of_twins = (trust.selective_accuracy(each, (1.0,)).iloc[0] for each in (again, twins))
    known, seeds, things = (row["high"] - row["low"] for row in (all_of_them, more_seeds, of_twins))
    assert of_twins["photos"] == 2 * all_of_them["photos"]
    assert [seeds, things] == pytest.approx([known] * 2, rel=0.2)  # more seeds or views are not more things
    assert (table["low"] < table["accuracy"]).all() and (table["accuracy"] < table["high"]).all()


def test_sets_hold_the_truth_as_often_as_asked(predictions):
    table = trust.conformal_sets(predictions, 0.9)
    assert len(table) == 1 and table["coverage"].between(0.85, 0.95).all()
    assert (table["low"] < table["coverage"]).all() and (table["coverage"] < table["high"]).all()
    halves = [trust.conformal_sets(one, 0.9) for _, one in predictions.groupby("seed")]
    assert table["size"].item() == pytest.approx(pd.concat(halves)["size"].mean())  # seeds count alike
    wider = trust.conformal_sets(predictions, 0.98)
    assert (wider["coverage"] > table["coverage"]).all() and (wider["size"] > table["size"]).all()


@pytest.mark.parametrize("level", [0, 1, 2, -0.5])
def test_sets_hold_the_truth_for_a_share_of_photos(predictions, level):
    with pytest.raises(WastebookError, match=f"level={level} is no share of photos"):
        trust.conformal_sets(predictions, level)


def test_with_too_few_photos_to_promise_every_class_is_in_the_set(predictions):
    few = pd.concat([part.head(5) for _, part in predictions.groupby(["seed", "split"])])
    table = trust.conformal_sets(few, 0.99)
    assert (table["coverage"] == 1).all() and (table["single"] == 0).all()


def test_the_threshold_is_the_third_least_of_twenty_nine(predictions):
    first = predictions[predictions["seed"] == 0]
    known = first[first["split"] == "validation"].head(29)
    table = trust.conformal_sets(pd.concat([known, first[first["split"] == "test"]]), 0.9)
    truth = sorted(row[f"p_{row['label']}"] for row in known.to_dict("records"))
    assert table["threshold"].item() == pytest.approx(
        truth[2], rel=1e-12
    )  # (29 + 1) / 10, whatever the floating point makes of it


def noisy_curve(law, seed, noise=0.006):
    photos = np.array([500, 1000, 2000, 4000])
    value = law(photos) + noise * np.random.default_rng(seed).normal(size=4)
    return pd.DataFrame({"photos": photos, "value": value, "low": value - 0.01, "high": value + 0.01})


@pytest.mark.parametrize(
    "law",
    [
        lambda photos: 0.95 - 2 * photos**-0.5,  # what errors mostly follow
        lambda photos: 0.9 + 0 * photos,
        lambda photos: 0.9 - 0.01 * np.log2(photos / 500),  # more photos of another kind: each doubling harms
        lambda photos: 0.9 - 0.02 * np.maximum(np.log2(photos / 2000), 0),  # and only of late
    ],
)
def test_a_projection_holds_what_came_as_often_as_it_says(law):
    came = law(8000) - law(4000)
    told = [trust.project_curve(noisy_curve(law, seed), 4000) for seed in range(200)]
    assert np.mean([one["low"] <= came <= one["high"] for one in told]) >= 0.93
    assert all(one["photos"] == 4000 and one["low"] <= one["gain"] <= one["high"] for one in told)


def test_a_projection_can_be_a_gain_or_a_loss():
    for rise in (0.02, -0.02):
        more = trust.project_curve(
            noisy_curve(lambda n, rise=rise: 0.8 + rise * np.log2(n / 500), 0, 1e-4), 12_000
        )
        assert more["gain"] == pytest.approx(2 * rise, abs=2e-3) and more["low"] * more["high"] > 0


def test_a_projection_stays_within_what_an_accuracy_can_be():
    curve = pd.DataFrame({"photos": [10, 20, 40], "value": [0.5, 0.9, 0.4]})
    told = trust.project_curve(curve, 10_000)
    assert (told["gain"], told["low"], told["high"]) == pytest.approx((-0.4, -0.4, 0.6))


def test_a_flat_learning_curve_promises_nothing():
    curve = pd.DataFrame({"photos": [100, 200, 400], "value": 0.8, "low": 0.8, "high": 0.8})
    assert trust.project_curve(curve, 1000)["gain"] == pytest.approx(0, abs=1e-3)


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
    found = trust.suspect_labels(wrong, features, CLASSES)
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
    assert {"000.jpg", "001.jpg"} <= set(trust.suspect_labels(wrong, twins, CLASSES)["path"])


def test_a_model_asked_about_strange_photos(photos, features):
    head, _ = solve_head(features[None], features, photos, CLASSES)
    known = predict_head(head, features, photos, Model("resnet18", "64x64", head="exact"), 0, "grouped")
    strange = photos.head(4).assign(label="no waste", split=pd.NA)
    replies = trust.ask(head, known, features[[0, 1, 50, 51]], strange)
    assert list(replies["predicted"]) == ["glass", "glass", "metal", "metal"]
    assert replies["model"].unique().tolist() == ["resnet18-64x64-exact"]
    assert np.allclose(replies.filter(like="p_").sum(axis=1), 1)
    summary = trust.summarise_replies(replies).iloc[0]
    assert (summary["label"], summary["photos"], summary["share"]) == ("no waste", 4, 0.5)
    assert summary["confidence"] > 0.5


def test_bad_photos_are_scored_by_kind_and_strength():
    def answer(picture):
        light = np.clip(picture.mean() / 255, 0, 1)
        return np.array([1 - light, light], np.float32)

    light = np.full((30, 40, 3), 230, np.uint8)
    table = trust.score_corrupted(answer, [light, light], ["light", "dark"], ["dark", "light"], threshold=0.8)
    assert set(table["kind"]) == set(KINDS) and len(table) == sum(len(steps) for _, steps in KINDS.values())
    assert (table["accuracy"] == 0.5).all()  # one label is wrong, and stays so when the answer turns
    dark = table[table["kind"] == "darkness"].set_index("strength")
    assert dark.loc[0, "sure"] == 1 and dark.loc[60, "sure"] == 0 and dark.loc[90, "sure"] == 1
    assert (table["low"] < table["accuracy"]).all() and (table["accuracy"] < table["high"]).all()


def test_a_model_is_described_in_plain_values(predictions, photos):
    told = {"task": "Which?", "source": "me", "licence": "CC0", "classes": []}
    data = SimpleNamespace(name="mine", photos=photos, card={"title": "My photos", "drawn": True} | told)
    one = predictions[predictions["seed"] == 0]
    card = trust.describe_model(data, one)
    facts = {"name": "mine", "title": "My photos", "photos": 120, "drawn": True} | told
    assert card["data"] == facts | {"fingerprint": fingerprint(photos)}
    accuracy = score(one[one["split"] == "test"], "mine", draws=1).set_index("metric")["value"]["accuracy"]
    assert card["scores"]["accuracy"] == accuracy
    assert card["temperature"] == fit_temperature(one[one["split"] == "validation"])
    assert trust.DOUBT <= card["threshold"] < 1
    assert trust.describe_model(data, one.assign(predicted=one["label"]))["threshold"] == trust.DOUBT
    meek = one.assign(**dict.fromkeys(one.filter(regex="^p_"), 1 / one.filter(regex="^p_").shape[1]))
    assert trust.describe_model(data, meek)["threshold"] == trust.DOUBT


TWO = ["a", "b"]


def world(accuracy, sure, agree=1.0, photos=400, seeds=2, split="test"):
    """Predictions that are right for so many, so sure on average; and a second seed that agrees so often."""
    random, parts = np.random.default_rng(0), []
    labels = np.array(TWO)[np.arange(photos) % 2]
    right = np.arange(photos) < accuracy * photos
    table = pd.DataFrame({"path": [f"{at:03}" for at in range(photos)], "label": labels, "group": pd.NA})
    for seed in range(seeds):
        answer = right if seed == 0 else right ^ (random.random(photos) > agree)
        p = np.where((labels == "a") == answer, sure, 1 - sure)
        predicted = predictions_table(
            table.assign(split=split), np.stack([p, 1 - p], 1), TWO, Model("net", "8x8"), seed, "grouped"
        )
        parts.append(predicted)
    return pd.concat(parts, ignore_index=True)


def foretold(home, there):
    return trust.foretell(home, there).set_index("method")


def test_confidence_is_believed_and_lost_confidence_is_lost_accuracy():
    table = foretold(world(0.9, 0.95), world(0.5, 0.75))
    assert table.loc["confidence", "foretold"] == pytest.approx(0.75)
    assert table.loc["difference of confidences", "foretold"] == pytest.approx(0.7)
    assert (table["low"] <= table["foretold"]).all() and (table["foretold"] <= table["high"]).all()


def test_seeds_that_agree_less_often_are_right_less_often():
    table = foretold(world(0.9, 0.9, agree=1.0), world(0.9, 0.9, agree=0.8))
    home = world(0.9, 0.9, agree=1.0)
    right = (home["label"] == home["predicted"]).mean()
    assert table.loc["agreement of seeds", "foretold"] == pytest.approx(right - 0.2, abs=0.05)


@pytest.mark.parametrize("share", [0.2, 0.6, 1.0])
def test_as_many_are_right_as_are_sure_enough(share):
    home = world(0.8, 0.9)
    sure = np.resize(np.arange(1, 11) / 20 + 0.5, len(home))  # half a step above every tenth
    columns = home.filter(regex="^p_").columns
    home[columns] = np.stack([sure, 1 - sure], axis=1)
    there = home[home["path"].isin(home["path"].unique()[: round(share * home["path"].nunique())])]
    guess = foretold(home, there).loc["share above a threshold", "foretold"]
    assert guess == pytest.approx((there.filter(regex="^p_").max(axis=1) > 0.6).mean(), abs=0.06)


def test_one_seed_agrees_with_none():
    assert "agreement of seeds" not in foretold(world(0.9, 0.9, seeds=1), world(0.5, 0.7, seeds=1)).index


def test_labels_elsewhere_are_not_looked_at():
    home, there = world(0.9, 0.95), world(0.5, 0.75)
    blind = there.assign(label=there["label"].sample(frac=1, random_state=1).to_numpy())
    pd.testing.assert_frame_equal(foretold(home, there), foretold(home, blind))


def test_distance_counts_means_and_spreads_in_units_of_home():
    random = np.random.default_rng(0)
    home = random.normal(size=(500, 4)) * (1, 2, 3, 4)
    assert trust.feature_distance(home, home) == 0
    assert trust.feature_distance(home, home + np.array((1, 2, 3, 4))) == pytest.approx(1, abs=0.1)
    assert trust.feature_distance(home, home.mean(axis=0) + 3 * (home - home.mean(axis=0))) == pytest.approx(
        2, abs=0.1
    )
