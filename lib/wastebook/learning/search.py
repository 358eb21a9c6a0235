"""Optuna's search over the five parameters of FIUBA's recipe, on cached features: seconds instead of
hours."""

import hashlib
import time
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from sklearn.metrics import f1_score

from wastebook.errors import WastebookError
from wastebook.learning.heads import head_probabilities, train_head
from wastebook.learning.predictions import class_numbers

# Their five, in ranges with room on all sides of what they found best.
SPACE: dict[str, BaseDistribution] = {
    "learning_rate": FloatDistribution(1e-4, 2e-2, log=True),
    "weight_decay": FloatDistribution(1e-6, 1e-2, log=True),
    "batch_size": CategoricalDistribution((16, 32, 64)),
    "step_size": IntDistribution(3, 10),
    "gamma": FloatDistribution(0.1, 0.9),
}


def search_head(
    features: np.ndarray,
    plain: np.ndarray,
    photos: pd.DataFrame,
    classes: list[str],
    model: str,
    study_file: Path,
    trials: int = 20,
    seed: int = 0,
    epochs: int = 15,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Look for the parameters of `train_head` with the best validation macro F1, in `trials` trials of
    Optuna's TPE.

    Features and photos as `train_head`'s. The study is kept in `study_file` (a journal); called again it goes
    on from the trials completed there, and being killed changes nothing of what is found. Gives the trials (a
    row each: `number, state, value, seconds` and a column a parameter) and the best one's parameters.
    WastebookError for fewer than one trial.
    """
    if trials < 1:
        raise WastebookError(f"trials={trials} searches nothing: ask for one or more.")
    train, validation = ((photos["split"] == split).to_numpy() for split in ("train", "validation"))
    wanted = class_numbers(photos.loc[validation, "label"], classes)
    largest = int(train.sum())
    sizes = tuple(size for size in SPACE["batch_size"].choices if size <= largest) or (largest,)  # type: ignore[attr-defined]
    space = SPACE | {"batch_size": CategoricalDistribution(sizes)}
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study_file.parent.mkdir(parents=True, exist_ok=True)
    told = hashlib.sha256(features[:, train].tobytes() + plain[validation].tobytes())
    facts = [photos.loc[rows, ["sha256", "label"]].to_csv(index=False) for rows in (train, validation)]
    told.update(repr((epochs, classes, *facts)).encode())
    study = optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(study_file))),
        study_name=f"{model}, seed {seed}, {told.hexdigest()[:16]}",  # other data or epochs are another study
        direction="maximize",
        load_if_exists=True,
    )
    for stale in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):  # cut off when killed
        study.tell(stale.number, state=TrialState.FAIL)
    while (done := len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))) < trials:
        # A sampler of its own a trial: one that is resumed draws what it would have drawn.
        study.sampler = optuna.samplers.TPESampler(seed=1000 * seed + done)
        trial = study.ask(space)
        started = time.perf_counter()
        head = train_head(features, plain, photos, classes, model, seed, epochs, **trial.params)
        guessed = head_probabilities(head, plain[validation]).argmax(axis=1)
        trial.set_user_attr("seconds", time.perf_counter() - started)
        study.tell(trial, float(f1_score(wanted, guessed, average="macro")))
    rows = [
        {"number": tried.number, "state": tried.state.name.lower(), "value": tried.value}
        | {"seconds": tried.user_attrs.get("seconds"), **tried.params}
        for tried in study.get_trials(deepcopy=False)
    ]
    return pd.DataFrame(rows), study.best_params
