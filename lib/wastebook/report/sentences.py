"""Numbers in sentences: how results are said, alike through the whole book."""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from wastebook import paths
from wastebook.data import Dataset, how_many
from wastebook.errors import WastebookError
from wastebook.report.figures.style import BINARY_ORDER, CLASS_ORDER

# What a set of classes may be compared with, by the beginning of `data` in `data/published.csv`.
PUBLISHED = {frozenset(CLASS_ORDER): ("TrashNet", "RealWaste"), frozenset(BINARY_ORDER): ("Waste Class",)}
NARROW = "\u202f"  # a narrow space at which no line breaks, so that intervals stay whole


def select_row(table: pd.DataFrame, **where: Any) -> pd.Series:
    """The one row of a table whose columns have these values; WastebookError where that is not one."""
    rows = table
    for column, value in where.items():
        rows = rows[rows[column] == value]
    if len(rows) != 1:
        raise WastebookError(f"{len(rows)} rows of the table have {where}: one was expected.")
    return rows.iloc[0]


def format_score(row: pd.Series) -> str:
    """A score and its 95 % interval: `0.868 [0.842, 0.893]`."""
    value, low, high = (f"{row[name]:.3f}".replace("-", "−") for name in ("value", "low", "high"))
    return f"{value} [{low},{NARROW}{high}]"


def format_share(row: pd.Series) -> str:
    """A score that is a share of photos, and its 95 % interval: `86.8 % [84.2, 89.3]`."""
    value, low, high = (100 * row[name] for name in ("value", "low", "high"))
    return f"{value:.1f} % [{low:.1f},{NARROW}{high:.1f}]"


def format_points(row: pd.Series, unit: str = " points") -> str:
    """A difference and its 95 % interval in percentage points: `+3.1 points [+1.0, +5.2]`."""
    difference, low, high = (
        f"{100 * row[name]:+z.1f}".replace("-", "−") for name in ("difference", "low", "high")
    )
    return f"{difference}{unit} [{low},{NARROW}{high}]"


def describe_difference(row: pd.Series, other: str) -> str:
    """What a paired difference says: `better than the recipe (+3.1 points [+1.0, +5.2])`, or worse, or
    neither."""
    if row["low"] > 0:
        return f"better than {other} ({format_points(row)})"
    if row["high"] < 0:
        return f"worse than {other} ({format_points(row)})"
    return f"indistinguishable from {other} ({format_points(row)})"


def format_percent(share: float, decimals: int = 0) -> str:
    """A share in percent: `0.556` is `56 %`."""
    return f"{100 * share:.{decimals}f} %"


def format_number(number: float, decimals: int = 2) -> str:
    """A number to so many decimals; one too small for them to three figures."""
    text = f"{number:.3g}" if 0 < abs(number) < 10**-decimals else f"{number:.{decimals}f}"
    return text.replace("-", "−")


def format_count(number: float) -> str:
    """A whole number with its thousands apart: `11,179,590`."""
    return f"{int(number):,}"


def plain_name(name: str) -> str:
    """A column's or transform's name in words: `learning_rate` is `learning rate`."""
    return name.replace("_", " ")


def variant(model: str) -> str:
    """The transform in a model's name, in words: `resnet18+colour_jitter` is `colour jitter`."""
    return plain_name(model.partition("+")[2] or "none")


def join_names(names: Iterable[str]) -> str:
    """Names as a sentence lists them: `glass, metal and trash`; `none` where there are none."""
    *first, last = [*names] or ["none"]
    return f"{', '.join(first)} and {last}" if first else last


def published_for(classes: Iterable[str]) -> pd.DataFrame:
    """What others published of photos with these classes (`data/published.csv`: `work, data, what, statistic,
    value, source`); no row where nobody has."""
    published = pd.read_csv(paths.CARDS / "published.csv")
    comparable = published["data"].str.startswith(PUBLISHED.get(frozenset(classes), ("none",)))
    return published[comparable].reset_index(drop=True)


def side_by_side(scores: pd.DataFrame, published: pd.DataFrame) -> pd.DataFrame:
    """Accuracy and macro F1 on test with their intervals, a row a model and scheme, and below the published
    ones of the same models, each with the protocol that made it."""
    metrics = ("accuracy", "macro_f1")
    test = scores[scores["split"] == "test"]
    rows = []
    for (model, scheme), part in test.groupby(["model", "scheme"], sort=False):
        photos, seeds = int(part["n"].iloc[0]), int(part["seeds"].iloc[0])
        protocol = (
            f"this run: {scheme} split, {format_count(photos)} photos in {seeds} seed{'s' * (seeds > 1)}"
        )
        found = {metric: format_score(select_row(part, metric=metric)) for metric in metrics}
        rows.append({"model": model, "protocol": protocol, **found})
    theirs = published[published["what"].isin(test["model"]) & published["statistic"].isin(metrics)]
    for (work, what, data), part in theirs.groupby(["work", "what", "data"], sort=False):
        found = {row["statistic"]: f"{row['value']:.3f}" for _, row in part.iterrows()}
        rows.append({"model": what, "protocol": f"{work}: {data}", **found})
    return pd.DataFrame(rows)


def beside(row: pd.Series, published: pd.DataFrame, model: str, metric: str) -> str:
    """A published score beside our interval, as a sentence after a space: ` FIUBA published 0.760 (...),
    below this interval.`; empty where there is none."""
    theirs = published.query("what == @model and statistic == @metric")
    if theirs.empty:
        return ""
    work, data, value = theirs[["work", "data", "value"]].iloc[0]
    where = "below" if value < row["low"] else "above" if value > row["high"] else "within"
    return f" {work} published {value:.3f} ({data}), {where} this interval."


def with_published(scores: pd.DataFrame, published: pd.DataFrame) -> pd.DataFrame:
    """The scores with the published ones of the same models and metrics as rows of the scheme `published`."""
    same = published["what"].isin(scores["model"]) & published["statistic"].isin(scores["metric"])
    columns = {"what": "model", "statistic": "metric"}
    theirs = published.loc[same, [*columns, "value"]].rename(columns=columns).assign(scheme="published")
    return pd.concat([scores, theirs], ignore_index=True) if len(theirs) else scores


def best_on_validation(scores: pd.DataFrame, scheme: str) -> str:
    """The model with the best macro F1 on validation under a scheme."""
    rows = scores.query("split == 'validation' and metric == 'macro_f1' and scheme == @scheme")
    return str(rows.sort_values("value", kind="stable")["model"].iloc[-1])


def class_report(report: pd.DataFrame, published: pd.DataFrame) -> pd.DataFrame:
    """A row a class: precision, recall and F1 with their intervals, photos, and the published F1 where there
    is one. `report` is `score_classes` of one model on one split."""
    model = report["model"].iloc[0]
    theirs = published[published["what"] == model].set_index("statistic")["value"]
    rows = []
    for label, part in report.groupby("label", sort=False):
        found = {row["metric"]: format_score(row) for _, row in part.iterrows()}
        rows.append({"class": label, **found, "photos": part["support"].iloc[0]})
        if f"f1:{label}" in theirs:
            rows[-1]["published f1"] = theirs[f"f1:{label}"]
    return pd.DataFrame(rows)


def best_trials(trials: pd.DataFrame, published: pd.Series) -> pd.DataFrame:
    """The best trial of each seed with its parameters, and below it the `published` parameters by name."""
    best = trials.loc[trials.groupby("seed")["value"].idxmax()]
    names = ["learning_rate", "weight_decay", "batch_size", "step_size", "gamma"]
    rows = [
        {
            "by": f"seed {int(row['seed'])}",
            **{name: f"{row[name]:.3g}" for name in names},
            "macro F1": row["value"],
        }
        for _, row in best.iterrows()
    ]
    if set(names) <= set(published.index):
        found = {name: f"{published[name]:.3g}" for name in names}
        rows.append({"by": "FIUBA", **found, "macro F1": published["macro_f1"]})
    return pd.DataFrame(rows)


def differences_told(differences: pd.DataFrame) -> pd.DataFrame:
    """Paired differences as a table to read: a row a pair and scheme, a column a metric (in points)."""
    rows = []
    for keys, part in differences.groupby(["model_a", "model_b", "scheme"], sort=False):
        told = {row["metric"]: format_points(row, unit="") for _, row in part.iterrows()}
        rows.append(dict(zip(("model", "against", "scheme"), keys, strict=True)) | told)
    return pd.DataFrame(rows)


def networks_told(costs: pd.DataFrame) -> pd.DataFrame:
    """Networks side by side, a column each: what `data/backbones.csv` says of them, and their measured
    `costs`."""
    said_of = pd.read_csv(paths.CARDS / "backbones.csv").set_index("model")
    columns = {}
    for _, row in costs.iterrows():
        quoted = said_of.loc[row["model"]]
        columns[row["model"]] = {
            "year": str(quoted["year"]),
            "blocks": quoted["blocks"],
            "activation": quoted["activation"],
            "regularisation": quoted["regularisation"],
            "top-1 on ImageNet, published": f"{format_percent(quoted['published_top1'], 1)} ({quoted['source']})",
            "photo, pixels": row["image_size"],
            "parameters": format_count(row["parameters"]),
            "multiply-adds a photo": format_count(row["multiply_adds"]),
            "depth, weighted layers": format_count(row["depth"]),
            "features": format_count(row["feature_width"]),
            "MB in 32 bits": format_number(row["megabytes"], 1),
            "ms a photo": format_number(row["milliseconds"], 1),
        }
    return pd.DataFrame(columns).rename_axis("").reset_index()


def leads_told(scores: pd.DataFrame, leads: pd.DataFrame, reference: str) -> pd.DataFrame:
    """Macro F1 of each model, its lead over the `reference` in points, and the corrected p; best first."""
    rows = scores[scores["metric"] == "macro_f1"].sort_values("value", ascending=False, kind="stable")
    told = [{"model": variant(row["model"]), "macro F1": format_score(row)} for _, row in rows.iterrows()]
    for line, model in zip(told, rows["model"], strict=True):
        if model != reference:
            lead = select_row(leads, model_a=model)
            line |= {"lead": format_points(lead, unit=""), "p": lead["p_holm"]}
    return pd.DataFrame(told)


def recall_changes(report: pd.DataFrame, differences: pd.DataFrame) -> pd.DataFrame:
    """`model, label, recall, change, low, high` from `score_classes` and the paired differences of recall."""
    recalls = report[report["metric"] == "recall"][["model", "label", "value"]].rename(
        columns={"value": "recall"}
    )
    changes = differences.assign(label=differences["metric"].str.removeprefix("recall:"))
    changes = changes[["model_a", "label", "difference", "low", "high"]]
    changes = changes.rename(columns={"model_a": "model", "difference": "change"})
    return recalls.merge(changes, on=["model", "label"], how="left")


def commonest_mistake(predictions: pd.DataFrame) -> str:
    """The most common confusion, as a share of its class: `plastic taken for glass (12 % of plastic)`."""
    pairs = predictions.groupby("label")["predicted"].value_counts(normalize=True)
    pairs = pairs[pairs.index.get_level_values(0) != pairs.index.get_level_values(1)]
    if pairs.empty:
        return "nothing taken for anything else"
    label, predicted = map(str, pairs.index.to_list()[int(pairs.to_numpy().argmax())])
    return f"{label} taken for {predicted} ({format_percent(pairs.max())} of {label})"


def caveats(data: Dataset, *backbones: Any) -> str:
    """What a reader must know before believing a score: drawn photos, a part of a collection, random
    weights, weights with a note.
    Empty where there is nothing to say."""
    texts = []
    if "seed" in data.card:
        texts.append(
            "These photos are the sample that the library draws itself: this page shows that the chapter "
            "works, not how good a model is on real waste."
        )
    if len(data.photos) < data.card["photos"]:
        texts.append(
            f"Only {how_many(data)} of this collection are at hand here. Counts are of those, and copies "
            "of the others go unseen."
        )
    for backbone in backbones:
        if backbone.weights == "random":
            texts.append(
                f"**{backbone.name} has random weights** here: it has never learned to see, and nothing on "
                f"this page says what it could do."
            )
        elif backbone.note:
            texts.append(f"A note on {backbone.name}: {backbone.note}.")
    return "\n\n".join(texts)
