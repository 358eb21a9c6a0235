"""Figures that hold models against one another: scores, differences, curves, costs, sessions."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from wastebook.learning.sessions import file_numbers
from wastebook.report.figures import style
from wastebook.report.sentences import name_models, plain_name


def intervals(
    table: pd.DataFrame,
    y: str = "model",
    value: str = "value",
    marker: str = "scheme",
    column: str = "metric",
    label: str = "",
    zero: bool = False,
) -> Figure:
    """Values as dots with their 95 % intervals (`low, high`): a row per `y`, in the order of the table, a
    panel per `column`, and per `marker` a shape, those of a row below one another; each in the colour of its
    network, or in ink where the table has none.

    Hollow where there is no interval, as for what others published. `label` names the axis of values. With
    `zero`, values are differences: told in points, and hollow where the interval holds zero."""
    if table.empty:
        return style.nothing()
    table = table.astype({y: object, marker: object})
    table = table.assign(**table[[value, "low", "high"]] * (100 if zero else 1))
    names = name_models(table) if y == "model" else {row: str(row) for row in table[y].unique()}
    rows, markers = list(names), style.scheme_markers(table[marker].unique())
    colours = style.network_colours(table["network"].dropna()) if "network" in table else {}
    beside, count = table[marker].map(list(markers).index).groupby(table[y]), len(markers)
    shift = (beside.rank("dense") - (beside.transform("nunique") + 1) / 2) * 0.7 / count
    parts = dict(list(table.assign(_place=table[y].map(rows.index) + shift).groupby(column, sort=False)))
    size = (style.WIDE / len(parts), 1.2 + 0.17 * len(rows) * (count + 0.7))
    figure, panels = style.panels(len(parts), len(parts), size, sharey=True)
    for axes, (title, part) in zip(panels, parts.items(), strict=True):
        for row in part.to_dict("records"):
            look = {"color": colours.get(str(row.get("network")), style.INK), "marker": markers[row[marker]]}
            _draw_interval(axes, row, value, zero, look)
        title = plain_name(str(title)) if len(parts) > 1 else ""
        axes.set(title=title, xlabel=label, yticks=range(len(rows)), ylim=(len(rows) - 0.4, -0.6))
        axes.set_yticklabels([style.wrap(name, 36) for name in names.values()], fontsize=9)
        axes.grid(axis="y", visible=False)
    if count > 1:
        dots = [_dot(markers[name], table.loc[table[marker] == name, "low"]) for name in markers]
        style.legend(figure, dots, markers)
    return figure


def curves(
    table: pd.DataFrame,
    x: str,
    value: str = "value",
    hue: str = "model",
    column: str | None = None,
    label: str = "",
    logarithmic: bool = False,
) -> Figure:
    """Lines of `value` over `x` with bands for their 95 % intervals (`low, high`, where the table has them):
    a line per `hue` (see `line_styles`), a panel per `column`. `label` names the axis of values."""
    if table.empty:
        return style.nothing()
    names = name_models(table) if hue == "model" else {name: str(name) for name in table[hue].unique()}
    colours, dashes = style.line_styles(table, hue)
    parts = dict(list(table.groupby(column, sort=False))) if column else {"": table}
    across = 1 if len(parts) == 1 else 2 if len(parts) in (2, 4) else 3
    size = (style.WIDE / across, 3.8 if across == 1 else 2.6)
    figure, panels = style.panels(len(parts), across, size, sharey=True)
    for axes, (title, part) in zip(panels, parts.items(), strict=True):
        for line in names:
            rows = part[part[hue] == line].sort_values(x)
            look = {"color": colours[str(line)], "linestyle": dashes[str(line)], "label": names[line]}
            axes.plot(rows[x], rows[value], marker="." if len(rows) <= 20 else "", **look)
            if "low" in rows:
                axes.fill_between(rows[x], rows["low"], rows["high"], color=colours[line], alpha=0.15)
        axes.set(title=style.wrap(title, 60 // across), xlabel=plain_name(x))
        if logarithmic:
            axes.set_xscale("log")
    figure.supylabel(label, fontsize=11)
    style.name_lines(figure, panels[0] if len(parts) == 1 else None, *panels[0].get_legend_handles_labels())
    return figure


def cost_fronts(models: pd.DataFrame, costs: Mapping[str, str]) -> Figure:
    """The `accuracy` of models over each of the `costs` (column: what to call it; logarithmic), a panel per
    cost: numbered and joined those that no other beats in both, small and grey the others.

    `models` has the model's columns, `accuracy`, and for each cost a bool column `<cost>_front`."""
    best = models[models[[f"{cost}_front" for cost in costs]].any(axis=1).astype(bool)]
    if best.empty:
        return style.nothing()
    best = best.sort_values("accuracy", ascending=False, kind="stable")
    numbers = {model: at + 1 for at, model in enumerate(best["model"])}
    names, colours = name_models(models), style.network_colours(models["network"])
    figure, panels = style.panels(len(costs), len(costs), (style.WIDE / len(costs), 4.2), sharey=True)
    ring: dict[str, Any] = {"marker": "o", "markersize": 14, "markerfacecolor": "white", "markeredgewidth": 2}
    for axes, (cost, name) in zip(panels, costs.items(), strict=True):
        on_front = models[f"{cost}_front"]
        front, others = models[on_front].sort_values(cost), models[~on_front]
        axes.plot(others[cost], others["accuracy"], "o", color="0.7", markersize=4)
        axes.plot(front[cost], front["accuracy"], color=style.GREY, linewidth=1)
        for _, part in front.groupby([cost, "accuracy"], sort=False):
            (x, y), found = part[[cost, "accuracy"]].iloc[0], part["model"].map(numbers).agg(["min", "max"])
            told = "–".join(map(str, dict.fromkeys(found)))
            axes.plot(x, y, color=colours[part["network"].iloc[0]], **ring)
            axes.text(x, y, told, ha="center", va="center_baseline", fontsize=min(12, 24 / len(told)))
        axes.set(xscale="log", xlabel=name)
        axes.margins(x=0.12, y=0.12)
    panels[0].set_ylabel("accuracy")
    ring |= {"markersize": 8, "linestyle": ""}
    rings = [Line2D([], [], color=colours[network], **ring) for network in best["network"]]
    style.legend(figure, rings, [f"{number}  {names[model]}" for model, number in numbers.items()])
    return figure


def recall_by_number(predictions: pd.DataFrame) -> Figure:
    """The share of photos recognised over the numbers in their file names, a point per twelfth of these and a
    panel per class, with 95 % intervals. Rows outside `test` are of models that did not learn them."""
    if predictions.empty:
        return style.nothing()
    right, spans = predictions["label"] == predictions["predicted"], pd.cut(file_numbers(predictions), 12)
    table = predictions.assign(right=right, number=[span.mid for span in spans])
    tones = {"test": style.INK, "train, left out": style.GREY}
    table["photos"] = np.where(table["split"] == "test", *tones)
    table["label"] = style.shorten(table["label"])  # whole names would squeeze the panels
    look: Any = {"hue": "photos", "style": "photos", "markers": True, "dashes": False, "height": 2.6}
    look |= {"palette": tones, "style_order": [*tones], "col_wrap": min(3, table["label"].nunique())}
    grid = sns.relplot(table, x="number", y="right", col="label", kind="line", seed=0, **look)
    return grid.set_titles("{col_name}").set_axis_labels("number in the file name", "share recognised").figure


def _dot(marker: str, lows: pd.Series) -> Line2D:
    face = "white" if lows.isna().all() else style.INK
    return Line2D([], [], linestyle="", marker=marker, color=style.INK, markerfacecolor=face)


def _draw_interval(axes: Axes, row: Any, value: str, zero: bool, look: Any) -> None:
    low, high = row["low"], row["high"]
    if pd.isna(low) or (zero and low <= 0 <= high):
        look = look | {"markerfacecolor": "white"}
    if zero:
        axes.axvline(0, color=style.GREY, linewidth=1)
    spread = None if pd.isna(low) else np.fmax([[row[value] - low], [high - row[value]]], 0)
    axes.errorbar(row[value], row["_place"], xerr=spread, markersize=6, capsize=2, **look)
