"""Published figures beside ours, matched on network and head."""

import re

import pandas as pd
import pytest

from wastebook import paths
from wastebook.learning.predictions import MODEL, Model
from wastebook.report import published as others

PLAIN, LARGE = Model("resnet18", "64x64"), Model("resnet18", "96x128")
TURNED, SEARCHED = Model("resnet18", "64x64", "rotation"), Model("resnet18", "64x64", head="searched")


@pytest.fixture(scope="module")
def fiuba():
    return others.published_for("trashnet")


@pytest.fixture(scope="module")
def scores():
    rows = [
        {"dataset": "trashnet", **model.columns, "scheme": "grouped", "split": "test", "metric": metric}
        | {"value": 0.8, "low": 0.77, "high": 0.83, "n": 61, "seeds": 2}
        for model in (TURNED, PLAIN, LARGE, SEARCHED)
        for metric in ("accuracy", "macro_f1")
    ]
    return pd.DataFrame(rows)


def test_every_published_figure_is_of_a_model_or_of_photos():
    table = pd.read_csv(paths.CARDS / "published.csv")
    assert (table["network"].notna() == table["head"].notna()).all()
    assert table[["work", "data", "what", "statistic", "value", "source"]].notna().all(axis=None)
    assert {"base_cnn", "optimised_cnn", "xception", "resnet18"} <= set(table["network"].dropna())


def test_published_works_are_cited_with_authors_and_address_or_what_is_not_known_of_them():
    entries = (paths.PROJECT / "references.bib").read_text(encoding="utf-8").split("\n@")
    entries = {re.sub(r"^\w+\{|,$", "", entry.split("\n")[0]): entry for entry in entries}
    for key in pd.read_csv(paths.CARDS / "published.csv")["source"].unique():
        unknown = re.findall(r"[^;]*are not known to us", entries[key])
        assert "  author " in entries[key] or "author" in unknown[0], key
        assert re.search(r"  (doi|url) ", entries[key]) or "address" in unknown[0], key


def test_networks_are_told_as_text():
    told = pd.read_csv(paths.CARDS / "backbones.csv", dtype=str).set_index("network")
    assert told.loc["resnet18", "year"] == "2015" and told.notna().all(axis=None)
    assert {"efficientnet_b0", "tf_efficientnet_lite0", "mobilenetv2_100"} <= set(told.index)


def test_only_what_has_the_same_classes_compares(fiuba):
    assert {"FIUBA", "Single 2023"} <= set(fiuba["work"]) and "TFM" not in set(fiuba["work"])
    assert set(others.published_for("waste-classification")["work"]) == {"TFM"}
    assert all(others.published_for(name).empty for name in ("sample", "own-trashnet", "mine"))


def test_published_scores_stand_below_ours(scores, fiuba):
    table = others.side_by_side(scores, fiuba)
    assert len(table) == 4 + 2 and "[" in table["accuracy"][0]
    assert table["protocol"][0] == "this run: grouped split, photos: 61, seeds: 2"
    recipe, searched = table.tail(2).to_dict("records")
    assert recipe["protocol"].startswith("FIUBA: TrashNet, 505") and recipe["accuracy"] == "76.0\u202f%"
    assert searched["macro_f1"] == "0.813" and pd.isna(searched["accuracy"])
    assert len(others.side_by_side(scores, fiuba.head(0))) == 4


def test_a_published_score_is_described_from_our_interval(scores, fiuba):
    rows = scores.set_index(["model", "metric"], drop=False)
    told = others.describe_published(rows.loc[PLAIN.id, "accuracy"], fiuba)
    where = "TrashNet, 505 held-out photos, no augmentation"
    assert told == f" FIUBA published 76.0\u202f% ({where}), below this interval."
    assert "within" in others.describe_published(rows.loc[SEARCHED.id, "macro_f1"], fiuba)
    assert others.describe_published(rows.loc[SEARCHED.id, "accuracy"], fiuba) == ""


def test_published_scores_are_rows_of_the_plainest_model(scores, fiuba):
    both = others.with_published(scores, fiuba)
    added = both[both["scheme"] == "published"].set_index(["model", "metric"])["value"]
    assert added.to_dict() == {
        (PLAIN.id, "accuracy"): 0.76,
        (PLAIN.id, "macro_f1"): 0.74,
        (SEARCHED.id, "macro_f1"): 0.813,
    }
    assert both[MODEL].notna().all(axis=None)
    assert others.with_published(scores, fiuba.head(0)) is scores


def test_published_reference_and_this_run_side_by_side(scores, fiuba):
    beside = others.beside_published(fiuba, scores, scores.head(0))
    assert list(beside[beside["this_run"].notna()]["reading"]) == ["below", "below", "within"]
    assert set(beside[beside["this_run"].isna()]["reading"].isna()) == {True}
    assert beside["reference"].isna().all() and "80.0\u202f% [77.0" in beside["this_run"].iloc[0]
    kept = others.beside_published(fiuba, scores.head(0), scores)
    assert kept["reading"].isna().all() and kept["reference"].notna().sum() == 3
