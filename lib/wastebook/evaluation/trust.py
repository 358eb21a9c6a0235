"""Whether a model can be believed: calibration, decisions, promises, labels, bad photos, other places."""

import warnings
from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from scipy.stats import t as student
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from wastebook.data.datasets import fingerprint
from wastebook.data.splits import group_numbers
from wastebook.errors import WastebookError
from wastebook.evaluation.metrics import DRAWS, KEYS, LEVEL, score, share_interval, value_and_draws
from wastebook.learning.heads import Head, predict_head
from wastebook.learning.predictions import MODEL, Model, class_numbers, classes_of, probabilities_of
from wastebook.photos.augment import KINDS, corrupt
from wastebook.photos.decode import parallel_map

SHARES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)  # of the photos, that a cautious model answers
FITTED = ["model", "scheme", "seed"]  # what has a temperature, and a threshold of sets, of its own
SURE = 0.9
DOUBT = 0.5  # below which no answer is sure: another is as likely


def fit_temperature(predictions: pd.DataFrame) -> float:
    """The temperature that, dividing the logits, gives these predictions, of validation, the least log loss
    (Guo et al. 2017). Above 1 where the model is surer than it should be."""
    logits, rows = _logits(predictions), np.arange(len(predictions))
    labels = class_numbers(predictions["label"], classes_of(predictions))

    def log_loss(log_temperature: float) -> float:
        return -float(log_softmax(logits / np.exp(log_temperature), axis=1)[rows, labels].mean())

    return float(np.exp(minimize_scalar(log_loss, bounds=(-3, 3), method="bounded").x))


def apply_temperature(predictions: pd.DataFrame, temperature: float) -> pd.DataFrame:
    """The predictions with their logits divided by `temperature`: other confidences, the same labels."""
    probabilities = softmax(_logits(predictions) / temperature, axis=1)
    names = [f"p_{name}" for name in classes_of(predictions)]
    return predictions.assign(**dict(zip(names, probabilities.T, strict=True)))


def calibrate(predictions: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Every model's predictions with a temperature fitted on its own validation rows, scheme by scheme and
    seed by seed, and the temperatures: `model, scheme, seed, temperature`."""
    predictions, parts, rows = predictions.reset_index(drop=True), [], []
    for keys, part in predictions.groupby(FITTED, sort=False):
        temperature = fit_temperature(part[part["split"] == "validation"])
        parts.append(apply_temperature(part, temperature))
        rows.append((*keys, temperature))
    return pd.concat(parts).loc[predictions.index], pd.DataFrame(rows, columns=[*FITTED, "temperature"])


def reliability(predictions: pd.DataFrame) -> pd.DataFrame:
    """How often each model is right (`accuracy, low, high`, by Wilson) where it is so and so sure (mean
    `confidence` of ten equal bins, empty ones left out). For the interval a group's photos count once."""
    table = predictions[KEYS].assign(photos=predictions["path"], groups=group_numbers(predictions))
    table["accuracy"] = predictions["label"] == predictions["predicted"]
    table["confidence"] = probabilities_of(predictions).max(axis=1)
    table["bin"] = np.minimum((table["confidence"] * 10).astype(int), 9)
    counted = {"confidence": "mean", "accuracy": "mean", "photos": "nunique", "groups": "nunique"}
    table = table.groupby([*KEYS, "bin"]).agg(counted).reset_index().drop(columns="bin")
    low, high = share_interval(table["accuracy"] * table["groups"], table["groups"])
    return table.assign(low=low, high=high).drop(columns="groups")


def decision_costs(
    predictions: pd.DataFrame, positive: str, missed_cost: float, thresholds: Sequence[float]
) -> pd.DataFrame:
    """What 100 photos cost each model (`cost, low, high`) under each of the `thresholds` on the probability
    of `positive`, where a wrong positive costs `missed_cost` and a wrong negative 1. At `missed_cost / (1 +
    missed_cost)` calibrated probabilities cost least (Elkan, 2001)."""
    tables, lines = [], np.asarray(thresholds)
    for keys, part in predictions.groupby(KEYS, sort=False):
        called = part[f"p_{positive}"].to_numpy() >= lines[:, None]
        is_positive = (part["label"] == positive).to_numpy()
        costs = 100 * (missed_cost * (called & ~is_positive) + (~called & is_positive))  # (T, N)
        drawn = [rows @ costs.T / rows.sum(axis=1)[:, None] for rows, _ in value_and_draws(part, DRAWS)]
        value, *draws = np.concatenate(drawn)
        low, high = np.percentile(draws, LEVEL, axis=0)
        none = share_interval(0, group_numbers(part).max() + 1)[1]  # no draw has a mistake; others may
        high = np.where(low < high, high, high + 100 * max(1, missed_cost) * none)
        facts = dict(zip(KEYS, keys, strict=True)) | {"threshold": lines, "cost": value}
        tables.append(pd.DataFrame(facts | {"low": low, "high": high}))
    return pd.concat(tables, ignore_index=True)


def selective_accuracy(predictions: pd.DataFrame, shares: Sequence[float] = SHARES) -> pd.DataFrame:
    """How often each model is right (`accuracy, low, high`: see `score`) on the `share` of photos that it is
    surest of, from a `confidence` on. Seeds are ranked together."""
    sure, rows = predictions.assign(confidence=probabilities_of(predictions).max(axis=1)), []
    for _, part in sure.sort_values("confidence", ascending=False, kind="stable").groupby(KEYS, sort=False):
        for share in shares:
            found = part.head(max(1, round(share * len(part))))
            scored = score(found, "", metrics=["accuracy"])
            rows.append(scored.assign(share=share, confidence=found["confidence"].min()))
    return pd.concat(rows, ignore_index=True).rename(columns={"value": "accuracy", "n": "photos"})


def conformal_sets(predictions: pd.DataFrame, level: float = 0.9) -> pd.DataFrame:
    """Sets of classes made to hold the true one for a share `level` of the photos (split conformal
    prediction, Vovk et al. 2005): those as probable as a `threshold` from validation. By model and scheme, on
    test: `coverage, low, high`, how often a set holds the truth, `size`, its classes on average, and
    `single`, the share of one; means of the seeds. WastebookError where the level is no such share."""
    if not 0 < level < 1:
        raise WastebookError(f"level={level} is no share of photos: choose one above 0 and below 1, as 0.9.")
    classes, tables = classes_of(predictions), []
    labels = class_numbers(predictions["label"], classes)
    truth = probabilities_of(predictions)[np.arange(len(labels)), labels]
    predictions = predictions.assign(truth=truth, other=np.roll(classes, -1)[labels])
    for _, part in predictions.groupby(FITTED, sort=False):
        known, asked = (part[part["split"] == split] for split in ("validation", "test"))
        rank = int(np.floor(round((1 - level) * (len(known) + 1), 9)))  # a tenth of thirty is three
        threshold = np.sort(known["truth"])[rank - 1] if rank else 0.0  # of too few, every class is in it
        sizes = (probabilities_of(asked) >= threshold).sum(axis=1)
        held = asked["label"].where(asked["truth"] >= threshold, asked["other"])  # right where a set holds it
        tables.append(asked.assign(predicted=held, threshold=threshold, size=sizes, single=sizes == 1))
    sets = pd.concat(tables, ignore_index=True)
    means = sets.groupby(FITTED)[["threshold", "size", "single"]].mean().groupby(FITTED[:2]).mean()
    coverage = score(sets, "", metrics=["accuracy"]).rename(columns={"value": "coverage"})
    return coverage[[*FITTED[:2], "coverage", "low", "high"]].join(means, on=FITTED[:2])


def project_curve(curve: pd.DataFrame, more: int) -> dict[str, float]:
    """What `more` photos would bring to a learning curve (`photos, value`) of three points or more: the
    `photos` there are, the `gain`, or loss, at what the last doubling of them brought, and its 95 % interval
    `low, high`, by how much that has changed from one doubling to the next (Student's t), cut at 0 and 1."""
    curve = curve.sort_values("photos")
    steps = np.diff(curve["value"]) / np.diff(np.log2(curve["photos"].to_numpy(dtype=float)))
    sway = student.ppf(0.975, len(steps) - 1) * np.sqrt((np.diff(steps) ** 2).mean())
    most, last = map(float, curve[["photos", "value"]].iloc[-1])
    brought = np.log2(1 + more / most) * (steps[-1] + np.array([0, -sway, sway]))
    gain, low, high = np.clip(brought, -last, 1 - last)
    return {"photos": most, "gain": gain, "low": low, "high": high}


def suspect_labels(photos: pd.DataFrame, features: np.ndarray, classes: list[str]) -> pd.DataFrame:
    """Confident learning (Northcutt et al. 2021), the surest suspects first: labels beside a class that is as
    probable as it typically is for its own photos, and more than the label, for a logistic regression on the
    `features` (N, D) of the other folds; a group stays in one."""
    labels, rows = class_numbers(photos["label"], classes), np.arange(len(photos))
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1e-3, max_iter=300, tol=1e-3))
    groups = pd.Series(group_numbers(photos), index=photos.index)
    fewest = groups.groupby(photos["label"]).nunique().min()
    folds = StratifiedGroupKFold(min(5, fewest), shuffle=True, random_state=0)
    how = {"groups": groups, "cv": folds, "method": "predict_proba"}
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        probabilities = cross_val_predict(model, features, labels, **how)
    own = probabilities[rows, labels]
    typical = np.array([own[labels == at].mean() for at in range(len(classes))])
    rivals = np.where(probabilities >= typical, probabilities, 0)
    rivals[rows, labels] = 0
    suggested, rival = np.asarray(classes)[rivals.argmax(axis=1)], rivals.max(axis=1)
    table = photos[["path", "label"]].assign(suggested=suggested, p_label=own, p_suggested=rival)
    surest = (rival - own).argsort(kind="stable")[::-1]
    return table.iloc[surest[rival[surest] > own[surest]]].reset_index(drop=True)


def ask(head: Head, known: pd.DataFrame, features: np.ndarray, photos: pd.DataFrame) -> pd.DataFrame:
    """The predictions of a head for photos from elsewhere, by their features (N, D), of whatever labels, with
    the temperature that its `known` predictions (of one model, scheme and seed) give on validation."""
    model = Model(*known[MODEL[1:]].iloc[0])
    answers = predict_head(head, features, photos, model, known["seed"].iloc[0], known["scheme"].iloc[0])
    return apply_temperature(answers, fit_temperature(known[known["split"] == "validation"]))


def foretell(home: pd.DataFrame, there: pd.DataFrame) -> pd.DataFrame:
    """The accuracy that one would expect of a model on photos `there`, whose labels are not looked at, from
    its predictions for them and for test at `home`, of several seeds: `method, foretold, low, high` (95 %, by
    group and both ends drawn), by

    - `confidence`: how sure it is there;
    - `difference of confidences`: as much less right as it is less sure (Guillory et al. 2021);
    - `share above a threshold`: above which it is as sure at home as often as it is right (Garg et al. 2022);
    - `agreement of seeds`: as much less right as its seeds agree less often (after Jiang et al. 2022); not of
      one seed."""
    right = (home["label"] == home["predicted"]).to_numpy(dtype=float)
    (sure, agreed), (sure_there, agreed_there) = map(_signs, (home, there))
    above, above_there = (each > np.quantile(sure, 1 - right.mean()) for each in (sure, sure_there))
    at_home = np.stack([np.zeros_like(right), right - sure, right - above, right - agreed], axis=1)
    away = np.stack([sure_there, sure_there, above_there, agreed_there], axis=1)
    drawn = _means(there, away) + _means(home, at_home)
    methods = ("confidence", "difference of confidences", "share above a threshold", "agreement of seeds")
    table = pd.DataFrame({"method": methods, "foretold": drawn[0]})
    table["low"], table["high"] = np.percentile(drawn[1:], LEVEL, axis=0)
    return table.dropna(subset="foretold")


def feature_distance(home: np.ndarray, there: np.ndarray) -> float:
    """How far apart two sets of photos lie by their features, (N, D) each: the Fréchet distance of Gaussians
    with a mean and a deviation for each feature, in units of the deviations at `home`."""
    first, second = (np.stack([part.mean(axis=0), part.std(axis=0)]) for part in (home, there))
    return float(np.sqrt((((first - second) / (first[1] + 1e-6)) ** 2).sum(axis=0).mean()))


def summarise_replies(predictions: pd.DataFrame) -> pd.DataFrame:
    """What models say to photos of each kind: `model, scheme, label, photos, answer` (the commonest), `share`
    (how often it is given), `confidence` (mean), `sure` (the share of answers at least `SURE`)."""
    confidence = predictions.filter(regex="^p_").max(axis=1)
    table = predictions.assign(confidence=confidence, sure=confidence >= SURE)
    told: dict[str, Any] = {"photos": ("path", "size")}
    told["answer"] = ("predicted", lambda answers: answers.value_counts().index[0])
    told["share"] = ("predicted", lambda answers: answers.value_counts(normalize=True).iloc[0])
    told |= {name: (name, "mean") for name in ("confidence", "sure")}
    return table.groupby(["model", "scheme", "label"], sort=False).agg(**told).reset_index()


def score_corrupted(
    ask: Callable, photos: Sequence[np.ndarray], labels: Sequence[str], classes: list[str], threshold: float
) -> pd.DataFrame:
    """`ask` (a photo in, its class probabilities out) about photos under every kind and strength of
    corruption: its `accuracy, low, high` (by Wilson), and the share of answers `sure` at the `threshold`."""
    cases = [(kind, unit, strength) for kind, (unit, steps) in KINDS.items() for strength in steps]
    tasks = [(photo, kind, strength) for kind, _, strength in cases for photo in photos]
    answers = np.stack(list(parallel_map(lambda task: ask(corrupt(*task)), tasks)))
    answers = answers.reshape(len(cases), len(photos), len(classes))
    right = np.asarray(classes)[answers.argmax(axis=2)] == np.asarray(labels)
    accuracy, sure = right.mean(axis=1), (answers.max(axis=2) >= threshold).mean(axis=1)
    low, high = share_interval(accuracy * len(photos), len(photos))
    table = pd.DataFrame(cases, columns=["kind", "unit", "strength"])
    return table.assign(accuracy=accuracy, photos=len(photos), low=low, high=high, sure=sure)


def describe_model(data: Any, predictions: pd.DataFrame) -> dict[str, Any]:
    """The card of one model (one scheme, one seed) of the photos in `data`, as plain values. Validation gives
    its `temperature`, and the `threshold`: the median confidence of its mistakes, at least `DOUBT`."""
    validation, test = (predictions[predictions["split"] == split] for split in ("validation", "test"))
    temperature = fit_temperature(validation)
    wrong = validation[validation["label"] != validation["predicted"]]
    doubtful = probabilities_of(apply_temperature(wrong, temperature)).max(axis=1)
    facts = {"name": data.name, "title": data.card["title"], "photos": len(data.photos)}
    facts |= {"fingerprint": fingerprint(data.photos), "drawn": bool(data.card.get("drawn", False))}
    facts |= {name: data.card[name] for name in ("task", "source", "licence", "classes")}
    scores = score(test, data.name).set_index("metric")["value"].to_dict()
    threshold = max(DOUBT, float(np.median(doubtful)) if len(wrong) else 0.0)
    return {"data": facts, "scores": scores, "temperature": temperature, "threshold": threshold}


def _logits(predictions: pd.DataFrame) -> np.ndarray:
    """(N, K) logits up to a constant per row, which no temperature depends on."""
    return np.log(np.clip(probabilities_of(predictions), 1e-300, None))


def _signs(predictions: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """For each row how sure it is, and how often the seeds agree on its photo in pairs (missing without)."""
    answers = predictions.pivot(index="path", columns="seed", values="predicted")
    both = [answers[list(pair)].dropna() for pair in combinations(answers, 2)]
    agreed = pd.concat([pd.Series(dtype=float), *(pair.iloc[:, 0] == pair.iloc[:, 1] for pair in both)])
    shares = agreed.astype(float).groupby(agreed.index).mean()
    return probabilities_of(predictions).max(axis=1), predictions["path"].map(shares).to_numpy(dtype=float)


def _means(predictions: pd.DataFrame, values: np.ndarray) -> np.ndarray:
    """The means of `values` (N, K) over the rows that have them, as they are and drawn: (1 + `DRAWS`, K)."""
    known, drawn = ~np.isnan(values), value_and_draws(predictions, DRAWS)
    with np.errstate(invalid="ignore"):
        return np.concatenate([rows @ np.nan_to_num(values) / (rows @ known) for rows, _ in drawn])
