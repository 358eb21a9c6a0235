"""Figures that hold models against one another: scores, differences, curves, costs, sessions."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FormatStrFormatter, LogLocator

from wastebook.evaluation.metrics import share_interval
from wastebook.learning.sessions import file_numbers
from wastebook.report.figures import style
from wastebook.report.sentences import name_models, plain_name

RUN = 100  # photos of consecutive numbers that a point stands for, or fewer where there are few in all


def intervals(
    table: pd.DataFrame,
    y: str = "model",
    value: str = "value",
    hue: str = "network",
    marker: str = "scheme",
    column: str = "metric",
    label: str = "",
    zero: bool = False,
) -> Figure:
    """Values as dots with their 95 % intervals (`low, high`): a row per `y`, in the order of the table, a
    panel per `column`, a colour per `hue`, and per `marker` a marker, those of a row below one another.

    Hollow where there is no interval, as for what others published; with `zero`, as for differences, where
    the interval holds zero. `label` names the axis of values.
    """
    if table.empty:
        return style.nothing()
    names = name_models(table) if y == "model" else {row: str(row) for row in table[y].unique()}
    rows, markers = list(names), style.scheme_markers(table[marker].unique())
    colours = style.network_colours(table[hue]) if hue == "network" else _in_turn(table[hue])
    parts, count = dict(list(table.groupby(column, sort=False))), len(markers)
    size = (style.WIDE / len(parts), 1.2 + 0.17 * len(rows) * (count + 0.7))
    figure, panels = style.panels(len(parts), len(parts), size, sharey=True)
    for axes, (title, part) in zip(panels, parts.items(), strict=True):
        for row in part.to_dict("records"):
            place = rows.index(row[y]) + (list(markers).index(row[marker]) - (count - 1) / 2) * 0.7 / count
            look = {"color": colours[row[hue]], "marker": markers[row[marker]]}
            _draw_interval(axes, row[value], row["low"], row["high"], place, zero, look)
        title = plain_name(str(title)).replace(" f1", " F1") if len(parts) > 1 else ""
        axes.set(title=title, xlabel=label, yticks=range(len(rows)), ylim=(len(rows) - 0.4, -0.6))
        axes.set_yticklabels([style.wrap(name, 36) for name in names.values()], fontsize=9)
        axes.grid(axis="y", visible=False)
    if count > 1:
        shades = colours if hue == marker else dict.fromkeys(markers, style.GREY)
        dots = [Line2D([], [], linestyle="", marker=markers[name], color=shades[name]) for name in markers]
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
    a line per `hue`, a panel per `column`. `label` names the axis of values."""
    if table.empty:
        return style.nothing()
    if hue == "model":
        names, (colours, markers) = name_models(table), style.model_styles(table)
    else:
        names = {name: str(name) for name in table[hue].unique()}
        colours, markers = _in_turn(table[hue]), style.scheme_markers(names)
    parts = dict(list(table.groupby(column, sort=False))) if column else {"": table}
    across = 1 if len(parts) == 1 else 2 if len(parts) in (2, 4) else 3
    size = (style.WIDE / across, 3.8 if across == 1 else 2.6)
    figure, panels = style.panels(len(parts), across, size, sharey=True)
    for axes, (title, part) in zip(panels, parts.items(), strict=True):
        for line in names:
            rows = part[part[hue] == line].sort_values(x)
            axes.plot(rows[x], rows[value], color=colours[line], marker=markers[line], label=names[line])
            axes.lines[-1].set_markevery(1 + len(rows) // 20)
            if "low" in rows:
                axes.fill_between(rows[x], rows["low"], rows["high"], color=colours[line], alpha=0.15)
        axes.set(title=style.wrap(title, 75 // across), xlabel=plain_name(x))
        if logarithmic:
            axes.set_xscale("log")
            axes.minorticks_off()
        if part[x].nunique() <= 8:
            ticks = _apart(sorted(part[x].unique()), logarithmic)
            axes.set_xticks(ticks, [f"{at:,.6g}" for at in ticks])
    figure.supylabel(label, fontsize=11)
    if len(names) > 1:
        style.legend(figure, *panels[0].get_legend_handles_labels())
    return figure


def cost_fronts(models: pd.DataFrame, costs: Mapping[str, str]) -> Figure:
    """The `value` of models over each of the `costs` (column: what to call it; logarithmic), a panel per
    cost: numbered and joined those that no other beats in both, small and grey the others.

    `models` has the model's columns, `value`, and for each cost a bool column `<cost>_front`.
    """
    fronts = [f"{cost}_front" for cost in costs]
    best = models[models[fronts].any(axis=1).astype(bool)]
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
        for row in front.to_dict("records"):
            place = row[cost], row["accuracy"]
            axes.plot(*place, color=colours[row["network"]], **ring)
            axes.text(*place, str(numbers[row["model"]]), ha="center", va="center_baseline", fontsize=9)
        axes.set(xscale="log", xlabel=name)
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=6))
        axes.xaxis.set_major_formatter(FormatStrFormatter("%g"))
        axes.minorticks_off()
        axes.margins(x=0.12, y=0.12)
    panels[0].set_ylabel("accuracy")
    rings = [Line2D([], [], linestyle="", color=colours[network], **ring) for network in best["network"]]
    style.legend(figure, rings, [f"{number}  {names[model]}" for model, number in numbers.items()])
    return figure


def recall_by_number(predictions: pd.DataFrame) -> Figure:
    """The share of photos recognised over the numbers in their file names, a panel per class, with 95 %
    Wilson intervals; a point stands for up to `RUN` neighbours in number.

    `predictions` has `path, label, predicted, split`; rows outside `test` are from models that did not learn
    them.
    """
    table = predictions.assign(number=file_numbers(predictions)).sort_values(["label", "number"])
    table["photos"] = np.where(table["split"] == "test", "test", "train, left out")
    table["value"] = table["label"] == table["predicted"]
    order = table.groupby(["label", "photos"]).cumcount()
    count = table.groupby(["label", "photos"])["value"].transform("size")
    points = (count / min(RUN, max(10, len(table) // 24))).round().clip(lower=1)
    runs = table.groupby(["label", "photos", order * points // count])
    shares = runs.agg(number=("number", "mean"), value=("value", "mean"), count=("value", "size"))
    shares["low"], shares["high"] = share_interval(shares["value"] * shares["count"], shares["count"])
    shares = shares.reset_index(["label", "photos"]).rename(columns={"number": "number in the file name"})
    return curves(shares, "number in the file name", hue="photos", column="label", label="share recognised")


def _draw_interval(
    axes: Axes, value: float, low: float, high: float, place: float, zero: bool, look: dict[str, Any]
) -> None:
    given = not pd.isna(low)
    if not given or (zero and low <= 0 <= high):
        look = look | {"markerfacecolor": "white"}
    if zero:
        axes.axvline(0, color=style.GREY, linewidth=1)
    spread = np.fmax([[value - low], [high - value]], 0) if given else None
    axes.errorbar(value, place, xerr=spread, markersize=6, capsize=2, **look)


def _apart(values: list[float], logarithmic: bool) -> list[float]:
    """Those of some rising values, the last among them, that leave room for a number at each."""
    places = np.log(values) if logarithmic else np.array(values)
    kept = [len(values) - 1]
    for at in range(len(values) - 1)[::-1]:
        if places[kept[0]] - places[at] >= 0.13 * (places[-1] - places[0]):
            kept.insert(0, at)
    return [values[at] for at in kept]


def _in_turn(names: pd.Series) -> dict[str, str]:
    return dict(zip(names.unique(), style.COLOURS * len(names), strict=False))
