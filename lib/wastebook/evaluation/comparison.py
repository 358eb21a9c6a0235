"""Whether a difference between two models is more than luck: paired tests on the same photos."""

from itertools import combinations

import numpy as np
import pandas as pd
from scipy.stats import binomtest
from statsmodels.stats.multitest import multipletests

from wastebook.errors import WastebookError
from wastebook.evaluation.metrics import DRAWS, LEVEL, seed_means, value_and_draws

Pairs = list[tuple[str, str]]


def compare_models(
    predictions: pd.DataFrame,
    pairs: Pairs | None = None,
    metrics: tuple[str, ...] = ("accuracy", "macro_f1"),
    split: str = "test",
    draws: int = DRAWS,
) -> pd.DataFrame:
    """How much better the first of each pair of models is than the second (of all pairs, where none are
    given).

    A row a pair, scheme and metric (those of `score`, or `recall:<class>` and so on): `model_a, model_b,
    scheme, split, metric, difference, low, high, p, p_holm`. The 95 % interval and the two-sided `p` are of a
    paired bootstrap by group and seed; `p_holm` is corrected (Holm 1979) for all the rows of its metric. Only
    photos and seeds that both models were scored on count; WastebookError where there are none.
    """
    rows = []
    for model_a, model_b, scheme, first, second in _paired(predictions, pairs, split):
        parts = [_difference(first, second, weights, metrics) for weights in value_and_draws(first, draws)]
        for metric in metrics:
            values = np.concatenate([part[metric] for part in parts])
            drawn = values[1:][~np.isnan(values[1:])]
            low, high = np.percentile(drawn, LEVEL)
            tail = min((drawn <= 0).sum(), (drawn >= 0).sum())
            p = min(1.0, 2 * (tail + 1) / (len(drawn) + 1))
            rows.append((model_a, model_b, scheme, split, metric, values[0], low, high, p))
    names = ["model_a", "model_b", "scheme", "split", "metric", "difference", "low", "high", "p"]
    table = pd.DataFrame(rows, columns=names)
    return table.assign(p_holm=table.groupby("metric")["p"].transform(_holm))


def compare_unpaired(first: pd.Series, second: pd.Series) -> pd.Series:
    """How much higher the first of two scores (`value, low, high`) on different photos is: `difference, low,
    high`, the 95 % interval from their own (Newcombe 1998; Zou and Donner 2008)."""
    difference = first["value"] - second["value"]
    down = np.hypot(first["value"] - first["low"], second["high"] - second["value"])
    up = np.hypot(first["high"] - first["value"], second["value"] - second["low"])
    return pd.Series({"difference": difference, "low": difference - down, "high": difference + up})


def mcnemar(predictions: pd.DataFrame, pairs: Pairs | None = None, split: str = "test") -> pd.DataFrame:
    """McNemar's exact test for each pair of models: do they err on equally many photos that the other gets
    right?

    A row a pair and scheme: `model_a, model_b, scheme, split, only_a, only_b, p, p_holm`. With several seeds
    a photo counts as right where the model is right under most of them.
    """
    rows = []
    for model_a, model_b, scheme, first, second in _paired(predictions, pairs, split):
        right = [
            (table["label"] == table["predicted"]).groupby(table["path"]).mean() > 0.5
            for table in (first, second)
        ]
        only_a, only_b = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
        p = binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
        rows.append((model_a, model_b, scheme, split, only_a, only_b, p))
    names = ["model_a", "model_b", "scheme", "split", "only_a", "only_b", "p"]
    table = pd.DataFrame(rows, columns=names)
    return table.assign(p_holm=_holm(table["p"]))


def _paired(
    predictions: pd.DataFrame, pairs: Pairs | None, split: str
) -> list[tuple[str, str, str, pd.DataFrame, pd.DataFrame]]:
    """For each pair and scheme the rows of both models, the same photos and seeds in the same order."""
    predictions = predictions[predictions["split"] == split]
    found: list[tuple[str, str, str, pd.DataFrame, pd.DataFrame]] = []
    for model_a, model_b in pairs or combinations(predictions["model"].unique(), 2):
        before = len(found)
        for scheme, part in predictions.groupby("scheme", sort=False):
            tables = [
                part[part["model"] == model].set_index(["seed", "path"]) for model in (model_a, model_b)
            ]
            shared = tables[0].index.intersection(tables[1].index).sort_values()
            if len(shared):
                first, second = (table.loc[shared].reset_index() for table in tables)
                found.append((model_a, model_b, str(scheme), first, second))
        if len(found) == before:
            raise WastebookError(
                f"{model_a} and {model_b} share no {split} photos and seeds: they cannot be compared."
            )
    return found


def _difference(
    first: pd.DataFrame,
    second: pd.DataFrame,
    weights: tuple[np.ndarray, np.ndarray],
    metrics: tuple[str, ...],
) -> dict[str, np.ndarray]:
    values = [seed_means(table, *weights, metrics) for table in (first, second)]
    return {metric: values[0][metric] - values[1][metric] for metric in metrics}


def _holm(p: pd.Series) -> np.ndarray:
    return multipletests(p, method="holm")[1] if len(p) else p.to_numpy()
