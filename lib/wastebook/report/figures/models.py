"""Figures of the networks themselves: what they are made of, and which part of them learns."""

import math
from collections.abc import Iterator
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from wastebook.report.figures import style


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
