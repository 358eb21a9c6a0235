"""Figures of networks and of what they learned: curves, confusion, recall, calibration, anatomy, search."""

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from optuna.exceptions import ExperimentalWarning

from wastebook.report.figures import style
from wastebook.report.figures.comparison import curves
from wastebook.report.sentences import format_percent, name_models, plain_name

THIN, THICK = 0.8, 2  # lines of what was learned from, and of what was not
CHANGES = "PuOr"  # of what went down (orange) or up (purple): told apart by the colour-blind too


def network_stages(modules: pd.DataFrame) -> Figure:
    """A network as the stack of its stages (see `list_modules`), the photo at the top: how many pixels their
    maps have along a side, the larger the square the more channels. A panel per `network`, if it is told."""
    stages = modules.assign(stage=modules["module"] + "  " + modules["kind"])
    look: Any = {"size": "channels", "sizes": (30, 190), "marker": "s", "aspect": 1.5}
    look |= {"hue": "state" if "state" in stages else "kind", "palette": style.TONES}
    if "network" in stages:
        look |= {"col": "network", "facet_kws": {"sharey": False}, "aspect": 0.75}
    grid = sns.relplot(stages, x="height", y="stage", height=4.5, **look).set_titles("{col_name}")
    return grid.set(xscale="log", xlabel="pixels along a side", ylabel="").figure


def training_curves(history: pd.DataFrame) -> Figure:
    """Loss and accuracy by epoch, a line per model on validation, and a thin one on train.

    `history` has the model's columns and `seed, epoch, split, loss, accuracy`. The line is the mean over the
    seeds, the band reaches from the lowest seed to the highest.
    """
    if history.empty:
        return style.nothing()
    names, (colours, dashes) = name_models(history), style.line_styles(history)
    figure, axes_of = style.panels(2, 2, (style.WIDE / 2, 3.6))
    for axes, measure in zip(axes_of, ("loss", "accuracy"), strict=True):
        for (model, split), rows in history.groupby(["model", "split"], sort=False):
            look: Any = {"color": colours[str(model)], "linestyle": dashes[str(model)], "legend": False}
            look["linewidth"] = THIN if split == "train" else THICK
            sns.lineplot(rows, x="epoch", y=measure, errorbar=("pi", 100), ax=axes, **look)
        axes.set(title=f"{measure} (thin: on train)", ylabel="")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    validated = [line for line in axes_of[1].lines if line.get_linewidth() == THICK]
    style.name_lines(figure, axes_of[1], validated, [*names.values()])
    return figure


def confusion_matrices(predictions: pd.DataFrame, classes: list[str]) -> Figure:
    """True classes down, predicted across: the percentage of each row, with the count below it where there is
    room; a panel per model, in the order of the table. Several seeds are counted together."""
    if predictions.empty:
        return style.nothing()
    names, labels = name_models(predictions), style.shorten(classes, 16)
    counted = len(classes) <= (12 if len(names) == 1 else 4)
    side = max(1.8, len(classes) * (0.62 if counted else 0.33))
    size = (side + 0.15, side + 0.5)
    figure, panels = style.panels(len(names), max(1, int(7 // side)), size, sharex=True, sharey=True)
    width, height = figure.get_size_inches()
    figure.set_size_inches(width + 1.6, height + 1.3)  # room for the classes' names
    for axes, model in zip(panels, names, strict=True):
        rows = predictions[predictions["model"] == model]
        table = pd.crosstab(rows["label"], rows["predicted"])
        counts = table.reindex(index=classes, columns=classes, fill_value=0)
        shares = 100 * counts.div(counts.sum(axis=1).clip(lower=1), axis=0)
        texts = shares.map("{:.0f}".format)
        if counted:
            texts += counts.map(" %\n{}".format)
        look: dict[str, Any] = {"cmap": "Blues", "vmin": 0, "vmax": 100, "cbar": False, "square": True}
        look["annot_kws"] = {"fontsize": 9 if counted or len(classes) < 5 else 7}
        look |= {"xticklabels": labels, "yticklabels": labels}  # of whole names it might leave some out
        sns.heatmap(shares, annot=texts.where(counts > 0, ""), fmt="", ax=axes, **look)
        axes.tick_params(labelsize=9, rotation=0)
        plt.setp(axes.get_xticklabels(), rotation=45, ha="right", rotation_mode="anchor")
        axes.set(xlabel="", ylabel="")
        axes.set_title("" if len(names) == 1 else style.wrap(names[model], int(12 * side)), fontsize=9)
    figure.supxlabel("predicted", fontsize=10)
    figure.supylabel("true", fontsize=10)
    return figure


def recall_changes(recalls: pd.DataFrame, classes: list[str]) -> Figure:
    """Recall of each class (across; down where there are many) under each model, coloured by the `change`
    against a reference.

    `recalls` has the model's columns and `label, recall, change, low, high` (0 to 1; the 95 % interval of the
    change); the reference's own rows have no change. What lies clear of zero has its change in points below.
    """
    if recalls.empty:
        return style.nothing()
    names, cells = name_models(recalls), recalls.set_index(["model", "label"])
    cells = cells.reindex(pd.MultiIndex.from_product([names, classes]))
    changes = 100 * cells["change"].to_numpy(float).reshape(len(names), len(classes))
    texts = np.reshape([_change(cell) for cell in cells.to_dict("records")], changes.shape)
    reach = max(5.0, np.nanmax(np.abs(changes), initial=0))
    down, across = [style.wrap(name, 32) for name in names.values()], style.shorten(classes, 12)
    if len(classes) > 8:  # across a page they would have no room
        down, across = style.shorten(classes, 32), [style.wrap(name, 12) for name in names.values()]
        changes, texts = changes.T, texts.T
    size = (max(style.WIDE, 2.4 + 1.02 * len(across)), 1.6 + 0.45 * len(down))
    figure, axes = plt.subplots(figsize=size, layout="constrained")
    look: dict[str, Any] = {"cmap": CHANGES, "vmin": -reach, "vmax": reach, "annot_kws": {"fontsize": 9}}
    look["cbar_kws"] = {"format": "{x:+.0f}", "label": "change in points", "location": "bottom", "aspect": 50}
    look |= {"xticklabels": across, "yticklabels": down}
    sns.heatmap(np.nan_to_num(changes), annot=texts, fmt="", ax=axes, **look)
    axes.tick_params(labelsize=8, rotation=0)
    return figure


def reliability_diagram(bins: pd.DataFrame) -> Figure:
    """How often a model is right against how sure it says it is, and as bars how often it is how sure.

    `bins` as `reliability` gives them, a row per bin: the model's columns and `confidence, accuracy, low,
    high, photos`. On the diagonal a model means what it says.
    """
    figure = curves(bins, "confidence", "accuracy", label="share right; bars: share of photos")
    colours, _ = style.line_styles(bins)
    for axes in figure.axes:
        axes.plot([0, 1], [0, 1], color=style.GREY, linestyle=":")
        for model, rows in bins.groupby("model"):
            look: dict[str, Any] = {"color": colours[str(model)], "alpha": 0.25, "width": 0.03}
            axes.bar(rows["confidence"], rows["photos"] / rows["photos"].sum(), **look)
    return figure


def search_figure(draw: Callable[..., Any], study: Any, **options: Any) -> Figure:
    """What one of the functions of `optuna.visualization.matplotlib` draws of a study, in the book's look:
    they set another for the rest of the page, and warn that they are new."""
    with plt.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        figure = np.ravel(draw(study, **options))[0].figure
    figure.set_size_inches(style.WIDE, 3.6)
    figure.suptitle("")
    for axes in figure.axes:
        axes.set(title="", facecolor="white")
        if axes.get_legend():
            sns.move_legend(axes, "upper center", bbox_to_anchor=(0.5, -0.15), ncols=3)
        axes.tick_params(which="both", labelsize=8)
        if axes.bbox.width < style.NARROW * figure.dpi:  # where those of neighbours would meet
            axes.tick_params("x", rotation=45)
        axes.set_xlabel(plain_name(axes.get_xlabel()))
        if (named := [tick.get_text() for tick in axes.get_xticklabels()]) and "_" in "".join(named):
            axes.set_xticks(axes.get_xticks(), map(plain_name, named))  # parameters, as they are called
        for label in axes.get_yticklabels():  # lines cross them
            label.set_bbox({"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 1})
        axes.grid(visible=False)
    return figure


def _change(cell: Mapping[Any, Any]) -> str:
    change, low, high = (100 * cell[name] for name in ("change", "low", "high"))
    told = f"\n{change:+.0f} [{low:+.0f}, {high:+.0f}]".replace("-", "−") if low > 0 or high < 0 else ""
    return format_percent(cell["recall"]) + told
