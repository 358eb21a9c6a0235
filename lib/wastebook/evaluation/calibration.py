"""Whether a model's confidence can be believed, and the one number that mends it when not."""

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar

from wastebook.evaluation.metrics import share_interval
from wastebook.learning.predictions import class_numbers, classes_of, probabilities_of, probability_columns


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
