"""Which photos cannot be used or are odd, and what each one measures: shape, object, light, sharpness."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from PIL import Image

from wastebook.cache import cached_table
from wastebook.data.datasets import draw_per_class
from wastebook.photos.decode import PhotoError, open_picture, parallel_map, read_photo, resize_antialiased

SMALLEST = 32  # pixels on the shorter side below which hardly anything can be told
BLANKEST = 5.0  # contrast (standard deviation of RGB values) below which nearly nothing can be seen
PROBLEMS = ("unreadable", "empty", "truncated", "huge", "wrongly named", "tiny", "near-blank")
COLUMNS = ["path", "problem", "detail", "readable"]
VERSION = 1  # raised when something else is looked for, so that kept findings are found anew


def check_photos(photos: pd.DataFrame, root: Path) -> pd.DataFrame:
    """What is wrong with the photos, a row per problem: `path`, `problem`, `detail`, `readable`.

    Not readable: `unreadable`, `empty`, `truncated`, `huge`. Readable, yet worth knowing: `wrongly named`
    (the format is not the suffix's), `tiny`, `near-blank`. A table without rows means that all is well. Kept
    on disk by name and content, so the second call is instant.
    """
    facts = (VERSION, *zip(photos["path"], photos["sha256"], strict=True))
    return cached_table("checks", facts, lambda: _check(list(photos["path"]), root))


def count_problems(problems: pd.DataFrame) -> pd.DataFrame:
    """How many photos have each problem looked for, and an example: `problem, photos, example, detail`."""
    counts = problems["problem"].value_counts().reindex(PROBLEMS, fill_value=0)
    examples = problems.groupby("problem")[["path", "detail"]].first().reindex(PROBLEMS)
    table = pd.DataFrame({"photos": counts, "example": examples["path"], "detail": examples["detail"]})
    return table.rename_axis("problem").reset_index()


def readable_photos(photos: pd.DataFrame, problems: pd.DataFrame) -> pd.DataFrame:
    """The photos without those that `check_photos` found not to be readable."""
    broken = problems.loc[~problems["readable"], "path"]
    return photos[~photos["path"].isin(broken)].reset_index(drop=True)


def _check(files: list[str], root: Path) -> pd.DataFrame:
    found = parallel_map(lambda path: _problems(root / path), files)
    rows = [(path, *problem) for path, problems in zip(files, found, strict=True) for problem in problems]
    return pd.DataFrame(rows, columns=COLUMNS).astype({"readable": bool})


def _problems(file: Path) -> list[tuple[str, str, bool]]:
    try:
        picture = open_picture(file)
        photo = read_photo(file)
    except PhotoError as error:
        return [(error.problem, error.detail, False)]
    problems = []
    by_suffix = Image.registered_extensions().get(file.suffix.lower())
    # A phone's MPO is a JPEG with a second picture behind it.
    format = "JPEG" if picture.format == "MPO" else picture.format
    if by_suffix and by_suffix != format:
        problems.append(("wrongly named", f"a {format} picture called {file.suffix}", True))
    height, width = photo.shape[:2]
    if min(height, width) < SMALLEST:
        problems.append(("tiny", f"{width} x {height} pixels", True))
    elif (contrast := measure_light(photo)[1]) < BLANKEST:
        problems.append(("near-blank", f"values hardly vary (standard deviation {contrast:.1f})", True))
    return problems


MEASURES = [
    *("aspect_ratio", "bb_x", "bb_y", "bb_width", "bb_height", "bb_area", "bb_coverage"),
    *("brightness", "contrast", "sharpness"),
]


def measure_photos(photos: pd.DataFrame, root: Path) -> pd.DataFrame:
    """A row per photo: `path`, `label`, and

    - `aspect_ratio`: width over height;
    - `bb_x`, `bb_y`, `bb_width`, `bb_height`, `bb_area` (pixels) and `bb_coverage` (share of the photo, 0-1)
      of the box around the object, see `bounding_box`;
    - `brightness`, `contrast`: mean and standard deviation over all RGB values (0-255);
    - `sharpness`: variance of the Laplacian of the grey picture (Pech-Pacheco et al., 2000), low if blurred.

    PhotoError where a photo cannot be read: leave those out with `readable_photos`.
    """
    rows = parallel_map(lambda path: _measure(read_photo(root / path)), photos["path"])
    measures = pd.DataFrame(rows, columns=MEASURES)
    return pd.concat([photos[["path", "label"]].reset_index(drop=True), measures], axis="columns")


def explained_by_class(measures: pd.DataFrame, column: str) -> float:
    """Which share (0-1) of a column's variance the class explains: adjusted R², not below 0."""
    within = measures[column] - measures.groupby("label")[column].transform("mean")
    freedom = max(len(measures) - measures["label"].nunique(), 1)
    total = (len(measures) - 1) * measures[column].var()
    return max(0.0, 1 - (within**2).sum() / freedom * (len(measures) - 1) / total) if total else 0.0


def spread_of_draws(
    measures: pd.DataFrame, columns: Sequence[str], per_class: int, seed: int, draws: int = 200
) -> pd.DataFrame:
    """What another would find who draws `per_class` photos of each class: `what, statistic, value, error`.

    `statistic` is the `mean` or the `deviation` of a column over such a draw, `value` its average over many
    draws and `error` its standard error.
    """
    drawn = (draw_per_class(measures, per_class, seed + draw)[list(columns)] for draw in range(draws))
    found = pd.DataFrame([draw.agg(["mean", "std"]).stack() for draw in drawn])
    table = found.agg(["mean", "std"]).round(9).T.set_axis(["value", "error"], axis="columns")
    table = table.rename_axis(["statistic", "what"]).rename({"std": "deviation"}).reset_index()
    return table[["what", "statistic", "value", "error"]]


def measure_light(values: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation over all values of an array: a photo's brightness and contrast."""
    mean, deviation = cv2.meanStdDev(values.reshape(-1, 1))
    return mean.item(), deviation.item()


def bounding_box(grey: np.ndarray) -> tuple[int, int, int, int]:
    """x, y, width, height in pixels of the object on its lighter board.

    The recipe of the FIUBA report: blur slightly, keep what is darker than Otsu's threshold, take the largest
    outline. The whole picture where nothing stands out.
    """
    blurred = cv2.GaussianBlur(grey, (5, 5), 0)
    _, mask = cv2.threshold(blurred, 0, 255, cv2.THRESH_BINARY_INV | cv2.THRESH_OTSU)
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    if not outlines:
        return 0, 0, grey.shape[1], grey.shape[0]
    x, y, width, height = cv2.boundingRect(max(outlines, key=cv2.contourArea))
    return x, y, width, height


def match_true_boxes(measures: pd.DataFrame, true: pd.DataFrame | None) -> pd.DataFrame:
    """The measures, `true_x, true_y, true_width, true_height` (pixels) and the `overlap` of the boxes found
    with them (intersection over union, 0-1); all missing where `data.true_boxes` knows none."""
    sides = ["x", "y", "width", "height"]
    true = pd.DataFrame(columns=["path", *sides], dtype=float) if true is None else true[["path", *sides]]
    both = measures.merge(true.add_prefix("true_").rename(columns={"true_path": "path"}), "left", "path")
    shared = 1.0
    for start, length in (("x", "width"), ("y", "height")):
        found_end, true_end = (both[f"{box}_{start}"] + both[f"{box}_{length}"] for box in ("bb", "true"))
        first = np.maximum(both[f"bb_{start}"], both[f"true_{start}"])
        shared = shared * np.maximum(np.minimum(found_end, true_end) - first, 0)
    joint = both["bb_area"] + both["true_width"] * both["true_height"] - shared
    return both.assign(overlap=shared / joint)


def summarise_colours(
    photos: pd.DataFrame, root: Path, size: tuple[int, int] = (96, 128), bins: int = 32
) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """The colours of each class, every photo resized to `size` and counting the same:

    a table `label, channel, value, share` of how many of a class's pixels lie in each of `bins` bins of red,
    green and blue (`value` is the bin's middle, 0-255; `share` 0-1), and each class's mean picture, (H, W, 3)
    uint8.
    """

    def summarise(path: str) -> tuple[np.ndarray, np.ndarray]:
        small = resize_antialiased(read_photo(root / path), size)
        binned = small.reshape(-1, 3) // (256 // bins)
        counts = [np.bincount(channel, minlength=bins) for channel in binned.T]
        return small, np.stack(counts) / len(binned)

    counts = photos["label"].value_counts().sort_index()
    means = {label: np.zeros((*size, 3)) for label in counts.index}
    shares = {label: np.zeros((3, bins)) for label in counts.index}
    for label, (small, share) in zip(photos["label"], parallel_map(summarise, photos["path"]), strict=True):
        means[label] += small / counts[label]
        shares[label] += share / counts[label]
    middles = pd.Index((np.arange(bins) + 0.5) * 256 / bins, name="value")
    channels = pd.Index(["red", "green", "blue"], name="channel")
    tables = {label: pd.DataFrame(share, channels, middles).stack() for label, share in shares.items()}
    table = pd.concat(tables, names=["label"]).rename("share").reset_index()
    return table, {label: mean.round().astype(np.uint8) for label, mean in means.items()}


def _measure(photo: np.ndarray) -> tuple[float, ...]:
    height, width = photo.shape[:2]
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
    x, y, box_width, box_height = bounding_box(grey)
    area = box_width * box_height
    _, edges = measure_light(cv2.Laplacian(grey, cv2.CV_16S))
    box = (x, y, box_width, box_height, area, area / (width * height))
    return (width / height, *box, *measure_light(photo), edges**2)
