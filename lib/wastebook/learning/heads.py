"""Heads on cached features: FIUBA's recipe for the one linear layer they train, and its exact solution."""

import math
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.special import softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from wastebook.errors import WastebookError
from wastebook.learning import predictions
from wastebook.learning.predictions import Model, Scores, check_trainable, class_numbers

BALANCES = ("none", "class_weights", "sampling")
BETA_1, BETA_2, EPSILON = np.float32(0.9), np.float32(0.999), np.float32(1e-8)  # Adam's defaults
TINY = np.float32(1e-30)  # keeps the logarithm of a vanished probability finite
Batch = tuple[np.ndarray, ...]  # inputs, targets and weights
Step = Callable[[np.ndarray, float], None]  # given a gradient and a learning rate
L2_PATH = tuple(np.logspace(0, -4, 13))  # strongest first: each solution starts from the one before


class Head(NamedTuple):
    """A linear layer on features: logits = features @ weight.T + bias. `weight` is (K, D) float32 for the K
    `classes`, `seconds` is what its training took, `history` has a row per epoch and split."""

    weight: np.ndarray
    bias: np.ndarray
    classes: list[str]
    seconds: float = 0.0
    history: pd.DataFrame = pd.DataFrame(columns=predictions.HISTORY)


class Recipe(NamedTuple):
    """FIUBA's: cross-entropy, Adam, the learning rate times `gamma` every `step_size` epochs. Against
    imbalance, `balance` may be `class_weights` in the loss, or `sampling` each class as often. `mixup` is the
    alpha of mixup on features (Zhang et al. 2018; 0 for none)."""

    epochs: int = 15
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    batch_size: int = 32
    step_size: int = 5
    gamma: float = 0.5
    balance: str = "none"
    mixup: float = 0.0


def train_head(
    features: np.ndarray,
    plain: np.ndarray,
    photos: pd.DataFrame,
    classes: list[str],
    model: Model,
    seed: int = 0,
    **options: Any,
) -> Head:
    """Train a linear layer by a `Recipe`, whose fields are the `options`; the same arguments, the same head.
    `features` is (views, N, D) for the N rows of `photos`, of which those in `train` are learned from, each
    epoch from the next view; `plain` (N, D) are the features of the photos as they are, for validation.
    WastebookError for options that do not suit the photos, and where the training diverges."""
    recipe, started = Recipe(**predictions.usual_batch(photos) | options), time.perf_counter()
    random = np.random.default_rng(seed)
    check_trainable(photos, classes, recipe.batch_size, recipe.epochs, len(features))
    if recipe.balance not in BALANCES:
        raise WastebookError(f"There is no balance={recipe.balance!r}: name one of {', '.join(BALANCES)}.")
    train, validation = ((photos["split"] == split).to_numpy() for split in ("train", "validation"))
    numbers = class_numbers(photos["label"], classes)
    wanted = np.eye(len(classes), dtype=np.float32)[numbers[train]]
    given = (*(view[train] for view in features), plain[validation])
    *views, held_out = (np.pad(part, [(0, 0), (0, 1)], constant_values=1) for part in given)  # for the bias
    bound = 1 / math.sqrt(plain.shape[1])  # PyTorch's initialisation of a linear layer
    matrix = random.uniform(-bound, bound, (len(classes), held_out.shape[1])).astype(np.float32)
    update, epochs = _adam(matrix, recipe.weight_decay), []
    with threadpool_limits(1):  # products this small only wait for other threads
        for epoch in range(recipe.epochs):
            rate = recipe.learning_rate * recipe.gamma ** (epoch // recipe.step_size)
            batches = _batches(views[epoch % len(views)], wanted, recipe, random)
            learned = _learn(matrix, update, rate, batches)
            validated = _loss_and_accuracy(softmax(held_out @ matrix.T, axis=1), numbers[validation], TINY)
            epochs.append((*learned, *validated))
    if not np.isfinite(matrix).all():
        raise WastebookError(f"Training diverged at learning_rate={recipe.learning_rate}: lower it.")
    history, seconds = predictions.history_table(epochs, model, seed), time.perf_counter() - started
    return Head(matrix[:, :-1].copy(), matrix[:, -1].copy(), classes, seconds, history)


def solve_head(
    features: np.ndarray, plain: np.ndarray, photos: pd.DataFrame, classes: list[str]
) -> tuple[Head, pd.DataFrame]:
    """The head that no search can beat on its own loss: multinomial logistic regression on standardised
    features, of the L2 penalties in `L2_PATH` the one with the least validation loss.

    Arguments as `train_head`'s; all views are learned from at once. Gives the head, for features as they are,
    and the path: a row per penalty, `l2, train_loss, validation_loss, validation_accuracy`.
    """
    check_trainable(photos, classes, batch_size=1, views=len(features))
    started = time.perf_counter()
    train, validation = ((photos["split"] == split).to_numpy() for split in ("train", "validation"))
    targets = class_numbers(photos["label"], classes)
    learned = np.concatenate([view[train] for view in features]).astype(np.float64)
    wanted = np.tile(targets[train], len(features))
    mean, scale = learned.mean(axis=0), learned.std(axis=0) + 1e-6
    learned, held_out = (learned - mean) / scale, (plain[validation] - mean) / scale
    rows: list[tuple[float, ...]] = []
    best: tuple[Any, ...] = (np.inf,)
    with threadpool_limits(1), warnings.catch_warnings():  # one thread: more would wait longer than they work
        warnings.simplefilter("ignore", ConvergenceWarning)
        for l2, weight, bias in _solutions(learned, wanted):
            said, answers = (softmax(each @ weight.T + bias, axis=1) for each in (learned, held_out))
            loss, accuracy = _loss_and_accuracy(answers, targets[validation])
            rows.append((l2, _loss_and_accuracy(said, wanted)[0], loss, accuracy))
            best = min(best, (loss, l2, weight, bias), key=lambda found: found[0])
            if loss > 1.5 * best[0]:
                break  # far into over-fitting: weaker penalties only take longer
    _, l2, weight, bias = best
    weight = weight / scale
    folded = weight.astype(np.float32), (bias - weight @ mean).astype(np.float32)
    path = pd.DataFrame(rows, columns=["l2", "train_loss", "validation_loss", "validation_accuracy"])
    return Head(*folded, classes, time.perf_counter() - started), path


def _solutions(features: np.ndarray, wanted: np.ndarray) -> Iterator[tuple[float, np.ndarray, np.ndarray]]:
    """Each penalty with the weight (K, D) and bias (K,) that L-BFGS finds under it, from the last one's.

    The best weights under an L2 penalty lie in what the features span (Kimeldorf and Wahba 1971): sought
    among N numbers, where these are fewer than D, they are the same, and sooner found.
    """
    basis = np.linalg.qr(features.T)[0] if len(features) < features.shape[1] else None
    inputs = features if basis is None else features @ basis
    solver = LogisticRegression(tol=1e-4, max_iter=300, warm_start=True)
    for l2 in L2_PATH:
        solver.set_params(C=1 / (l2 * len(features))).fit(inputs, wanted)
        weight, bias = solver.coef_.copy(), solver.intercept_.copy()
        if len(weight) == 1:  # for two classes scikit-learn keeps only the second's
            weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
        yield l2, weight if basis is None else weight @ basis.T, bias


def head_probabilities(head: Head, plain: np.ndarray) -> np.ndarray:
    """(N, K) float64 class probabilities of (N, D) features."""
    return softmax(plain.astype(np.float64) @ head.weight.T.astype(np.float64) + head.bias, axis=1)


def predict_head(
    head: Head, plain: np.ndarray, photos: pd.DataFrame, model: Model, seed: int, scheme: str
) -> pd.DataFrame:
    """The predictions table of a head for all of `photos`, from their features as they are, (N, D)."""
    probabilities = head_probabilities(head, plain)
    return predictions.predictions_table(photos, probabilities, head.classes, model, seed, scheme)


def _batches(
    view: np.ndarray, wanted: np.ndarray, recipe: Recipe, random: np.random.Generator
) -> Iterator[Batch]:
    """An epoch's batches: inputs, targets (a share per class) and the photos' weights, whose sum is one."""
    class_weights = len(wanted) / (wanted.shape[1] * wanted.sum(axis=0))
    weighted = recipe.balance == "class_weights"
    importance = wanted @ class_weights if weighted else np.ones(len(wanted), np.float32)
    order = random.permutation(len(wanted))
    if recipe.balance == "sampling":
        often = wanted @ class_weights / len(wanted)
        order = random.choice(len(wanted), len(wanted), p=often / often.sum(dtype=np.float64))
    for rows in np.split(order, range(recipe.batch_size, len(order), recipe.batch_size)):
        batch = [view[rows], wanted[rows], importance[rows][:, None]]
        if recipe.mixup:
            share = np.float32(random.beta(recipe.mixup, recipe.mixup))
            partner = random.permutation(len(rows))
            batch = [share * each + (1 - share) * each[partner] for each in batch]
        yield *batch[:2], batch[2] / batch[2].sum()


def _learn(matrix: np.ndarray, update: Step, rate: float, batches: Iterator[Batch]) -> Scores:
    """One epoch on `matrix`, in place; gives its mean loss and accuracy."""
    losses, right, seen = 0.0, 0, 0
    for inputs, targets, weights in batches:
        probabilities = softmax(inputs @ matrix.T, axis=1)
        update((weights * (probabilities - targets)).T @ inputs, rate)
        surprise = -(targets * np.log(probabilities + TINY)).sum(axis=1)
        losses += float(weights[:, 0] @ surprise) * len(inputs)
        right += int((probabilities.argmax(axis=1) == targets.argmax(axis=1)).sum())
        seen += len(inputs)
    return losses / seen, right / seen


def _adam(matrix: np.ndarray, weight_decay: float) -> Step:
    """A step of Adam (Kingma and Ba 2015) on `matrix`, in place, given its gradient and a learning rate:
    PyTorch's, with its kind of weight decay, at a fifth of its time for one so small."""
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


def _loss_and_accuracy(probabilities: np.ndarray, numbers: np.ndarray, tiny: Any = 1e-12) -> Scores:
    """Mean cross-entropy, and the share of photos whose class is the most probable."""
    surprise = -np.log(probabilities[np.arange(len(numbers)), numbers] + tiny)
    return float(surprise.mean()), float((probabilities.argmax(axis=1) == numbers).mean())
