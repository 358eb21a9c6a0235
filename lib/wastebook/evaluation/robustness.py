"""How right and how sure a model is on photos made worse."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from wastebook.evaluation.metrics import share_interval
from wastebook.photos.decode import in_order
from wastebook.photos.spoil import KINDS, spoil


def ask_spoiled(
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
    answers = np.stack(list(in_order(lambda task: ask(spoil(*task)), tasks)))
    answers = answers.reshape(len(cases), len(photos), len(classes))
    right = (np.asarray(classes)[answers.argmax(axis=2)] == np.asarray(labels)).sum(axis=1)
    low, high = share_interval(right, len(photos))
    sure = (answers.max(axis=2) >= threshold).mean(axis=1)
    table = pd.DataFrame(cases, columns=["kind", "unit", "strength"])
    return table.assign(accuracy=right / len(photos), low=low, high=high, sure=sure)
