"""What others published, beside what was found here: matched on a model's network and head."""

import pandas as pd

from wastebook import paths
from wastebook.evaluation.metrics import METRICS
from wastebook.learning.predictions import MODEL
from wastebook.report.sentences import format_score, name_models
from wastebook.report.tables import tabulate_scores

# What a data set may be compared with, by the beginning of `data` in `data/published.csv`.
COMPARABLE = {"trashnet": ("TrashNet", "RealWaste"), "waste-classification": ("Waste Class",)}
SAME = ["network", "head", "metric"]  # what a published figure and one of ours share
ENDS = ["low", "high"]


def published_for(dataset: str) -> pd.DataFrame:
    """What others published of the photos of a data set (`data/published.csv`: `work, data, what, network,
    head, statistic, value, source`; no `network` where it is about photos); no row where nobody has."""
    published = pd.read_csv(paths.CARDS / "published.csv")
    comparable = published["data"].str.startswith(COMPARABLE.get(dataset, ("none",)))
    return published[comparable].reset_index(drop=True)


def side_by_side(scores: pd.DataFrame, published: pd.DataFrame) -> pd.DataFrame:
    """Accuracy and macro F1 on test with their intervals, a row per model and scheme, and below the published
    ones of the same models, each with the protocol that made it."""
    ours = scores[(scores["split"] == "test") & scores["metric"].isin(METRICS[:2])]
    theirs = _of_same_models(published, ours)
    theirs = theirs.assign(model=theirs["what"], protocol=theirs["work"] + ": " + theirs["data"])
    told = "this run: {0.scheme} split, photos: {0.n:,}, seeds: {0.seeds}".format
    ours = ours.assign(model=ours["model"].map(name_models(ours)), protocol=[*map(told, ours.itertuples())])
    return tabulate_scores(pd.concat([ours, theirs]), ["model", "protocol"])


def describe_published(row: pd.Series, published: pd.DataFrame) -> str:
    """The published figure of the same network, head and metric as a row of scores, as a sentence after a
    space: ` FIUBA published 76.0 % (...), below this interval.`; empty where there is none."""
    theirs = published.rename(columns={"statistic": "metric"})
    theirs = theirs[(theirs[SAME] == row[SAME]).all(axis=1)]
    if theirs.empty:
        return ""
    first = theirs.reindex(columns=[*theirs, *ENDS]).iloc[0]
    told = f"{first['work']} published {format_score(first)} ({first['data']})"
    return f" {told}, {_place(first['value'], row)} this interval."


def with_published(scores: pd.DataFrame, published: pd.DataFrame) -> pd.DataFrame:
    """The scores with the published ones of the same models and metrics as rows of the scheme `published`."""
    theirs = _of_same_models(published, scores)[[*MODEL, "metric", "value"]].assign(scheme="published")
    return pd.concat([scores, theirs], ignore_index=True) if len(theirs) else scores


def beside_published(published: pd.DataFrame, scores: pd.DataFrame, reference: pd.DataFrame) -> pd.DataFrame:
    """A row per published metric: `work, what, network, head, metric, published` (as text),
    the same model's score in the kept `reference` and in `this_run` (missing where there is none), `reading`
    (where the published one lies against this run's interval: `below`, `within`, `above`) and `protocol`."""
    names = {"statistic": "metric", "value": "published", "data": "protocol"}
    rows = published[published["statistic"].isin(METRICS)].rename(columns=names)
    for place, table in (("reference", reference), ("this_run", scores)):
        ours = table.merge(_plain_models(table)).drop_duplicates(SAME)
        ours[place] = [format_score(row) for _, row in ours.iterrows()]
        rows = rows.drop(columns=ENDS, errors="ignore").merge(ours[[*SAME, *ENDS, place]], "left", on=SAME)
    rows["reading"] = [_place(row["published"], row) for _, row in rows.iterrows()]
    theirs = rows.rename(columns={"published": "value"}).assign(low=float("nan"), high=float("nan"))
    rows["published"] = [format_score(row) for _, row in theirs.iterrows()]
    return rows[["work", "what", *SAME, "published", "reference", "this_run", "reading", "protocol"]]


def _plain_models(scores: pd.DataFrame) -> pd.DataFrame:
    """`MODEL` of the models that published ones are held against: of each network and head the first one that
    learned from photos as they are."""
    return scores.loc[scores["transform"] == "none", MODEL].drop_duplicates(["network", "head"])


def _of_same_models(published: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """The published rows of models that `scores` has too, with those models' columns, as scores: `metric`."""
    same = published[published["statistic"].isin(scores["metric"])].rename(columns={"statistic": "metric"})
    return same.merge(_plain_models(scores), on=["network", "head"])


def _place(value: float, row: pd.Series) -> str | None:
    """Where a published value lies, seen from our interval, where we have one."""
    place = "below" if value < row["low"] else "above" if value > row["high"] else "within"
    return None if pd.isna(row["low"]) else place
