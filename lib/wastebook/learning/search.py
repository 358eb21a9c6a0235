"""Optuna's search over the five parameters of FIUBA's recipe, on cached features: seconds, not hours."""

import hashlib
import json
import time
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from sklearn.metrics import f1_score

from wastebook.errors import WastebookError
from wastebook.learning.heads import Head, head_probabilities, train_head
from wastebook.learning.predictions import Model, class_numbers
from wastebook.learning.study import Deals, Study, study_deals

BATCH_SIZES = (16, 32, 64)
# Their five, in ranges with room on all sides of what they found best.
SPACE = {
    "learning_rate": FloatDistribution(1e-4, 2e-2, log=True),
    "weight_decay": FloatDistribution(1e-6, 1e-2, log=True),
    "batch_size": CategoricalDistribution(BATCH_SIZES),
    "step_size": IntDistribution(3, 10),
    "gamma": FloatDistribution(0.1, 0.9),
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
    trials completed there, and being killed changes nothing of what is found. Gives the first `trials`, with
    the user attribute `seconds`. WastebookError for fewer than one."""
    if trials < 1:
        raise WastebookError(f"trials={trials} searches nothing: ask for one or more.")
    train, validation = ((photos["split"] == split).to_numpy() for split in ("train", "validation"))
    wanted, largest = class_numbers(photos.loc[validation, "label"], classes), int(train.sum())
    sizes = [size for size in BATCH_SIZES if size <= largest] or [largest]
    space = SPACE | {"batch_size": CategoricalDistribution(sizes)}
    facts = [photos.loc[rows, ["sha256", "label"]].to_csv(index=False) for rows in (train, validation)]
    told = hashlib.sha256(features[:, train].tobytes() + plain[validation].tobytes())
    told.update(repr((epochs, classes, *facts)).encode())  # other data or epochs are another study
    study = _open_study(file, f"{model.id}, seed {seed}, {told.hexdigest()[:16]}")
    while (done := len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))) < trials:
        # A sampler of its own per trial: one that is resumed draws what it would have drawn.
        study.sampler = optuna.samplers.TPESampler(seed=1000 * seed + done)
        trial, started = study.ask(space), time.perf_counter()
        head = train_head(features, plain, photos, classes, model, seed, epochs=epochs, **trial.params)
        guessed = head_probabilities(head, plain[validation]).argmax(axis=1)
        trial.set_user_attr("seconds", time.perf_counter() - started)
        study.tell(trial, float(f1_score(wanted, guessed, average="macro")))
    # A journal may hold more, from a longer search before.
    first = optuna.create_study(direction="maximize")
    first.add_trials(study.get_trials(states=(TrialState.COMPLETE,))[:trials])
    return first


def _open_study(file: Path, name: str) -> optuna.Study:
    """The study of that name in a journal, made where it is not there or is not whole; trials cut off in it
    have failed."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.exists() and not _is_whole(file):
        file.unlink()
    storage = JournalStorage(JournalFileBackend(str(file)))
    study = optuna.create_study(storage=storage, study_name=name, direction="maximize", load_if_exists=True)
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
