"""Who learns from which photo: train, validation and test, by three schemes."""

from fractions import Fraction

import numpy as np
import pandas as pd

from wastebook.errors import WastebookError

SCHEMES = ("official", "random", "grouped")
FEWEST = 3  # photos (or groups) of a class that can be in train, validation and test
# What TrashNet's authors took, 70/13/17.
FRACTIONS = {"train": Fraction(70, 100), "validation": Fraction(13, 100), "test": Fraction(17, 100)}


def split_photos(photos: pd.DataFrame, scheme: str, seed: int) -> pd.DataFrame:
    """The photos with `split` filled: `train`, `validation` or `test`.

    `official` keeps the authors' split; where that has no validation, it is taken from train. `random` deals
    the photos out class by class, 70/13/17 as TrashNet's authors did. `grouped` does so with whole groups
    (the column `group`, see `group_photos`), so no object is on two sides. Every class is in every split.

    WastebookError for an unknown scheme, an official split that is not there, photos not grouped, or a class
    with too few photos (or groups) for the splits.
    """
    if scheme not in SCHEMES:
        raise WastebookError(f"No split scheme is called {scheme!r}: choose {', '.join(SCHEMES)}.")
    if photos.empty:
        raise WastebookError(f"No class has the {FEWEST} photos (or groups) that a split takes. Add some.")
    photos = photos.sort_values("path", ignore_index=True)
    if scheme == "official":
        if not {"train", "test"} <= {*photos["split"]} or photos["split"].isna().any():
            lacking = "no official split into train and test (TrashNet's is in lists, not beside the photos)"
            raise WastebookError(f"These photos have {lacking}: use the scheme `random` or `grouped`.")
        if not (photos["split"] == "validation").any():
            rows = photos[photos["split"] == "train"]
            photos.loc[rows.index, "split"] = _deal(rows, ("train", "validation"), group_numbers(rows), seed)
        return photos
    if scheme == "grouped" and photos["group"].isna().any():
        raise WastebookError("The photos are not grouped yet: `group_photos` comes before a `grouped` split.")
    groups = group_numbers(photos) if scheme == "grouped" else np.arange(len(photos))
    return photos.assign(split=_deal(photos, tuple(FRACTIONS), groups, seed))


def has_official_split(photos: pd.DataFrame) -> bool:
    """Whether the photos come with a split of their own that has every class in train, validation (which may
    be taken from train) and test."""
    try:
        return bool(split_photos(photos, "official", 0).groupby("label")["split"].nunique().eq(3).all())
    except WastebookError:
        return False


def count_things(photos: pd.DataFrame, scheme: str) -> pd.Series:
    """How many photos (whole groups, where the scheme is `grouped`) there are of each class to deal out: one
    with fewer than `FEWEST` cannot be in every split."""
    things = group_numbers(photos) if scheme == "grouped" else np.arange(len(photos))
    return pd.Series(things, index=photos.index).groupby(photos["label"]).nunique()


def group_numbers(photos: pd.DataFrame) -> np.ndarray:
    """A number per group for each row (`path, group`; a photo may have several), 0 and up in the order of the
    rows; a photo without a group is one of its own."""
    named = "group " + photos["group"].astype("string")
    return pd.factorize(named.fillna("photo " + photos["path"].astype("string")))[0]


def _deal(photos: pd.DataFrame, splits: tuple[str, ...], groups: np.ndarray, seed: int) -> list[str]:
    """A split for each photo: groups whole, each split's share of a class as near FRACTIONS as can be.

    Groups are taken largest first, those of one size in random order, and each goes where its classes are
    least served for the split's size (Sainte-Laguë's rule for seats, which favours neither large nor small).
    """
    labels, names = pd.factorize(photos["label"], sort=True)
    counts = np.zeros((groups.max() + 1, len(names)), dtype=np.int64)
    np.add.at(counts, (groups, labels), 1)
    wanted = np.array([float(FRACTIONS[split] / sum(FRACTIONS[name] for name in splits)) for split in splits])
    targets = wanted[:, None] * counts.sum(axis=0)
    order = np.random.default_rng(seed).permutation(len(counts))
    order = order[np.argsort(-counts[order].sum(axis=1), kind="stable")]
    dealt, served = np.full(len(counts), -1), np.zeros_like(targets)
    for label in np.argsort((counts > 0).sum(axis=0), kind="stable"):  # the rarest class chooses first
        for split in np.flatnonzero(served[:, label] == 0):
            free = [group for group in order[::-1] if dealt[group] < 0 and counts[group, label]]
            if not free:
                few = f"too few photos (or groups) for {', '.join(splits)}: {(counts[:, label] > 0).sum()}"
                raise WastebookError(f"Class {names[label]!r} has {few}. Add some, or leave it out.")
            dealt[free[0]], served[split] = split, served[split] + counts[free[0]]
    for group in order[dealt[order] < 0]:
        split = ((served + counts[group] / 2) / targets * counts[group]).sum(axis=1).argmin()
        dealt[group], served[split] = split, served[split] + counts[group]
    return [splits[split] for split in dealt[groups]]
