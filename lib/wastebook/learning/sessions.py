"""A head validated on photos that were collected at another time.

Collections from the web come in runs: one search after another, numbered as they were saved. Photos of one
search are alike without being copies, so a validation that shuffles them flatters. Here it leaves out whole
runs of numbers.
"""

import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import expit
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from wastebook.data.splits import group_numbers
from wastebook.errors import WastebookError
from wastebook.learning.heads import basis_of
from wastebook.learning.predictions import class_numbers
from wastebook.photos.decode import thread_count

PENALTIES = tuple(np.logspace(0.5, -2, 6))  # L2, strongest first: each solution starts from the one before


class SessionHead(NamedTuple):
    """logit of the second class = features @ weight + bias; `path` has a row a penalty (`l2, log_loss,
    accuracy` over the blocks left out), `left_out` the (N, 2) class probabilities that each photo
    got from the others."""

    weight: np.ndarray
    bias: float
    path: pd.DataFrame
    left_out: np.ndarray


def file_numbers(photos: pd.DataFrame) -> np.ndarray:
    """The last number in each file's name; 0 where there is none."""
    return photos["path"].str.extract(r"(\d+)\D*$")[0].astype("float").fillna(0).to_numpy()


def name_sessions(photos: pd.DataFrame, searches: pd.DataFrame) -> pd.Series:
    """What the run of file numbers that each photo is in shows, missing where nobody has said: `searches` has
    `label, first, last, shows`."""
    names = pd.Series(pd.NA, index=photos.index, dtype="str")
    numbers = file_numbers(photos)
    for row in searches.to_dict("records"):
        inside = (photos["label"] == row["label"]) & (numbers >= row["first"]) & (numbers <= row["last"])
        names[inside] = row["shows"]
    return names


def session_folds(photos: pd.DataFrame, blocks: int) -> np.ndarray:
    """A block, 0 to `blocks` - 1, for each photo: equal shares of each class in the order of the numbers in
    the file names. A group stays in the block of its first photo."""
    table = photos[["path", "label", "group"]].reset_index(drop=True)
    table["number"] = file_numbers(table)
    table = table.sort_values(["label", "number", "path"], kind="stable")
    by_label = table.groupby("label", sort=False)
    table["block"] = by_label.cumcount() * blocks // by_label["path"].transform("size")
    return table.groupby(group_numbers(table))["block"].transform("first").sort_index().to_numpy()


def shuffled_folds(photos: pd.DataFrame, blocks: int, seed: int) -> np.ndarray:
    """The same, but in random order within each class: what is usually done."""
    order = np.random.default_rng(seed).permutation(len(photos))
    shuffled = photos.iloc[order].reset_index(drop=True)
    shuffled["path"] = [f"{place}" for place in range(len(photos))]
    result = np.empty(len(photos), dtype=np.int64)
    result[order] = session_folds(shuffled, blocks)
    return result


def solve_session_head(
    features: np.ndarray, photos: pd.DataFrame, classes: list[str], blocks: np.ndarray
) -> SessionHead:
    """Logistic regression on standardised features (N, D) of `photos`, with what it cannot learn from them by
    itself learned from its predictions for blocks left out: the L2 penalty, by their log loss, and then a
    slope and an offset for its logits (Platt, 1999), which make its probabilities mean what they say on
    photos from elsewhere.

    `blocks` is a number a photo. WastebookError where there are not two classes, or one is absent outside a
    block.
    """
    targets = class_numbers(photos["label"], classes)
    if len(classes) != 2:
        raise WastebookError(f"This head tells two classes apart; the data set has {len(classes)}.")
    for block in np.unique(blocks):
        if len(np.unique(targets[blocks != block])) < 2:
            raise WastebookError(
                f"Block {block} holds all photos of a class: take more blocks, or add photos."
            )
    mean, scale = features.mean(axis=0), features.std(axis=0) + 1e-6
    standard = ((features - mean) / scale).astype(np.float32)
    logits = np.zeros((len(PENALTIES), len(standard)))

    def leave_out(block: int) -> None:
        inside = blocks == block
        for at, (weight, bias) in enumerate(_solutions(standard[~inside], targets[~inside])):
            logits[at, inside] = standard[inside] @ weight + bias

    with warnings.catch_warnings(), threadpool_limits(1):  # the filters once: threads share them
        warnings.simplefilter("ignore", ConvergenceWarning)  # near enough: the next step goes on from there
        # A thread a block: within one solution threads would wait for one another longer than they work.
        with ThreadPoolExecutor(thread_count()) as pool:
            list(pool.map(leave_out, np.unique(blocks)))
        losses = np.logaddexp(0, np.where(targets == 1, -logits, logits)).mean(axis=1)
        best = int(losses.argmin())
        *_, (weight, bias) = _solutions(standard, targets, PENALTIES[: best + 1])
    right = ((logits > 0) == targets).mean(axis=1)
    path = pd.DataFrame({"l2": PENALTIES, "log_loss": losses, "accuracy": right})
    platt = LogisticRegression(C=np.inf).fit(logits[best][:, None], targets)
    slope, offset = float(platt.coef_[0, 0]), float(platt.intercept_[0])
    weight, bias = slope * weight / scale, slope * bias + offset
    return SessionHead(
        weight, float(bias - mean @ weight), path, _as_probabilities(slope * logits[best] + offset)
    )


def session_probabilities(head: SessionHead, features: np.ndarray) -> np.ndarray:
    """(N, 2) float64 class probabilities of (N, D) features."""
    return _as_probabilities(features.astype(np.float64) @ head.weight + head.bias)


def _as_probabilities(logits: np.ndarray) -> np.ndarray:
    """(N, 2) probabilities from the (N,) logits of the second class."""
    return np.stack([expit(-logits), expit(logits)], axis=1)


def _solutions(
    features: np.ndarray, targets: np.ndarray, penalties: tuple[float, ...] = PENALTIES
) -> list[tuple[np.ndarray, float]]:
    """Weight (D,) and bias under each penalty."""
    basis = basis_of(features)
    features = features if basis is None else features @ basis
    solver = LogisticRegression(tol=1e-3, max_iter=300, warm_start=True)
    found = []
    for l2 in penalties:
        solver.set_params(C=1 / (l2 * len(features)))
        solver.fit(features, targets)
        weight = solver.coef_[0] if basis is None else basis @ solver.coef_[0]
        found.append((weight.astype(np.float64), float(solver.intercept_[0])))
    return found


def domain_auc(features: np.ndarray, ours: np.ndarray, seed: int = 0) -> float:
    """How well a linear model tells the photos `ours` (bool, a value a row) from the others by their features
    (N, D): the area under its ROC curve on photos left out. 0.5 is not at all; two random halves of one
    collection give that."""
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1e-3, max_iter=300, tol=1e-3))
    folds = StratifiedKFold(3, shuffle=True, random_state=seed)
    with threadpool_limits(1):
        return float(cross_val_score(model, features, ours, scoring="roc_auc", cv=folds).mean())
