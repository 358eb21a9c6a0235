"""How good a model is: every model of the book is scored here, from its predictions table, in one way.

All metrics are computed on weighted photos, many sets of weights at once: all ones for the value itself, and
the counts of a bootstrap that draws whole groups (the photos of one object are not independent) for its
interval.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from statsmodels.stats.proportion import proportion_confint

from wastebook.data.splits import group_numbers
from wastebook.learning.predictions import class_numbers, classes_of, probabilities_of

METRICS = ("accuracy", "macro_f1", "balanced_accuracy", "log_loss", "ece", "auc")
CLASS_METRICS = ("precision", "recall", "f1")
DRAWS = 1000  # of the bootstrap
LEVEL = (2.5, 97.5)  # percentiles: a 95 % interval
BINS = 15  # of confidence in the expected calibration error
CHUNK = 200  # draws of rows before the next draws of seeds
MOST_WEIGHTS = 2_000_000  # at once, to bound the memory

SCORE_COLUMNS = ["dataset", "model", "scheme", "split", "metric", "value", "low", "high", "n", "seeds"]


def score(predictions: pd.DataFrame, dataset: str, draws: int = DRAWS) -> pd.DataFrame:
    """The scores table: `dataset, model, scheme, split, metric, value, low, high, n, seeds`.

    `accuracy`, `macro_f1` (mean over classes), `balanced_accuracy` (mean recall), `log_loss` (nats), `ece`
    (expected calibration error, 15 bins of confidence), `auc` (one class against the rest, mean over classes;
    of the second class where there are two). Values are means over the seeds; `low` and `high` are a 95 %
    bootstrap interval, groups and seeds drawn with replacement; `n` is how many different photos were scored.
    """
    rows = []
    for (model, scheme, split), part in predictions.groupby(["model", "scheme", "split"], sort=False):
        summary = _summary(part, draws, METRICS)
        facts = {"dataset": dataset, "model": model, "scheme": scheme, "split": split}
        rows += [facts | {"metric": metric, **values} for metric, values in summary.items()]
    return pd.DataFrame(rows, columns=SCORE_COLUMNS)


def score_classes(predictions: pd.DataFrame, draws: int = DRAWS) -> pd.DataFrame:
    """Scores class by class: `model, scheme, split, label, metric` (`precision`, `recall` or `f1`), `value,
    low, high` as in `score`, and `support`, how many different photos of the class there were."""
    classes = classes_of(predictions)
    rows = []
    for (model, scheme, split), part in predictions.groupby(["model", "scheme", "split"], sort=False):
        support = part.drop_duplicates("path")["label"].value_counts()
        names = [f"{metric}:{label}" for label in classes for metric in CLASS_METRICS]
        for name, values in _summary(part, draws, names).items():
            metric, _, label = name.partition(":")
            facts = {"model": model, "scheme": scheme, "split": split, "label": label, "metric": metric}
            values = {key: values[key] for key in ("value", "low", "high")}
            rows.append(facts | values | {"support": int(support.get(label, 0))})
    return pd.DataFrame(rows)


def metric_values(
    predictions: pd.DataFrame, weights: np.ndarray, metrics: Sequence[str]
) -> dict[str, np.ndarray]:
    """Each metric under each row of `weights` (B, N), for the N rows of `predictions` (of one seed): (B,)
    arrays.

    Class by class a metric is called `recall:<class>` and so on. A class that has no weight is left out of
    the means.
    """
    classes = classes_of(predictions)
    count = len(classes)
    labels = class_numbers(predictions["label"], classes)
    guesses = class_numbers(predictions["predicted"], classes)
    probabilities = probabilities_of(predictions)
    rows = np.arange(len(labels))
    total = weights.sum(axis=1)

    cells = np.zeros((len(labels), count * count), dtype=weights.dtype)
    cells[rows, labels * count + guesses] = 1
    matrix = (weights @ cells).reshape(-1, count, count).astype(np.float64)
    right = np.einsum("bkk->bk", matrix)
    support, guessed = matrix.sum(axis=2), matrix.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        by_class = {
            "precision": np.where((guessed == 0) & (support > 0), 0.0, right / guessed),
            "recall": right / support,
            "f1": np.where(support > 0, 2 * right / (support + guessed), np.nan),
        }
    values = {
        f"{metric}:{label}": table[:, at]
        for metric, table in by_class.items()
        for at, label in enumerate(classes)
    }
    for metric in metrics:
        if metric == "accuracy":
            values[metric] = right.sum(axis=1) / total
        elif metric == "macro_f1":
            values[metric] = np.nanmean(by_class["f1"], axis=1)
        elif metric == "balanced_accuracy":
            values[metric] = np.nanmean(by_class["recall"], axis=1)
        elif metric == "log_loss":
            surprise = -np.log(np.clip(probabilities[rows, labels], 1e-12, None))
            values[metric] = weights @ surprise / total
        elif metric == "ece":
            values[metric] = _calibration_error(weights, probabilities, labels == guesses) / total
        elif metric == "auc":
            positives = [1] if count == 2 else range(count)
            areas = [_area(weights, probabilities[:, at], labels == at) for at in positives]
            values[metric] = _mean_of_defined(np.array(areas))
    return {metric: values[metric] for metric in metrics}


def bootstrap(
    predictions: pd.DataFrame, draws: int, seed: int = 0
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Weights of bootstrap draws, many at a time: of the rows (B, N), from whole groups drawn with
    replacement (a photo without a group is one of its own), and of the seeds (B, S) in sorted order, their
    sum 1."""
    random = np.random.default_rng(seed)
    groups = group_numbers(predictions)
    number, seeds = groups.max() + 1, predictions["seed"].nunique()
    together = CHUNK * max(1, MOST_WEIGHTS // (CHUNK * len(predictions)))
    for first in range(0, draws, together):
        rows, of_seeds = [], []
        for start in range(first, min(first + together, draws), CHUNK):
            size = min(CHUNK, draws - start)
            drawn = random.multinomial(number, np.full(number, 1 / number), size=size)
            rows.append(drawn[:, groups].astype(np.float32))
            of_seeds.append(random.multinomial(seeds, np.full(seeds, 1 / seeds), size=size) / seeds)
        yield np.concatenate(rows), np.concatenate(of_seeds)


def value_and_draws(predictions: pd.DataFrame, draws: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The weights that give a value itself, every row once and all seeds alike, (1, N) and (1, S); then those
    of `bootstrap`."""
    seeds = predictions["seed"].nunique()
    yield np.ones((1, len(predictions)), dtype=np.float32), np.full((1, seeds), 1 / seeds)
    yield from bootstrap(predictions, draws)


def share_interval(hits: Any, number: Any) -> tuple[np.ndarray, np.ndarray]:
    """The 95 % interval (Wilson 1927) of the share that `hits` are of `number`, one or many; the share itself
    always lies in it, which rounding takes from statsmodels' where it is 0 or 1."""
    low, high = proportion_confint(hits, number, method="wilson")
    share = np.asarray(hits) / np.asarray(number)
    return np.minimum(low, share), np.maximum(high, share)


def _summary(predictions: pd.DataFrame, draws: int, metrics: Sequence[str]) -> dict[str, dict[str, float]]:
    """Value, interval, number of photos and of seeds for each metric, of one model on one split."""
    number = {"n": predictions["path"].nunique(), "seeds": predictions["seed"].nunique()}
    parts = [seed_means(predictions, *weights, metrics) for weights in value_and_draws(predictions, draws)]
    summary = {}
    for metric in metrics:
        values = np.concatenate([part[metric] for part in parts])
        low, high = np.nanpercentile(values[1:], LEVEL)
        summary[metric] = {"value": float(values[0]), "low": float(low), "high": float(high), **number}
    return summary


def seed_means(
    predictions: pd.DataFrame,
    weights: np.ndarray,
    seed_weights: np.ndarray,
    metrics: Sequence[str],
) -> dict[str, np.ndarray]:
    """Each metric under each row of weights (B, N), computed seed by seed and averaged by `seed_weights` (B,
    S)."""
    sums = {metric: np.zeros(len(weights)) for metric in metrics}
    for at, (_, rows) in enumerate(predictions.groupby("seed", sort=True).indices.items()):
        values = metric_values(predictions.iloc[rows], weights[:, rows], metrics)
        for metric in metrics:
            sums[metric] += seed_weights[:, at] * np.where(seed_weights[:, at] > 0, values[metric], 0)
    return sums


def _calibration_error(weights: np.ndarray, probabilities: np.ndarray, right: np.ndarray) -> np.ndarray:
    """(B,) sums over bins of confidence of |confidence - accuracy|, weighted by how many photos a bin has."""
    confidence = probabilities.max(axis=1)
    gaps = np.zeros((len(right), BINS), dtype=weights.dtype)
    gaps[np.arange(len(right)), np.minimum((confidence * BINS).astype(int), BINS - 1)] = confidence - right
    return np.abs(weights @ gaps).sum(axis=1)


def _area(weights: np.ndarray, ranked: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """(B,) areas under the ROC curve: how often a positive ranks above a negative, ties half."""
    order = np.flatnonzero(~positive)[np.argsort(ranked[~positive])]
    below = np.zeros((len(weights), len(order) + 1), dtype=weights.dtype)
    np.cumsum(weights[:, order], axis=1, out=below[:, 1:])
    left, right = (np.searchsorted(ranked[order], ranked[positive], side) for side in ("left", "right"))
    won = np.einsum("bn,bn->b", weights[:, positive], below[:, left] + below[:, right], dtype=np.float64) / 2
    with np.errstate(invalid="ignore"):
        return won / (weights[:, positive].sum(axis=1) * below[:, -1].astype(np.float64))


def _mean_of_defined(areas: np.ndarray) -> np.ndarray:
    """Means over the first axis of what is not missing, missing where nothing is left."""
    defined = ~np.isnan(areas)
    with np.errstate(invalid="ignore"):
        return np.where(defined, areas, 0).sum(axis=0) / defined.sum(axis=0)
