"""Which of two models is better: paired tests on the same photos, and the one place that reads them."""

from collections.abc import Iterable, Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from wastebook.data.splits import group_numbers
from wastebook.errors import WastebookError
from wastebook.evaluation.metrics import DRAWS, count_groups, describe_draws, draw_metrics, score_classes
from wastebook.learning.predictions import MODEL, Model, classes_of

Pairs = Iterable[tuple[Model | str, Model | str]]
Metrics = Sequence[str]

LEADING = ("accuracy", "macro_f1")
PAIR_COLUMNS = ["model_a", "model_b", "scheme", "split"]
ANSWERED = ["model", "scheme", "seed", "path", "group"]  # what tells the rows of one table from another's
SIGNIFICANCE = 0.05  # the corrected p below which a difference counts
DRAWS_PER_TEST = 1000  # Holm multiplies p by the tests: by chance of the draws one of .05 is then .04 to .06


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
    rows: list[dict] = []
    drawn: dict[bytes, dict] = {}  # of each model once, however many pairs it is in
    for facts, *tables in paired:
        keys = [pd.util.hash_pandas_object(table[ANSWERED]).to_numpy().tobytes() for table in tables]
        for key, table in zip(keys, tables, strict=True):
            drawn[key] = drawn.get(key) or draw_metrics(table, metrics, draws)
        for metric, first in drawn[keys[0]].items():
            difference, groups = first - drawn[keys[1]][metric], count_groups(tables[0], metric)
            rows.append(facts | {"metric": metric} | describe_draws(difference, groups))
    table = pd.DataFrame(rows, columns=[*PAIR_COLUMNS, "metric", "difference", "low", "high", "p"])
    return table.assign(p_holm=table.groupby("metric")["p"].transform(correct_holm))


def compare_recalls(predictions: pd.DataFrame, pairs: Pairs) -> pd.DataFrame:
    """The recall of each class under each model on test, under one scheme: the model's columns, `label,
    recall`, and for the first of each pair the `change, low, high` (95 %) against the second."""
    recalls = score_classes(predictions[predictions["split"] == "test"]).query("metric == 'recall'")
    recalls = recalls.rename(columns={"value": "recall"})[[*MODEL, "label", "recall"]]
    changes = compare_models(predictions, pairs, [f"recall:{label}" for label in classes_of(predictions)])
    changes = changes.assign(label=changes["metric"].str.removeprefix("recall:"))
    changes = changes.rename(columns={"model_a": "model", "difference": "change"})
    return recalls.merge(changes[["model", "label", "change", "low", "high"]], "left", ["model", "label"])


def compare_unpaired(first: pd.Series, second: pd.Series) -> pd.Series:
    """How much higher the first of two scores (`value, low, high`) on different photos is: `difference, low,
    high`, the 95 % interval from their own (Newcombe 1998; Zou and Donner 2008)."""
    difference = first["value"] - second["value"]
    down = np.hypot(first["value"] - first["low"], second["high"] - second["value"])
    up = np.hypot(first["high"] - first["value"], second["value"] - second["low"])
    return pd.Series({"difference": difference, "low": difference - down, "high": difference + up})


def mcnemar(predictions: pd.DataFrame, pairs: Pairs) -> pd.DataFrame:
    """McNemar's exact test, of groups: is each model of a pair the better one on equally many of them? A row
    per pair and scheme: `model_a, model_b, scheme, split, only_a, only_b, p`. These count the groups of test
    photos (a photo without one is its own) of which one model gets more right, over all seeds."""
    rows = []
    for facts, *tables in _paired(predictions, pairs, "test"):
        groups = group_numbers(tables[0])
        a, b = (table["label"].eq(table["predicted"]).groupby(groups).sum() for table in tables)
        only_a, only_b = int((a > b).sum()), int((a < b).sum())
        p = binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
        rows.append(facts | {"only_a": only_a, "only_b": only_b, "p": p})
    return pd.DataFrame(rows, columns=[*PAIR_COLUMNS, "only_a", "only_b", "p"])


def correct_holm(p: pd.Series) -> pd.Series:
    """The p of many tests, corrected for their number (Holm 1979)."""
    smallest_first = p.sort_values()
    return (smallest_first * np.arange(len(p), 0, -1)).cummax().clip(upper=1)[p.index]


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
    in_order = predictions.set_index(["seed", "path"]).sort_index()
    by_model = dict(list(in_order.groupby(["scheme", "model"])))
    found: list[tuple] = []
    for pair in combinations(predictions["model"].unique(), 2) if pairs is None else pairs:
        ids = [model.id if isinstance(model, Model) else model for model in pair]
        before = len(found)
        for scheme in predictions["scheme"].unique():
            first, second = (by_model.get((scheme, name), in_order[:0]) for name in ids)
            first, second = first[first.index.isin(second.index)], second[second.index.isin(first.index)]
            if len(first):
                facts = {"model_a": ids[0], "model_b": ids[1], "scheme": str(scheme), "split": split}
                second = second.assign(group=first["group"].array)
                found.append((facts, first.reset_index(), second.reset_index()))
        if len(found) == before:
            raise WastebookError(f"{' and '.join(ids)} share no {split} photos and seeds to be compared on.")
    return found
