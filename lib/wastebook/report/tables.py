"""How tables look: one house style that reads well on light and dark pages alike."""

import hashlib
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import pandas as pd
from great_tables import GT

from wastebook.report.sentences import format_percent, format_score, join_names, name_models, plain_name

OPTIONS: dict[str, Any] = {
    "table_background_color": "transparent",
    "table_font_names": ["inherit"],
    "container_padding_y": "0px",
    "quarto_disable_processing": True,  # Quarto would rebuild it from its own parts
}
LOOK = """#{0} [class^=gt_] {{ color: inherit; border-color: rgba(128, 128, 128, 0.45); }}
#{0} .gt_table {{ margin-left: 0; font-size: 0.92em; }}
#{0} :is(td, th) {{ padding: 5px 10px; }}
#{0} th {{ border-top-style: none; font-weight: 600; }}"""


def table(
    frame: pd.DataFrame, *, decimals: int = 2, names: dict[str, str] | None = None, shares: Iterable[str] = ()
) -> GT:
    """A table in the house style, for the last line of a cell.

    Parameters
    ----------
    frame : shown without its index (reset it to show it). Integers get separators between thousands; what is
        missing is a dash; columns of nothing but figures stand to the right.
    decimals : of floats; of a column whose name ends with p, smaller ones are told as such (no p is 0.000).
    names : what columns are called; others by their name, with spaces for underscores.
    shares : columns that are told in percent, as exactly as the other floats.

    Returns
    -------
    The table, of Great Tables, whose methods can change it further.

    Examples
    --------
    >>> frame = pd.DataFrame({"label": ["glass", "metal"], "mean_width": [359.41, 294.1]})
    >>> "359.4<" in table(frame, decimals=1, names={"label": "class"}).as_raw_html()
    True
    """
    contents = f"{decimals}{names}{[*shares]}{frame.to_csv(index=False)}"  # the same: the same page
    name = "table-" + hashlib.sha256(contents.encode()).hexdigest()[:10]
    integers = [column for column in frame if pd.api.types.is_integer_dtype(frame[column])]
    floats = [column for column in frame.columns if pd.api.types.is_float_dtype(frame[column])]
    labels = {column: plain_name(column) for column in frame.columns} | (names or {})
    shown = GT(frame, id=name).cols_label(cases={column: labels[column] for column in frame.columns})
    figures = [at for at in frame if frame[at].dropna().astype(str).str.fullmatch(r"[−+\-\d.,e]+").all()]
    shown = shown.cols_align("left").cols_align("right", figures)
    shown = shown.fmt_integer(integers).fmt_number(floats, decimals=decimals)
    shown = shown.sub_small_vals([one for one in floats if labels[one][-1:] == "p"], threshold=10**-decimals)
    shown = shown.fmt(partial(format_percent, decimals=max(0, decimals - 2)), list(shares))
    return shown.sub_missing(missing_text="—").tab_options(table_additional_css=LOOK.format(name), **OPTIONS)


def tabulate_scores(
    scores: pd.DataFrame,
    rows: list[str],
    columns: str = "metric",
    form: Callable[[pd.Series], str] = format_score,
) -> pd.DataFrame:
    """Scores or differences, told with their intervals, side by side.

    Parameters
    ----------
    scores : of `score`, `score_classes` or `compare_models`.
    rows, columns : the columns of which each value becomes a row, and a column.
    form : tells a score; `format_points` a difference.

    Returns
    -------
    A row per value of `rows` and a column per value of `columns`, in the order they come.

    Examples
    --------
    >>> facts = {"label": "glass", "metric": "f1", "value": 0.5, "low": 0.4, "high": 0.6}
    >>> tabulate_scores(pd.DataFrame([facts]), ["label"]).columns.tolist()
    ['label', 'f1']
    """
    told = scores.assign(told=[form(row) for _, row in scores.iterrows()])
    wide = told.set_index([*rows, columns])["told"].unstack(sort=False)
    return wide.reset_index().rename_axis(columns=None)


def add_weighted_average(by_class: pd.DataFrame) -> pd.DataFrame:
    """The scores of classes under one model, of `score_classes`, with one more row per metric, labelled
    `weighted average`: their mean, each class by its photos (`support`)."""
    known = by_class.dropna(subset="value").assign(photos=lambda rows: rows["value"] * rows["support"])
    sums = known.groupby("metric", sort=False, as_index=False)[["photos", "support"]].sum()
    means = sums.assign(label="weighted average", value=sums["photos"] / sums["support"])
    return pd.concat([by_class, means], ignore_index=True)


def list_scores(scores: pd.DataFrame, form: Callable[[pd.Series], str] = format_score) -> str:
    """The models of a table, which has a row per model, each with what `form` tells of its row, as a sentence
    lists them: `ResNet18 0.868 [0.842, 0.893] and EfficientNet-B0 0.913 [0.893, 0.932]`."""
    names = name_models(scores)
    return join_names(f"{names[row['model']]} {form(row)}" for _, row in scores.iterrows())
