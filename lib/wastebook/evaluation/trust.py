"""Whether a model can be believed: calibration, decisions, promises, doubtful labels, bad photos."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar, nnls
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from wastebook.data import fingerprint
from wastebook.data.splits import group_numbers
from wastebook.evaluation.metrics import DRAWS, LEVEL, bootstrap, score, share_interval
from wastebook.learning.heads import predict_head
from wastebook.learning.predictions import class_numbers, classes_of, probabilities_of, probability_columns
from wastebook.learning.study import Study
from wastebook.photos.decode import parallel_map
from wastebook.photos.spoil import KINDS, spoil


def fit_temperature(predictions: pd.DataFrame) -> float:
    """The temperature that, dividing the logits, gives these predictions the least log loss (Guo et al.
    2017); fit it on validation. Above 1 where the model is surer than it should be."""
    logits = _logits(predictions)
    labels = class_numbers(predictions["label"], classes_of(predictions))

    def log_loss(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        return float((_log_sum(scaled) - scaled[np.arange(len(labels)), labels]).mean())

    return float(np.exp(minimize_scalar(log_loss, bounds=(-3, 3), method="bounded").x))


def apply_temperature(predictions: pd.DataFrame, temperature: float) -> pd.DataFrame:
    """The predictions with their logits divided by `temperature`: other confidences, the same labels."""
    scaled = _logits(predictions) / temperature
    probabilities = np.exp(scaled - _log_sum(scaled)[:, None])
    names = probability_columns(classes_of(predictions))
    return predictions.assign(**dict(zip(names, probabilities.T, strict=True)))


def calibrate(predictions: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Every model's predictions with a temperature fitted on its own validation rows, scheme by scheme and
    seed by seed, and the temperatures: `model, scheme, seed, temperature`."""
    predictions = predictions.reset_index(drop=True)
    parts, rows = [], []
    for keys, part in predictions.groupby(["model", "scheme", "seed"], sort=False):
        temperature = fit_temperature(part[part["split"] == "validation"])
        parts.append(apply_temperature(part, temperature))
        rows.append((*keys, temperature))
    return pd.concat(parts).loc[predictions.index], pd.DataFrame(
        rows, columns=["model", "scheme", "seed", "temperature"]
    )


def reliability(predictions: pd.DataFrame, bins: int = 10) -> pd.DataFrame:
    """How often each model is right where it is so and so sure: `model, scheme, split, confidence` (mean of
    the bin), `accuracy, low, high` (95 % Wilson interval), `photos`; `bins` bins of equal width, empty ones
    left out. What several seeds say of one photo counts once."""
    confidence = probabilities_of(predictions).max(axis=1)
    table = predictions[["model", "scheme", "split", "path"]].assign(
        confidence=confidence,
        right=predictions["label"] == predictions["predicted"],
        bin=np.minimum((confidence * bins).astype(int), bins - 1),
    )
    grouped = table.groupby(["model", "scheme", "split", "bin"], sort=False)
    result = grouped.agg(
        confidence=("confidence", "mean"), accuracy=("right", "mean"), photos=("path", "nunique")
    )
    low, high = share_interval(result["accuracy"] * result["photos"], result["photos"])
    return result.assign(low=low, high=high).sort_index().reset_index().drop(columns="bin")


def _logits(predictions: pd.DataFrame) -> np.ndarray:
    """(N, K) logits up to a constant a row, which no temperature depends on."""
    return np.log(np.clip(probabilities_of(predictions), 1e-300, None))


def _log_sum(logits: np.ndarray) -> np.ndarray:
    most = logits.max(axis=1)
    return most + np.log(np.exp(logits - most[:, None]).sum(axis=1))


def best_threshold(missed_cost: float) -> float:
    """The threshold on a calibrated probability that costs least, where calling a photo positive wrongly
    costs `missed_cost` times what calling it negative wrongly does (Elkan, 2001)."""
    return missed_cost / (1 + missed_cost)


def decision_costs(
    predictions: pd.DataFrame, positive: str, missed_cost: float, thresholds: np.ndarray
) -> np.ndarray:
    """The cost of 100 photos under each of the `thresholds` on the probability of `positive`: `missed_cost`
    for each wrong positive, 1 for each wrong negative."""
    return 100 * _photo_costs(predictions, positive, missed_cost, thresholds).mean(axis=1)


def cost_interval(
    predictions: pd.DataFrame, positive: str, missed_cost: float, threshold: float
) -> tuple[float, float]:
    """The 95 % interval of `decision_costs` at one threshold, of a bootstrap by group."""
    costs = _photo_costs(predictions, positive, missed_cost, np.array([threshold]))[0]
    drawn = [rows @ costs / rows.sum(axis=1) for rows, _ in bootstrap(predictions, DRAWS)]
    low, high = np.percentile(100 * np.concatenate(drawn), LEVEL)
    return float(low), float(high)


def _photo_costs(
    predictions: pd.DataFrame, positive: str, missed_cost: float, thresholds: np.ndarray
) -> np.ndarray:
    """(T, N) costs of each photo under each threshold."""
    sure = predictions[f"p_{positive}"].to_numpy()
    is_positive = (predictions["label"] == positive).to_numpy()
    called = sure >= np.asarray(thresholds)[:, None]
    return missed_cost * (called & ~is_positive) + (~called & is_positive)


LEVELS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
EXPONENTS = np.linspace(0.05, 1.0, 20)  # of learning curves; outside these nothing has been observed
LAW_DRAWS = 500


def selective_accuracy(predictions: pd.DataFrame, shares: Sequence[float] = LEVELS) -> pd.DataFrame:
    """How often each model is right where it answers only for the share of photos that it is surest of.

    A row a model and share: `model, scheme, split, share, confidence` (from which on it answers), `accuracy,
    low, high` (95 % Wilson interval), `photos`. Seeds are ranked together; what several say of one photo
    counts once for the interval.
    """
    confidence = probabilities_of(predictions).max(axis=1)
    right = predictions["label"] == predictions["predicted"]
    table = predictions[["model", "scheme", "split", "path"]].assign(confidence=confidence, right=right)
    table = table.sort_values("confidence", ascending=False, kind="stable")
    rows = []
    for keys, part in table.groupby(["model", "scheme", "split"], sort=False):
        for share in shares:
            answered = part.head(max(1, round(share * len(part))))
            accuracy, photos = answered["right"].mean(), answered["path"].nunique()
            low, high = share_interval(accuracy * photos, photos)
            rows.append((*keys, share, answered["confidence"].iloc[-1], accuracy, low, high, photos))
    names = ["model", "scheme", "split", "share", "confidence", "accuracy", "low", "high", "photos"]
    return pd.DataFrame(rows, columns=names)


def conformal_sets(predictions: pd.DataFrame, level: float = 0.9) -> pd.DataFrame:
    """Sets of classes made to hold the true one for a share `level` of the photos (split conformal
    prediction, Vovk et al. 2005): all classes as probable as the threshold, which validation gives.

    A row a model, scheme and seed: `model, scheme, seed, threshold, coverage` (how often a test photo's set
    holds the truth), `size` (classes in a set, on average), `single` (the share of sets of one class).
    """
    rows = []
    for keys, part in predictions.groupby(["model", "scheme", "seed"], sort=False):
        known, asked = (part[part["split"] == split] for split in ("validation", "test"))
        truth = _of_the_truth(known)
        rank = int(np.floor(round((1 - level) * (len(truth) + 1), 9)))  # a tenth of thirty is three
        threshold = np.sort(truth)[rank - 1] if rank else 0.0  # with too few photos every class is in the set
        sizes = (probabilities_of(asked) >= threshold).sum(axis=1)
        held = _of_the_truth(asked) >= threshold
        rows.append((*keys, threshold, held.mean(), sizes.mean(), (sizes == 1).mean()))
    names = ["model", "scheme", "seed", "threshold", "coverage", "size", "single"]
    return pd.DataFrame(rows, columns=names)


def with_more_photos(curve: pd.DataFrame, more: int, seed: int = 0) -> dict[str, float]:
    """What `more` photos would bring to a learning curve, by the law that errors mostly follow: floor + a
    times photos to the power of -b (Hestness et al. 2017), all three positive.

    `curve` has `photos, value, low, high` (a score of 1 being perfect, with its 95 % interval). Gives
    `photos` (those of the last point), `now, then` (the law's score there and at `more`), `gain` and its
    `low, high`: a 95 % interval from laws fitted to curves drawn within the intervals.
    """
    curve = curve.sort_values("photos")
    photos, values = (curve[name].to_numpy(dtype=float) for name in ("photos", "value"))
    deviation = np.maximum((curve["high"] - curve["low"]).to_numpy() / 3.92, 1e-6)
    random = np.random.default_rng(seed)
    ends = np.array([photos[-1], photos[-1] + more])
    # The points share their test photos, so much of what chance does to one it does to all.
    drawn = values + deviation * random.normal(size=(LAW_DRAWS, 1)) * np.sqrt(0.5)
    drawn += deviation * random.normal(size=drawn.shape) * np.sqrt(0.5)
    fits = np.array([_law(photos, 1 - points, 1 / deviation, ends) for points in [values, *drawn]])
    gains = fits[:, 1] - fits[:, 0]
    low, high = np.percentile(gains[1:], LEVEL)
    now, then = fits[0]
    return {"photos": photos[-1], "now": now, "then": then, "gain": gains[0], "low": low, "high": high}


def _law(photos: np.ndarray, errors: np.ndarray, weights: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """The score at `ends` under the law fitted to `errors` by weighted least squares."""
    laws = []
    for exponent in EXPONENTS:
        design = np.stack([np.ones_like(photos), photos**-exponent], axis=1)
        found, residual = nnls(design * weights[:, None], np.clip(errors, 0, None) * weights)
        laws.append((residual, 1 - (found[0] + found[1] * ends**-exponent)))
    return min(laws, key=lambda law: law[0])[1]


def _of_the_truth(predictions: pd.DataFrame) -> np.ndarray:
    """The probability that each row gives its true class."""
    labels = class_numbers(predictions["label"], classes_of(predictions))
    return probabilities_of(predictions)[np.arange(len(labels)), labels]


def suspect_labels(
    photos: pd.DataFrame, features: np.ndarray, classes: list[str], folds: int = 5, seed: int = 0
) -> pd.DataFrame:
    """Confident learning (Northcutt et al. 2021): a label is suspect where another class is as probable as it
    typically is for its own photos, and more probable than the label.

    `features` (N, D) of `photos` (`path, label, group`). The probabilities are those of logistic regressions
    on the other folds; a group stays in one. A row a suspect, the surest first: `path, label, suggested,
    p_label, p_suggested`.
    """
    labels = class_numbers(photos["label"], classes)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1e-3, max_iter=300, tol=1e-3))
    dealt = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        probabilities = cross_val_predict(
            model, features, labels, groups=group_numbers(photos), cv=dealt, method="predict_proba", n_jobs=1
        )
    rows = np.arange(len(labels))
    own = probabilities[rows, labels]
    typical = np.array([own[labels == at].mean() for at in range(len(classes))])
    rivals = np.where(probabilities >= typical, probabilities, 0)
    rivals[rows, labels] = 0
    suggested, rival = rivals.argmax(axis=1), rivals.max(axis=1)
    table = photos[["path", "label"]].reset_index(drop=True)
    table = table.assign(suggested=np.asarray(classes)[suggested], p_label=own, p_suggested=rival)
    surest = (rival - own).argsort(kind="stable")[::-1]
    return table.iloc[surest[rival[surest] > own[surest]]].reset_index(drop=True)


def ask(done: Study, key: tuple[str, int], plain: np.ndarray, photos: pd.DataFrame) -> pd.DataFrame:
    """The predictions for any photos, from their features (N, D), of a study's head under one deal, with the
    temperature that its validation photos give. The photos' labels need not be among the head's classes."""
    head, (scheme, seed) = done.heads[key], key
    known = done.predictions[(done.predictions["scheme"] == scheme) & (done.predictions["seed"] == seed)]
    temperature = fit_temperature(known[known["split"] == "validation"])
    model = str(known["model"].iloc[0])
    return apply_temperature(predict_head(head, plain, photos, model, seed, scheme), temperature)


def summarise_replies(predictions: pd.DataFrame, sure: float = 0.9) -> pd.DataFrame:
    """What models say to photos of each kind: `model, scheme, label, photos, answer` (the commonest), `share`
    (how often it is given), `confidence` (mean), `sure` (the share of answers with so much confidence)."""
    confidence = predictions.filter(regex="^p_").max(axis=1)
    table = predictions[["model", "scheme", "label", "predicted"]].assign(confidence=confidence)
    rows = []
    for keys, part in table.groupby(["model", "scheme", "label"], sort=False):
        answers = part["predicted"].value_counts(normalize=True)
        certain = (part["confidence"] >= sure).mean()
        rows.append((*keys, len(part), answers.index[0], answers.iloc[0], part["confidence"].mean(), certain))
    names = ["model", "scheme", "label", "photos", "answer", "share", "confidence", "sure"]
    return pd.DataFrame(rows, columns=names)


def score_corrupted(
    ask: Callable[[np.ndarray], np.ndarray],
    photos: Sequence[np.ndarray],
    labels: Sequence[str],
    classes: Sequence[str],
    threshold: float,
) -> pd.DataFrame:
    """`ask` (a photo in, its class probabilities out) asked about `photos` under every kind and strength of
    `photos.spoil`: `kind, unit, strength, accuracy` with its 95 % Wilson interval `low, high`, and `sure`,
    the share of answers with a confidence at or above `threshold`."""
    cases = [(kind, unit, strength) for kind, (unit, steps) in KINDS.items() for strength in steps]
    tasks = [(photo, kind, strength) for kind, _, strength in cases for photo in photos]
    answers = np.stack(list(parallel_map(lambda task: ask(spoil(*task)), tasks)))
    answers = answers.reshape(len(cases), len(photos), len(classes))
    right = (np.asarray(classes)[answers.argmax(axis=2)] == np.asarray(labels)).sum(axis=1)
    low, high = share_interval(right, len(photos))
    sure = (answers.max(axis=2) >= threshold).mean(axis=1)
    table = pd.DataFrame(cases, columns=["kind", "unit", "strength"])
    return table.assign(accuracy=right / len(photos), low=low, high=high, sure=sure)


def model_card(dataset: str, photos: pd.DataFrame, predictions: pd.DataFrame) -> dict[str, Any]:
    """The card of one model (one scheme, one seed), as plain values, from its predictions on validation and
    test: `data` (`name, photos, fingerprint`), `scores` on test, and, from validation, the `temperature` that
    its logits are to be divided by and the `threshold` of confidence below which it is not sure."""
    validation = predictions[predictions["split"] == "validation"]
    temperature = fit_temperature(validation)
    test = predictions[predictions["split"] == "test"]
    return {
        "data": {"name": dataset, "photos": len(photos), "fingerprint": fingerprint(photos)},
        "scores": score(test, dataset).set_index("metric")["value"].to_dict(),
        "temperature": temperature,
        "threshold": fit_threshold(apply_temperature(validation, temperature)),
    }


def fit_threshold(predictions: pd.DataFrame) -> float:
    """The confidence below which half of the mistakes in these predictions lie; 0 where there are none."""
    wrong = (predictions["label"] != predictions["predicted"]).to_numpy()
    confidence = probabilities_of(predictions).max(axis=1)
    return float(np.median(confidence[wrong])) if wrong.any() else 0.0
