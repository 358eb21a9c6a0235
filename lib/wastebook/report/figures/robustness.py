"""Figures of how bad photos change the answers."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from wastebook.report.figures import style


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
