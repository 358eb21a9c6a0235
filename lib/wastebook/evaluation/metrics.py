"""How good a model is: every model of the book is scored here, from its predictions table, in one way.

All metrics are computed on weighted photos, many sets of weights at once: all ones for the value itself, and
the counts of a bootstrap of whole groups (photos of one object are not independent) for its interval. Seeds
are drawn too; of S of them that shows only (S - 1)/S of the variance between seeds: half, of two.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from statsmodels.stats.proportion import proportion_confint
from threadpoolctl import threadpool_limits

from wastebook.data.splits import group_numbers
from wastebook.learning.predictions import MODEL, class_numbers, classes_of, probabilities_of

METRICS = ("accuracy", "macro_f1", "balanced_accuracy", "log_loss", "ece", "auc")
CLASS_METRICS = ("precision", "recall", "f1")
DRAWS = 1000  # of the bootstrap
LEVEL = (2.5, 97.5)  # percentiles: a 95 % interval
BINS = 15  # of confidence in the expected calibration error
CHUNK = 200  # draws of rows before the next draws of seeds, to bound the memory
Values = dict[str, np.ndarray]  # of metrics
KEYS = [*MODEL, "scheme", "split"]
SCORE_COLUMNS = ["dataset", *KEYS, "metric", "value", "low", "high", "n", "seeds"]


def score(
    predictions: pd.DataFrame, dataset: str, draws: int = DRAWS, metrics: Sequence[str] = METRICS
) -> pd.DataFrame:
    """Score every model under every split scheme, on each split that it has predictions for.

    Parameters
    ----------
    predictions : a row per photo and seed, see `predictions_table`.
    dataset : the name of the photos' data set, for the column of that name.
    draws : how many bootstrap draws the intervals are made of.
    metrics : which of `METRICS`, or `recall:<class>` and so on.

    Returns
    -------
    A row per model, scheme, split and metric: `SCORE_COLUMNS`, of which `n` counts different photos, `value`
    is the mean of the seeds, and `low, high` its 95 % interval. Metrics: `accuracy`, `macro_f1`,
    `balanced_accuracy` (mean recall), `log_loss` (nats), `auc` (each class against the rest, averaged; of two
    classes the second's) and `ece` (expected calibration error; no interval: resampling makes it larger).

    Examples
    --------
    >>> table = pd.DataFrame({"label": list("gmm"), "predicted": list("gmg"), "p_g": 0.6, "p_m": 0.4})
    >>> table = table.assign(path=list("abc"), **dict.fromkeys([*KEYS, "seed"], "same"), group=pd.NA)
    >>> score(table, "mine", draws=20)["value"].head(2).round(3).tolist()
    [0.667, 0.667]
    """
    rows = []
    for keys, part in predictions.groupby(KEYS, sort=False):
        facts = {"dataset": dataset, **dict(zip(KEYS, keys, strict=True))}
        facts |= {"n": part["path"].nunique(), "seeds": part["seed"].nunique()}
        for metric, values in draw_metrics(part, metrics, draws).items():
            value = values[0]
            low, high = np.nanpercentile(values[1:], LEVEL) if metric != "ece" else (np.nan, np.nan)
            if low == high:  # no draw differs, where all are right or none is
                number = count_groups(part, metric)
                low, high = share_interval(value * number, number)
            rows.append(facts | {"metric": metric, "value": value, "low": low, "high": high})
    return pd.DataFrame(rows, columns=SCORE_COLUMNS)


def score_classes(predictions: pd.DataFrame, draws: int = DRAWS) -> pd.DataFrame:
    """Score every model class by class.

    Parameters
    ----------
    predictions, draws : as of `score`.

    Returns
    -------
    A row per model, scheme, split, class and metric: the model's columns, `scheme, split, label, metric`
    (`precision`, `recall` or `f1`), `value, low, high` as in `score`, and `support`, the class's photos.

    Examples
    --------
    >>> table = pd.DataFrame({"label": list("gmm"), "predicted": list("gmg"), "p_g": 1, "p_m": 0})
    >>> table = table.assign(path=list("abc"), **dict.fromkeys([*KEYS, "seed"], "same"), group=pd.NA)
    >>> score_classes(table, draws=20).query("metric == 'recall'")["value"].tolist()
    [1.0, 0.5]
    """
    names = [f"{metric}:{label}" for label in classes_of(predictions) for metric in CLASS_METRICS]
    scores = score(predictions, "", draws, names)
    scores[["metric", "label"]] = scores["metric"].str.split(":", n=1, expand=True)
    support = predictions.drop_duplicates([*KEYS, "path"]).value_counts([*KEYS, "label"]).rename("support")
    scores = scores.join(support, on=[*KEYS, "label"]).fillna({"support": 0}).astype({"support": int})
    return scores[[*KEYS, "label", "metric", "value", "low", "high", "support"]]


def metric_values(predictions: pd.DataFrame, metrics: Sequence[str]) -> Callable[[np.ndarray], Values]:
    """What gives each metric, `recall:<class>` and so on among them, under each row of weights (B, N) for the
    N rows of `predictions`, of one seed: (B,). A class that has no weight is left out of the means."""
    classes = classes_of(predictions)
    labels, guesses = (class_numbers(predictions[name], classes) for name in ("label", "predicted"))
    probabilities, right = probabilities_of(predictions), (labels == guesses).astype(np.float32)
    surprise = -np.log(np.clip(probabilities[np.arange(len(labels)), labels], 1e-12, None))
    is_label, is_guess = (numbers[:, None] == np.arange(len(classes)) for numbers in (labels, guesses))
    counted = np.concatenate([is_label & is_guess, is_label, is_guess], axis=1, dtype=np.float32)
    positives = [1] if len(classes) == 2 else range(len(classes))

    def compute(weights: np.ndarray) -> Values:
        total = weights.sum(axis=1)
        by_class = cache(lambda: _class_values(weights @ counted))
        over_all: dict[str, Callable[[], np.ndarray]] = {
            "accuracy": lambda: (weights @ right).astype(np.float64) / total,
            "macro_f1": lambda: _mean_of_defined(by_class()["f1"].T),
            "balanced_accuracy": lambda: _mean_of_defined(by_class()["recall"].T),
            "log_loss": lambda: weights @ surprise / total,
            "ece": lambda: _calibration_error(weights, probabilities.max(axis=1), right) / total,
            "auc": lambda: _mean_of_defined(
                [_area(weights, probabilities[:, k], labels == k) for k in positives]
            ),
        }
        values = {}
        for metric in metrics:
            name, _, label = metric.partition(":")
            values[metric] = by_class()[name][:, classes.index(label)] if label else over_all[name]()
        return values

    return compute


def value_and_draws(predictions: pd.DataFrame, draws: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Weights of the rows (B, N) and of the sorted seeds (B, S): first those of a value itself, all alike (B
    is 1), then bootstrap draws, `CHUNK` at a time, of whole groups (a photo without one is its own) and
    seeds."""
    random, groups = np.random.default_rng(0), group_numbers(predictions)
    number, seeds = groups.max() + 1, predictions["seed"].nunique()
    yield np.ones((1, len(predictions)), dtype=np.float32), np.full((1, seeds), 1 / seeds)
    for start in range(0, draws, CHUNK):
        size = min(CHUNK, draws - start)
        drawn = random.multinomial(number, np.full(number, 1 / number), size=size)
        of_seeds = random.multinomial(seeds, np.full(seeds, 1 / seeds), size=size) / seeds
        yield drawn[:, groups].astype(np.float32), of_seeds


@threadpool_limits.wrap(limits=1)  # threads would wait for one another longer than they work
def draw_metrics(
    predictions: pd.DataFrame, metrics: Sequence[str], draws: int, chosen: np.ndarray | float = 1.0
) -> Values:
    """Each metric, the mean of the seeds, as it is and under each bootstrap draw: (1 + `draws`,); of the rows
    that are `chosen` (N float32, 0 or 1)."""
    places = predictions.groupby("seed", sort=True).indices.values()
    by_seed = [(rows, metric_values(predictions.iloc[rows], metrics)) for rows in places]
    parts: dict[str, list[np.ndarray]] = {metric: [] for metric in metrics}
    with np.errstate(divide="ignore", invalid="ignore"):
        for weights, of_seeds in value_and_draws(predictions, draws):
            weights = weights * chosen
            values = [compute(weights[:, rows]) for rows, compute in by_seed]
            for metric, part in parts.items():
                shares = zip(of_seeds.T, values, strict=True)
                part.append(np.sum([np.where(by > 0, by * each[metric], 0) for by, each in shares], axis=0))
    return {metric: np.concatenate(part) for metric, part in parts.items()}


def share_interval(hits: Any, number: Any) -> tuple[np.ndarray, np.ndarray]:
    """The 95 % interval (Wilson 1927) of the share that `hits` are of `number`, one or many; it holds the
    share itself, also of 0 and 1, where statsmodels rounds."""
    low, high = proportion_confint(hits, number, method="wilson")
    share = np.asarray(hits) / np.asarray(number)
    return np.minimum(low, share), np.maximum(high, share)


def describe_draws(drawn: np.ndarray, groups: float) -> dict[str, float]:
    """A `difference`, the first of what was `drawn` (see `draw_metrics`), its 95 % interval `low, high` and
    two-sided `p`. Draws all alike tell no interval: of a difference it is then as far as other photos, of so
    many `groups`, may move a share; of none it is left out (0 and 0), and told as equal in every draw."""
    value, drawn = drawn[0].round(12), drawn[1:][~np.isnan(drawn[1:])].round(12)  # ties part in last bits
    low, high = np.percentile(drawn[:DRAWS], LEVEL)  # alike, however many more a correction asks for
    if low == high != 0:
        most = max(1, abs(value))  # shares do not differ by more
        low, high = np.clip(value + share_interval(0, groups)[1] * np.array([-1, 1]), -most, most)
    p = min(1.0, 2 * (min((drawn <= 0).sum(), (drawn >= 0).sum()) + 1) / (len(drawn) + 1))
    return {"difference": value, "low": low, "high": high, "p": p}


def count_groups(predictions: pd.DataFrame, metric: str) -> float:
    """How many groups a score is of: all, those of the class, or for a mean of classes of its smallest;
    missing where there are none, and of a loss, which is no share."""
    name, _, label = metric.partition(":")
    groups = pd.Series(group_numbers(predictions), index=predictions.index)
    of_class = groups.groupby(predictions["predicted" if name == "precision" else "label"]).nunique()
    number = groups.nunique() if name == "accuracy" else of_class.get(label, 0) if label else of_class.min()
    return np.nan if name == "log_loss" else number or np.nan


def _class_values(counts: np.ndarray) -> Values:
    """(B, K) precision, recall and F1 of K classes from how many photos of each were answered rightly, are of
    it and were taken for it, side by side: (B, 3 K)."""
    right, support, guessed = np.split(counts.astype(np.float64), 3, axis=1)
    return {
        "precision": np.where((guessed == 0) & (support > 0), 0.0, right / guessed),
        "recall": right / support,
        "f1": np.where(support > 0, 2 * right / (support + guessed), np.nan),
    }


def _calibration_error(weights: np.ndarray, confidence: np.ndarray, right: np.ndarray) -> np.ndarray:
    """(B,) sums over bins of confidence of |confidence - accuracy|, weighted by how many photos a bin has."""
    gaps = np.zeros((len(right), BINS), dtype=weights.dtype)
    gaps[np.arange(len(right)), np.minimum((confidence * BINS).astype(int), BINS - 1)] = confidence - right
    return np.abs(weights @ gaps).sum(axis=1)


def _area(weights: np.ndarray, scores: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """(B,) areas under the ROC curve: how often a positive ranks above a negative, ties half."""
    order = np.flatnonzero(~positive)[np.argsort(scores[~positive])]
    below = np.zeros((len(weights), len(order) + 1), dtype=weights.dtype)
    np.cumsum(weights[:, order], axis=1, out=below[:, 1:])
    left, right = (np.searchsorted(scores[order], scores[positive], side) for side in ("left", "right"))
    above = weights[:, positive]
    won = np.einsum("bn,bn->b", above, below[:, left] + below[:, right], dtype=np.float64) / 2
    return won / (above.sum(axis=1) * below[:, -1].astype(np.float64))


def _mean_of_defined(values: Any) -> np.ndarray:
    """Means over the first axis of what is not missing, missing where nothing is left."""
    return np.ma.masked_invalid(values).mean(axis=0).filled(np.nan)
