"""From probabilities of two classes to decisions, where one kind of mistake costs more than the other."""

import numpy as np
import pandas as pd

from wastebook.evaluation.metrics import DRAWS, LEVEL, bootstrap


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
