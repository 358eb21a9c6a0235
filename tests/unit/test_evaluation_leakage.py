"""Leaks by degrees: who learns from what, and what it is worth, where that is known."""

import numpy as np
import pandas as pd
import pytest

from wastebook.evaluation.leakage import deal_leaks, fit_slopes
from wastebook.learning.predictions import MODEL, Model

SHARES = (0.0, 0.5, 1.0)


@pytest.fixture
def photos():
    """240 photos alone, 60 things photographed twice, one pair under two labels."""
    labels = ["a", "b", "c"] * 80
    alone = pd.DataFrame({"label": labels, "group": range(240)})
    twice = pd.DataFrame({"label": labels[:60] * 2, "group": [*range(300, 360)] * 2})
    torn = pd.DataFrame({"label": ["a", "b"], "group": [400, 400]})
    table = pd.concat([alone, twice, torn], ignore_index=True)
    return table.assign(path=[f"{at:03}.jpg" for at in range(len(table))])


@pytest.mark.parametrize("most", [10_000, 90])
def test_train_and_test_stay_and_only_the_objects_known_grow(photos, most):
    dealt = deal_leaks(photos, SHARES, 3, most)
    assert list(dealt) == [(share, 3) for share in SHARES]
    tests, sizes, known = set(), set(), []
    for table in dealt.values():
        assert table["path"].equals(photos["path"])
        test, train = (table[table["split"] == split] for split in ("test", "train"))
        tests.add(tuple(test["path"]))
        sizes.add(tuple(train["label"].value_counts().sort_index()))
        known.append(test["group"].isin(train["group"]).mean())
        validation = table[table["split"] == "validation"]
        assert not validation["group"].isin([*train["group"], *test["group"]]).any()
        assert not table.loc[table["group"] == 400, "split"].ne("left out").any()
        assert test["group"].is_unique and len(test) == 60
    assert len(tests) == len(sizes) == 1
    assert known == pytest.approx(SHARES, abs=0.02)
    assert sum(next(iter(sizes))) <= max(most, 60)


def answers(rise, photos=200):
    """Test photos of which a share `rise` more is right once all objects are known."""
    parts = []
    for seed in (0, 1):
        for share in SHARES:
            order = np.random.default_rng(seed).permutation(photos) / photos
            table = pd.DataFrame({"path": [f"{at}.jpg" for at in range(photos)], "group": range(photos)})
            table = table.assign(label="a", predicted=np.where(order < 0.6 + rise * share, "a", "b"))
            parts.append(table.assign(scheme=share, seed=seed, split="test", **Model("net", "8x8").columns))
    return pd.concat(parts, ignore_index=True)


@pytest.mark.parametrize("rise", [0.0, 0.2, -0.1])
def test_the_slope_is_what_all_objects_known_are_worth(rise):
    slopes = fit_slopes(answers(rise))
    assert list(slopes.columns[:5]) == MODEL
    (slope,) = slopes.to_dict("records")
    assert slope["difference"] == pytest.approx(rise, abs=1e-6)
    assert slope["low"] <= slope["difference"] <= slope["high"]
    assert (slope["low"] > 0) == (rise > 0) and (slope["high"] < 0) == (rise < 0)
