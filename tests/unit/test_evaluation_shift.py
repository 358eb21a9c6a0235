"""What is foretold of photos elsewhere, against worlds in which the answer is known."""

import numpy as np
import pandas as pd
import pytest

from wastebook.evaluation.shift import feature_distance, foretell
from wastebook.learning.predictions import Model, predictions_table

CLASSES = ["a", "b"]


def world(accuracy, sure, agree=1.0, photos=400, seeds=2, split="test"):
    """Predictions that are right for so many, so sure on average; and a second seed that agrees so often."""
    random, parts = np.random.default_rng(0), []
    labels = np.array(CLASSES)[np.arange(photos) % 2]
    right = np.arange(photos) < accuracy * photos
    table = pd.DataFrame({"path": [f"{at:03}" for at in range(photos)], "label": labels, "group": pd.NA})
    for seed in range(seeds):
        answer = right if seed == 0 else right ^ (random.random(photos) > agree)
        p = np.where((labels == "a") == answer, sure, 1 - sure)
        predicted = predictions_table(
            table.assign(split=split), np.stack([p, 1 - p], 1), CLASSES, Model("net", "8x8"), seed, "grouped"
        )
        parts.append(predicted)
    return pd.concat(parts, ignore_index=True)


def foretold(home, there):
    return foretell(home, there).set_index("method")


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


def test_one_seed_agrees_with_none():
    assert "agreement of seeds" not in foretold(world(0.9, 0.9, seeds=1), world(0.5, 0.7, seeds=1)).index


def test_labels_elsewhere_are_not_looked_at():
    home, there = world(0.9, 0.95), world(0.5, 0.75)
    blind = there.assign(label=there["label"].sample(frac=1, random_state=1).to_numpy())
    pd.testing.assert_frame_equal(foretold(home, there), foretold(home, blind))


def test_distance_counts_means_and_spreads_in_units_of_home():
    random = np.random.default_rng(0)
    home = random.normal(size=(500, 4)) * (1, 2, 3, 4)
    assert feature_distance(home, home) == 0
    assert feature_distance(home, home + np.array((1, 2, 3, 4))) == pytest.approx(1, abs=0.1)
    assert feature_distance(home, home.mean(axis=0) + 3 * (home - home.mean(axis=0))) == pytest.approx(
        2, abs=0.1
    )
