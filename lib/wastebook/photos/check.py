"""Which photos cannot be used, which are odd, and why."""

from pathlib import Path

import pandas as pd
from PIL import Image

from wastebook.data.store import keep_table
from wastebook.photos.decode import PhotoError, in_order, open_picture, read_photo
from wastebook.photos.measure import measure_light

SMALLEST = 32  # pixels on the shorter side below which hardly anything can be told
BLANKEST = 5.0  # contrast (standard deviation of RGB values) below which nearly nothing can be seen
PROBLEMS = ("unreadable", "empty", "truncated", "huge", "wrongly named", "tiny", "near-blank")
COLUMNS = ["path", "problem", "detail", "readable"]
VERSION = 1  # raised when something else is looked for, so that kept findings are found anew


def check_photos(photos: pd.DataFrame, root: Path) -> pd.DataFrame:
    """What is wrong with the photos, a row a problem: `path`, `problem`, `detail`, `readable`.

    Not readable: `unreadable`, `empty`, `truncated`, `huge`. Readable, yet worth knowing: `wrongly named`
    (the format is not the suffix's), `tiny`, `near-blank`. A table without rows means that all is well. Kept
    on disk by name and content, so the second call is instant.
    """
    facts = (VERSION, *zip(photos["path"], photos["sha256"], strict=True))
    return keep_table("checks", facts, lambda: _check(list(photos["path"]), root))


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
    found = in_order(lambda path: _problems(root / path), files)
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
