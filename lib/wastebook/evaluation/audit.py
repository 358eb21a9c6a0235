"""What is odd about a set of photos, and what that is worth to a score."""

import numpy as np
import pandas as pd

from wastebook import paths
from wastebook.evaluation.metrics import DRAWS, LEVEL, seed_means, share_interval, value_and_draws
from wastebook.photos.duplicates import group_photos, pairs_among

COPIES = {
    "exact": "stands in train, byte for byte",
    "near": "stands in train, one shot saved again",
    "object": "stands in train, the same object or print",
}


def read_judgements(dataset: str, what: str) -> pd.DataFrame:
    """What somebody who looked at a data set's photos wrote down (see `data/audit/README.md`), or no row."""
    file = paths.CARDS / "audit" / f"{dataset}-{what}.csv"
    return pd.read_csv(file) if file.exists() else pd.DataFrame()


def without_refuted(pairs: pd.DataFrame, judged: pd.DataFrame) -> pd.DataFrame:
    """The `pairs` (see `find_duplicates`) without those that were `judged` (`path_a, path_b, same`) not to
    show the same."""
    if judged.empty:
        return pairs
    refuted = set(judged.loc[judged["same"] == 0, ["path_a", "path_b"]].itertuples(index=False, name=None))
    found = pairs[["path_a", "path_b"]].itertuples(index=False, name=None)
    return pairs[[pair not in refuted for pair in found]].reset_index(drop=True)


def twins_in_train(photos: pd.DataFrame, pairs: pd.DataFrame) -> pd.Series:
    """For each photo of `test` the path of the first one outside test that shows the same, whatever its
    label, by any chain of `pairs` (see `find_duplicates`); missing where there is none, and for all photos
    outside test."""
    group, in_test = group_photos(photos, pairs)["group"], photos["split"] == "test"
    return photos["path"].mask(in_test).groupby(group).transform("first").where(in_test)


def list_oddities(photos: pd.DataFrame, pairs: pd.DataFrame, problems: pd.DataFrame) -> pd.DataFrame:
    """Every odd photo once per finding: `finding, path, label, split, because`.

    Of test, those with a twin in train, by kind of copy (`COPIES`) and by any; any photo with a copy on its
    own side or under another label (`because` names the twin or copy); and what `check_photos` found.
    """
    pairs = pairs_among(photos, pairs)
    both = pd.concat([pairs, pairs.rename(columns={"path_a": "path_b", "path_b": "path_a"})])
    own_side = both["same_split"].fillna(True).astype(bool)
    found = {name: twins_in_train(photos, pairs[pairs["kind"] == kind]) for kind, name in COPIES.items()}
    found["stands in train, any of these"] = twins_in_train(photos, pairs)
    copies = {"copy on its own side": both[own_side], "under two labels": both[~both["same_label"]]}
    for finding, rows in copies.items():
        found[finding] = photos["path"].map(rows.drop_duplicates("path_a").set_index("path_a")["path_b"])
    for problem, rows in problems.groupby("problem"):
        found[f"file {problem}"] = photos["path"].map(rows.set_index("path")["detail"])
    facts = photos[["path", "label", "split"]]
    tables = [facts.assign(finding=finding, because=because) for finding, because in found.items()]
    listed = pd.concat(tables, ignore_index=True).dropna(subset="because")
    return listed[["finding", "path", "label", "split", "because"]].reset_index(drop=True)


def oddity_effects(predictions: pd.DataFrame, oddities: pd.DataFrame, draws: int = DRAWS) -> pd.DataFrame:
    """What the photos of each finding in `oddities` (`finding, path`) are worth to one model's accuracy.

    A row per finding that some photo has: `finding, photos, value, low, high` (the share of them recognised,
    with Wilson's 95 % interval), `others` (of all the other photos, in the same proportions of classes), and
    `worth, worth_low, worth_high`: accuracy on all minus that without them (see `subset_differences`).
    """
    right = predictions["label"] == predictions["predicted"]
    rows = []
    for finding, part in oddities.groupby("finding", sort=False):
        odd = predictions["path"].isin(part["path"])
        if odd.any():
            others = predictions.loc[odd, "label"].map(right[~odd].groupby(predictions["label"]).mean())
            low, high = map(float, share_interval(right[odd].sum(), odd.sum()))
            worth = subset_differences(predictions, ~odd, ("accuracy",), draws).iloc[0, -3:]
            rows.append((finding, odd.sum(), right[odd].mean(), low, high, others.mean(), *worth))
    columns = ["finding", "photos", "value", "low", "high", "others", "worth", "worth_low", "worth_high"]
    return pd.DataFrame(rows, columns=columns)


def subset_differences(
    predictions: pd.DataFrame, inside: pd.Series, metrics: tuple[str, ...], draws: int = DRAWS
) -> pd.DataFrame:
    """How much higher each model scores on all its rows than on those `inside` (bool, same index) alone.

    A row per model and metric: `model, metric, whole, part, difference, low, high`; the 95 % interval is of a
    bootstrap by group and seed that draws both at once.
    """
    rows = []
    for model, table in predictions.groupby("model", sort=False):
        chosen = inside.loc[table.index].to_numpy().astype(np.float32)
        drawn = [
            [seed_means(table, weights * mask, by_seed, metrics) for mask in (np.float32(1), chosen)]
            for weights, by_seed in value_and_draws(table, draws)
        ]
        for metric in metrics:
            whole, part = (np.concatenate([pair[side][metric] for pair in drawn]) for side in (0, 1))
            low, high = np.nanpercentile((whole - part)[1:], LEVEL)
            rows.append((model, metric, whole[0], part[0], whole[0] - part[0], low, high))
    return pd.DataFrame(rows, columns=["model", "metric", "whole", "part", "difference", "low", "high"])
