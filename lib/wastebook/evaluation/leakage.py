"""What copies of training photos among the test photos are worth."""

import numpy as np
import pandas as pd

from wastebook.evaluation.metrics import DRAWS, LEVEL, bootstrap, seed_means


def copies_in_train(photos: pd.DataFrame, pairs: pd.DataFrame, kinds: tuple[str, ...]) -> pd.Series:
    """Whether each photo (True or False, by the index of `photos`) is of `test` and has a copy, of one of the
    `kinds` of `pairs` (see `find_duplicates`) and whatever its label, outside test."""
    pairs = pairs[pairs["kind"].isin(kinds)]
    in_test = set(photos.loc[photos["split"] == "test", "path"])
    both = pd.concat([pairs, pairs.rename(columns={"path_a": "path_b", "path_b": "path_a"})])
    leaked = both.loc[both["path_a"].isin(in_test) & ~both["path_b"].isin(in_test), "path_a"]
    return photos["path"].isin(set(leaked))


def subset_differences(
    predictions: pd.DataFrame, inside: pd.Series, metrics: tuple[str, ...], draws: int = DRAWS
) -> pd.DataFrame:
    """How much higher each model scores on all its rows than on those `inside` (bool, by the same index)
    alone.

    A row a model and metric: `model, metric, whole, part, difference, low, high`; the 95 % interval is of a
    bootstrap by group and seed that draws both at once.
    """
    rows = []
    for model, table in predictions.groupby("model", sort=False):
        chosen = inside.loc[table.index].to_numpy().astype(np.float32)
        seeds = table["seed"].nunique()
        once = (np.ones((1, len(table)), dtype=np.float32), np.full((1, seeds), 1 / seeds))
        drawn = [
            tuple(seed_means(table, weights * mask, by_seed, metrics) for mask in (np.float32(1), chosen))
            for weights, by_seed in [once, *bootstrap(table, draws)]
        ]
        for metric in metrics:
            whole, part = (np.concatenate([pair[side][metric] for pair in drawn]) for side in (0, 1))
            low, high = np.nanpercentile((whole - part)[1:], LEVEL)
            rows.append((model, metric, whole[0], part[0], whole[0] - part[0], low, high))
    return pd.DataFrame(rows, columns=["model", "metric", "whole", "part", "difference", "low", "high"])
