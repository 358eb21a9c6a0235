"""Figures of the photos themselves: how many, how large, where the object is, how light, how alike.

Each takes a table of the photos room, or pictures as (H, W, 3) uint8 RGB, and gives a figure.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, PercentFormatter

from wastebook.photos.decode import read_photo, resize
from wastebook.report.figures import style

WIDE = 7.2  # inches: a figure is read on a phone at half that
TILE = (180, 240)  # height and width in pixels of a picture among others
GAP, ROOM = 8, 34  # pixels between pictures, and for a caption above them
LONGEST_NAME = 18
PERCENT = PercentFormatter(1, decimals=0, symbol=" %")
FOUND, TRUE = style.ORANGE, style.BLUE  # the colours of boxes


def class_counts(photos: pd.DataFrame) -> Figure:
    """A bar a class: how many photos, and which share of all."""
    counts = photos["label"].value_counts().sort_index()
    styles = style.class_styles(list(counts.index))
    figure, axes = plt.subplots(figsize=(WIDE, 0.9 + 0.42 * len(counts)))
    bars = axes.barh(_short(counts.index), counts, color=[styles[label][0] for label in counts.index])
    axes.bar_label(bars, [f"{count:,}  ({100 * count / counts.sum():.0f} %)" for count in counts], padding=4)
    axes.set(xlabel="photos", xlim=(0, counts.max() * 1.2))
    axes.invert_yaxis()
    axes.grid(visible=False)
    return figure


def photo_sizes(photos: pd.DataFrame) -> Figure:
    """Width against height, a disc a size, as large as it is common; lines for common shapes."""
    sizes = photos.value_counts(["width", "height"]).reset_index()
    largest = 1.12 * max(sizes["width"].max(), sizes["height"].max())
    figure, axes = plt.subplots(figsize=(WIDE, 4.2))
    for across, down in ((16, 9), (4, 3), (1, 1), (3, 4)):
        reach = 0.94 * min(largest / across, largest / down)
        axes.plot([0, across * reach], [0, down * reach], color=style.GREY, linewidth=0.8, zorder=1)
        axes.text(across * reach, down * reach, f" {across}:{down}", color="0.35", va="center", fontsize=10)
    areas = 20 + 480 * sizes["count"] / len(photos)
    axes.scatter(sizes["width"], sizes["height"], areas, color=style.BLUE, alpha=0.45, zorder=2)
    most = sizes.iloc[0]
    share = 100 * most["count"] / len(photos)
    axes.set_title(f"commonest: {most['width']} x {most['height']} ({share:.0f} %)")
    axes.set(xlabel="width (pixels)", ylabel="height (pixels)", xlim=(0, largest), ylim=(0, largest))
    axes.set_aspect("equal")
    return figure


def box_histograms(measures: pd.DataFrame) -> Figure:
    """How large the boxes are: area in pixels, and the share of the photo that they cover."""
    figure, panels = plt.subplots(1, 2, figsize=(WIDE, 3.2), sharey=True)
    drawn = (
        ("box area (thousand pixels)", measures["bb_area"] / 1000),
        ("share of the photo", measures["bb_coverage"]),
    )
    for axes, (name, values) in zip(panels, drawn, strict=True):
        axes.hist(values, bins=30, color=style.SKY, edgecolor="white", linewidth=0.4)
        axes.axvline(values.mean(), color=style.ORANGE, linestyle="--", label="mean")
        axes.set(xlabel=name)
    panels[0].set(ylabel="photos")
    panels[1].xaxis.set_major_formatter(PERCENT)
    panels[0].legend()
    return figure


def box_sizes(measures: pd.DataFrame) -> Figure:
    """Width against height of the boxes, a panel a class; the other classes in grey behind."""
    labels = sorted(measures["label"].unique())
    styles = style.class_styles(labels)
    size = 4 if len(measures) < 1000 else 2.5
    figure, panels = _panels(len(labels), 2.35)
    for axes, label in zip(panels, labels, strict=True):
        own = measures["label"] == label
        colour, marker = styles[label]
        axes.plot("bb_width", "bb_height", ".", data=measures[~own], color="0.85", markersize=size, zorder=1)
        axes.plot(
            "bb_width", "bb_height", marker, data=measures[own], color=colour, markersize=size, alpha=0.6
        )
        axes.set_title(_short([label])[0])
    figure.supxlabel("box width (pixels)", fontsize=11)
    figure.supylabel("box height (pixels)", fontsize=11)
    return figure


def by_class(measures: pd.DataFrame, columns: dict[str, str], logarithmic: bool = False) -> Figure:
    """Box plots of `columns` (name: what to call it), a panel a column and a box a class.

    The box holds the middle half, the line in it the median, the whiskers reach 1.5 times the box further.
    """
    labels = sorted(measures["label"].unique())
    styles = style.class_styles(labels)
    figure, panels = plt.subplots(
        1, len(columns), figsize=(WIDE, 1.2 + 0.42 * len(labels)), sharey=True, squeeze=False
    )
    for axes, (column, name) in zip(panels.flat, columns.items(), strict=True):
        values = measures[column].clip(lower=0.1) if logarithmic else measures[column]
        groups = [values[measures["label"] == label] for label in labels]
        boxes = axes.boxplot(
            groups,
            orientation="horizontal",
            widths=0.65,
            patch_artist=True,
            tick_labels=_short(labels),
            medianprops={"color": "black"},
            flierprops={"markersize": 2, "markeredgecolor": style.GREY},
        )
        for box, label in zip(boxes["boxes"], labels, strict=True):
            box.set(facecolor=styles[label][0], alpha=0.75)
        axes.set(xlabel=name)
        if logarithmic:
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_major_formatter("{x:,.4g}")
            axes.xaxis.set_minor_locator(NullLocator())
        axes.grid(axis="y", visible=False)
    panels[0, 0].invert_yaxis()
    return figure


def colour_histograms(colours: pd.DataFrame) -> Figure:
    """How red, green and blue are spread over the pixels of each class (`measure.summarise_colours`)."""
    lines = {"red": (style.ORANGE, "-"), "green": (style.GREEN, "--"), "blue": (style.BLUE, ":")}
    labels = sorted(colours["label"].unique())
    figure, panels = _panels(len(labels), 2.0)
    for axes, label in zip(panels, labels, strict=True):
        for channel, (colour, line) in lines.items():
            rows = colours[(colours["label"] == label) & (colours["channel"] == channel)]
            axes.plot(rows["value"], rows["share"], line, color=colour, linewidth=1.8, label=channel)
        axes.set_title(_short([label])[0])
        axes.set(xticks=[0, 128, 255])
        axes.yaxis.set_major_formatter(PERCENT)
    panels[0].set_ylim(bottom=0)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper right", ncols=3)
    figure.supxlabel("value (0 dark, 255 light)", fontsize=11)
    figure.supylabel("share of the pixels", fontsize=11)
    return figure


def picture_rows(rows: dict[str, Sequence[np.ndarray]]) -> Figure:
    """Rows of pictures, five or more wide, each row named at its left; a line of text where there are
    none."""
    if not rows:
        return _none()
    across = max(5, *(len(pictures) for pictures in rows.values()))
    tiles = [[_tile(picture) for picture in pictures] for pictures in rows.values()]
    figure, axes = _pinned(_sheet([row + [_blank()] * (across - len(row)) for row in tiles], GAP))
    axes.set_yticks([(TILE[0] + GAP) * row + TILE[0] / 2 for row in range(len(rows))], _short(list(rows)))
    return figure


def picture_grid(pictures: Sequence[np.ndarray], captions: Sequence[str], across: int = 4) -> Figure:
    """Pictures, `across` in a row, with a caption above each."""
    return _captioned([_tile(picture) for picture in pictures], captions, across)


def picture_pairs(pairs: pd.DataFrame, root: Path) -> Figure:
    """Pairs of `find_duplicates` side by side, two in a row; a line of text where there are none."""
    if pairs.empty:
        return _none()
    gap = np.full((TILE[0], 2 * GAP, 3), 255, np.uint8)
    tiles, captions = [], []
    for *paths, kind in zip(pairs["path_a"], pairs["path_b"], pairs["kind"], strict=True):
        a, b = (_tile(read_photo(root / path)) for path in paths)
        tiles.append(np.hstack([a, gap[:, : GAP // 2], b, gap]))
        captions.append(" | ".join([*_short([Path(path).stem for path in paths]), kind]))
    return _captioned(tiles, captions, across=2)


def boxed_photos(measures: pd.DataFrame, root: Path) -> Figure:
    """Eight photos with the box found (orange) and the true one where known (blue), from the smallest box to
    the largest; `measures` is that of `measure.beside_true_boxes`."""
    places = np.linspace(0, len(measures) - 1, min(8, len(measures))).round().astype(int)
    shown = measures.sort_values("bb_coverage", kind="stable").iloc[places]
    boxes = [
        shown[[f"{whose}_{side}" for side in ("x", "y", "width", "height")]].to_numpy()
        for whose in ("true", "bb")
    ]
    pictures = [
        _draw_boxes(read_photo(root / path), {TRUE: true, FOUND: found})
        for path, true, found in zip(shown["path"], *boxes, strict=True)
    ]
    names = _short(list(shown["label"]))
    captions = [
        f"{name}, {100 * share:.0f} %" for name, share in zip(names, shown["bb_coverage"], strict=True)
    ]
    return picture_grid(pictures, captions)


def _none() -> Figure:
    figure, axes = plt.subplots(figsize=(WIDE, 0.6))
    axes.text(0, 0.5, "There are none.", va="center")
    axes.set_axis_off()
    return figure


def _panels(count: int, height: float) -> tuple[Figure, list[Axes]]:
    """`count` panels with the same axes, three in a row (four of more than nine), each `height` inches."""
    across = min(count, 3 if count <= 9 else 4)
    down = math.ceil(count / across)
    figure, grid = plt.subplots(
        down, across, figsize=(WIDE, height * down + 0.4), sharex=True, sharey=True, squeeze=False
    )
    for axes in grid.flat[count:]:
        axes.set_visible(False)
    for axes in grid.flat[max(0, count - across) : count]:
        axes.xaxis.set_tick_params(labelbottom=True)
    return figure, list(grid.flat[:count])


def _draw_boxes(photo: np.ndarray, boxes: dict[str, np.ndarray]) -> np.ndarray:
    """The photo at the size of a tile with boxes (x, y, width, height in its pixels) in their colours; a box
    of which the numbers are missing is left out."""
    scale = min(TILE[0] / photo.shape[0], TILE[1] / photo.shape[1])
    drawn = resize(photo, (max(1, round(photo.shape[0] * scale)), max(1, round(photo.shape[1] * scale))))
    last = np.array(drawn.shape[1::-1]) - 3
    for colour, box in boxes.items():
        if not np.isnan(box).any():
            corner, opposite = (box[:2] * scale).round(), ((box[:2] + box[2:]) * scale).round()
            corners = [np.clip(place, 2, last).astype(int).tolist() for place in (corner, opposite)]
            inside = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
            for thickness, shade in ((4, [255, 255, 255]), (2, inside)):
                cv2.rectangle(drawn, corners[0], corners[1], shade, thickness)
    return drawn


def _tile(picture: np.ndarray) -> np.ndarray:
    """The picture as large as it goes on a white tile."""
    scale = min(TILE[0] / picture.shape[0], TILE[1] / picture.shape[1])
    height, width = (max(1, round(side * scale)) for side in picture.shape[:2])
    tile, top, left = _blank(), (TILE[0] - height) // 2, (TILE[1] - width) // 2
    tile[top : top + height, left : left + width] = resize(picture, (height, width))
    return tile


def _blank() -> np.ndarray:
    return np.full((*TILE, 3), 255, np.uint8)


def _captioned(tiles: list[np.ndarray], captions: Sequence[str], across: int) -> Figure:
    """Tiles of one size, `across` in a row, with a caption above each."""
    width = tiles[0].shape[1]
    tiles = tiles + [np.full_like(tiles[0], 255)] * (-len(tiles) % across)
    sheet = _sheet([tiles[at : at + across] for at in range(0, len(tiles), across)], ROOM)
    figure, axes = _pinned(np.pad(sheet, ((ROOM, 0), (0, 0), (0, 0)), constant_values=255))
    for at, caption in enumerate(captions):
        row, column = divmod(at, across)
        axes.text(column * (width + GAP), ROOM - 8 + row * (TILE[0] + ROOM), caption, fontsize=10)
    axes.set_yticks([])
    return figure


def _sheet(rows: list[list[np.ndarray]], room: int) -> np.ndarray:
    """Tiles joined to one picture, `GAP` pixels between columns and `room` between rows."""
    gap = np.full((TILE[0], GAP, 3), 255, np.uint8)
    joined = [np.hstack([part for tile in row for part in (tile, gap)][:-1]) for row in rows]
    between = np.full((room, joined[0].shape[1], 3), 255, np.uint8)
    return np.vstack([part for row in joined for part in (row, between)][:-1])


def _pinned(sheet: np.ndarray) -> tuple[Figure, Axes]:
    """A figure as wide as the page with nothing but the picture on it."""
    figure, axes = plt.subplots(figsize=(WIDE, WIDE * sheet.shape[0] / sheet.shape[1]))
    axes.imshow(sheet)
    axes.set_xticks([])
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    return figure, axes


def _short(names: Sequence[str] | pd.Index) -> list[str]:
    """The names, the middle of long ones cut out."""
    half = LONGEST_NAME // 2
    return [
        name if len(name) <= LONGEST_NAME else f"{name[:half]}…{name[-half:]}" for name in map(str, names)
    ]
