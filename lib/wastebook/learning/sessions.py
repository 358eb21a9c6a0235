"""A head validated on photos that were collected at another time.

Collections from the web come in runs: one search after another, numbered as they were saved. Photos of one
search are alike without being copies, so a validation that shuffles them flatters. Here it leaves out whole
runs of numbers, sessions.
"""

import time
import warnings

import numpy as np
import pandas as pd
from joblib import parallel_config
from scipy.special import expit
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from threadpoolctl import threadpool_limits

from wastebook.data.splits import group_numbers
from wastebook.errors import WastebookError
from wastebook.learning.heads import Head, head_probabilities
from wastebook.learning.predictions import Model, class_numbers, predictions_table
from wastebook.learning.study import Deals, Study
from wastebook.photos.decode import thread_count

PENALTIES = np.logspace(0.5, -2, 6)  # L2, strongest first: each solution starts from the one before


def file_numbers(photos: pd.DataFrame) -> np.ndarray:
    """The last number in each file's name; 0 where there is none."""
    return photos["path"].str.extract(r"(\d+)\D*$")[0].astype("float").fillna(0).to_numpy()


def split_by_number(photos: pd.DataFrame) -> bool:
    """Whether every test photo of a class has a higher number than all the others of that class."""
    of_class = [photos["label"], photos["split"] == "test"]
    spans = pd.Series(file_numbers(photos), index=photos.index).groupby(of_class).agg(["min", "max"])
    return bool((spans.xs(False, level=1)["max"] < spans.xs(True, level=1)["min"]).all())


def name_sessions(photos: pd.DataFrame, searches: pd.DataFrame, count: int) -> pd.Series:
    """What the run of file numbers that each photo is in shows: `searches` has `label, first, last, shows`.
    Where nobody has said, which of `count` equal runs of its class it is in (`run 1 of glass`)."""
    numbers, runs = file_numbers(photos), session_folds(photos, count)
    names = [f"run {run + 1} of " for run in runs] + photos["label"]
    for row in searches.to_dict("records"):
        inside = (photos["label"] == row["label"]) & (numbers >= row["first"]) & (numbers <= row["last"])
        names[inside] = row["shows"]
    return names


def session_folds(photos: pd.DataFrame, count: int) -> np.ndarray:
    """A fold, 0 to `count` - 1, per photo: equal shares of each class in the order of the numbers in the file
    names. A group stays in the fold of its first photo."""
    table = photos[["path", "label", "group"]].assign(number=file_numbers(photos)).reset_index(drop=True)
    table = table.sort_values(["label", "number", "path"], kind="stable")
    by_label = table.groupby("label", sort=False)
    table["fold"] = by_label.cumcount() * count // by_label["path"].transform("size")
    return table.groupby(group_numbers(table))["fold"].transform("first").sort_index().to_numpy()


def shuffled_folds(photos: pd.DataFrame, count: int, seed: int) -> np.ndarray:
    """The same, but in random order within each class: what is usually done."""
    places = np.argsort(np.random.default_rng(seed).permutation(len(photos)))
    return session_folds(photos.assign(path=places.astype(str)), count)


def solve_session_head(
    features: np.ndarray, photos: pd.DataFrame, classes: list[str], folds: np.ndarray
) -> tuple[Head, pd.DataFrame, np.ndarray]:
    """Logistic regression on standardised features (N, D) of `photos`, with what it cannot learn from them by
    itself learned from its predictions for `folds` left out: the L2 penalty, by their log loss, and then a
    slope and an offset for its logits (Platt, 1999), which make its probabilities mean what they say
    elsewhere.

    Gives the head; a row per penalty, `l2, log_loss, accuracy` over the folds left out; and the (N, 2) class
    probabilities that each photo got from the others. WastebookError where there are not two classes, or one
    is absent outside a fold.
    """
    started = time.perf_counter()
    targets = class_numbers(photos["label"], classes)
    if len(classes) != 2:
        raise WastebookError(f"This head tells two classes apart; the data set has {len(classes)}.")
    for fold in np.unique(folds):
        if len(np.unique(targets[folds != fold])) < 2:
            raise WastebookError(f"Fold {fold} holds all photos of a class: take more folds, or add photos.")
    mean, scale = features.mean(axis=0), features.std(axis=0) + 1e-6
    standard = ((features - mean) / scale).astype(np.float32)
    # A thread per fold: within one solution threads would wait for one another longer than they work.
    with parallel_config("threading", n_jobs=thread_count()), threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # near enough
        solvers = [LogisticRegression(C=1 / (l2 * len(targets)), tol=1e-3, max_iter=300) for l2 in PENALTIES]
        ways = {"cv": PredefinedSplit(folds), "method": "decision_function"}
        logits = [cross_val_predict(solver, standard, targets, **ways) for solver in solvers]
        losses = [log_loss(targets, expit(found)) for found in logits]
        best = int(np.argmin(losses))
        solver = solvers[best].fit(standard, targets)
    right = [((found > 0) == targets).mean() for found in logits]
    path = pd.DataFrame({"l2": PENALTIES, "log_loss": losses, "accuracy": right})
    platt = LogisticRegression(C=np.inf).fit(logits[best][:, None], targets)
    slope, offset = platt.coef_[0, 0], platt.intercept_[0]
    weight = slope * solver.coef_[0].astype(np.float64) / scale
    bias = slope * solver.intercept_[0] + offset - weight @ mean
    both = np.array([[-0.5], [0.5]])  # a logit per class, as every head has
    head = Head(both * weight, both[:, 0] * bias, classes, time.perf_counter() - started)
    return head, path, platt.predict_proba(logits[best][:, None])


def solve_session_heads(
    model: Model, plain: np.ndarray, deals: Deals, classes: list[str], count: int, shuffled: bool = False
) -> tuple[Study, pd.DataFrame]:
    """`solve_session_head` under every deal, from all photos that it gives to train or validation, in `count`
    folds, by session or `shuffled`. In the predictions, validation (all of train, where a deal has none) has
    what was said of it while it was left out. Gives also the paths of penalties with `scheme` and `seed`."""
    parts, paths, heads = [], [], {}
    for (scheme, seed), photos in deals.items():
        learned = photos["split"].isin(["train", "validation"]).to_numpy()
        known = photos[learned]
        folds = shuffled_folds(known, count, seed) if shuffled else session_folds(known, count)
        head, path, left_out = solve_session_head(plain[learned], known, classes, folds)
        probabilities = head_probabilities(head, plain)
        probabilities[learned] = left_out
        if not (photos["split"] == "validation").any():
            photos = photos.replace({"split": {"train": "validation"}})
        asked = photos["split"].isin(["validation", "test"]).to_numpy()
        parts.append(predictions_table(photos[asked], probabilities[asked], classes, model, seed, scheme))
        paths.append(path.assign(scheme=scheme, seed=seed))
        heads[scheme, seed] = head
    history = head.history.assign(scheme=[])
    return Study(pd.concat(parts, ignore_index=True), history, heads), pd.concat(paths, ignore_index=True)
