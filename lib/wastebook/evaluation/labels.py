"""Which labels may be wrong: photos that models which have never seen them would rather call something
else."""

import warnings

import numpy as np
import pandas as pd
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from wastebook.data.splits import group_numbers
from wastebook.learning.predictions import class_numbers


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
