"""A model studied under every split and seed, and a network's stages."""

import numpy as np
import optuna
import pandas as pd
import pytest
import torch
from optuna.distributions import FloatDistribution
from torch import nn

from wastebook.errors import WastebookError
from wastebook.learning import study
from wastebook.learning.anatomy import list_modules
from wastebook.learning.features import Backbone
from wastebook.learning.finetune import finetune_heads
from wastebook.learning.predictions import MODEL, Model
from wastebook.learning.search import parameter_importance, search_heads

CLASSES = ["glass", "metal", "paper"]
RECIPE = Model("resnet18", "224x224")


@pytest.fixture(scope="module")
def photos() -> pd.DataFrame:
    """90 photos, in pairs of one object, with an official split that does not know of the pairs."""
    labels = np.repeat(CLASSES, 30)
    table = pd.DataFrame(
        {"path": [f"{label}/{at:03}.jpg" for at, label in enumerate(labels)], "label": labels}
    )
    table["split"] = ["train", "train", "train", "validation", "test"] * 18
    table["group"] = pd.array(np.arange(90) // 2, dtype="Int64")
    return table.assign(sha256=table["path"])


@pytest.fixture(scope="module")
def features(photos) -> np.ndarray:
    """(1, 90, 8): the classes lie apart, with some overlap."""
    centres = np.random.default_rng(0).normal(size=(3, 8))
    numbers = photos["label"].map(CLASSES.index).to_numpy()
    return (centres[numbers] + np.random.default_rng(1).normal(size=(90, 8)) * 0.5)[None].astype(np.float32)


def test_deals_have_the_official_split_beside_where_there_is_one(photos):
    assert list(study.deal_photos(photos, "grouped", [3, 5])) == [
        ("grouped", 3),
        ("grouped", 5),
        ("official", 3),
        ("official", 5),
    ]
    without = photos.assign(split=None)
    assert list(study.deal_photos(without, "random", [0])) == [("random", 0)]
    lacking = photos[(photos["label"] != "paper") | (photos["split"] != "test")]
    assert list(study.deal_photos(lacking, "grouped", [0])) == [("grouped", 0)]


def test_deals_say_how_many_test_photos_are_known_from_train(photos):
    told = study.describe_deals(study.deal_photos(photos, "grouped", [0, 1])).set_index("scheme")
    assert list(told.index) == ["grouped", "official"]
    assert told.loc["grouped", "known"] == 0
    train = set(photos.loc[photos["split"] == "train", "group"])
    assert told.loc["official", "known"] == photos.query("split == 'test'")["group"].isin(train).sum() > 0
    assert told.loc["official", ["train", "validation", "test"]].tolist() == [54, 18, 18]


def test_a_study_predicts_what_is_held_out_under_every_deal(photos, features):
    deals = study.deal_photos(photos, "grouped", [0, 1])
    done = study.train_heads(RECIPE, features, features[0], deals, CLASSES, epochs=3, batch_size=8)
    assert set(done.heads) == set(deals)
    assert set(done.predictions["split"]) == {"validation", "test"}
    for (scheme, seed), rows in done.predictions.groupby(["scheme", "seed"]):
        dealt = deals[scheme, seed]
        assert sorted(rows["path"]) == sorted(dealt.loc[dealt["split"] != "train", "path"])
    assert len(done.history) == 4 * 3 * 2
    assert set(done.history["scheme"]) == {"grouped", "official"}


def test_the_exact_solution_comes_with_its_paths(photos, features):
    deals = study.deal_photos(photos, "grouped", [0])
    done, path = study.solve_heads(RECIPE._replace(head="exact"), features, features[0], deals, CLASSES)
    assert set(path[["scheme", "seed"]].itertuples(index=False, name=None)) == set(deals)
    right = done.predictions["label"] == done.predictions["predicted"]
    assert right.mean() > 0.8


def test_a_search_takes_its_own_trials_only(photos, features, tmp_path):
    deals = {("grouped", 0): study.deal_photos(photos, "grouped", [0])["grouped", 0]}
    search = (RECIPE._replace(head="searched"), features, features[0], deals, CLASSES, tmp_path)
    first, three = search_heads(*search, trials=3, epochs=2)
    _, five = search_heads(*search, trials=5, epochs=2)
    again, same = search_heads(*search, trials=3, epochs=2)
    assert (len(three), len(five)) == (3, 5)
    pd.testing.assert_frame_equal(same, three)
    pd.testing.assert_frame_equal(again.predictions, first.predictions)
    best = again.searches["grouped", 0]
    assert set(three) >= {*MODEL, "scheme", "seed", "number", "state", "value", "seconds", *best.best_params}
    assert (best.best_value, best.best_params["gamma"]) == tuple(
        three.loc[three["value"].idxmax(), ["value", "gamma"]]
    )


def searched(value, trials=40):
    """A search whose trials come to `value(learning_rate)`."""
    search, random = optuna.create_study(direction="maximize"), np.random.default_rng(0)
    for _ in range(trials):
        found = {"learning_rate": 10 ** random.uniform(-4, -2), "gamma": random.uniform(0.1, 0.9)}
        space = {
            "learning_rate": FloatDistribution(1e-4, 1e-2, log=True),
            "gamma": FloatDistribution(0.1, 0.9),
        }
        rate = found["learning_rate"]
        search.add_trial(optuna.create_trial(params=found, distributions=space, value=value(rate)))
    return search


def test_importance_finds_the_parameter_that_matters_and_claims_nothing_of_few_trials():
    clear, flat = searched(np.log10), searched(lambda rate: 0.5)
    importance = parameter_importance({("grouped", 0): clear, ("grouped", 1): clear})
    assert importance.idxmax() == "learning_rate"
    assert importance.sum() == pytest.approx(1)
    few = searched(np.log10, trials=9)
    for other in (few, flat):
        assert parameter_importance({("grouped", 0): clear, ("grouped", 1): other}).empty


def test_fine_tuning_under_a_split_that_is_not_there_is_refused(photos, features, tmp_path):
    deals = study.deal_photos(photos.assign(split=None), "random", [0])
    started = study.train_heads(RECIPE, features, features[0], deals, CLASSES, epochs=1, batch_size=8)
    with pytest.raises(WastebookError, match="no 'official' split"):
        finetune_heads(RECIPE._replace(head="finetuned"), tmp_path, None, started, deals, "official", 0)


def test_modules_are_told_stage_by_stage():
    network = nn.Sequential()
    network.add_module("stem", nn.Conv2d(3, 4, 3, stride=2, padding=1))
    network.add_module("norm", nn.BatchNorm2d(4))
    network.add_module(
        "blocks", nn.Sequential(nn.Sequential(nn.Conv2d(4, 8, 1)), nn.Sequential(nn.Conv2d(8, 8, 1)))
    )
    network.add_module("pool", nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    backbone = Backbone("tiny", network.eval(), (16, 32), 8, "random", "", mean=(0, 0, 0), std=(1, 1, 1))
    told = list_modules(backbone, class_count=3).set_index("module")
    assert list(told.index) == ["photo", "stem", "blocks.0", "blocks.1", "pool", "head"]
    assert told["kind"].tolist() == ["", "convolution", "1 block", "1 block", "pooling", "3 classes"]
    assert told.loc["stem", ["channels", "height", "width", "parameters"]].tolist() == [4, 8, 16, 112 + 8]
    assert told.loc["head", ["channels", "height", "parameters", "state"]].tolist() == [3, 1, 27, "learns"]
    assert told["parameters"].sum() == sum(p.numel() for p in network.parameters()) + 27
    assert told["state"].tolist() == ["given", *["frozen"] * 4, "learns"]
    assert torch.is_grad_enabled()


def test_the_seconds_of_each_training_are_told(photos, features):
    deals = study.deal_photos(photos, "grouped", [0, 1])
    trained = study.train_heads(RECIPE, features, features[0], deals, CLASSES, epochs=1, batch_size=8)
    told = study.training_seconds([trained])
    assert [tuple(row) for row in told[[*MODEL, "scheme", "seed"]].to_numpy()] == [
        (*RECIPE.columns.values(), scheme, seed) for scheme, seed in deals
    ]
    assert (told["seconds"] > 0).all()
