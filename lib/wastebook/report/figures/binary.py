"""Figures of the organic-or-recyclable chapter: what the collection is like, and what two classes allow to
draw."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from wastebook.evaluation.metrics import share_interval
from wastebook.learning.blocks import file_numbers
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
