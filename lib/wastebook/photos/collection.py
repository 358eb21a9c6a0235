"""The photos of a chapter: opened, checked, drawn and grouped in one call."""

from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from wastebook.data.cards import Card
from wastebook.data.datasets import draw_per_class, fingerprint, open_dataset
from wastebook.data.splits import FEWEST, count_things, has_official_split
from wastebook.errors import WastebookError
from wastebook.photos.duplicates import find_duplicates, group_photos, pairs_among
from wastebook.photos.quality import check_photos, readable_photos


class Collection(NamedTuple):
    """The photos of a chapter. `photos` and `pairs` (of `find_duplicates`) are those drawn, `files` and
    `problems` (of `check_photos`) all of the set; `drawn` is how to come by them again, `scheme` how they are
    dealt out and `remarks` what had to be done for that (see `for_learning`)."""

    name: str
    title: str
    root: Path
    classes: list[str]
    card: Card
    photos: pd.DataFrame
    pairs: pd.DataFrame
    files: pd.DataFrame
    problems: pd.DataFrame
    drawn: dict[str, Any]
    scheme: str = ""
    remarks: tuple[str, ...] = ()

    def for_learning(self, scheme: str) -> "Collection":
        """What can be dealt out by a scheme: without the classes of which there is too little to be in train,
        validation and test; `grouped` in place of an `official` split that is not there, or has a hole.
        WastebookError for a set that is only to be tested on."""
        if self.card.get("test_only"):
            raise WastebookError(f"{self.title} is for testing only: nothing learns from it. Take another.")
        photos, remarks = self.photos, list(self.remarks)
        if scheme == "official" and not has_official_split(photos):
            scheme = "grouped"
            remarks.append("No split of their own has every class on every side: photos are dealt out anew.")
        things = count_things(photos, scheme).reindex(self.classes, fill_value=0)
        classes, few = list(things.index[things >= FEWEST]), things[things < FEWEST]
        counts = photos["label"].value_counts()
        told = [f"{name} (photos: {counts.get(name, 0)}, to deal out: {n})" for name, n in few.items()]
        if told:
            together = f"Left out of learning: {', '.join(told)}. What shows one thing stays together; "
            remarks.append(f"{together}train, validation and test take three things at least.")
        photos = photos[photos["label"].isin(classes)].reset_index(drop=True)
        dealt = self._replace(photos=photos, pairs=pairs_among(photos, self.pairs), classes=classes)
        return dealt._replace(scheme=scheme, remarks=tuple(remarks))

    @property
    def facts(self) -> dict[str, Any]:
        """What a chapter records of its photos."""
        facts = {"dataset": self.name, "title": self.title, "photos": len(self.photos)}
        return facts | {"fingerprint": fingerprint(self.photos), "drawn": self.drawn}


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
    if seed < 0 or (photos_per_class is not None and photos_per_class < 1):
        raise WastebookError(f"photos_per_class={photos_per_class}, seed={seed}: 1 or more, and 0 or more.")
    opened = open_dataset(dataset)
    problems = check_photos(opened.photos, opened.root)
    photos = draw_per_class(readable_photos(opened.photos, problems), photos_per_class, seed)
    pairs = find_duplicates(photos, opened.root)
    shown = {"photos": group_photos(photos, pairs), "pairs": pairs, "files": opened.photos}
    drawn = {"dataset": str(dataset), "photos_per_class": photos_per_class, "seed": seed}
    drawn |= {"photos": len(photos), "fingerprint": fingerprint(photos)}
    told = {"title": opened.card["title"], "problems": problems, "drawn": drawn}
    return Collection(**opened._asdict() | shown | told)
