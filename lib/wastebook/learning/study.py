"""A model studied: trained alike under every split scheme and seed, so that scores come with their spread."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from wastebook.data.splits import has_official_split, split_photos
from wastebook.learning.heads import Head, predict_head, solve_head, train_head
from wastebook.learning.predictions import MODEL, Model

Deals = dict[tuple[str, int], pd.DataFrame]  # the photos with `split` filled, by scheme and seed
# From the photos of a deal, its scheme and seed: the head, and a table of how it was found.
Learn = Callable[[pd.DataFrame, str, int], tuple[Head, pd.DataFrame]]


class Study(NamedTuple):
    """A model under every scheme and seed: `predictions` for validation and test, the `history` of the
    training (with its `scheme`; empty where there were no epochs), and by scheme and seed the `heads` and the
    `searches` of Optuna that chose their parameters, where there were any."""

    predictions: pd.DataFrame
    history: pd.DataFrame
    heads: dict[tuple[str, int], Head]
    searches: Mapping[tuple[str, int], Any] = {}


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
    others = ["official"] if scheme != "official" and has_official_split(photos) else []
    return {(name, seed): split_photos(photos, name, seed) for name in [scheme, *others] for seed in seeds}


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

    def learn(photos: pd.DataFrame, scheme: str, seed: int) -> tuple[Head, pd.DataFrame]:
        head = train_head(features, plain, photos, classes, model, seed, **recipe)
        return head, head.history

    return study_deals(model, plain, deals, learn)[0]


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
    return study_deals(model, plain, deals, lambda photos, *_: solve_head(features, plain, photos, classes))


def training_seconds(studies: Sequence[Study]) -> pd.DataFrame:
    """How long the training of each head took, without the features it learned from: the model's columns,
    `scheme, seed, seconds`."""
    rows = [
        study.predictions.iloc[0][MODEL].to_dict() | {"scheme": scheme, "seed": seed, "seconds": head.seconds}
        for study in studies
        for (scheme, seed), head in study.heads.items()
    ]
    return pd.DataFrame(rows)


def study_deals(model: Model, plain: np.ndarray, deals: Deals, learn: Learn) -> tuple[Study, pd.DataFrame]:
    """The study of the heads that `learn` gives under every deal, each with a table of how it was found; and
    these tables in one, with the `scheme` and `seed` of each and the model's columns."""
    heads, tables, answers, history = {}, [], [], []
    for (scheme, seed), photos in deals.items():
        head, table = learn(photos, scheme, seed)
        held_out = (photos["split"] != "train").to_numpy()
        answers.append(predict_head(head, plain[held_out], photos[held_out], model, seed, scheme))
        history.append(head.history.assign(scheme=scheme))
        tables.append(table.assign(scheme=scheme, seed=seed))
        heads[scheme, seed] = head
    told, said, epochs = (pd.concat(each, ignore_index=True) for each in (tables, answers, history))
    return Study(said, epochs, heads), told.assign(**model.columns)
