"""Figures that hold the book's models against one another: quality, cost, honesty, and what may be
promised."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter, LogLocator

from wastebook.report.figures import style


def model_dots(scores: pd.DataFrame, metrics: Sequence[str]) -> Figure:
    """Every model as a dot with its 95 % interval, a panel a metric, the best at the top; the schemes of a
    model a little below one another, each with a marker of its own.

    `scores` as `score` gives them, of one data set and split. Ranked by the first metric under the first
    scheme.
    """
    schemes = list(scores["scheme"].unique())
    of_first = scores[scores["metric"] == metrics[0]].drop_duplicates("model")
    models = list(of_first.sort_values("value", ascending=False, kind="stable")["model"])
    colours = {model: colour for model, (colour, _) in style.model_styles(models).items()}
    step = 0.5 / len(schemes)
    height = 1.0 + len(models) * (0.15 + 0.09 * len(schemes))
    figure, panels = plt.subplots(1, len(metrics), figsize=(style.WIDE, height), sharey=True, squeeze=False)
    for axes, metric in zip(panels[0], metrics, strict=True):
        for row in scores[scores["metric"] == metric].to_dict("records"):
            at = schemes.index(row["scheme"])
            place = models.index(row["model"]) + (at - (len(schemes) - 1) / 2) * step
            spread = [[max(row["value"] - row["low"], 0)], [max(row["high"] - row["value"], 0)]]
            look: dict[str, Any] = {"color": colours[row["model"]], "marker": style.MARKERS[at]}
            look["markerfacecolor"] = "white" if at else look["color"]
            axes.errorbar(row["value"], place, xerr=spread, markersize=4.5, linewidth=1.2, **look)
        axes.set(title=metric.replace("_", " "), yticks=range(len(models)))
        axes.set_yticklabels(models, fontsize=9)
        axes.tick_params(axis="x", labelsize=9)
        axes.set_ylim(len(models) - 0.4, -0.6)
        axes.grid(axis="y", alpha=0.35)
    for at, scheme in enumerate(schemes):
        face = "white" if at else style.GREY
        look = {"marker": style.MARKERS[at], "color": style.GREY, "markerfacecolor": face}
        panels[0][-1].plot([], [], linestyle="", label=scheme, **look)
    figure.legend(*panels[0][-1].get_legend_handles_labels(), loc="outside lower center", ncols=len(schemes))
    return figure


def cost_fronts(models: pd.DataFrame, costs: Mapping[str, str]) -> Figure:
    """Accuracy over each of the `costs` (column: what to call it; logarithmic), a panel each; the models that
    no other beats in both are filled, named and joined.

    `models` has `model, accuracy` and for each cost a bool column `<cost>_front`.
    """
    styles = style.model_styles(list(models["model"]))
    figure, panels = plt.subplots(1, len(costs), figsize=(style.WIDE, 4.0), sharey=True, squeeze=False)
    for axes, (cost, name) in zip(panels[0], costs.items(), strict=True):
        front = models[models[f"{cost}_front"]].sort_values(cost)
        axes.plot(front[cost], front["accuracy"], color=style.GREY, linewidth=1, zorder=1)
        for row in models.dropna(subset=[cost]).to_dict("records"):
            colour, marker = styles[row["model"]]
            face = colour if row[f"{cost}_front"] else "white"
            axes.plot(row[cost], row["accuracy"], marker, color=colour, markerfacecolor=face, markersize=7)
        for at, row in enumerate(front.to_dict("records")):
            place = {"xytext": (4, 7 + 11 * (at % 2)), "textcoords": "offset points"}
            axes.annotate(row["model"], (row[cost], row["accuracy"]), fontsize=8, **place)
        axes.set(xscale="log", xlabel=name)
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=6))
        axes.xaxis.set_major_formatter(FormatStrFormatter("%g"))
        axes.minorticks_off()
        axes.margins(x=0.25, y=0.12)
    panels[0][0].set_ylabel("accuracy on test")
    return figure


def before_and_after(table: pd.DataFrame, name: str) -> Figure:
    """What a repair does to each model: hollow before, filled after, joined by a line; a panel a data set.

    `table` has `dataset, model, before, after`, of which less is better.
    """
    datasets = list(table["dataset"].unique())
    counts = [int((table["dataset"] == dataset).sum()) for dataset in datasets]
    figure, panels = plt.subplots(
        len(datasets),
        1,
        figsize=(style.WIDE, 0.9 * len(datasets) + 0.24 * sum(counts)),
        squeeze=False,
        height_ratios=[count + 2 for count in counts],
        sharex=True,
    )
    for axes, dataset in zip(panels[:, 0], datasets, strict=True):
        rows = table[table["dataset"] == dataset].sort_values("after", kind="stable")
        colours = style.model_styles(list(rows["model"]))
        for place, row in enumerate(rows.to_dict("records")):
            colour, _ = colours[row["model"]]
            axes.plot([row["before"], row["after"]], [place, place], color=colour, linewidth=1.2)
            axes.plot(row["before"], place, "o", color=colour, markerfacecolor="white")
            axes.plot(row["after"], place, "o", color=colour)
        axes.set_yticks(range(len(rows)), rows["model"], fontsize=9)
        axes.set(title=dataset, xlim=(0, None), ylim=(len(rows) - 0.4, -0.6))
        axes.grid(axis="y", alpha=0.35)
    panels[-1, 0].set_xlabel(f"{name} on test: hollow before, filled after")
    return figure


def answering_less(selective: pd.DataFrame) -> Figure:
    """Accuracy over the share of photos answered, the surest first, with 95 % intervals: a line a model.

    `selective` as `selective_accuracy` gives it, with a column `name` for the legend.
    """
    figure, axes = plt.subplots(figsize=(style.WIDE, 3.6))
    looks = zip(style.COLOURS, style.MARKERS, strict=True)
    for (name, rows), (colour, marker) in zip(selective.groupby("name", sort=False), looks, strict=False):
        axes.plot(100 * rows["share"], rows["accuracy"], color=colour, marker=marker, label=name)
        axes.fill_between(100 * rows["share"], rows["low"], rows["high"], color=colour, alpha=0.15)
    axes.set(xlabel="photos answered, the surest first, %", ylabel="share right")
    axes.invert_xaxis()
    axes.legend(fontsize=9)
    return figure
