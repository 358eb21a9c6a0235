"""Numbers in sentences say what the tables say."""

import numpy as np
import pandas as pd
import pytest

from wastebook.data import Dataset
from wastebook.errors import WastebookError
from wastebook.report import sentences

DIFFERENCE = {"model_a": "b", "model_b": "a", "scheme": "grouped", "metric": "macro_f1", "p_holm": 0.04}


def difference(value: float, low: float, high: float) -> pd.Series:
    return pd.Series({"difference": value, "low": low, "high": high})


def scores(model: str, value: float, scheme: str = "grouped", split: str = "test") -> pd.DataFrame:
    rows = [
        {"model": model, "scheme": scheme, "split": split, "metric": metric, "value": value}
        for metric in ("accuracy", "macro_f1")
    ]
    return pd.DataFrame(rows).assign(low=value - 0.1, high=value + 0.1, n=1048, seeds=3)


def test_the_one_row():
    table = pd.DataFrame({"a": [1, 2, 2], "b": [3, 4, 5]})
    assert sentences.select_row(table, a=2, b=5)["b"] == 5
    with pytest.raises(WastebookError, match="2 rows"):
        sentences.select_row(table, a=2)


def test_numbers():
    row = pd.Series({"value": 0.868, "low": 0.8421, "high": 0.8934})
    assert sentences.format_score(row) == "0.868 [0.842,\u202f0.893]"
    assert sentences.format_share(row) == "86.8 % [84.2,\u202f89.3]"
    assert sentences.format_points(difference(0.031, -0.01, 0.052)) == "+3.1 points [−1.0,\u202f+5.2]"
    assert sentences.format_points(difference(-0.0001, -0.01, 0.02)) == "+0.0 points [−1.0,\u202f+2.0]"
    assert sentences.format_percent(0.5561, 1) == "55.6 %"
    assert [sentences.format_number(number) for number in (0.5, -2.345, 0.00012, 0)] == [
        "0.50",
        "−2.35",
        "0.00012",
        "0.00",
    ]
    assert sentences.format_count(11179590) == "11,179,590"
    assert (sentences.join_names([]), sentences.join_names(["glass"])) == ("none", "glass")
    assert sentences.join_names(["glass", "metal", "trash"]) == "glass, metal and trash"
    assert [sentences.variant(model) for model in ("resnet18", "resnet18+colour_jitter")] == [
        "none",
        "colour jitter",
    ]


def test_differences_are_told_by_their_interval():
    assert sentences.describe_difference(difference(0.03, 0.01, 0.05), "none").startswith(
        "better than none (+3.0 points"
    )
    assert sentences.describe_difference(difference(-0.03, -0.05, -0.01), "none").startswith(
        "worse than none"
    )
    assert sentences.describe_difference(difference(0.03, -0.01, 0.05), "none").startswith(
        "indistinguishable from none"
    )


def test_published_scores_stand_below_ours_with_their_protocol():
    published = pd.DataFrame(
        [
            {
                "work": "FIUBA",
                "data": "TrashNet, 505 photos",
                "what": "resnet18",
                "statistic": "accuracy",
                "value": 0.75,
            },
            {"work": "FIUBA", "data": "TrashNet", "what": "other", "statistic": "accuracy", "value": 0.9},
        ]
    )
    ours = pd.concat([scores("resnet18", 0.8), scores("resnet18", 0.9, split="validation")])
    told = sentences.side_by_side(ours, published)
    assert told["protocol"].tolist() == [
        "this run: grouped split, 1,048 photos in 3 seeds",
        "FIUBA: TrashNet, 505 photos",
    ]
    assert told["accuracy"].tolist() == ["0.800 [0.700,\u202f0.900]", "0.750"]
    assert told["macro_f1"].isna().tolist() == [False, True]
    accuracy = sentences.select_row(ours, split="test", metric="accuracy")
    assert "published 0.750 (TrashNet, 505 photos), within this" in sentences.beside(
        accuracy, published, "resnet18", "accuracy"
    )
    assert sentences.beside(accuracy, published, "resnet18", "macro_f1") == ""
    joined = sentences.with_published(ours, published)
    assert joined.query("scheme == 'published'")[["model", "metric", "value"]].to_numpy().tolist() == [
        ["resnet18", "accuracy", 0.75]
    ]


def test_published_scores_are_for_photos_of_the_same_classes(sample):
    assert "resnet18" in set(sentences.published_for(sample.classes)["what"])
    assert sentences.published_for(["a", "b"]).empty


def test_the_best_is_chosen_on_validation():
    both = pd.concat(
        [
            scores("resnet18", 0.9),
            scores("resnet18", 0.6, split="validation"),
            scores("resnet18-tuned", 0.8),
            scores("resnet18-tuned", 0.7, split="validation"),
        ]
    )
    assert sentences.best_on_validation(both, "grouped") == "resnet18-tuned"


def test_class_report_has_the_published_f1():
    rows = [
        {
            "model": "resnet18",
            "label": label,
            "metric": metric,
            "value": 0.5,
            "low": 0.4,
            "high": 0.6,
            "support": 7,
        }
        for label in ("glass", "trash")
        for metric in ("precision", "recall", "f1")
    ]
    published = pd.DataFrame({"what": ["resnet18"], "statistic": ["f1:trash"], "value": [0.51]})
    report = sentences.class_report(pd.DataFrame(rows), published)
    assert list(report["class"]) == ["glass", "trash"]
    assert report["published f1"].tolist()[1] == 0.51
    assert report["photos"].tolist() == [7, 7]


def test_best_trials_of_each_seed_and_the_published():
    trials = pd.DataFrame({"seed": [0, 0, 1], "value": [0.5, 0.7, 0.6], "learning_rate": [0.1, 0.00437, 0.3]})
    trials = trials.assign(weight_decay=1e-5, batch_size=32, step_size=3, gamma=0.5)
    published = trials.loc[1].drop("seed").rename({"value": "macro_f1"})
    told = sentences.best_trials(trials, published)
    assert told["by"].tolist() == ["seed 0", "seed 1", "FIUBA"]
    assert told["learning_rate"].tolist() == ["0.00437", "0.3", "0.00437"]
    assert len(sentences.best_trials(trials, pd.Series(dtype=float))) == 2


def test_leads_and_changes_of_recall():
    leads = pd.DataFrame([DIFFERENCE | {"difference": 0.1, "low": 0.0, "high": 0.2}])
    told = sentences.leads_told(pd.concat([scores("a", 0.6), scores("b", 0.7)]), leads, reference="a")
    assert told["p"].tolist()[0] == 0.04
    assert np.isnan(told["p"].tolist()[1])
    report = pd.DataFrame({"model": ["a", "b"], "label": "glass", "metric": "recall", "value": [0.6, 0.7]})
    changes = sentences.recall_changes(report, leads.assign(metric="recall:glass"))
    assert changes[["model", "recall", "change"]].to_numpy().tolist()[1] == ["b", 0.7, 0.1]
    assert np.isnan(changes["change"].iloc[0])


def test_the_commonest_mistake():
    pairs = pd.DataFrame(
        {"label": ["glass"] * 4 + ["metal"] * 2, "predicted": ["glass"] * 3 + ["metal"] * 2 + ["glass"]}
    )
    assert sentences.commonest_mistake(pairs) == "metal taken for glass (50 % of metal)"
    assert sentences.commonest_mistake(pairs.head(3)) == "nothing taken for anything else"


def test_networks_side_by_side():
    facts = {
        "image_size": "224 x 224",
        "parameters": 1000,
        "multiply_adds": 2e6,
        "depth": 18,
        "feature_width": 512,
    }
    costs = pd.DataFrame(
        [
            facts | {"model": name, "megabytes": 4, "milliseconds": 9}
            for name in ("resnet18", "efficientnet_b0")
        ]
    )
    told = sentences.networks_told(costs)
    assert list(told) == ["", "resnet18", "efficientnet_b0"]
    assert told.set_index("").loc["multiply-adds a photo"].tolist() == ["2,000,000"] * 2


def test_caveats_name_the_sample_random_weights_and_notes(sample):
    class Network:
        name, weights, note = "resnet18", "random", ""

    class Noted:
        name, weights, note = "resnet18", "imagenet", "weaker than the official weights"

    assert "draws itself" in sentences.caveats(sample)
    card = {"name": "trashnet", "photos": len(sample.photos)}
    real = Dataset("trashnet", sample.root, sample.classes, card, sample.photos)
    assert sentences.caveats(real) == ""
    part = real._replace(photos=sample.photos[:50])
    assert sentences.caveats(part).startswith("Only 50 of 72 photos of this collection are at hand")
    assert "resnet18 has random weights" in sentences.caveats(real, Network)
    assert "weaker than the official weights" in sentences.caveats(real, Noted)
