"""Figures that hold models against one another, and against files, costs, confidence and bad photos."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FormatStrFormatter, LogLocator

from wastebook.evaluation.metrics import share_interval
from wastebook.learning.sessions import file_numbers
from wastebook.report.figures import style

RUN = 100  # photos of consecutive numbers that a dot stands for, or fewer where there are few in all


def recall_by_number(predictions: pd.DataFrame) -> Figure:
    """The share of photos recognised over the numbers in their file names, a panel a class: hollow dots for
    photos of train when the run of numbers around them was left out, full ones for test, with 95 % Wilson
    intervals.

    `predictions` has `path, label, predicted, split`, the rows outside `test` from models that did not learn
    them.
    """
    labels = sorted(predictions["label"].unique())
    table = predictions.assign(
        number=file_numbers(predictions), right=predictions["label"] == predictions["predicted"]
    )
    figure, panels = plt.subplots(
        len(labels), 1, figsize=(style.WIDE, 2.3 * len(labels)), sharey=True, squeeze=False
    )
    for axes, label in zip(panels[:, 0], labels, strict=True):
        colour, marker = style.class_styles(labels)[label]
        for is_test in (False, True):
            rows = table[(table["label"] == label) & ((table["split"] == "test") == is_test)].sort_values(
                "number"
            )
            dots = max(1, round(len(rows) / min(RUN, max(10, len(table) // 24))))
            runs = rows.groupby(np.arange(len(rows)) * dots // max(len(rows), 1))
            right, size, middle = runs["right"].sum(), runs["right"].size(), runs["number"].mean()
            low, high = share_interval(right, size)
            share = right / size
            spread = [share - low, high - share]
            look = {"color": colour, "fmt": marker, "markerfacecolor": colour if is_test else "none"}
            axes.errorbar(middle, share, yerr=spread, markersize=5, linewidth=1, **look)
        axes.set(title=label, ylabel="share recognised", ylim=(None, 1.03))
    panels[-1, 0].set_xlabel("number in the file name")
    handles = [
        Line2D([], [], color=style.GREY, marker="o", linestyle="", markerfacecolor=face)
        for face in ("none", style.GREY)
    ]
    figure.legend(handles, ["train, left out", "test"], loc="outside lower center", ncols=2)
    return figure


def score_distributions(predictions: pd.DataFrame, positive: str) -> Figure:
    """How sure a model is that a photo is `positive`, by true class: a panel for each value of `where`,
    stacked to 1.

    `predictions` has `where, label, p_<positive>`.
    """
    places = list(predictions["where"].unique())
    labels = sorted(predictions["label"].unique())
    figure, panels = plt.subplots(1, len(places), figsize=(style.WIDE, 3.2), sharey=True, squeeze=False)
    for axes, place in zip(panels[0], places, strict=True):
        rows = predictions[predictions["where"] == place]
        for label, hatch in zip(labels, ("", "///"), strict=True):
            sure = rows.loc[rows["label"] == label, f"p_{positive}"]
            colour = style.class_styles(labels)[label][0]
            weights = np.full(len(sure), 1 / max(len(sure), 1))
            look = {"color": colour, "alpha": 0.55, "hatch": hatch, "edgecolor": "white", "label": label}
            axes.hist(sure, bins=np.linspace(0, 1, 21), weights=weights, **look)
        axes.axvline(0.5, color=style.GREY, linestyle=":")
        axes.set(title=place, xlabel=f"probability of {positive}", yscale="log", xticks=[0, 0.5, 1])
    panels[0][0].set_ylabel("share of the class")
    figure.legend(*panels[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def cost_curves(costs: pd.DataFrame) -> Figure:
    """What wrong answers cost over the threshold, a line a model; the large mark is the threshold that its
    validation chose.

    `costs` has `model, threshold, cost, chosen` (bool, one a model).
    """
    styles = style.model_styles(list(costs["model"].unique()))
    figure, axes = plt.subplots(figsize=(style.WIDE, 3.6))
    for model, (colour, marker) in styles.items():
        rows = costs[costs["model"] == model]
        look: dict[str, Any] = {"color": colour, "marker": marker}
        axes.plot(rows["threshold"], rows["cost"], markevery=12, markersize=4, label=model, **look)
        chosen = rows[rows["chosen"]]
        axes.plot(chosen["threshold"], chosen["cost"], markersize=11, linestyle="", **look)
    axes.set(xlabel="called recyclable from this probability on", ylabel="cost of 100 photos", ylim=(0, None))
    axes.legend()
    return figure


def learning_curve(curve: pd.DataFrame) -> Figure:
    """Accuracy on test over the number of photos learned from (logarithmic), with 95 % intervals, a line a
    model.

    `curve` has `model, photos, value, low, high`.
    """
    figure, axes = plt.subplots(figsize=(style.WIDE, 3.6))
    for model, (colour, marker) in style.model_styles(list(curve["model"].unique())).items():
        rows = curve[curve["model"] == model].sort_values("photos")
        axes.plot(rows["photos"], rows["value"], color=colour, marker=marker, label=model)
        axes.fill_between(rows["photos"], rows["low"], rows["high"], color=colour, alpha=0.15)
    axes.set(xscale="log", xlabel="photos learned from", ylabel="accuracy on test")
    axes.set_xticks(
        sorted(curve["photos"].unique()), [f"{count:,}" for count in sorted(curve["photos"].unique())]
    )
    axes.minorticks_off()
    axes.legend(loc="lower right")
    return figure


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


def robustness_curves(answers: pd.DataFrame) -> Figure:
    """Share of right answers, with 95 % intervals, and of sure ones (dashed), over the strength of each kind.

    `answers` has `kind, unit, strength, accuracy, low, high, sure`.
    """
    kinds = list(answers["kind"].unique())
    figure, grid = plt.subplots(2, 3, figsize=(style.WIDE, 4.8), sharey=True)
    for axes, kind in zip(grid.flat, kinds, strict=False):
        rows = answers[answers["kind"] == kind].reset_index(drop=True)
        around = [rows["accuracy"] - rows["low"], rows["high"] - rows["accuracy"]]
        right, sure = {"color": style.BLUE, "label": "right"}, {"color": style.ORANGE, "label": "sure"}
        axes.errorbar(rows.index, rows["accuracy"], around, fmt="o-", markersize=4, **right)
        axes.plot(rows.index, rows["sure"], "s--", markersize=4, **sure)
        axes.set_xticks(rows.index, [f"{strength:g}" for strength in rows["strength"]])
        axes.set(title=kind, xlabel=rows["unit"][0], ylim=(0, 1.02))
    handles = grid.flat[0].get_legend_handles_labels()
    for axes in grid.flat[len(kinds) :]:
        axes.set_axis_off()
        axes.legend(*handles, loc="center", fontsize=11)
    for axes in grid[:, 0]:
        axes.set_ylabel("share of photos")
    return figure
