"""What may be promised of a model: fewer answers that are right more often, sets of answers that hold the
truth, and how it would do with more photos."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.optimize import nnls

from wastebook.evaluation.metrics import LEVEL, share_interval
from wastebook.learning.predictions import class_numbers, classes_of, probabilities_of

LEVELS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
EXPONENTS = np.linspace(0.05, 1.0, 20)  # of learning curves; outside these nothing has been observed
DRAWS = 500


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
    drawn = values + deviation * random.normal(size=(DRAWS, 1)) * np.sqrt(0.5)
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
