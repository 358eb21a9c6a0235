"""The photos of a chapter: opened, checked, drawn and grouped in one call."""

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from wastebook.data.cards import Card
from wastebook.data.datasets import draw_per_class, fingerprint, open_dataset
from wastebook.data.sample import true_boxes
from wastebook.photos.duplicates import find_duplicates, group_photos
from wastebook.photos.quality import check_photos, readable_photos


class Collection(NamedTuple):
    """The photos of a chapter. `photos` and `pairs` (of `find_duplicates`) are those drawn, `files` and
    `problems` (of `check_photos`) all of the set."""

    name: str
    title: str
    root: Path
    classes: list[str]
    card: Card
    photos: pd.DataFrame
    pairs: pd.DataFrame
    files: pd.DataFrame
    problems: pd.DataFrame

    @property
    def fingerprint(self) -> str:
        """One SHA-256 for the content of `photos`."""
        return fingerprint(self.photos)

    @property
    def true_boxes(self) -> pd.DataFrame | None:
        """Where the things of a drawn set are; None for photos."""
        return true_boxes(self.root)


def load_photos(dataset: str | Path, photos_per_class: int | None = None, seed: int = 0) -> Collection:
    """Open a data set; check, draw and group its photos. What takes long is kept: a second call is quick.
    WastebookError where the set is unknown, cannot be had or is not of that shape.

    Parameters
    ----------
    dataset : the name of a card in `data/`, or the path of a folder of one's own, a folder per class
    photos_per_class : how many readable photos to draw of each class, at least 1; all of them for None
    seed : of the draw, 0 or more

    Returns
    -------
    Collection, whose `photos` are a row per photo: `path` below `root`, `label`, `split` (official or
        missing), `group` (a number for all that show the same), `width`, `height` (pixels), `sha256`

    Examples
    --------
    >>> len(load_photos("sample", photos_per_class=20).photos)  # doctest: +SKIP
    120
    """
    opened = open_dataset(dataset)
    problems = check_photos(opened.photos, opened.root)
    photos = draw_per_class(readable_photos(opened.photos, problems), photos_per_class, seed)
    pairs = find_duplicates(photos, opened.root)
    shown = {"photos": group_photos(photos, pairs), "pairs": pairs, "files": opened.photos}
    return Collection(**opened._asdict() | shown, title=opened.card["title"], problems=problems)
