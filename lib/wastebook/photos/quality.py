"""Which photos cannot be used or are odd, and what each one measures: shape, object, light, sharpness."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from PIL import Image

from wastebook.cache import cached_table
from wastebook.data import pictures
from wastebook.photos.decode import PhotoError, decode_photos, open_photo, parallel_map, read_photo

SMALLEST = 32  # pixels on the shorter side below which hardly anything can be told
BLANKEST = 5.0  # contrast (standard deviation of RGB values) below which nearly nothing can be seen
PROBLEMS = ("unreadable", "empty", "truncated", "huge", "wrongly named", "metadata", "tiny", "near-blank")
VERSION = 3  # raised when something else is looked for, so that kept findings are found anew
SIDES = ["x", "y", "width", "height"]  # of a box, in pixels
LIGHT = ["brightness", "contrast", "sharpness"]
MEASURES = ["aspect_ratio", *(f"bb_{side}" for side in SIDES), "bb_area", "bb_coverage", *LIGHT]


def check_photos(photos: pd.DataFrame, root: Path) -> pd.DataFrame:
    """What is wrong with the photos, a row per problem: `path`, `problem` (of `PROBLEMS`), `detail`, and
    whether it is `readable` all the same. Kept on disk by name and content, so the second call is instant."""

    def check() -> pd.DataFrame:
        found = parallel_map(lambda path: _problems(root / path), photos["path"])
        rows = [(path, *each) for path, some in zip(photos["path"], found, strict=True) for each in some]
        table = pd.DataFrame(rows, columns=["path", "problem", "detail", "readable"])
        return table.astype({"readable": bool})

    facts = (VERSION, pictures.readable_formats(), *zip(photos["path"], photos["sha256"], strict=True))
    return cached_table("checks", facts, check)


def readable_photos(photos: pd.DataFrame, problems: pd.DataFrame) -> pd.DataFrame:
    """The photos without those that `check_photos` found not to be readable; PhotoError if all are."""
    broken = problems.loc[~problems["readable"], "path"]
    if len(broken) and photos["path"].isin(broken).all():
        raise PhotoError(broken.iloc[0], "none of the photos can be read", problems["detail"].iloc[0])
    return photos[~photos["path"].isin(broken)].reset_index(drop=True)


def _problems(file: Path) -> list[tuple[str, str, bool]]:
    try:
        content, picture = open_photo(file)
        photo = read_photo(file, content=content)
    except PhotoError as error:
        return [(error.problem, error.detail, False)]
    problems = []
    # As phones have it, an MPO is a JPEG with a second picture behind it.
    format = "JPEG" if picture.format == "MPO" else picture.format
    if Image.registered_extensions().get(file.suffix.lower(), format) != format:
        problems.append(("wrongly named", f"{format}, but called {file.suffix}", True))
    if pictures.read_orientation(picture) is None:
        problems.append(("metadata", "they cannot be read: it is taken as it lies", True))
    height, width = photo.shape[:2]
    if min(height, width) < SMALLEST:
        problems.append(("tiny", f"{width} x {height} pixels", True))
    elif (contrast := _measure_light(photo)[1]) < BLANKEST:
        problems.append(("near-blank", f"values hardly vary (standard deviation {contrast:.1f})", True))
    return problems


def measure_photos(photos: pd.DataFrame, root: Path) -> pd.DataFrame:
    """A row per readable photo: `path`, `label`, and `MEASURES`.

    `aspect_ratio` is width over height; `bb_x, bb_y, bb_width, bb_height, bb_area` (pixels) and `bb_coverage`
    (share of the photo) are of the `bounding_box` around the object; `brightness, contrast` are mean and
    standard deviation over all RGB values (0-255), `sharpness` the variance of the Laplacian of the grey
    picture (Pech-Pacheco et al., 2000), low if blurred."""
    rows = parallel_map(lambda path: _measure(read_photo(root / path)), photos["path"])
    return photos[["path", "label"]].reset_index(drop=True).join(pd.DataFrame(rows, columns=MEASURES))


def _measure(photo: np.ndarray) -> tuple[float, ...]:
    height, width = photo.shape[:2]
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
    box = bounding_box(grey)
    area = box[2] * box[3]
    _, edges = _measure_light(cv2.Laplacian(grey, cv2.CV_16S))
    return (width / height, *box, area, area / (width * height), *_measure_light(photo), edges**2)


def _measure_light(values: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation over all values of an array: a photo's brightness and contrast."""
    mean, deviation = cv2.meanStdDev(values.reshape(-1, 1))
    return mean.item(), deviation.item()


def bounding_box(grey: np.ndarray) -> Sequence[int]:
    """x, y, width, height in pixels of the object on its lighter board, as in the FIUBA report: the largest
    outline of what is darker than Otsu's threshold; the whole picture where there is none."""
    blurred = cv2.GaussianBlur(grey, (5, 5), 0)
    _, mask = cv2.threshold(blurred, 0, 255, cv2.THRESH_BINARY_INV | cv2.THRESH_OTSU)
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    if not outlines:
        return 0, 0, grey.shape[1], grey.shape[0]
    return cv2.boundingRect(max(outlines, key=cv2.contourArea))


def explained_by_class(measures: pd.DataFrame, column: str) -> float:
    """Which share (0-1) of a column's variance the class explains: adjusted R², not below 0."""
    within = measures[column] - measures.groupby("label")[column].transform("mean")
    freedom, variance = max(len(measures) - measures["label"].nunique(), 1), measures[column].var()
    return max(0.0, 1 - (within**2).sum() / freedom / variance) if variance else 0.0


def spread_of_draws(
    measures: pd.DataFrame, columns: Sequence[str], per_class: int, seed: int, draws: int = 200
) -> pd.DataFrame:
    """What another would find who draws `per_class` photos of each class: `what, statistic` (the `mean` or
    `deviation` of a column over such a draw), `value` (its average over many) and its standard `error`."""
    classes = measures.groupby("label")[list(columns)]  # drawn from with replacement, as from many
    drawn = (classes.sample(per_class, replace=True, random_state=seed + draw) for draw in range(draws))
    found = pd.DataFrame([draw.agg(["mean", "std"]).T.stack() for draw in drawn])
    table = found.agg(["mean", "std"]).round(9).T.set_axis(["value", "error"], axis="columns")
    return table.rename_axis(["what", "statistic"]).rename({"std": "deviation"}).reset_index()


def match_true_boxes(measures: pd.DataFrame, true: pd.DataFrame | None) -> pd.DataFrame:
    """The measures, `true_x, true_y, true_width, true_height` (pixels) and the `overlap` of the boxes found
    with them (intersection over union, 0-1); all missing where `true_boxes` knows none."""
    true = pd.DataFrame(columns=["path", *SIDES], dtype=float) if true is None else true[["path", *SIDES]]
    both = measures.merge(true.rename(columns={side: f"true_{side}" for side in SIDES}), "left", "path")
    found, known = (both[[f"{whose}_{side}" for side in SIDES]].to_numpy(float) for whose in ("bb", "true"))
    ends = np.minimum(found[:, :2] + found[:, 2:], known[:, :2] + known[:, 2:])
    shared = (ends - np.maximum(found[:, :2], known[:, :2])).clip(0).prod(axis=1)
    return both.assign(overlap=shared / (found[:, 2:].prod(axis=1) + known[:, 2:].prod(axis=1) - shared))


def summarise_colours(
    photos: pd.DataFrame, root: Path, size: tuple[int, int] = (96, 128), bins: int = 32
) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """The colours of each class, every photo resized to `size` and counting the same: how many of its pixels
    lie in each of `bins` bins of red, green and blue (`label, channel, value`, the bin's middle, 0-255, and
    `share`, 0-1), and each class's mean picture, (H, W, 3) uint8."""
    middles = pd.Index((np.arange(bins) + 0.5) * 256 / bins, name="value")
    channels = pd.Index(["red", "green", "blue"], name="channel")
    tables, means = dict[str, Any](), dict[str, np.ndarray]()
    for label, some in photos.groupby("label"):
        pictures = np.stack(list(decode_photos((root / path for path in some["path"]), size)))
        means[str(label)] = pictures.mean(axis=0).round().astype(np.uint8)
        binned = pictures.reshape(-1, 3) // (256 // bins)
        shares = [np.bincount(channel, minlength=bins) / len(binned) for channel in binned.T]
        tables[str(label)] = pd.DataFrame(shares, channels, middles).stack()
    return pd.concat(tables, names=["label"]).rename("share").reset_index(), means
