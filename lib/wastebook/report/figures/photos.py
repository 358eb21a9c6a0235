"""Figures of photos themselves: pictures are (H, W, 3) uint8 RGB."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from wastebook.photos.decode import read_photo, resize_antialiased
from wastebook.report.figures import style
from wastebook.report.sentences import name_models

LETTERS, LINE = 11, 0.17  # letters of a caption in an inch, and inches that a line of them takes
PAIR_HEIGHT, GAP = 240, 12  # pixels: of two photos joined, and between them


def photo_grid(
    pictures: Sequence[np.ndarray] | Mapping[str, Sequence[np.ndarray]],
    captions: Sequence[str] = (),
    across: int = 4,
) -> Figure:
    """Pictures, `across` in a row, with a caption above each; or, from a mapping, a row per name, which
    stands at its left, at least `across` places wide."""
    rows: list[list[np.ndarray]]
    if isinstance(pictures, Mapping):
        rows, names = [list(row) for row in pictures.values()], [style.wrap(name, 20) for name in pictures]
        across = max([across, *map(len, rows)])
    else:
        rows = [list(pictures[at : at + across]) for at in range(0, len(pictures), across)]
        names = [""] * len(rows)
    shapes = [picture.shape for row in rows for picture in row]
    if not shapes:
        return style.nothing()
    cell = style.WIDE / across  # inches; below, a cell's width is the unit
    texts = [style.wrap(caption, int(LETTERS * cell)) for caption in captions]
    room = LINE * max((text.count("\n") + 1 for text in texts), default=0) / cell + 0.05
    height = min(1.0, max(shape[0] / shape[1] for shape in shapes))
    size = (style.WIDE, cell * len(rows) * (height + room))
    figure, axes = plt.subplots(figsize=size, layout="constrained")
    places = [(row, column) for row in range(len(rows)) for column in range(len(rows[row]))]
    for at, (row, column) in enumerate(places):
        scale, top = min(0.96 / shapes[at][1], height / shapes[at][0]), row * (height + room) + room
        right, bottom = column + scale * shapes[at][1], top + scale * shapes[at][0]
        axes.imshow(rows[row][column], extent=(column, right, bottom, top))
        if texts:
            axes.text(column, top - 0.03, texts[at], va="bottom", fontsize=10, linespacing=1.0)
    axes.set(xlim=(0, across), ylim=(len(rows) * (height + room), 0), xticks=[])
    axes.set_yticks([(row + 0.5) * (height + room) for row in range(len(rows))], names)
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    return figure


def photo_pairs(pairs: pd.DataFrame, root: Path) -> Figure:
    """Pairs of `find_duplicates` (`path_a, path_b, kind`) side by side, two pairs in a row."""
    joined, captions = [], []
    for *paths, kind in zip(pairs["path_a"], pairs["path_b"], pairs["kind"], strict=True):
        photos = [read_photo(root / path) for path in paths]
        sizes = [(PAIR_HEIGHT, -(-photo.shape[1] * PAIR_HEIGHT // photo.shape[0])) for photo in photos]
        a, b = map(resize_antialiased, photos, sizes)
        joined.append(np.hstack([a, np.full((PAIR_HEIGHT, GAP, 3), 255, np.uint8), b]))
        captions.append(" | ".join([*(Path(path).stem for path in paths), kind]))
    return photo_grid(joined, captions, across=2)


def draw_box(photo: np.ndarray, box: Sequence[float], colour: str = style.ORANGE) -> np.ndarray:
    """A copy of the photo with a box (x, y, width, height in its pixels) drawn in a colour, rimmed white; as
    it is where the box's numbers are missing."""
    drawn, (x, y, width, height) = photo.copy(), box
    if np.isnan([x, y, width, height]).any():
        return drawn
    thick = max(2, round(max(photo.shape) / 90))
    last = np.array(photo.shape[1::-1]) - 1 - thick // 2
    corners = np.clip([(x, y), (x + width, y + height)], thick // 2, last).round().astype(int).tolist()
    inside = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
    for thickness, shade in ((2 * thick, [255, 255, 255]), (thick, inside)):
        cv2.rectangle(drawn, corners[0], corners[1], shade, thickness)
    return drawn


def mistakes(predictions: pd.DataFrame, root: Path, count: int = 12) -> Figure:
    """The mistakes that a model was surest of, as pictures: what it is, what it was taken for, how surely; of
    several models a row of pictures each. A photo that several seeds got wrong is shown once, with the
    surest."""
    wrong = predictions[predictions["predicted"] != predictions["label"]]
    wrong = wrong.assign(sure=wrong.filter(regex="^p_").max(axis=1))
    wrong = wrong.sort_values("sure", ascending=False, kind="stable").drop_duplicates(["model", "path"])
    shown = {name: wrong[wrong["model"] == key].head(count) for key, name in name_models(predictions).items()}
    pictures = {name: [read_photo(root / path) for path in rows["path"]] for name, rows in shown.items()}
    if len(shown) != 1:
        return photo_grid(pictures, across=count)
    (rows,), (flat,) = shown.values(), pictures.values()
    return photo_grid(flat, [f"{row.label} as {row.predicted}, {row.sure:.2f}" for row in rows.itertuples()])
