"""Which of two models is better: paired tests on the same photos, and the one place that reads them."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from scipy.stats import binomtest
from statsmodels.stats.multitest import multipletests

from wastebook.errors import WastebookError
from wastebook.evaluation.metrics import (
    DRAWS,
    LEVEL,
    count_groups,
    score_classes,
    seed_means,
    share_interval,
    value_and_draws,
)
from wastebook.learning.predictions import MODEL, Model, classes_of

Pairs = Iterable[tuple[Model | str, Model | str]]
Metrics = Sequence[str]

LEADING = ("accuracy", "macro_f1")
PAIR_COLUMNS = ["model_a", "model_b", "scheme", "split"]
SIGNIFICANCE = 0.05  # the corrected p below which a difference counts
DRAWS_PER_TEST = 40  # at least: p is never below 2 / (draws + 1), and Holm multiplies it by the tests


def compare_models(
    predictions: pd.DataFrame, pairs: Pairs | None = None, metrics: Metrics = LEADING, split: str = "test"
) -> pd.DataFrame:
    """How much better the first model of each pair is than the second, on the photos and seeds of both.

    Parameters
    ----------
    predictions : of two models or more, see `predictions_table`.
    pairs : of models, each a `Model` or its id; every pair where none are given.
    metrics : those of `score`, or `recall:<class>` and so on.
    split : the split to compare on.

    Returns
    -------
    A row per pair, scheme and metric: `model_a, model_b` (ids), `scheme, split, metric, difference, low,
    high, p, p_holm`. The 95 % interval and the two-sided `p` are of a paired bootstrap by group and seed;
    `p_holm` is corrected (Holm 1979) for all rows of its metric. `judge_difference` says what a row means.
    WastebookError where a pair shares no photos and seeds.

    Examples
    --------
    >>> table = pd.DataFrame({"path": list("abc"), "label": list("gmm"), "p_g": [1, 0, 1], "p_m": [0, 1, 0]})
    >>> table = table.assign(scheme="grouped", split="test", seed=0, group=pd.NA)
    >>> both = [table.assign(model="old", predicted="m"), table.assign(model="new", predicted=table["label"])]
    >>> compare_models(pd.concat(both), [("new", "old")], ["accuracy"])["difference"].round(2).item()
    0.33
    """
    paired = _paired(predictions, pairs, split)
    draws = max(DRAWS, DRAWS_PER_TEST * len(paired))
    rows = [row for facts, *tables in paired for row in _differences(facts, tables, metrics, draws)]
    table = pd.DataFrame(rows, columns=[*PAIR_COLUMNS, "metric", "difference", "low", "high", "p"])
    return table.assign(p_holm=table.groupby("metric")["p"].transform(correct_holm))


def compare_recalls(predictions: pd.DataFrame, pairs: Pairs) -> pd.DataFrame:
    """The recall of each class under each model on test, under one scheme: the model's columns, `label,
    recall`, and for the first of each pair the `change, low, high` (95 %) against the second."""
    recalls = score_classes(predictions[predictions["split"] == "test"]).query("metric == 'recall'")
    recalls = recalls.rename(columns={"value": "recall"})[[*MODEL, "label", "recall"]]
    changes = compare_models(predictions, pairs, [f"recall:{label}" for label in classes_of(predictions)])
    changes = changes.rename(columns={"model_a": "model", "difference": "change"})
    changes["label"] = changes["metric"].str.removeprefix("recall:")
    changes = changes[["model", "label", "change", "low", "high"]]
    return recalls.merge(changes, on=["model", "label"], how="left")


def compare_unpaired(first: pd.Series, second: pd.Series) -> pd.Series:
    """How much higher the first of two scores (`value, low, high`) on different photos is: `difference, low,
    high`, the 95 % interval from their own (Newcombe 1998; Zou and Donner 2008)."""
    difference = first["value"] - second["value"]
    down = np.hypot(first["value"] - first["low"], second["high"] - second["value"])
    up = np.hypot(first["high"] - first["value"], second["value"] - second["low"])
    return pd.Series({"difference": difference, "low": difference - down, "high": difference + up})


def mcnemar(predictions: pd.DataFrame, pairs: Pairs) -> pd.DataFrame:
    """McNemar's exact test: does each pair of models err on equally many test photos that the other gets
    right? A row per pair and scheme: `model_a, model_b, scheme, split, only_a, only_b, p`. Of several seeds
    most decide whether a photo counts as right. It takes copies for independent."""
    rows = []
    for facts, *tables in _paired(predictions, pairs, "test"):
        said = (table["label"].eq(table["predicted"]).groupby(table["path"]) for table in tables)
        right = [photo.mean() > 0.5 for photo in said]
        only_a, only_b = (int((one & ~other).sum()) for one, other in (right, right[::-1]))
        p = binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
        rows.append(facts | {"only_a": only_a, "only_b": only_b, "p": p})
    return pd.DataFrame(rows, columns=[*PAIR_COLUMNS, "only_a", "only_b", "p"])


def correct_holm(p: pd.Series) -> pd.Series:
    """The p of many tests, corrected for their number (Holm 1979)."""
    return pd.Series(multipletests(p, method="holm")[1], index=p.index) if len(p) else p


def judge_difference(row: pd.Series) -> str:
    """What a difference means, everywhere in the book: `better`, `worse` or `undecided`, by the corrected
    `p_holm` where the row has one, else by whether its interval (`low, high`) leaves out zero."""
    p = row.get("p_holm", np.nan)
    sure = row["low"] > 0 or row["high"] < 0 if pd.isna(p) else p < SIGNIFICANCE
    return "undecided" if not sure else "better" if row["difference"] > 0 else "worse"


def choose_on_validation(scores: pd.DataFrame, scheme: str, metric: str = "macro_f1") -> str:
    """The id of the model with the highest `metric` on validation under a scheme; of equals the first."""
    rows = scores.query("split == 'validation' and scheme == @scheme and metric == @metric")
    if rows.empty:
        raise WastebookError(f"No {metric} on validation under the {scheme} split: no model can be chosen.")
    return str(rows["model"].iloc[int(rows["value"].to_numpy().argmax())])


def _paired(predictions: pd.DataFrame, pairs: Pairs | None, split: str) -> list[tuple]:
    """For each pair and scheme the `PAIR_COLUMNS` and both models' rows, of the same photos in one order."""
    predictions = predictions[predictions["split"] == split]
    found: list[tuple] = []
    for pair in combinations(predictions["model"].unique(), 2) if pairs is None else pairs:
        ids = [model.id if isinstance(model, Model) else model for model in pair]
        before = len(found)
        for scheme, part in predictions.groupby("scheme", sort=False):
            first, second = (part[part["model"] == name].set_index(["seed", "path"]) for name in ids)
            shared = first.index.intersection(second.index).sort_values()
            if len(shared):
                facts = {"model_a": ids[0], "model_b": ids[1], "scheme": str(scheme), "split": split}
                found.append((facts, first.loc[shared].reset_index(), second.loc[shared].reset_index()))
        if len(found) == before:
            both = " and ".join(ids)
            raise WastebookError(f"{both} share no {split} photos and seeds: they cannot be compared.")
    return found


def _differences(facts: dict, tables: list[pd.DataFrame], metrics: Metrics, draws: int) -> Iterator[dict]:
    """A row for each metric of one pair: the difference of the two tables, its interval and its p."""
    parts = []
    for weights in value_and_draws(tables[0], draws):
        first, second = (seed_means(table, *weights, metrics) for table in tables)
        parts.append({metric: first[metric] - second[metric] for metric in metrics})
    for metric in metrics:
        value, *rest = np.concatenate([part[metric] for part in parts])
        drawn = np.array(rest)[~np.isnan(rest)]
        low, high = np.percentile(drawn, LEVEL)
        if low == high:  # no draw differs; of other photos so large a share still may
            low, high = value + share_interval(0, count_groups(tables[0], metric))[1] * np.array([-1, 1])
        tail = min((drawn <= 0).sum(), (drawn >= 0).sum())
        p = min(1.0, 2 * (tail + 1) / (len(drawn) + 1))
        yield facts | {"metric": metric, "difference": value, "low": low, "high": high, "p": p}
