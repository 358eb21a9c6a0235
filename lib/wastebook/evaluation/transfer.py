"""What models of one kind of photos say to photos of another."""

import numpy as np
import pandas as pd

from wastebook.evaluation.calibration import apply_temperature, fit_temperature
from wastebook.learning.heads import predict_head
from wastebook.learning.study import Study


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
