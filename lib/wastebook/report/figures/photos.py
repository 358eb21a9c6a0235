"""Figures of photos themselves: pictures are (H, W, 3) uint8 RGB."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image, ImageDraw

from wastebook.photos.decode import read_photo
from wastebook.report.figures import style
from wastebook.report.sentences import format_percent, name_models

SAME = {"exact": "file", "near": "shot", "object": "thing"}  # of a pair, by how it was found
LETTERS, LINE = 11, 0.17  # letters of a caption in an inch, and inches that a line of them takes


def photo_grid(
    pictures: Sequence[np.ndarray] | Mapping[str, Sequence[np.ndarray]],
    captions: Sequence[str] = (),
    across: int = 4,
) -> Figure:
    """Pictures, `across` in a row, with a caption above each; or, from a mapping, a row per name, which
    stands at its left, at least `across` places wide."""
    if isinstance(pictures, Mapping):
        rows, names = [*pictures.values()], [style.wrap(name, 20) for name in pictures]
        across = max([across, *map(len, rows)])
    else:
        rows = [pictures[at : at + across] for at in range(0, len(pictures), across)]
        names = [""] * len(rows)
    placed = [(row, column, picture) for row, some in enumerate(rows) for column, picture in enumerate(some)]
    if not placed:
        return style.nothing()
    cell = style.WIDE / across  # inches; below, a cell's width is the unit
    texts = [style.wrap(caption, int(LETTERS * cell)) for caption in captions]
    room = LINE * max((text.count("\n") + 1 for text in texts), default=0) / cell + 0.05
    height = min(1.0, max(picture.shape[0] / picture.shape[1] for *_, picture in placed))
    size = (style.WIDE, cell * len(rows) * (height + room))
    figure, axes = plt.subplots(figsize=size, layout="constrained")
    for at, (row, column, picture) in enumerate(placed):
        high, wide, _ = picture.shape
        scale, top = min(0.96 / wide, height / high), row * (height + room) + room
        axes.imshow(picture, extent=(column, column + scale * wide, top + scale * high, top))
        if texts:
            axes.text(column, top - 0.03, texts[at], va="bottom", fontsize=10, linespacing=1.0)
    axes.set(xlim=(0, across), ylim=(len(rows) * (height + room), 0), xticks=[], frame_on=False)
    axes.set_yticks([(row + 0.5) * (height + room) for row in range(len(rows))], names)
    axes.tick_params(length=0, grid_linewidth=0)
    return figure


def photo_pairs(pairs: pd.DataFrame, root: Path) -> Figure:
    """Pairs of `find_duplicates` side by side, two pairs in a row: which photos, and what they share; also if
    they stand under two labels, or on two sides of the official split."""
    pictures, captions = [], []
    for pair in pairs.to_dict("records"):
        paths = [Path(pair["path_a"]), Path(pair["path_b"])]
        apart = ", two labels" * (not pair["same_label"]) + ", two sides" * (pair["same_split"] is False)
        captions += [" and ".join(path.stem for path in paths), f"the same {SAME[pair['kind']]}{apart}"]
        pictures += [read_photo(root / path) for path in paths]
    return photo_grid(pictures, captions)


def draw_box(photo: np.ndarray, box: Sequence[float], colour: str = style.ORANGE) -> np.ndarray:
    """A copy of the photo with a box (x, y, width, height in its pixels) drawn in a colour; as it is where
    the box's numbers are missing."""
    drawn, (x, y, width, height) = Image.fromarray(photo), box
    if not np.isnan([x, y, width, height]).any():
        ends = min(x + width, drawn.width) - 1, min(y + height, drawn.height) - 1
        ImageDraw.Draw(drawn).rectangle((x, y, *ends), outline=colour, width=max(2, max(drawn.size) // 60))
    return np.asarray(drawn)


def mistakes(predictions: pd.DataFrame, root: Path, count: int = 12) -> Figure:
    """The mistakes that a model was surest of, as pictures: what it is, what it was taken for, how surely; of
    several models a row of pictures each. A photo that several seeds got wrong is shown once, with the
    surest."""
    wrong = predictions.assign(sure=predictions.filter(regex="^p_").max(axis=1)).query("predicted != label")
    wrong = wrong.sort_values("sure", ascending=False, kind="stable").drop_duplicates(["model", "path"])
    shown = {name: wrong[wrong["model"] == key].head(count) for key, name in name_models(predictions).items()}
    pictures = {name: [read_photo(root / path) for path in rows["path"]] for name, rows in shown.items()}
    if len(shown) != 1:
        return photo_grid(pictures, across=count)
    (rows,), (flat,) = shown.values(), pictures.values()
    told = [style.shorten(rows[name], 16) for name in ("label", "predicted")]
    return photo_grid(flat, list(map("{} as {}, {}".format, *told, rows["sure"].map(format_percent))))
