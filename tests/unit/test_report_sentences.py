"""Numbers and names in sentences say what the tables say."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from wastebook.errors import WastebookError
from wastebook.learning.predictions import Model
from wastebook.report import sentences


def difference(value: float, low: float, high: float, **more: float) -> pd.Series:
    return pd.Series({"difference": value, "low": low, "high": high} | more)


def test_the_one_row():
    table = pd.DataFrame({"a": [1, 2, 2], "b": [3, 4, 5]})
    assert sentences.select_row(table, a=2, b=5)["b"] == 5
    with pytest.raises(WastebookError, match="2 rows"):
        sentences.select_row(table, a=2)


@pytest.mark.parametrize(("photos", "told"), [(199, "80\u202f%"), (200, "80.1\u202f%")])
def test_few_photos_bear_no_decimals(photos, told):
    assert sentences.format_percent(0.801, 1, photos) == told


def test_the_precision_of_what_is_never_named_is_no_nought():
    row = {"metric": "precision", "value": 0.0, "low": np.nan, "high": np.nan}
    assert sentences.format_score(pd.Series(row)) == "—"
    assert sentences.format_score(pd.Series(row | {"low": 0.0, "high": 0.5})) == "0.00 [0.00,\u202f0.50]"


def test_numbers():
    row = pd.Series({"value": 0.868, "low": 0.8421, "high": 0.8934})
    assert sentences.format_score(row) == "0.868 [0.842,\u202f0.893]"
    assert sentences.format_share(row) == "86.8\u202f% [84.2,\u202f89.3]"
    assert sentences.format_points(difference(0.031, -0.01, 0.052)) == "+3.1 points [−1.0,\u202f+5.2]"
    assert sentences.format_points(difference(-0.0001, -0.01, 0.02)) == "+0.0 points [−1.0,\u202f+2.0]"
    assert sentences.format_points(difference(0.0, 0.0, 0.0)) == "+0.0 points (equal in every draw)"
    assert sentences.format_percent(0.5561, 1) == "55.6\u202f%"
    assert sentences.format_percent(-0.07) == "−7\u202f%"
    assert [sentences.format_number(number) for number in (0.5, -2.345, 0.00012, 0)] == [
        "0.50",
        "−2.35",
        "0.00012",
        "0.00",
    ]
    assert sentences.format_count(11179590) == "11,179,590"
    assert (sentences.join_names([]), sentences.join_names(["glass"])) == ("none", "glass")
    assert sentences.join_names(["glass", "metal", "trash"]) == "glass, metal and trash"
    error = pd.Series({"value": 0.031, "low": np.nan, "high": np.nan})
    assert (sentences.format_score(error), sentences.format_share(error)) == ("0.031", "3.1\u202f%")


def test_a_score_has_no_more_digits_than_its_interval_carries():
    row = pd.Series({"value": 0.4181, "low": 0.29, "high": 0.612})
    assert sentences.format_score(row) == "0.42 [0.29,\u202f0.61]"
    assert sentences.format_share(row) == "42\u202f% [29,\u202f61]"
    assert sentences.format_score(row.replace({0.29: 0.4, 0.612: 0.43})) == "0.418 [0.400,\u202f0.430]"
    below = pd.Series({"value": -0.0917, "low": -0.1849, "high": -0.0036})  # its end is no nought
    assert sentences.format_score(below) == "−0.092 [−0.185,\u202f−0.004]"


def test_an_accuracy_is_told_in_percent_and_other_metrics_are_not():
    row = pd.Series({"metric": "accuracy", "value": 0.868, "low": 0.842, "high": 0.893})
    assert sentences.format_score(row) == sentences.format_share(row) == "86.8\u202f% [84.2,\u202f89.3]"
    assert sentences.format_score(row.replace("accuracy", "macro_f1")).startswith("0.868 [")
    names = [sentences.plain_name(name) for name in ("macro_f1", "auc", "colour_jitter")]
    assert names == ["macro F1", "AUC", "colour jitter"]


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([0.9, 0.4, 0.2], "highest for a (90\u202f%), lowest for c (20\u202f%)"),
        ([0.2, 0.4, 0.9], "highest for c (90\u202f%), lowest for a (20\u202f%)"),
        ([0.0, 0.0, 0.9], "highest for c (90\u202f%), lowest for a and b (0\u202f%)"),
        ([0.901, 0.899, 0.2], "highest for a and b (90\u202f%), lowest for c (20\u202f%)"),
        ([0.9, np.nan, 0.2], "highest for a (90\u202f%), lowest for c (20\u202f%)"),
        ([0.9, 0, 0, 0, 0], "highest for a (90\u202f%), lowest for 4 of 5 (0\u202f%)"),
        ([0.0, 0.0, 0.0], "0\u202f% for all"),
        ([0.7], "70\u202f% for all"),
    ],
)
def test_extremes_name_all_that_tie(values, told):
    assert sentences.describe_extremes(pd.Series(values, index=list("abcdef")[: len(values)])) == told


@pytest.mark.parametrize(
    ("counts", "told"),
    [
        ([90, 30, 60], "The number of photos is highest for a (90), lowest for b (30); the ratio is 3.0."),
        (
            [30, 1500, 30],
            "The number of photos is highest for b (1,500), lowest for a and c (30); the ratio is 50.0.",
        ),
        ([30, 30], "The number of photos is 30 for all."),
        ([30], "The number of photos is 30 for all."),
    ],
)
def test_the_balance_of_classes(counts, told):
    assert sentences.describe_balance(pd.Series(counts, index=list("abc")[: len(counts)])) == told


def test_differences_are_told_by_their_interval():
    assert sentences.describe_difference(difference(0.03, 0.01, 0.05), "none").startswith(
        "better than none (+3.0 points"
    )
    assert sentences.describe_difference(difference(-0.03, -0.05, -0.01), "none").startswith(
        "worse than none"
    )
    assert sentences.describe_difference(difference(0.03, -0.01, 0.05), "none").startswith(
        "not clearly different from none"
    )
    told = sentences.describe_difference(difference(0.03, 0.01, 0.05, p_holm=0.054), "none")
    assert told.startswith("not clearly different") and told.endswith("; corrected p 0.054)")
    told = sentences.describe_difference(difference(0.03, -0.01, 0.05, p_holm=0.3), "none")
    assert told.startswith("not clearly different") and "corrected" not in told
    assert sentences.describe_difference(difference(0, 0, 0), "none") == "exactly as good as none"
    tie = sentences.describe_difference(difference(0, -0.2, 0.2), "none")
    assert tie == "not clearly different from none (+0.0 points [−20.0,\u202f+20.0])"


def test_models_have_names_for_people():
    models = [
        Model("efficientnet_b0", "64x64"),
        Model("efficientnet_b0", "288x384"),
        Model("efficientnet_b0", "288x384", head="exact"),
        Model("resnet18", "64x64", "colour_jitter", "searched"),
        Model("new_network", "64x64", head="finetuned"),
    ]
    assert [sentences.name_model(model.columns) for model in models[2:4]] == [
        "EfficientNet-B0, 288 x 384, exact head",
        "ResNet18, 64 x 64, colour jitter, searched",
    ]
    table = pd.DataFrame([model.columns for model in models] * 2)
    names = sentences.name_models(table)
    assert list(names) == [model.id for model in models]
    assert list(names.values()) == [
        "EfficientNet-B0, 64 x 64",
        "EfficientNet-B0, 288 x 384",
        "EfficientNet-B0, exact head",
        "ResNet18, colour jitter, searched",
        "new network, fine-tuned",
    ]


def test_the_commonest_mistake():
    pairs = pd.DataFrame(
        {
            "label": ["glass"] * 8 + ["metal"] * 2,
            "predicted": ["glass"] * 6 + ["metal"] * 3 + ["glass"],
        }
    )
    assert sentences.commonest_mistake(pairs) == "glass taken for metal (25\u202f% of glass)"  # two photos
    one_of_three = pd.DataFrame({"label": list("aaabbb"), "predicted": list("aabbba")})
    both = "a taken for b (33\u202f% of a) and b taken for a (33\u202f% of b)"
    assert sentences.commonest_mistake(one_of_three) == both
    assert sentences.commonest_mistake(pairs.head(3)) == "none"
    four = pd.DataFrame({"label": list("abcd"), "predicted": list("bcda")})
    assert sentences.commonest_mistake(four) == "none stands out (4 are equally common)"


def test_caveats_name_the_sample_random_weights_and_notes(sample):
    class Network:
        name, weights, note = "resnet18", "random", ""

    class Noted:
        name, weights, note = "resnet18", "imagenet", "weaker than the official weights"

    problems = pd.DataFrame({"path": ["a", "a", "b"], "readable": [False, False, True]})
    drawn = SimpleNamespace(card=sample.card | {"drawn": True}, drawn={"photos": 72}, problems=problems[2:])
    drawn.remarks = ()
    assert sentences.caveats(drawn).startswith("The library drew the photos of ")
    facts = vars(drawn) | {"card": {"title": "TrashNet", "photos": 72}}
    real = SimpleNamespace(**facts)
    assert sentences.caveats(real) == ""
    broken = SimpleNamespace(**facts | {"drawn": {"photos": 71}, "problems": problems})
    assert sentences.caveats(broken) == "", "what cannot be read was not left out by choice"
    part = SimpleNamespace(**facts | {"drawn": {"photos": 50}})
    assert sentences.caveats(part).startswith("Only 50 of 72 photos of TrashNet are looked at")
    assert "A note on ResNet18: random weights" in sentences.caveats(real, Network)
    assert "A note on ResNet18: weaker than the official weights" in sentences.caveats(real, Noted)


@pytest.mark.parametrize(
    ("low", "high", "told"),
    [(0.0, 0.0, "0.000"), (0.1, 0.4, "0.00 [0.10,\u202f0.40]"), (None, None, "0.000")],
)
def test_an_interval_without_width_is_none(low, high, told):
    assert sentences.format_score(pd.Series({"value": 0.0, "low": low, "high": high}, dtype=float)) == told


def test_names_with_commas_are_listed_apart_by_semicolons():
    names = ["ResNet18, searched", "ResNet18", "Xception, exact head"]
    assert sentences.join_names(names) == "ResNet18, searched; ResNet18 and Xception, exact head"
    assert sentences.join_names(names[1:2]) == "ResNet18" and sentences.join_names([]) == "none"
