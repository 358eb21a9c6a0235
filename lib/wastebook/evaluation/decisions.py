"""From probabilities of two classes to decisions, where one kind of mistake costs more than the other."""

import numpy as np
import pandas as pd


def best_threshold(missed_cost: float) -> float:
    """The threshold on a calibrated probability that costs least, where calling a photo positive wrongly
    costs `missed_cost` times what calling it negative wrongly does (Elkan, 2001)."""
    return missed_cost / (1 + missed_cost)


def decision_costs(
    predictions: pd.DataFrame, positive: str, missed_cost: float, thresholds: np.ndarray
) -> np.ndarray:
    """The cost of 100 photos under each of the `thresholds` on the probability of `positive`: `missed_cost`
    for each wrong positive, 1 for each wrong negative."""
    sure = predictions[f"p_{positive}"].to_numpy()
    is_positive = (predictions["label"] == positive).to_numpy()
    called = sure >= np.asarray(thresholds)[:, None]
    wrong = missed_cost * (called & ~is_positive).sum(axis=1) + (~called & is_positive).sum(axis=1)
    return 100 * wrong / len(predictions)
