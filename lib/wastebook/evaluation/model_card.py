"""What travels with a model that is kept: which photos it learned from, how good it is, when to doubt it."""

from typing import Any

import numpy as np
import pandas as pd

from wastebook.data import fingerprint
from wastebook.evaluation.calibration import apply_temperature, fit_temperature
from wastebook.evaluation.metrics import score
from wastebook.learning.predictions import probabilities_of


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
