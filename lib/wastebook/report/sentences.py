"""Numbers and names in sentences: how results are said, alike through the whole book."""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from wastebook.errors import WastebookError
from wastebook.evaluation.comparison import judge_difference
from wastebook.learning.predictions import MODEL

NARROW = "\u202f"  # a narrow space at which no line breaks, so that numbers and intervals stay whole
NETWORKS = {
    "resnet18": "ResNet18",
    "efficientnet_b0": "EfficientNet-B0",
    "tf_efficientnet_lite0": "EfficientNet-Lite0",
    "mobilenetv2_100": "MobileNetV2",
    "base_cnn": "base CNN",
    "optimised_cnn": "optimised CNN",
    "xception": "Xception",
}
HEADS = {"recipe": "", "exact": "exact head", "finetuned": "fine-tuned"}
JUDGED = {"better": "better than", "worse": "worse than", "undecided": "not clearly different from"}


def select_row(table: pd.DataFrame, **where: Any) -> pd.Series:
    """The one row of a table whose columns have these values; WastebookError where that is not one.

    >>> scores = pd.DataFrame({"split": ["validation", "test"], "value": [0.9, 0.8]})
    >>> float(select_row(scores, split="test")["value"])
    0.8
    """
    rows = table
    for column, value in where.items():
        rows = rows[rows[column] == value]
    if len(rows) != 1:
        raise WastebookError(f"{len(rows)} rows of the table have {where}: one was expected.")
    return rows.iloc[0]


def format_score(row: pd.Series) -> str:
    """A score and its 95 % interval, where it has one.

    >>> format_score(pd.Series({"value": 0.868, "low": 0.842, "high": 0.893}))
    '0.868 [0.842,\u202f0.893]'
    """
    return _with_interval(row, "value", "{:.3f}")


def format_share(row: pd.Series) -> str:
    """A score that is a share of photos, and its 95 % interval.

    >>> format_share(pd.Series({"value": 0.868, "low": 0.842, "high": 0.893}))
    '86.8\u202f% [84.2,\u202f89.3]'
    """
    return _with_interval(100 * row[["value", "low", "high"]], "value", "{:.1f}", f"{NARROW}%")


def format_points(row: pd.Series, unit: str = " points") -> str:
    """A difference and its 95 % interval in percentage points.

    >>> format_points(pd.Series({"difference": 0.031, "low": 0.01, "high": 0.052}))
    '+3.1 points [+1.0,\u202f+5.2]'
    """
    return _with_interval(100 * row[["difference", "low", "high"]], "difference", "{:+z.1f}", unit)


def format_percent(share: float, decimals: int = 0) -> str:
    """A share in percent.

    >>> format_percent(0.556)
    '56\u202f%'
    """
    return f"{100 * share:.{decimals}f}{NARROW}%"


def format_number(number: float, decimals: int = 2) -> str:
    """A number to so many decimals; one too small for them to three figures.

    >>> format_number(2.345), format_number(0.00012)
    ('2.35', '0.00012')
    """
    text = f"{number:.3g}" if 0 < abs(number) < 10**-decimals else f"{number:.{decimals}f}"
    return text.replace("-", "−")


def format_count(number: float) -> str:
    """A whole number with its thousands apart.

    >>> format_count(11179590)
    '11,179,590'
    """
    return f"{int(number):,}"


def join_names(names: Iterable[str]) -> str:
    """Names as a sentence lists them; `none` where there are none.

    >>> join_names(["glass", "metal", "trash"])
    'glass, metal and trash'
    """
    *first, last = [*names] or ["none"]
    return f"{', '.join(first)} and {last}" if first else last


def describe_difference(row: pd.Series, other: str) -> str:
    """What a difference says, as `judge_difference` reads it, and the difference itself.

    >>> row = pd.Series({"difference": 0.031, "low": 0.01, "high": 0.052, "p_holm": 0.2})
    >>> describe_difference(row, "the recipe")
    'not clearly different from the recipe (+3.1 points [+1.0,\u202f+5.2])'
    """
    if not row[["difference", "low", "high"]].any():
        return f"exactly as good as {other}"
    return f"{JUDGED[judge_difference(row)]} {other} ({format_points(row)})"


def plain_name(name: str) -> str:
    """A column's or transform's name in words: `learning_rate` is `learning rate`."""
    return name.replace("_", " ")


def name_network(network: str) -> str:
    """A network's name for people: `efficientnet_b0` is `EfficientNet-B0`."""
    return NETWORKS.get(network, plain_name(network))


def name_model(row: Mapping[str, Any] | pd.Series, size: bool = True) -> str:
    """A model's name for people, from its columns: `EfficientNet-B0, 288 x 384, rotation, exact head`."""
    head = HEADS.get(row["head"], plain_name(row["head"]))
    transform = "" if row["transform"] == "none" else plain_name(row["transform"])
    pixels = row["image_size"].replace("x", " x ") if size else ""
    return ", ".join(filter(None, (name_network(row["network"]), pixels, transform, head)))


def name_models(table: pd.DataFrame) -> dict[str, str]:
    """The name of each model in a table, by its id, with the size of the photos only where models differ in
    nothing else."""
    models = table[MODEL].drop_duplicates("model")
    sizes = models.groupby(["network", "transform", "head"])["image_size"].transform("nunique")
    return {
        row["model"]: name_model(row, row["sizes"] > 1) for _, row in models.assign(sizes=sizes).iterrows()
    }


def commonest_mistake(predictions: pd.DataFrame) -> str:
    """The most common confusion, as a share of its class: `plastic taken for glass (12 % of plastic)`."""
    pairs = predictions.groupby("label")["predicted"].value_counts(normalize=True)
    pairs = pairs[pairs.index.get_level_values(0) != pairs.index.get_level_values(1)]
    if pairs.empty:
        return "nothing taken for anything else"
    label, predicted = map(str, pairs.index.to_list()[int(pairs.to_numpy().argmax())])
    return f"{label} taken for {predicted} ({format_percent(pairs.max())} of {label})"


def caveats(data: Any, *backbones: Any) -> str:
    """What a reader must know of a collection and of networks before believing a score: drawn photos, a part
    of a collection, random weights, weights with a note. Empty where there is nothing to say."""
    texts = []
    if data.card.get("drawn"):
        texts.append(
            "The library drew these photos itself: this page shows that the chapter works, not how good a "
            "model is on real waste."
        )
    here, whole = len(getattr(data, "files", data.photos)), data.card["photos"]
    if here < whole:
        texts.append(
            f"Only {format_count(here)} of {format_count(whole)} photos of this collection are at hand here. "
            "Counts are of those, and copies of the others go unseen."
        )
    random = "random weights: it has never learned to see, and nothing here says what it could do"
    for backbone in backbones:
        if remark := random if backbone.weights == "random" else backbone.note:
            texts.append(f"A note on **{name_network(backbone.name)}**: {remark}.")
    return "\n\n".join(texts)


def _with_interval(row: pd.Series, value: str, form: str, unit: str = "") -> str:
    """The value and, where there is one, its interval, each in the given form."""
    told, low, high = (form.format(row[name]).replace("-", "−") for name in (value, "low", "high"))
    return f"{told}{unit}" if pd.isna(row["low"]) else f"{told}{unit} [{low},{NARROW}{high}]"
