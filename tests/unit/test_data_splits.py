"""Splits: stratified, seeded, groups whole, every class everywhere; and what is said where that cannot be."""

import numpy as np
import pandas as pd
import pytest

from wastebook.data.splits import split_photos
from wastebook.errors import WastebookError

FRACTIONS = {"train": 0.70, "validation": 0.13, "test": 0.17}


def table(sizes: dict[str, int], split: str | None = None) -> pd.DataFrame:
    labels = [label for label, size in sizes.items() for _ in range(size)]
    names = [f"{label}/{number}.jpg" for number, label in enumerate(labels)]
    photos = pd.DataFrame(
        {"path": names, "label": labels, "split": split, "group": pd.array([pd.NA] * len(names), "Int64")}
    )
    return photos.sort_values("path", ignore_index=True)


def with_groups(photos: pd.DataFrame, seed: int = 0, large: int = 12) -> pd.DataFrame:
    """Groups as near-duplicates make them: most photos alone, some in twos and threes, a few in dozens."""
    random = np.random.default_rng(seed)
    order = random.permutation(len(photos))
    sizes = [large, large, *random.choice([1, 1, 1, 1, 2, 3], len(photos))]
    groups = np.repeat(np.arange(len(sizes)), sizes)[: len(photos)]
    return photos.assign(group=pd.Series(groups, index=order, dtype="Int64").sort_index())


@pytest.mark.parametrize(
    "sizes", [{"a": 403, "b": 501, "c": 137}, {"a": 57, "b": 71, "c": 20}, {"a": 3, "b": 4}]
)
@pytest.mark.parametrize("scheme", ["random", "grouped"])
def test_split_is_stratified(sizes, scheme):
    photos = table(sizes).assign(group=pd.array(range(sum(sizes.values())), "Int64"))
    split = split_photos(photos, scheme, seed=3)
    counts = split.groupby(["label", "split"]).size()
    for label, size in sizes.items():
        for name, fraction in FRACTIONS.items():
            assert abs(counts[label, name] - fraction * size) <= 1.5
            assert counts[label, name] >= 1
    pd.testing.assert_frame_equal(split.drop(columns="split"), photos.drop(columns="split"))


def test_split_follows_its_seed():
    photos = with_groups(table({"a": 90, "b": 60}))
    for scheme in ("random", "grouped"):
        same = [split_photos(photos, scheme, seed)["split"].tolist() for seed in (1, 1, 2)]
        assert same[0] == same[1] != same[2]
    assert (
        split_photos(photos[::-1], "random", 1)["split"].tolist()
        == split_photos(photos, "random", 1)["split"].tolist()
    )


@pytest.mark.parametrize("seed", range(5))
def test_groups_never_cross_and_large_ones_fit(seed):
    photos = with_groups(table({"a": 300, "b": 200, "c": 40}), seed)
    split = split_photos(photos, "grouped", seed)
    assert (split.groupby("group")["split"].nunique() == 1).all()
    shares = split["split"].value_counts(normalize=True)
    assert all(abs(shares[name] - fraction) < 0.02 for name, fraction in FRACTIONS.items())
    assert (split.groupby("split")["label"].nunique() == 3).all()
    # Photos with a near-duplicate are not heaped on one side.
    twins = split[split.groupby("group")["path"].transform("size").between(2, 3)]
    assert (twins["split"].value_counts(normalize=True) > 0.05).sum() == 3


def test_official_split_is_kept_and_its_validation_found():
    photos = table({"a": 100, "b": 100}, split="train")
    photos.loc[photos.index % 5 == 0, "split"] = "test"
    split = split_photos(photos, "official", 0)
    assert (split.loc[photos["split"] == "test", "split"] == "test").all()
    assert split["split"].value_counts()["validation"] == pytest.approx(160 * 0.13 / 0.83, abs=2)
    whole = split_photos(split, "official", 1)
    assert whole["split"].tolist() == split["split"].tolist()


def test_official_validation_keeps_groups_whole():
    photos = with_groups(table({"a": 100, "b": 100}, split="train"))
    photos.loc[photos["group"] < 20, "split"] = "test"
    split = split_photos(photos, "official", 0)
    train = split[split["split"] != "test"]
    assert (train.groupby("group")["split"].nunique() == 1).all()


def test_split_says_what_is_wrong():
    with pytest.raises(WastebookError, match=r"'offical'.*official, random, grouped"):
        split_photos(table({"a": 9, "b": 9}), "offical", 0)
    for scheme in ("random", "grouped"):
        with pytest.raises(WastebookError, match="No class has the 3 photos"):
            split_photos(table({"a": 9})[:0], scheme, 0)
    with pytest.raises(WastebookError, match=r"no official split.*`random` or `grouped`"):
        split_photos(table({"a": 9, "b": 9}), "official", 0)
    with pytest.raises(WastebookError, match=r"not grouped yet.*`group_photos`"):
        split_photos(table({"a": 9, "b": 9}), "grouped", 0)
    with pytest.raises(WastebookError, match=r"'b' has too few photos .* train, validation, test: 2"):
        split_photos(table({"a": 9, "b": 2}), "random", 0)
    one = table({"a": 9, "b": 9}).assign(group=pd.array([1] * 9 + [2, 3, 4] * 3, "Int64"))
    with pytest.raises(WastebookError, match="'a' has too few"):
        split_photos(one, "grouped", 0)


@pytest.mark.real
def test_official_split_of_trashnet(trashnet):
    split = split_photos(trashnet.photos, "official", 0)
    assert split["split"].value_counts().to_dict() == {"train": 1768, "test": 431, "validation": 328}
    assert (split.groupby("split")["label"].nunique() == 6).all()
