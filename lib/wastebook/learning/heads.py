"""Heads on cached features: FIUBA's recipe for the one linear layer that they train, and its exact
solution."""

import math
import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from wastebook.errors import WastebookError
from wastebook.learning.predictions import check_trainable, class_numbers, predictions_table

BALANCES = ("none", "class_weights", "sampling")
HISTORY_COLUMNS = ["model", "seed", "epoch", "split", "loss", "accuracy"]
BETA_1, BETA_2, EPSILON = np.float32(0.9), np.float32(0.999), np.float32(1e-8)  # Adam's defaults
TINY = np.float32(1e-30)  # keeps the logarithm of a vanished probability finite
L2_PATH = tuple(np.logspace(0, -4, 13))  # strongest first: each solution starts from the one before


class Head(NamedTuple):
    """A linear layer on features: logits = features @ weight.T + bias. `weight` is (K, D) float32 for the K
    `classes`, `history` its training (an epoch and split a row), `parameters` what it was trained with."""

    weight: np.ndarray
    bias: np.ndarray
    classes: list[str]
    history: pd.DataFrame
    parameters: dict[str, Any]
    seconds: float


def train_head(
    features: np.ndarray,
    plain: np.ndarray,
    photos: pd.DataFrame,
    classes: list[str],
    model: str,
    seed: int = 0,
    epochs: int = 15,
    learning_rate: float = 1e-3,
    weight_decay: float = 0.0,
    batch_size: int = 32,
    step_size: int = 5,
    gamma: float = 0.5,
    balance: str = "none",
    mixup: float = 0.0,
) -> Head:
    """Train a linear layer as FIUBA did: cross-entropy, Adam, the learning rate times `gamma` every
    `step_size` epochs.

    `features` is (views, N, D) for the N rows of `photos`, of which those in `train` are learned from, each
    epoch from the next view; `plain` (N, D) are the features of the photos as they are, for validation.
    `balance`: `class_weights` in the loss, or `sampling` each class as often, against imbalance. `mixup`: the
    alpha of mixup on features (Zhang et al. 2018; 0 for none). The same arguments give the same head, bit for
    bit. WastebookError where a class is absent from a split or a batch is larger than the data.
    """
    check_trainable(photos, classes, batch_size)
    if balance not in BALANCES:
        raise WastebookError(f"There is no balance {balance!r}: name one of {', '.join(BALANCES)}.")
    if epochs < 1:
        raise WastebookError(f"epochs={epochs} trains nothing: ask for one or more.")
    started = time.perf_counter()
    parameters = {
        "epochs": epochs,
        "learning_rate": learning_rate,
        "weight_decay": weight_decay,
        "batch_size": batch_size,
        "step_size": step_size,
        "gamma": gamma,
        "balance": balance,
        "mixup": mixup,
        "views": len(features),
    }
    train, validation = ((photos["split"] == split).to_numpy() for split in ("train", "validation"))
    numbers = class_numbers(photos["label"], classes)
    wanted = np.eye(len(classes), dtype=np.float32)[numbers[train]]
    views = [_with_ones(view[train]) for view in features]
    held_out, held_out_numbers = _with_ones(plain[validation]), numbers[validation]
    class_weights = len(wanted) / (len(classes) * wanted.sum(axis=0))
    importance = (wanted @ class_weights) if balance == "class_weights" else np.ones(len(wanted), np.float32)

    random = np.random.default_rng(seed)
    bound = 1 / math.sqrt(plain.shape[1])  # PyTorch's initialisation of a linear layer
    matrix = random.uniform(-bound, bound, (len(classes), plain.shape[1] + 1)).astype(np.float32)
    update = _adam(matrix, weight_decay)
    rows = []
    with threadpool_limits(1):  # products this small only wait for other threads
        for epoch in range(epochs):
            view, rate = views[epoch % len(views)], learning_rate * gamma ** (epoch // step_size)
            order = random.permutation(len(wanted))
            if balance == "sampling":
                often = wanted @ class_weights / len(wanted)
                order = random.choice(len(wanted), len(wanted), p=often / often.sum(dtype=np.float64))
            losses, right = 0.0, 0
            for batch in np.split(order, range(batch_size, len(order), batch_size)):
                inputs, targets, weights = view[batch], wanted[batch], importance[batch][:, None]
                if mixup:
                    share = np.float32(random.beta(mixup, mixup))
                    partner = random.permutation(len(batch))
                    inputs = share * inputs + (1 - share) * inputs[partner]
                    targets = share * targets + (1 - share) * targets[partner]
                    weights = share * weights + (1 - share) * weights[partner]
                probabilities = _softmax(inputs @ matrix.T)
                weights = weights / weights.sum()
                update((weights * (probabilities - targets)).T @ inputs, rate)
                surprise = -(targets * np.log(probabilities + TINY)).sum(axis=1)
                losses += float(weights[:, 0] @ surprise) * len(batch)
                right += int((probabilities.argmax(axis=1) == targets.argmax(axis=1)).sum())
            probabilities = _softmax(held_out @ matrix.T)
            surprise = -np.log(probabilities[np.arange(len(held_out)), held_out_numbers] + TINY)
            accuracy = float((probabilities.argmax(axis=1) == held_out_numbers).mean())
            rows.append((model, seed, epoch + 1, "train", losses / len(wanted), right / len(wanted)))
            rows.append((model, seed, epoch + 1, "validation", float(surprise.mean()), accuracy))
    if not np.isfinite(matrix).all():
        raise WastebookError(f"Training diverged at learning_rate={learning_rate}: lower it.")
    history = pd.DataFrame(rows, columns=HISTORY_COLUMNS)
    return Head(
        matrix[:, :-1].copy(),
        matrix[:, -1].copy(),
        classes,
        history,
        parameters,
        time.perf_counter() - started,
    )


def solve_head(
    features: np.ndarray, plain: np.ndarray, photos: pd.DataFrame, classes: list[str]
) -> tuple[Head, pd.DataFrame]:
    """The head that no search can beat on its own loss: multinomial logistic regression on standardised
    features, solved by L-BFGS along a path of L2 penalties, of which the one with the least validation loss
    is taken.

    Arguments as `train_head`'s; all views are learned from at once. Gives the head (for features as they are,
    the standardisation folded in) and the path: a row a penalty, `l2, train_loss, validation_loss,
    validation_accuracy`.
    """
    check_trainable(photos, classes, batch_size=1)
    started = time.perf_counter()
    train, validation = ((photos["split"] == split).to_numpy() for split in ("train", "validation"))
    targets = class_numbers(photos["label"], classes)
    learned = np.concatenate([view[train] for view in features]).astype(np.float64)
    mean, scale = learned.mean(axis=0), learned.std(axis=0) + 1e-6
    learned = (learned - mean) / scale
    held_out = (plain[validation] - mean) / scale
    if (basis := basis_of(learned)) is not None:
        learned, held_out = learned @ basis, held_out @ basis
    wanted = np.tile(targets[train], len(features))
    solver = LogisticRegression(tol=1e-4, max_iter=300, warm_start=True)
    rows, solutions = [], []
    for l2 in L2_PATH:
        solver.set_params(C=1 / (l2 * len(learned)))
        with threadpool_limits(1), warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", ConvergenceWarning
            )  # near enough: the path's next step goes on from here
            solver.fit(learned, wanted)
        train_loss, _ = _loss_and_accuracy(solver, learned, wanted)
        loss, accuracy = _loss_and_accuracy(solver, held_out, targets[validation])
        rows.append((l2, train_loss, loss, accuracy))
        solutions.append((loss, l2, *_both_classes(solver)))
        if loss > 1.5 * min(found[0] for found in solutions):
            break  # far into over-fitting: weaker penalties only take longer
    _, l2, weight, bias = min(solutions, key=lambda found: found[0])
    weight = (weight if basis is None else weight @ basis.T) / scale
    bias = bias - weight @ mean
    history = pd.DataFrame(columns=HISTORY_COLUMNS)
    head = Head(
        weight.astype(np.float32),
        bias.astype(np.float32),
        classes,
        history,
        {"l2": l2, "views": len(features)},
        time.perf_counter() - started,
    )
    return head, pd.DataFrame(rows, columns=["l2", "train_loss", "validation_loss", "validation_accuracy"])


def basis_of(features: np.ndarray) -> np.ndarray | None:
    """An orthonormal basis (D, N) of what the rows of `features` (N, D) span, where they are fewer than their
    features; else None.

    The best weights under an L2 penalty lie there (Kimeldorf and Wahba 1971): sought among N numbers instead
    of D they are the same, and sooner found.
    """
    return np.linalg.qr(features.T)[0] if len(features) < features.shape[1] else None


def head_probabilities(head: Head, plain: np.ndarray) -> np.ndarray:
    """(N, K) float64 class probabilities of (N, D) features."""
    logits = plain.astype(np.float64) @ head.weight.T.astype(np.float64) + head.bias
    return _softmax(logits)


def predict_head(
    head: Head, plain: np.ndarray, photos: pd.DataFrame, model: str, seed: int, scheme: str
) -> pd.DataFrame:
    """The predictions table of a head for all of `photos`, from their features as they are, (N, D)."""
    return predictions_table(photos, head_probabilities(head, plain), head.classes, model, seed, scheme)


def _with_ones(features: np.ndarray) -> np.ndarray:
    """The features with a column of ones, so that the bias is a weight like the others."""
    return np.concatenate([features, np.ones((len(features), 1), np.float32)], axis=1)


def _softmax(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def _adam(matrix: np.ndarray, weight_decay: float) -> Callable[[np.ndarray, float], None]:
    """A step of Adam (Kingma and Ba 2015) on `matrix`, in place, given its gradient and a learning rate:
    PyTorch's, with its defaults and its weight decay (added to the gradient), at a fifth of its time for one
    so small."""
    mean, square = np.zeros_like(matrix), np.zeros_like(matrix)
    steps = 0

    def step(gradient: np.ndarray, rate: float) -> None:
        nonlocal steps
        steps += 1
        gradient = gradient + np.float32(weight_decay) * matrix
        np.add(BETA_1 * mean, (1 - BETA_1) * gradient, out=mean)
        np.add(BETA_2 * square, (1 - BETA_2) * gradient * gradient, out=square)
        deviation = np.sqrt(square) / np.float32(math.sqrt(1 - float(BETA_2) ** steps)) + EPSILON
        np.subtract(matrix, np.float32(rate / (1 - float(BETA_1) ** steps)) * mean / deviation, out=matrix)

    return step


def _loss_and_accuracy(
    solver: LogisticRegression, features: np.ndarray, wanted: np.ndarray
) -> tuple[float, float]:
    probabilities = solver.predict_proba(features)
    loss = -np.log(np.clip(probabilities[np.arange(len(wanted)), wanted], 1e-12, None)).mean()
    return float(loss), float((probabilities.argmax(axis=1) == wanted).mean())


def _both_classes(solver: LogisticRegression) -> tuple[np.ndarray, np.ndarray]:
    """The solution as a row of weights and a bias a class; for two classes scikit-learn keeps only the
    second's."""
    weight, bias = solver.coef_.copy(), solver.intercept_.copy()
    if len(weight) == 1:
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    return weight, bias
