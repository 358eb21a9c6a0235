"""Numbers and names in sentences and titles: how results are said, alike through the whole book."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pandas as pd

from wastebook.errors import WastebookError
from wastebook.evaluation.comparison import judge_difference
from wastebook.learning.predictions import MODEL, NETWORKS

NARROW = "\u202f"  # a narrow space at which no line breaks, so that numbers and intervals stay whole
TOLD = {"none": "", "recipe": "", "exact": "exact head", "finetuned": "fine-tuned"}  # transforms and heads
TERMS = {"f1": "F1", "auc": "AUC", "ece": "ECE"}  # words of columns that are written otherwise
TITLES = {  # that say what a chapter found: the reference, and on the deck an informative run
    "01-exploration": "{share} of the photos of {title} show, as found, what others show",
    "02-baseline": "{network}, frozen, names {share} of {asked}",
    "03-augmentation": "Of {tried} ways to vary photos {helps} beyond luck",
    "05-xception": "{classes}: {worst} to {best} right, by network",
    "06-trust": "Test photos that have a copy outside test: {copies} of {tested}",
    "07-comparison": "The {model} that validation chose is right for {share}",
    "08-new-photos": "Under the worst damage tried, {worst}, {share} are named rightly",
}
JUDGED = {"better": "better than", "worse": "worse than", "undecided": "not clearly different from"}


def select_row(table: pd.DataFrame, **where: Any) -> pd.Series:
    """The one row of a table whose columns have these values; WastebookError where there is not one.

    Parameters
    ----------
    table : any.
    where : the values of the columns that tell the row.

    Returns
    -------
    The row.

    Examples
    --------
    >>> scores = pd.DataFrame({"split": ["validation", "test"], "value": [0.9, 0.8]})
    >>> float(select_row(scores, split="test")["value"])
    0.8
    """
    rows = table[table[list(where)].eq(pd.Series(where, dtype=object)).all(axis=1)]
    if len(rows) != 1:
        raise WastebookError(f"{len(rows)} rows of the table have {where}: one was expected.")
    return rows.iloc[0]


def format_score(row: pd.Series) -> str:
    """A score and its 95 % interval, if any: accuracy as `format_share` has it, a precision of 0 of 0 a dash.

    Examples
    --------
    >>> format_score(pd.Series({"value": 0.868, "low": 0.842, "high": 0.893}))
    '0.868 [0.842,\u202f0.893]'
    """
    told = format_share(row) if row.get("metric") == "accuracy" else _with_interval(row, "value", 3)
    return "—" if row.get("metric") == "precision" and not row["value"] and pd.isna(row["low"]) else told


def format_share(row: pd.Series) -> str:
    """A score that is a share of photos, and its 95 % interval.

    Examples
    --------
    >>> format_share(pd.Series({"value": 0.868, "low": 0.842, "high": 0.893}))
    '86.8\u202f% [84.2,\u202f89.3]'
    """
    return _with_interval(100 * row[["value", "low", "high"]], "value", 1, f"{NARROW}%")


def format_points(row: pd.Series, unit: str = " points") -> str:
    """A difference and its 95 % interval in percentage points, or that there is none in any draw.

    Examples
    --------
    >>> format_points(pd.Series({"difference": 0.031, "low": 0.01, "high": 0.052}))
    '+3.1 points [+1.0,\u202f+5.2]'
    """
    return _with_interval(100 * row[["difference", "low", "high"]], "difference", 1, unit)


def format_range(row: pd.Series) -> str:
    """The 95 % interval of a share or difference in words, with what doubts it: `86.9 to 92.1`."""
    told = " to ".join(f"{100 * row[end]:.1f}".replace("-", "−") for end in ("low", "high"))
    return f"{told} ({doubt})" if (doubt := _doubt(row)) else told


def format_percent(share: float, decimals: int = 0, photos: float = 200) -> str:
    """A share in percent; fewer than 200 `photos` bear no decimals.

    Examples
    --------
    >>> format_percent(0.556)
    '56\u202f%'
    """
    return f"{100 * share:.{decimals * (photos >= 200)}f}{NARROW}%".replace("-", "−")


def format_number(number: float, decimals: int = 2) -> str:
    """A number to so many decimals; one too small for them to three figures.

    Examples
    --------
    >>> format_number(2.345), format_number(0.00012)
    ('2.35', '0.00012')
    """
    text = f"{number:.3g}" if 0 < abs(number) < 10**-decimals else f"{number:.{decimals}f}"
    return text.replace("-", "−")


def format_count(number: float) -> str:
    """A whole number with its thousands apart.

    Examples
    --------
    >>> format_count(11179590)
    '11,179,590'
    """
    return f"{int(number):,}"


def join_names(names: Iterable[str]) -> str:
    """Names as a sentence lists them, apart by semicolons where one has a comma; `none` where there are none.

    Examples
    --------
    >>> join_names(["glass", "metal", "trash"])
    'glass, metal and trash'
    """
    *first, last = [*names] or ["none"]
    told = "; ".join(first) if ", " in "".join([*first, last]) else ", ".join(first)
    return f"{told} and {last}" if first else last


def describe_balance(counts: pd.Series) -> str:
    """How evenly photos lie in classes, from their `counts`, as a sentence."""
    apart = f"; the ratio is {format_number(counts.max() / counts.min(), 1)}" * (counts.nunique() > 1)
    return f"The number of photos is {describe_extremes(counts, format_count)}{apart}."


def describe_extremes(values: pd.Series, form: Callable[[float], str] = format_percent) -> str:
    """Which rows have the most and which the least, all whose values read alike in the given form: `highest
    for glass (91 %), lowest for metal and trash (0 %)`; `0 % for all` where all of them do."""
    told, parts = values.dropna().map(form), []
    for word, end in (("highest", values.max()), ("lowest", values.min())):
        names = told.index[told == form(end)]
        few = join_names(map(str, names)) if len(names) < 4 else f"{len(names)} of {len(told)}"
        parts.append(f"{word} for {few} ({form(end)})")
    return ", ".join(parts) if told.nunique() > 1 else f"{told.iloc[0]} for all"


def describe_difference(row: pd.Series, other: str) -> str:
    """What a difference says, as `judge_difference` reads it, and the difference itself; where the interval
    leaves out zero and the correction does not, the corrected p that says so.

    Parameters
    ----------
    row : of `compare_models`.
    other : what the second model is called.

    Returns
    -------
    The judgement and the difference, for a sentence to go on with.

    Examples
    --------
    >>> row = pd.Series({"difference": 0.031, "low": 0.01, "high": 0.052, "p_holm": 0.2})
    >>> describe_difference(row, "the recipe")
    'not clearly different from the recipe (+3.1 points [+1.0,\u202f+5.2]; corrected p 0.200)'
    """
    if not row[["difference", "low", "high"]].any():
        return f"exactly as good as {other}"
    why = f"; {doubt}" if (doubt := _doubt(row)) else ""
    return f"{JUDGED[judge_difference(row)]} {other} ({format_points(row)}{why})"


def plain_name(name: str) -> str:
    """A column's or transform's name in words: `learning_rate` is `learning rate`."""
    return " ".join(TERMS.get(word, word) for word in name.split("_"))


def name_network(network: str) -> str:
    """A network's name for people: `efficientnet_b0` is `EfficientNet-B0`."""
    return NETWORKS.get(network, plain_name(network))


def name_model(row: Mapping[Any, Any] | pd.Series, size: bool = True) -> str:
    """A model's name for people, from its columns: `EfficientNet-B0, 288 x 384, rotation, exact head`."""
    parts = [name_network(row["network"]), row["image_size"].replace("x", " x ") if size else ""]
    parts += [TOLD.get(row[name], plain_name(row[name])) for name in ("transform", "head")]
    return ", ".join(filter(None, parts))


def name_models(table: pd.DataFrame) -> dict[str, str]:
    """Names of models for people, with the size of the photos only where models differ in nothing else.

    Parameters
    ----------
    table : with the columns of models (`MODEL`), each in any number of rows.

    Returns
    -------
    The name of each model, by its id.

    Examples
    --------
    >>> from wastebook.learning.predictions import Model
    >>> name_models(pd.DataFrame([Model("resnet18", "64x64", head="exact").columns]))
    {'resnet18-64x64-exact': 'ResNet18, exact head'}
    """
    models = table[MODEL].drop_duplicates("model")
    sizes = models.groupby(["network", "transform", "head"])["image_size"].transform("nunique")
    rows = models.assign(several=sizes > 1).to_dict("records")
    return {row["model"]: name_model(row, size=row["several"]) for row in rows}


def commonest_mistake(predictions: pd.DataFrame) -> str:
    """The confusions of most photos, as shares of a class: `plastic taken for glass (12 % of plastic)`."""
    counts, sizes = predictions[["label", "predicted"]].value_counts(), predictions["label"].value_counts()
    mistakes = pd.DataFrame({"count": counts, "share": counts.div(sizes, level="label")})
    most = mistakes.query("label != predicted").nlargest(1, [*mistakes], keep="all").sort_index()["share"]
    if len(most) > 3:
        return f"none stands out ({len(most)} are equally common)"
    return join_names(f"{a} taken for {b} ({format_percent(x)} of {a})" for (a, b), x in dict(most).items())


def caveats(data: Any, *backbones: Any) -> str:
    """What to know before a score is believed: drawn photos, a part of a collection, random or odd weights.

    Parameters
    ----------
    data : what `load_photos` gives.
    backbones : what `load_backbone` gives, any number.

    Returns
    -------
    A text for `note`; empty where there is nothing to say.

    Examples
    --------
    >>> note(caveats(data, backbone))  # doctest: +SKIP
    """
    texts, title = [], data.card["title"]
    if data.card.get("drawn"):
        texts.append(
            f"The library drew the photos of {title} itself: this page shows that the chapter works, not how "
            "good a model is on real waste."
        )
    here, unread = data.drawn["photos"], data.problems.loc[~data.problems["readable"], "path"].nunique()
    if here < (whole := data.card["photos"] - unread):
        texts.append(
            f"Only {format_count(here)} of {format_count(whole)} photos of {title} are looked at. "
            "Counts are of those, and copies of the others go unseen."
        )
    random = "random weights: it has never learned to see, and nothing here says what it could do"
    texts += data.remarks
    for backbone in backbones:
        if remark := random if backbone.weights == "random" else backbone.note:
            texts.append(f"A note on {name_network(backbone.name)}: {remark}.")
    return "\n\n".join(texts)


def weigh(network: list[str], search: list[str] | pd.Series, views: pd.Series) -> str:
    """What makes a clear difference: the network, by one recipe and fairly; searches; ways to augment."""
    helps = [name for name, found in (("search", search), ("augmentation", views)) if "better" in [*found]]
    if {*network} == {"undecided"} and not helps:
        return "No clear gain from anything tried"
    whose = "The" if len({*network}) == 1 else "By one recipe the"
    matters = "does not matter" if network[0] == "undecided" else "matters"
    told = f"{whose} network {matters}; {'a' if helps else 'no'} clear gain from"
    return f"{told} {' and '.join(helps) or 'search or augmentation'}"


def count_clear(judged: pd.Series) -> str:
    """How many of some changes, as `judge_difference` has them, help and harm: `1 helps, 2 harm`."""
    harmful, helpful = (int(judged.eq(what).sum()) for what in ("worse", "better"))
    helps = f"{helpful or 'none'} help{'s' * (helpful < 2)}"
    return f"{helps}, {harmful} harm{'s' * (harmful < 2)}" if harmful else helps


def _doubt(row: pd.Series) -> str:
    """The corrected p of a difference whose interval leaves out zero, where it does not."""
    doubted = "p_holm" in row and judge_difference(row) == "undecided" != judge_difference(row.drop("p_holm"))
    return f"corrected p {row['p_holm']:.3f}" if doubted else ""


def _with_interval(row: pd.Series, value: str, decimals: int, unit: str = "") -> str:
    """The value, and its interval where that has two ends; of a score not known well one digit less."""
    wide = value == "value" and row["low"] >= 0 and row["high"] - row["low"] > 10 ** (2 - decimals)
    form = f"{{:{'' if value == 'value' else '+z'}.{decimals - wide}f}}"
    told, low, high = (form.format(row[name]).replace("-", "−") for name in (value, "low", "high"))
    told += unit + " (equal in every draw)" * (value == "difference" and bool(row.eq(0).all()))
    return f"{told} [{low},{NARROW}{high}]" if row["low"] < row["high"] else told
