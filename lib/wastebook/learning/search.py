"""Optuna's search over the five parameters of FIUBA's recipe, on cached features: seconds, not hours."""

import json
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import joblib
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
        table = search.trials_dataframe(attrs=("number", "state", "value", "duration", "params"))
        table = table.assign(state=table["state"].str.lower(), duration=table["duration"].dt.total_seconds())
        table.columns = table.columns.str.removeprefix("params_").str.replace("duration", "seconds")
        return train_head(*given, seed, epochs=epochs, **search.best_params), table

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
    the `trials` completed first. WastebookError for fewer than one."""
    if trials < 1:
        raise WastebookError(f"trials={trials} searches nothing: ask for one or more.")
    train, validation = ((photos["split"] == split).to_numpy() for split in ("train", "validation"))
    wanted, largest = class_numbers(photos.loc[validation, "label"], classes), int(train.sum())
    sizes = [size for size in BATCH_SIZES if size <= largest] or [largest]
    learned = photos.loc[train | validation, ["sha256", "label", "split"]].to_csv(index=False)
    given = joblib.hash((epochs, classes, learned, features[:, train], plain[validation]))
    shared = os.environ.get("OPTUNA_STORAGE", "")
    study = _open_study(shared or file, f"{model.id}, seed {seed}, {given}")  # another of other data

    def score(trial: optuna.Trial) -> float:
        values = suggest_parameters(trial, sizes)
        head = train_head(features, plain, photos, classes, model, seed, epochs=epochs, **values)
        guessed = head_probabilities(head, plain[validation]).argmax(axis=1)
        return float(f1_score(wanted, guessed, average="macro"))

    while len(done := study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))) < trials:
        # Seeded for each trial, so that a resumed search draws what it would have drawn; several draw freely.
        drawn = None if shared else 1000 * seed + len(done)
        study.sampler = optuna.samplers.TPESampler(seed=drawn, constant_liar=bool(shared))
        study.optimize(score, n_trials=1)
    first = optuna.create_study(direction="maximize")
    first.add_trials(sorted(done, key=lambda trial: str(trial.datetime_complete))[:trials])
    return first


def parameter_importance(searches: Mapping[tuple[str, int], optuna.Study]) -> pd.Series:
    """The share of the objective's variation that each parameter accounts for (functional ANOVA, Hutter et
    al. 2014), on average over some searches; empty where one cannot say: under 10 trials, or all alike."""
    fanova, found = optuna.importance.FanovaImportanceEvaluator(seed=0), []
    for search in searches.values():
        if len(search.trials) < 10 or len({trial.value for trial in search.trials}) < 2:
            return pd.Series(dtype=float)
        found.append(optuna.importance.get_param_importances(search, evaluator=fanova))
    return pd.DataFrame(found).mean().sort_values(ascending=False)


def _open_study(place: str | Path, name: str) -> optuna.Study:
    """The study of that name in a journal, or in the database at an address; made where it is not there or is
    not whole. In a database, others try again what a silent worker has begun."""
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
    return optuna.create_study(storage=storage, study_name=name, direction="maximize", load_if_exists=True)


def _is_whole(journal: Path) -> bool:
    """Whether a journal has a record of JSON on each of its lines, and no line is cut short."""
    content = journal.read_bytes()
    try:
        return all(json.loads(line) for line in content.splitlines()) and content[-1:] in (b"", b"\n")
    except ValueError:
        return False
