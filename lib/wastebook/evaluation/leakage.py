"""What a leak is worth: photos of test objects, learned from by degrees."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from wastebook.evaluation.metrics import DRAWS, LEVEL, value_and_draws
from wastebook.learning.predictions import MODEL

VALIDATION = 1 / 6  # of the photos that are alone in their group


def deal_leaks(
    photos: pd.DataFrame, shares: Sequence[float], seed: int, most: int
) -> dict[tuple[float, int], pd.DataFrame]:
    """The photos dealt out once for each of the `shares`, by share and seed. Test is one photo of every group
    of several (of one label); of so large a share of these groups the other photos are learned from. Train
    has the same number of each class at every share (at most some `most` in all, but room for all of these):
    it is filled up with photos that are alone in their groups, of which validation is made as well."""
    drawn = photos.sample(frac=1, random_state=seed)
    groups, first = drawn.groupby("group"), ~drawn.duplicated("group")
    several = (groups["path"].transform("size") > 1) & (groups["label"].transform("nunique") == 1)
    alone, asked = groups["path"].transform("size") == 1, several & first
    rank = drawn.groupby([drawn["label"], alone, asked]).cumcount()
    count = rank.groupby([drawn["label"], alone, asked]).transform("size")
    held_out = alone & (rank < VALIDATION * count)
    spare, partners = ((each.groupby(drawn["label"]).sum()) for each in (alone & ~held_out, several & ~first))
    room = (spare * min(1.0, most / spare.sum())).clip(lower=partners).clip(upper=spare).astype(int)
    dealt = {}
    for share in shares:
        known = drawn.loc[asked & (rank < share * count), "group"]
        leaked = several & ~first & drawn["group"].isin(known)
        waiting = pd.concat([drawn[leaked], drawn[alone & ~held_out]])
        learned = waiting.index[waiting.groupby("label").cumcount() < waiting["label"].map(room)]
        split = pd.Series("left out", index=drawn.index).mask(asked, "test").mask(held_out, "validation")
        split.loc[learned] = "train"
        dealt[share, seed] = photos.assign(split=split)
    return dealt


def fit_slopes(answers: pd.DataFrame) -> pd.DataFrame:
    """What it is worth to each model to know all test objects instead of none, by the line through its
    accuracies on test at each share leaked (the `scheme` of its answers): the model's columns, `difference,
    low, high`, with 95 % intervals by group and seed."""
    rows = []
    for keys, part in answers[answers["split"] == "test"].groupby(MODEL, sort=False):
        shares, right = np.sort(part["scheme"].unique().astype(float)), part["label"] == part["predicted"]
        inside = (part["scheme"].to_numpy(float)[:, None] == shares).astype(float)
        places = np.unique(part["seed"], return_inverse=True)[1]
        weights = (drawn * seeds[:, places] for drawn, seeds in value_and_draws(part, DRAWS))
        accuracy = np.concatenate([(each * right.to_numpy()) @ inside / (each @ inside) for each in weights])
        rise, *drawn = np.polyfit(shares, accuracy.T, 1)[0]
        low, high = np.percentile(drawn, LEVEL)
        rows.append((*keys, rise, low, high))
    return pd.DataFrame(rows, columns=[*MODEL, "difference", "low", "high"])
