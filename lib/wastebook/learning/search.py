"""Optuna's search over the five parameters of FIUBA's recipe, on cached features: seconds, not hours."""

import hashlib
import json
import os
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
from optuna.exceptions import ExperimentalWarning
from optuna.storages import JournalStorage, RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from sklearn.metrics import f1_score

from wastebook.errors import WastebookError
from wastebook.learning.heads import Head, head_probabilities, train_head
from wastebook.learning.predictions import Model, class_numbers
from wastebook.learning.study import Deals, Study, study_deals

BATCH_SIZES = (16, 32, 64)
# Seconds between two signs of life that a worker leaves in a database; after two without, it is dead.
HEARTBEAT = 30


def suggest_parameters(trial: optuna.Trial, batch_sizes: Sequence[int]) -> dict[str, float]:
    """FIUBA's five, in ranges with room on all sides of what they found best."""
    return {
        "learning_rate": trial.suggest_float("learning_rate", 1e-4, 2e-2, log=True),
        "weight_decay": trial.suggest_float("weight_decay", 1e-6, 1e-2, log=True),
        "batch_size": trial.suggest_categorical("batch_size", batch_sizes),
        "step_size": trial.suggest_int("step_size", 3, 10),
        "gamma": trial.suggest_float("gamma", 0.1, 0.9),
    }


def search_heads(
    model: Model,
    features: np.ndarray,
    plain: np.ndarray,
    deals: Deals,
    classes: list[str],
    folder: Path,
    trials: int,
    epochs: int,
) -> tuple[Study, pd.DataFrame]:
    """The recipe's parameters searched by Optuna under every deal, and a head trained with the best of each.

    Parameters
    ----------
    model, features, plain, deals, classes : as `train_heads`'
    folder : where the journals are kept, from which a search goes on
    trials, epochs : how many of each, 1 or more

    Returns
    -------
    Study, whose `searches` are Optuna's, and all trials (`number, state, value, seconds`, the parameters)

    Examples
    --------
    >>> study, trials = search_heads(model, *data, folder, trials=20, epochs=15)  # doctest: +SKIP
    """
    searches = {}

    def learn(photos: pd.DataFrame, scheme: str, seed: int) -> tuple[Head, pd.DataFrame]:
        given = (features, plain, photos, classes, model)
        file = folder / f"{model.id}-{scheme}-{seed}.journal"
        search = searches[scheme, seed] = search_head(*given, file, trials, seed, epochs)
        table = search.trials_dataframe(attrs=("number", "state", "value", "user_attrs", "params"))
        table.columns = table.columns.str.replace(r"^(user_attrs|params)_", "", regex=True)
        head = train_head(*given, seed, epochs=epochs, **search.best_params)
        return head, table.assign(state=table["state"].str.lower())

    study, found = study_deals(model, plain, deals, learn)
    return study._replace(searches=searches), found


def search_head(
    features: np.ndarray,
    plain: np.ndarray,
    photos: pd.DataFrame,
    classes: list[str],
    model: Model,
    file: Path,
    trials: int,
    seed: int,
    epochs: int,
) -> optuna.Study:
    """Look for the parameters of `train_head` with the best validation macro F1, by Optuna's TPE; other
    arguments are that function's. The journal `file` keeps the search: called again it goes on from the
    trials completed there, and being killed changes nothing of what is found. Where `OPTUNA_STORAGE` names a
    database, it is kept there instead, and whoever asks the same at the same time shares the work. Gives
    the `trials` completed first, with the user attribute `seconds`. WastebookError for fewer than one."""
    if trials < 1:
        raise WastebookError(f"trials={trials} searches nothing: ask for one or more.")
    train, validation = ((photos["split"] == split).to_numpy() for split in ("train", "validation"))
    wanted, largest = class_numbers(photos.loc[validation, "label"], classes), int(train.sum())
    sizes = [size for size in BATCH_SIZES if size <= largest] or [largest]
    name = _name_study(model, seed, (epochs, classes), photos, features[:, train], plain[validation])
    shared = os.environ.get("OPTUNA_STORAGE", "")
    study = _open_study(shared or file, name)

    def score(trial: optuna.Trial) -> float:
        values, started = suggest_parameters(trial, sizes), time.perf_counter()
        head = train_head(features, plain, photos, classes, model, seed, epochs=epochs, **values)
        guessed = head_probabilities(head, plain[validation]).argmax(axis=1)
        trial.set_user_attr("seconds", time.perf_counter() - started)
        return float(f1_score(wanted, guessed, average="macro"))

    while len(done := study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))) < trials:
        # Seeded for each trial, so that a resumed search draws what it would have drawn; several draw freely.
        drawn = None if shared else 1000 * seed + len(done)
        study.sampler = optuna.samplers.TPESampler(seed=drawn, constant_liar=bool(shared))
        study.optimize(score, n_trials=1)
    first = optuna.create_study(direction="maximize")
    first.add_trials(sorted(done, key=lambda trial: str(trial.datetime_complete))[:trials])
    return first


def _name_study(model: Model, seed: int, facts: Any, photos: pd.DataFrame, *given: np.ndarray) -> str:
    """A name for a study: other data, or other `facts`, are another one."""
    learned = photos.loc[photos["split"].isin(["train", "validation"]), ["sha256", "label", "split"]]
    told = hashlib.sha256(f"{facts!r}{learned.to_csv(index=False)}".encode())
    for array in given:
        told.update(array.tobytes())
    return f"{model.id}, seed {seed}, {told.hexdigest()[:16]}"


def _open_study(place: str | Path, name: str) -> optuna.Study:
    """The study of that name in a journal, or in the database at an address; made where it is not there or is
    not whole. Trials cut off have failed; in a database, others try again what a silent worker has begun."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage: RDBStorage | JournalStorage
    if isinstance(place, str):
        with warnings.catch_warnings(category=ExperimentalWarning, action="ignore"):
            again = RetryHeartbeatStaleTrialCallback(max_retry=2)
            storage = RDBStorage(place, heartbeat_interval=HEARTBEAT, heartbeat_stale_trial_callback=again)
    else:
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.exists() and not _is_whole(place):
            place.unlink()
        storage = JournalStorage(JournalFileBackend(str(place)))
    study = optuna.create_study(storage=storage, study_name=name, direction="maximize", load_if_exists=True)
    if isinstance(place, Path):  # nobody else is at work on it
        for stale in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            study.tell(stale.number, state=TrialState.FAIL)
    return study


def _is_whole(journal: Path) -> bool:
    """Whether a journal has a record of JSON on each of its lines, and no line is cut short."""
    content = journal.read_bytes()
    try:
        return all(json.loads(line) for line in content.splitlines()) and content[-1:] in (b"", b"\n")
    except ValueError:
        return False
