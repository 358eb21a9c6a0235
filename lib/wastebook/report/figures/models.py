"""Figures of networks and of what they learned: curves, confusion, mistakes, scores, augmentation, search."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator
from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_curve

from wastebook.photos.decode import read_photo
from wastebook.report.figures import style
from wastebook.report.sentences import plain_name, variant

SHADES = "Blues"  # of a share, 0 to 1
CHANGES = "PuOr"  # of what went down (orange) or up (purple): told apart by the colour-blind too
ORDERED = "viridis"
OBJECTIVE = "validation macro F1"
# The columns of a trial that the search did not choose.
NOT_PARAMETERS = ("number", "state", "value", "seconds", "scheme", "seed")


def training_curves(history: pd.DataFrame) -> Figure:
    """Loss and accuracy by epoch: train dashed, validation with markers, a colour a model.

    The line is the mean over the seeds, the band reaches from the lowest seed to the highest.
    """
    models = list(history["model"].unique())
    styles = style.model_styles(models)
    if len({colour for colour, _ in styles.values()}) < len(models):  # variants of one model
        styles = dict(zip(models, zip(style.COLOURS, style.MARKERS, strict=True), strict=False))
    figure, panels = plt.subplots(1, 2, figsize=(style.WIDE, 3.4))
    for axes, measure in zip(panels, ("loss", "accuracy"), strict=True):
        for (model, split), rows in history.groupby(["model", "split"], sort=False):
            colour, marker = styles[str(model)]
            over_seeds = rows.groupby("epoch")[measure].agg(["mean", "min", "max"])
            line = {"linestyle": "--"} if split == "train" else {"marker": marker, "markersize": 4}
            name = split if len(models) == 1 else f"{plain_name(str(model))}, {split}"
            axes.plot(over_seeds.index, over_seeds["mean"], color=colour, label=name, **line)
            axes.fill_between(
                over_seeds.index, over_seeds["min"], over_seeds["max"], color=colour, alpha=0.15
            )
        axes.set(xlabel="epoch", title=measure)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if len(models) == 1:
        panels[-1].legend()
    else:
        handles = panels[-1].get_legend_handles_labels()
        figure.legend(*handles, loc="outside lower center", ncols=len(models), fontsize=9)
    return figure


def confusion_matrices(predictions: pd.DataFrame, classes: list[str]) -> Figure:
    """True classes down, predicted across: the share of each row, with the count below it where there is one
    model only; a panel a model, in the order of the table. Several seeds are counted together."""
    models = list(predictions["model"].unique())
    alone = len(models) == 1
    size = (6.0, 5.2) if alone else (2.0, 2.05)
    figure, panels = _panels(len(models), 4, size, share=True)
    for axes, model, name in zip(panels, models, _short_names(models), strict=True):
        rows = predictions[predictions["model"] == model]
        table = pd.crosstab(rows["label"], rows["predicted"])
        counts = table.reindex(index=classes, columns=classes, fill_value=0).to_numpy()
        shares = counts / counts.sum(axis=1, keepdims=True).clip(min=1)
        axes.imshow(shares, cmap=SHADES, vmin=0, vmax=1)
        for row, column in zip(*np.nonzero(counts), strict=True):
            share = shares[row, column]
            text = f"{share:.0%}\n{counts[row, column]}" if alone else f"{100 * share:.0f}"
            colour = "white" if share > 0.55 else "black"
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=10 if alone else 7)
        axes.set_title(name, fontsize=11 if alone else 9)
        _name_cells(axes, classes, classes, size=10 if alone else 8, slant=45)
        if alone:
            axes.set(xlabel="predicted", ylabel="true")
    return figure


def certain_mistakes(predictions: pd.DataFrame, root: Path, count: int = 12) -> Figure:
    """The mistakes that the model was surest of, as pictures: what it is, what it was taken for, how surely.

    A photo that several seeds got wrong is shown once, with the surest.
    """
    wrong = predictions[predictions["predicted"] != predictions["label"]]
    sure = [row[f"p_{row['predicted']}"] for _, row in wrong.iterrows()]
    wrong = wrong.assign(sure=sure).sort_values("sure", ascending=False, kind="stable")
    wrong = wrong.drop_duplicates("path").head(count)
    figure, panels = _panels(max(len(wrong), 1), 4, (2.0, 1.95))
    for axes, row in zip(panels, wrong.to_dict("records"), strict=False):
        _picture(axes, read_photo(root / row["path"]))
        axes.set_title(f"{row['label']}\nas {row['predicted']}, {row['sure']:.2f}", fontsize=9)
    if wrong.empty:
        panels[0].set_axis_off()
        panels[0].text(0.5, 0.5, "no mistake", ha="center", va="center")
    return figure


def augmented_copies(copies: Mapping[str, Sequence[np.ndarray]]) -> Figure:
    """Pictures side by side, a row a transform: `copies` gives the pictures (H, W, 3) uint8 of each, the same
    number for each transform."""
    first = next(iter(copies.values()))
    height, width, _ = first[0].shape
    size = (style.WIDE, ((style.WIDE - 1.3) / len(first) * height / width + 0.05) * len(copies))
    figure, panels = plt.subplots(len(copies), len(first), figsize=size, squeeze=False)
    for row, (name, pictures) in zip(panels, copies.items(), strict=True):
        for axes, picture in zip(row, pictures, strict=True):
            _picture(axes, picture)
        row[0].set_ylabel(plain_name(name), rotation=0, ha="right", va="center", fontsize=9)
    return figure


def recall_changes(recalls: pd.DataFrame, classes: list[str]) -> Figure:
    """Recall of each class (across) under each model (down), coloured by the `change` against a reference.

    `recalls` has `model, label, recall, change, low, high` (0 to 1; the 95 % interval of the change); the
    reference's own rows have no change. What lies clear of zero is in bold.
    """
    models = list(recalls["model"].unique())
    figure, axes = plt.subplots(figsize=(style.WIDE, 0.9 + 0.42 * len(models)))
    cells = recalls.set_index(["model", "label"])
    changes = cells["change"].unstack().reindex(index=models, columns=classes).fillna(0).to_numpy(float)
    reach = max(float(np.abs(changes).max()), 0.05)
    image = axes.imshow(changes, cmap=CHANGES, vmin=-reach, vmax=reach, aspect="auto")
    for row, column in np.ndindex(changes.shape):
        cell = cells.loc[(models[row], classes[column])]
        text, clear = f"{cell['recall']:.2f}", False
        if not math.isnan(cell["change"]):
            low, high = 100 * cell["low"], 100 * cell["high"]
            text += f"\n{100 * cell['change']:+.0f} [{low:+.0f}, {high:+.0f}]"
            clear = low > 0 or high < 0
        look: dict[str, Any] = {"fontweight": "bold" if clear else "normal", "ha": "center", "va": "center"}
        look["color"] = "white" if abs(changes[row, column]) > 0.7 * reach else "black"
        axes.text(column, row, text, fontsize=8, **look)
    _name_cells(axes, _short_names(models), classes, size=9)
    bar = figure.colorbar(image, ax=axes, format=lambda value, _: f"{100 * value:+.0f}", aspect=40, pad=0.01)
    bar.set_label("change, points", fontsize=9)
    return figure


def score_intervals(scores: pd.DataFrame, metrics: Sequence[str] = ("accuracy", "macro_f1")) -> Figure:
    """Scores as dots with their 95 % intervals: models down, a panel a metric, schemes below one another.

    Where `low` and `high` are missing, as for what others published, the dot is hollow and has no interval.
    """
    models = list(scores["model"].unique())
    schemes = list(scores["scheme"].unique())
    colours = {model: colour for model, (colour, _) in style.model_styles(models).items()}
    markers = dict(zip(schemes, style.MARKERS, strict=False))
    height = 1.2 + 0.2 * len(models) * (len(schemes) + 0.5)
    figure, panels = plt.subplots(1, len(metrics), figsize=(style.WIDE, height), sharey=True, squeeze=False)
    for axes, metric in zip(panels[0], metrics, strict=True):
        for row in scores[scores["metric"] == metric].to_dict("records"):
            model, scheme, value = row["model"], row["scheme"], row["value"]
            place = models.index(model) + (schemes.index(scheme) - (len(schemes) - 1) / 2) * 0.22
            hollow = pd.isna(row["low"])
            spread = None if hollow else [[value - row["low"]], [row["high"] - value]]
            face = "white" if hollow else colours[model]
            mark = {"marker": markers[scheme], "color": colours[model], "markerfacecolor": face}
            axes.errorbar(value, place, xerr=spread, markersize=6, capsize=2, linewidth=1.5, **mark)
        axes.set(title=plain_name(metric), yticks=range(len(models)), yticklabels=_short_names(models))
        axes.grid(axis="y", visible=False)
    panels[0][0].invert_yaxis()
    for scheme, marker in markers.items():
        panels[0][-1].plot([], [], linestyle="", marker=marker, color=style.GREY, label=scheme)
    figure.legend(*panels[0][-1].get_legend_handles_labels(), loc="outside lower center", ncols=len(schemes))
    return figure


def difference_intervals(differences: pd.DataFrame, unit: str) -> Figure:
    """Paired differences as dots with their 95 % intervals, a row a `step`, schemes below one another; filled
    where the interval is clear of zero. `difference, low, high` are shares, drawn as points."""
    steps, schemes = list(differences["step"].unique()), list(differences["scheme"].unique())
    figure, axes = plt.subplots(figsize=(style.WIDE, 1.2 + 0.22 * len(steps) * (len(schemes) + 0.5)))
    for row in differences.to_dict("records"):
        scheme, difference = schemes.index(row["scheme"]), row["difference"]
        place = steps.index(row["step"]) + (scheme - (len(schemes) - 1) / 2) * 0.25
        spread = [[100 * (difference - row["low"])], [100 * (row["high"] - difference)]]
        colour, marker = style.COLOURS[scheme], style.MARKERS[scheme]
        face = colour if row["low"] > 0 or row["high"] < 0 else "white"
        look: dict[str, Any] = {"color": colour, "marker": marker, "markerfacecolor": face}
        axes.errorbar(100 * difference, place, xerr=spread, markersize=7, capsize=2, **look)
    axes.axvline(0, color=style.GREY, linewidth=1)
    axes.set(yticks=range(len(steps)), yticklabels=steps, xlabel=unit)
    axes.grid(axis="y", visible=False)
    axes.invert_yaxis()
    for scheme, colour, marker in zip(schemes, style.COLOURS, style.MARKERS, strict=False):
        axes.plot([], [], linestyle="", marker=marker, color=colour, label=scheme)
    axes.legend(fontsize=9)
    return figure


def penalty_path(path: pd.DataFrame) -> Figure:
    """Loss of the exact solution over its L2 penalty: train dashed, validation with markers, a colour a seed.

    `path` as `solve_head` gives it (`l2, train_loss, validation_loss`), with the `seed`.
    """
    figure, axes = plt.subplots(figsize=(style.WIDE, 3.2))
    for (seed, rows), colour in zip(path.groupby("seed"), itertools.cycle(style.COLOURS), strict=False):
        axes.plot(rows["l2"], rows["train_loss"], color=colour, linestyle="--", label=f"train, seed {seed}")
        axes.plot(rows["l2"], rows["validation_loss"], "o-", color=colour, label=f"validation, seed {seed}")
        best = rows.loc[[rows["validation_loss"].idxmin()]]
        axes.plot(best["l2"], best["validation_loss"], "o", color=colour, markersize=12, fillstyle="none")
    axes.set(xscale="log", xlabel="L2 penalty", ylabel="loss")
    axes.legend(fontsize=9)
    return figure


def search_history(trials: pd.DataFrame, default: float) -> Figure:
    """What each trial reached, the best so far of each seed's search, and what the default parameters do."""
    done = trials.dropna(subset=["value"]).sort_values("number")
    seeds = list(done.groupby("seed"))
    figure, axes = plt.subplots(figsize=(style.WIDE, 3.2))
    for (seed, rows), colour in zip(seeds, itertools.cycle((style.BLUE, *style.COLOURS[2:])), strict=False):
        name = "best so far" if len(seeds) == 1 else f"best so far, seed {seed}"
        axes.plot(rows["number"], rows["value"], "o", color=colour, alpha=0.5)
        axes.step(rows["number"], rows["value"].cummax(), where="post", color=colour, label=name)
    axes.axhline(default, color=style.ORANGE, linestyle="--", label="default parameters")
    axes.set(xlabel="trial", ylabel=OBJECTIVE)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(loc="lower right", fontsize=9)
    return figure


def search_importance(importance: pd.Series) -> Figure:
    """How much of the objective's variation each parameter accounts for: shares, by the parameter's name."""
    ordered = importance.sort_values()
    figure, axes = plt.subplots(figsize=(style.WIDE, 0.7 + 0.38 * len(ordered)))
    axes.barh([plain_name(name) for name in ordered.index], ordered, color=style.BLUE, height=0.6)
    for place, share in enumerate(ordered):
        axes.text(share, place, f" {share:.2f}", va="center", fontsize=10)
    axes.set(xlabel="importance", xlim=(0, 1.1 * max(ordered.max(), 0.01)))
    axes.grid(axis="y", visible=False)
    return figure


def search_slices(trials: pd.DataFrame, marked: Mapping[str, float]) -> Figure:
    """The objective over each parameter, later trials darker; a dashed line at the values `marked`."""
    done = trials.dropna(subset=["value"])
    names = [str(name) for name in done if name not in NOT_PARAMETERS]
    figure, panels = plt.subplots(1, len(names), figsize=(style.WIDE, 2.9), sharey=True, squeeze=False)
    for axes, name in zip(panels[0], names, strict=True):
        axes.scatter(done[name], done["value"], c=done["number"], cmap=ORDERED + "_r", s=24)
        if name in marked:
            axes.axvline(marked[name], color=style.ORANGE, linestyle="--")
        if _on_log_scale(done[name]):
            axes.set_xscale("log")
        values = sorted(done[name].unique())
        few = done[name].dtype.kind == "i" and len(values) <= 5
        ticks = values if few else [values[0], values[-1]]
        axes.set_xticks(ticks, [f"{tick:.2g}" for tick in ticks], fontsize=8)
        axes.minorticks_off()
        axes.grid(axis="x", visible=False)
        axes.set_xlabel(plain_name(name).replace(" ", "\n", 1))
    panels[0][0].set_ylabel(OBJECTIVE)
    return figure


def search_parallel(trials: pd.DataFrame) -> Figure:
    """Each trial a line through its parameters, from the lowest tried to the highest, coloured by what it
    reached; the best is thick."""
    done = trials.dropna(subset=["value"]).sort_values("value")
    names = [str(name) for name in done if name not in NOT_PARAMETERS]
    figure, axes = plt.subplots(figsize=(style.WIDE, 3.6))
    scaled = np.column_stack([_scaled(done[name]) for name in names])
    shade = plt.Normalize(done["value"].min(), done["value"].max())
    colours = plt.get_cmap(ORDERED)(shade(done["value"]))
    for place, (line, colour) in enumerate(zip(scaled, colours, strict=True)):
        best = place == len(done) - 1
        axes.plot(line, color=style.ORANGE if best else colour, linewidth=3 if best else 1.2)
    for place, name in enumerate(names):
        axes.axvline(place, color="black", linewidth=0.8)
        for value, height, side in ((done[name].min(), -0.03, "top"), (done[name].max(), 1.03, "bottom")):
            axes.text(place, height, f"{value:.3g}", ha="center", va=side, fontsize=9)
    axes.set(
        xticks=range(len(names)), xticklabels=list(map(plain_name, names)), yticks=[], ylim=(-0.12, 1.12)
    )
    axes.grid(visible=False)
    axes.spines[["left", "bottom"]].set_visible(False)
    figure.colorbar(plt.cm.ScalarMappable(shade, ORDERED), ax=axes, label=OBJECTIVE)
    return figure


def roc_curves(predictions: pd.DataFrame, positive: str) -> Figure:
    """Sensitivity against false alarms for the class `positive`, a curve a model with the area under it.

    Seeds are drawn one by one, and the area is their mean. With one class only there is no curve.
    """
    figure, axes = plt.subplots(figsize=(5.6, 5.0))
    for model, (colour, marker) in style.model_styles(list(predictions["model"].unique())).items():
        curves = [roc_curve(true, sure)[:2] for true, sure in _by_seed(predictions, model, positive)]
        area = np.mean([auc(*curve) for curve in curves])
        _draw_curves(axes, curves, colour, marker, f"{model} ({area:.3f})")
    axes.plot([0, 1], [0, 1], color=style.GREY, linestyle=":")
    axes.set(xlabel="false positive rate", ylabel="true positive rate", aspect="equal")
    axes.legend(title=f"area, {positive}", loc="lower right")
    return figure


def precision_recall_curves(predictions: pd.DataFrame, positive: str) -> Figure:
    """Precision against recall for the class `positive`, a curve a model with its average precision; dotted,
    the share of that class, which guessing would reach."""
    figure, axes = plt.subplots(figsize=(5.6, 5.0))
    for model, (colour, marker) in style.model_styles(list(predictions["model"].unique())).items():
        seeds = list(_by_seed(predictions, model, positive))
        curves = [precision_recall_curve(true, sure)[1::-1] for true, sure in seeds]
        average = np.mean([average_precision_score(true, sure) for true, sure in seeds])
        _draw_curves(axes, curves, colour, marker, f"{model} ({average:.3f})")
    axes.axhline((predictions["label"] == positive).mean(), color=style.GREY, linestyle=":")
    axes.set(xlabel="recall", ylabel="precision", ylim=(0, 1.03))
    axes.legend(title=f"average precision, {positive}", loc="lower left")
    return figure


def reliability_diagram(bins: pd.DataFrame) -> Figure:
    """How often the model is right against how sure it says it is, and below how often it is how sure.

    `bins` as `reliability` gives them, a row a bin: `model, confidence, accuracy, low, high, photos`. On the
    diagonal a model means what it says.
    """
    figure, (axes, below) = plt.subplots(
        2, 1, figsize=(5.6, 5.6), sharex=True, gridspec_kw={"height_ratios": [4, 1]}
    )
    axes.plot([0, 1], [0, 1], color=style.GREY, linestyle=":")
    for model, (colour, marker) in style.model_styles(list(bins["model"].unique())).items():
        rows = bins[bins["model"] == model].sort_values("confidence")
        spread = [rows["accuracy"] - rows["low"], rows["high"] - rows["accuracy"]]
        look = {"color": colour, "marker": marker}
        axes.errorbar(rows["confidence"], rows["accuracy"], yerr=spread, capsize=2, label=model, **look)
        below.plot(rows["confidence"], rows["photos"] / rows["photos"].sum(), markersize=4, **look)
    axes.set(ylabel="share right", xlim=(0, 1.02), ylim=(0, 1.02))
    axes.legend(loc="upper left")
    below.set(xlabel="confidence", ylabel="share of photos", ylim=(0, None))
    return figure


def _panels(
    count: int, columns: int, size: tuple[float, float], share: bool = False
) -> tuple[Figure, list[Axes]]:
    """A figure of `count` panels of `size` inches, at most `columns` across; `share` names the axes once."""
    across = min(count, columns)
    down = math.ceil(count / across)
    size = (size[0] * across, size[1] * down)
    figure, grid = plt.subplots(down, across, figsize=size, squeeze=False, sharex=share, sharey=share)
    for axes in grid.flat[count:]:
        above = grid.flat[list(grid.flat).index(axes) - across]
        above.xaxis.set_tick_params(labelbottom=True)
        axes.remove()
    return figure, list(grid.flat[:count])


def _picture(axes: Axes, picture: np.ndarray) -> None:
    axes.imshow(picture)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def _name_cells(
    axes: Axes, rows: Sequence[str], columns: Sequence[str], size: float, slant: float = 0
) -> None:
    axes.set_yticks(range(len(rows)), list(rows), fontsize=size)
    place: dict[str, Any] = {"ha": "right", "rotation_mode": "anchor"} if slant else {}
    axes.set_xticks(range(len(columns)), list(columns), fontsize=size, rotation=slant, **place)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)


def _short_names(models: Sequence[str]) -> list[str]:
    """The models' names; where all are one backbone under several transforms, the transforms' (or `none`)."""
    if len(models) == 1 or len({model.partition("+")[0] for model in models}) > 1:
        return list(models)
    return [variant(model) for model in models]


def _on_log_scale(values: pd.Series) -> bool:
    return bool(values.min() > 0 and values.max() / values.min() >= 8)


def _scaled(values: pd.Series) -> np.ndarray:
    """Values from 0 (the lowest) to 1 (the highest), by their logarithm where they span much."""
    numbers = np.log(values) if _on_log_scale(values) else values.astype(float)
    return ((numbers - numbers.min()) / max(numbers.max() - numbers.min(), 1e-12)).to_numpy()


def _by_seed(predictions: pd.DataFrame, model: str, positive: str):
    """For each seed of a model: whether each photo is `positive`, and how likely the model finds it."""
    for _, rows in predictions[predictions["model"] == model].groupby("seed"):
        yield rows["label"] == positive, rows[f"p_{positive}"]


def _draw_curves(axes: Axes, curves: list, colour: str, marker: str, name: str) -> None:
    look: dict[str, Any] = {"color": colour, "marker": marker, "markersize": 5, "alpha": 0.8}
    for at, (x, y) in enumerate(curves):
        axes.plot(x, y, markevery=0.2, label=None if at else name, **look)


def network_diagram(modules: pd.DataFrame) -> Figure:
    """A network as a row of boxes, photo to answer: as high as its maps, as wide as it has channels (both by
    their logarithm); grey and hatched what is frozen, orange what learns.

    `modules` is a row a module, in order: `module, channels, height, width` (of what it gives; pixels),
    `parameters, learns`.
    """
    figure, axes = plt.subplots(figsize=(style.WIDE, 3.4))
    left = 0.0
    rows: Iterator[Any] = modules.itertuples()
    for row in rows:
        width, height = 0.16 * math.log2(row.channels) + 0.1, 0.3 + 0.36 * math.log2(max(row.height, 1))
        look: dict[str, Any] = (
            {"facecolor": style.ORANGE} if row.learns else {"facecolor": "#D9D9D9", "hatch": "///"}
        )
        axes.add_patch(Rectangle((left, -height / 2), width, height, edgecolor="#8A8A8A", **look))
        centre, maps = left + width / 2, f"{row.height}×{row.width}" if row.height > 1 else "pooled"
        below = f"{row.channels}\n{maps}\n{_short(row.parameters)}"
        axes.text(centre, 1.72, row.module.replace("global_", ""), ha="center", fontsize=7, fontweight="bold")
        axes.text(centre, -1.75, below, ha="center", va="top", fontsize=7)
        left += max(width, 1.2) + 0.2
    axes.text(-0.25, -1.75, "channels\npixels\nparameters", ha="right", va="top", fontsize=7)
    axes.set(xlim=(-1.5, left), ylim=(-2.55, 2.0))
    axes.set_axis_off()
    frozen = Patch(facecolor="#D9D9D9", edgecolor="#8A8A8A", hatch="///", label="frozen")
    figure.legend(
        handles=[frozen, Patch(facecolor=style.ORANGE, label="learns")], loc="outside lower center", ncols=2
    )
    return figure


def _short(number: int) -> str:
    for size, letter in ((1_000_000, " M"), (1_000, " k")):
        if number >= size:
            return f"{number / size:.3g}{letter}"
    return str(number)
