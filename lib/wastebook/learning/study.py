"""A model studied: trained alike under every split scheme and seed, so that scores come with their spread."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import optuna
import pandas as pd

from wastebook.data import split_photos
from wastebook.errors import WastebookError
from wastebook.learning.backbones import Backbone
from wastebook.learning.features import extract_features
from wastebook.learning.finetune import finetune
from wastebook.learning.heads import Head, predict_head, solve_head, train_head
from wastebook.learning.predictions import MODEL, Model
from wastebook.learning.search import search_head

Deals = dict[tuple[str, int], pd.DataFrame]  # the photos with `split` filled, by scheme and seed


class Study(NamedTuple):
    """A model under every scheme and seed: `predictions` for validation and test, the `history` of the
    training (with its `scheme`; empty where there were no epochs), and by scheme and seed the `heads` and the
    `searches` of Optuna that chose their parameters, where there were any."""

    predictions: pd.DataFrame
    history: pd.DataFrame
    heads: dict[tuple[str, int], Head]
    searches: Mapping[tuple[str, int], optuna.Study] = {}


def deal_photos(photos: pd.DataFrame, scheme: str, seeds: Sequence[int]) -> Deals:
    """The photos dealt out to train, validation and test, once per seed, and by the authors' own split beside
    it, where the photos have one with every class on every side.

    Parameters
    ----------
    photos : table sorted by `path`, whose order the deals keep: features of the one fit the other
    scheme : `random`, `grouped` or `official`
    seeds : of the draws

    Returns
    -------
    dict of the photos with `split` filled, by (scheme, seed)

    Examples
    --------
    >>> photos = pd.DataFrame({"path": [f"{at:02}.jpg" for at in range(60)]})
    >>> photos = photos.assign(label=["glass", "metal"] * 30, group=pd.NA, split=pd.NA)
    >>> list(deal_photos(photos, "random", seeds=[0, 1]))
    [('random', 0), ('random', 1)]
    """
    schemes = [scheme]
    with suppress(WastebookError):  # there is no official split
        official = split_photos(photos, "official", seeds[0])
        if scheme != "official" and official.groupby("label")["split"].nunique().min() == 3:
            schemes.append("official")
    return {(name, seed): split_photos(photos, name, seed) for name in schemes for seed in seeds}


def describe_deals(deals: Deals) -> pd.DataFrame:
    """A row per scheme, for its first seed: `scheme`, the number of photos in `train, validation, test`, and
    how many of test are `known`: another photo of their group is in train."""
    rows = []
    for (scheme, seed), photos in deals.items():
        if seed == next(iter(deals))[1]:
            train, test = (photos.loc[photos["split"] == split, "group"] for split in ("train", "test"))
            known = test.isin(train.dropna()).sum()
            rows.append({"scheme": scheme, **photos["split"].value_counts(), "known": known})
    return pd.DataFrame(rows)[["scheme", "train", "validation", "test", "known"]]


def train_heads(
    model: Model, features: np.ndarray, plain: np.ndarray, deals: Deals, classes: list[str], **recipe: Any
) -> Study:
    """The head of FIUBA's recipe, one linear layer, trained under every deal with its own seed.

    Parameters
    ----------
    model : what the tables call it
    features : (views, N, D) float32 that it learns from, each epoch from the next view
    plain : (N, D) float32 of the photos as they are, that it is judged on
    deals : from `deal_photos`, of those N photos
    classes : their labels, in the order of the head's outputs
    **recipe : fields of `wastebook.learning.heads.Recipe`: `epochs`, `learning_rate`, `balance`...

    Returns
    -------
    Study, with `predictions`, `history` and `heads`

    Examples
    --------
    >>> study = train_heads(model, features, features[0], deals, classes, epochs=15)  # doctest: +SKIP
    """
    heads = {
        key: train_head(features, plain, photos, classes, model, key[1], **recipe)
        for key, photos in deals.items()
    }
    return _study(model, plain, deals, heads)


def solve_heads(
    model: Model, features: np.ndarray, plain: np.ndarray, deals: Deals, classes: list[str]
) -> tuple[Study, pd.DataFrame]:
    """The exact solution of the same layer under every deal, its L2 penalty chosen on validation.

    Parameters
    ----------
    model, features, plain, deals, classes : as `train_heads`'; all views are learned from at once

    Returns
    -------
    Study, and the paths of penalties: `l2, train_loss, validation_loss, validation_accuracy, scheme, seed`

    Examples
    --------
    >>> study, path = solve_heads(model, features, features[0], deals, classes)  # doctest: +SKIP
    """
    heads, paths = {}, []
    for (scheme, seed), photos in deals.items():
        heads[scheme, seed], path = solve_head(features, plain, photos, classes)
        paths.append(path.assign(scheme=scheme, seed=seed))
    table = pd.concat(paths, ignore_index=True).assign(**model.columns)
    return _study(model, plain, deals, heads), table


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
    searches, heads, tables = {}, {}, []
    for (scheme, seed), photos in deals.items():
        given = (features, plain, photos, classes, model)
        file = folder / f"{model.id}-{scheme}-{seed}.journal"
        search = searches[scheme, seed] = search_head(*given, file, trials, seed, epochs)
        heads[scheme, seed] = train_head(*given, seed, epochs=epochs, **search.best_params)
        table = search.trials_dataframe(attrs=("number", "state", "value", "user_attrs", "params"))
        table.columns = table.columns.str.replace(r"^(user_attrs|params)_", "", regex=True)
        tables.append(table.assign(state=table["state"].str.lower(), scheme=scheme, seed=seed))
    study = _study(model, plain, deals, heads)._replace(searches=searches)
    return study, pd.concat(tables, ignore_index=True).assign(**model.columns)


def finetune_heads(
    model: Model,
    root: Path,
    backbone: Backbone,
    started: Study,
    deals: Deals,
    scheme: str,
    seed: int,
    **options: Any,
) -> tuple[Study, Backbone]:
    """The backbone's upper layers trained too, under one deal, in the cache epoch by epoch.

    Parameters
    ----------
    model, deals : as `train_heads`'
    root : the folder of the photos
    backbone : from `load_backbone`
    started : a study on the same backbone, with whose head it starts
    scheme, seed : of the deal
    **options : fields of `wastebook.learning.finetune.Settings`, and `precision`

    Returns
    -------
    Study of that deal, and the tuned backbone

    Examples
    --------
    >>> study, tuned = finetune_heads(model, root, backbone, solved, deals, "official", 0)  # doctest: +SKIP
    """
    key = (scheme, seed)
    if key not in deals:
        known = ", ".join(dict.fromkeys(name for name, _ in deals))
        raise WastebookError(f"There is no {scheme!r} split of these photos to fine-tune: name {known}.")
    tuned, head = finetune(deals[key], root, backbone, started.heads[key], model, seed, **options)
    plain = extract_features(deals[key], root, tuned)[0]
    return _study(model, plain, {key: deals[key]}, {key: head}), tuned


def training_seconds(studies: Sequence[Study]) -> pd.DataFrame:
    """How long the training of each head took, without the features it learned from: the model's columns,
    `scheme, seed, seconds`."""
    rows = [
        study.predictions.iloc[0][MODEL].to_dict() | {"scheme": scheme, "seed": seed, "seconds": head.seconds}
        for study in studies
        for (scheme, seed), head in study.heads.items()
    ]
    return pd.DataFrame(rows)


def parameter_importance(searches: Mapping[tuple[str, int], optuna.Study]) -> pd.Series:
    """The share of the objective's variation that each parameter accounts for (functional ANOVA, Hutter et
    al. 2014), on average over some searches; empty where one cannot say: under 10 trials, or all alike."""
    fanova, found = optuna.importance.FanovaImportanceEvaluator(seed=0), []
    for search in searches.values():
        if len(search.trials) < 10 or len({trial.value for trial in search.trials}) < 2:
            return pd.Series(dtype=float)
        found.append(optuna.importance.get_param_importances(search, evaluator=fanova))
    return pd.DataFrame(found).mean().sort_values(ascending=False)


def _study(model: Model, plain: np.ndarray, deals: Deals, heads: dict[tuple[str, int], Head]) -> Study:
    predictions, history = [], []
    for (scheme, seed), photos in deals.items():
        head, held_out = heads[scheme, seed], (photos["split"] != "train").to_numpy()
        predictions.append(predict_head(head, plain[held_out], photos[held_out], model, seed, scheme))
        history.append(head.history.assign(scheme=scheme))
    return Study(pd.concat(predictions, ignore_index=True), pd.concat(history, ignore_index=True), heads)
