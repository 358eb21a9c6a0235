"""The data sets: each opened by its name as a table of its photos."""

import contextlib
import hashlib
import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import joblib
import numpy as np
import pandas as pd

from wastebook.cache import cached_table
from wastebook.data import download
from wastebook.data.cards import CARD, TEXTS, Card, class_folders, load_cards, plain_name, read_card
from wastebook.data.copies import HIDDEN, Row, photos_of_card, unpack_zip, walk_files, why_no_photo
from wastebook.data.layout import read_layout
from wastebook.data.pictures import open_picture, read_orientation, readable_formats
from wastebook.errors import WastebookError, did_you_mean
from wastebook.files import expand

Files = dict[str, os.stat_result]


class Dataset(NamedTuple):
    """A data set at hand. `photos` is a row per photo, sorted by path: `path` (POSIX, relative to `root`),
    `label`, `split` (the official one, or missing), `group` (missing until grouped), `width` and `height`
    (pixels, upright; 0 where the file cannot be opened), `sha256` (of the file)."""

    name: str
    root: Path
    classes: list[str]
    card: Card
    photos: pd.DataFrame


def open_dataset(name: str | Path) -> Dataset:
    """Open a data set by the name of its card, or photos of one's own by the path of their folder or zip: a
    folder per class, also below train and test folders (see `layout`). Draws, downloads or unpacks it first
    where needed. The card of one's own photos says what their folder was taken for (`layout`).

    WastebookError where the name is unknown, the set cannot be had, or the layout is doubtful.
    """
    cards, name = load_cards(), str(name)
    if name in cards:
        root = download.fetch(name)
        files, left_out = walk_files(root)
        card, rows = cards[name], _carded_photos(cards[name], root, files)
        others = files.keys() - {path for path, *_ in rows}
        left_out |= {path: why_no_photo(path) or "in no class folder" for path in others}
        card = card | {"left_out": left_out}
    else:
        root, files, card, rows = _open_own(name, cards)
    photos = pd.DataFrame(sorted(rows), columns=["path", "label", "split"], dtype="str")
    photos["group"] = pd.Series(pd.NA, index=photos.index, dtype="Int64")
    photos = photos.join(_file_facts(root, {path: files[path] for path in photos["path"]}))
    if card.get("fingerprint", fingerprint(photos)) != fingerprint(photos):
        told = f"{root} lacks photos of {card['title']}, or has others.\nOpen them by their path, or get them"
        raise WastebookError(f"{told} anew: from {card['homepage']}, or by wastebook cache clear datasets.")
    return Dataset(card["name"], root, [entry["name"] for entry in card["classes"]], card, photos)


def _open_own(name: str, cards: dict[str, Card]) -> tuple[Path, Files, Card, list[Row]]:
    """The folder, files, card and photos of a folder or a zip of one's own."""
    place = expand(name).resolve()
    if not name.strip() or not place.exists():
        near = did_you_mean(name, cards)
        raise WastebookError(f"No set or folder is called {name!r}. {near} Your own goes by its path.")
    root, packed = unpack_zip(place) if place.is_file() else (place, {})
    files, left_out = walk_files(root)
    told, rows, others, remarks = read_layout(place, [*files, *filter(why_no_photo, packed)])
    own = place.name if place == root else place.stem
    card: Card = dict.fromkeys(TEXTS, "") | {"title": own, "task": "Which class is it?", "classes": []}
    cards_there = (path for path, why in others.items() if why != HIDDEN and PurePosixPath(path).name in CARD)
    if written := min(cards_there, key=len, default=""):
        card |= read_card(root / written)
        others[written] = "the card"
    known = {entry["name"]: entry for entry in card["classes"]}
    folders = class_folders(card)
    rows = [(path, folders.get(plain_name(label), label), split) for path, label, split in rows]
    labels = sorted({label for _, label, _ in rows})
    if strange := ", ".join(sorted(known.keys() - labels)):
        raise WastebookError(f"{place / written} names classes that have no folder: {strange}.")
    card["classes"] = [known.get(label, {"name": label, "spanish": label}) for label in labels]
    gone = left_out | others | packed | {one: HIDDEN for one in left_out if why_no_photo(one) == HIDDEN}
    shown = {os.fsencode(path).decode(errors="backslashreplace"): why for path, why in gone.items()}
    card |= {"layout": f"{place}: {told}", "remarks": remarks, "left_out": shown, "photos": len(rows)}
    # A name is what results are kept under: never that of a set of ours.
    return root, files, card | {"name": f"own-{own}" if own in cards else own}, rows


def describe_datasets() -> pd.DataFrame:
    """A row per card: `name`, `title`, `photos` (in all), `licence`, `at_hand` (how many of them are on this
    machine), `where` (the place, or how to get them). Nothing is downloaded, unpacked or drawn."""
    rows = []
    for name, card in load_cards().items():
        here, where = 0, f"wastebook data fetch {name}" if {"files", "kaggle"} & {*card} else card["homepage"]
        if card.get("drawn"):
            here, where = card["photos"], "drawn when needed"
        elif copy := download.at_hand(card):
            here, where = copy.photos, str(copy.place)
        rows.append((name, card["title"], card["photos"], card["licence"], here, where))
    return pd.DataFrame(rows, columns=["name", "title", "photos", "licence", "at_hand", "where"])


def draw_per_class(photos: pd.DataFrame, per_class: int | None, seed: int) -> pd.DataFrame:
    """`per_class` photos of each class drawn at random (a class that has fewer whole; all for None)."""
    if per_class is None:
        return photos
    random = np.random.default_rng(seed)
    photos = photos.sort_values("path", ignore_index=True)
    order = pd.Series(random.permutation(len(photos)), index=photos.index)
    return photos[order.groupby(photos["label"]).rank() <= per_class].reset_index(drop=True)


def fingerprint(photos: pd.DataFrame) -> str:
    """One SHA-256 for the content of a set of photos, whatever their names: over their sorted hashes."""
    return hashlib.sha256("\n".join(sorted(photos["sha256"])).encode()).hexdigest()


def _carded_photos(card: Card, root: Path, files: Files) -> list[Row]:
    """Path, label and split of the photos of a set with a card."""
    if card.get("drawn"):
        listed = dict(pd.read_csv(root / "splits.csv").itertuples(index=False, name=None))
    else:  # by the authors' lists
        lists = ((split, file.read_text("utf-8")) for split, file in download.split_lists(card).items())
        listed = {one.split()[0]: split for split, text in lists for one in text.splitlines() if one.strip()}
    rows = photos_of_card(card, files)[""]
    return [(path, label, split or listed.get(PurePosixPath(path).name)) for path, label, split in rows]


def _file_facts(root: Path, files: Files) -> pd.DataFrame:
    """`width`, `height`, `sha256` of each file below `root`, kept in the cache until a file changes, or other
    formats can be read."""
    stamps = [(file, status.st_size, status.st_mtime_ns, status.st_mode) for file, status in files.items()]

    def look() -> pd.DataFrame:
        with warnings.catch_warnings(), ThreadPoolExecutor(joblib.cpu_count()) as pool:
            warnings.simplefilter("ignore")  # of Pillow's: what is wrong is told by the check
            facts = pool.map(lambda file: _facts_of(root / file), files)
            return pd.DataFrame(facts, columns=["width", "height", "sha256"])

    return cached_table("catalogues", (str(root), stamps, readable_formats()), look)


def _facts_of(file: Path) -> tuple[int, int, str]:
    """Width, height (0 where it is no picture) and hash of a file (an empty one's where it is closed)."""
    width = height = 0
    sha256 = hashlib.sha256().hexdigest()
    # Pillow raises many kinds for broken files; what is wrong is told by the check.
    with contextlib.suppress(Exception), file.open("rb") as content:
        sha256 = hashlib.file_digest(content, "sha256").hexdigest()
        content.seek(0)
        picture = open_picture(content)
        width, height = picture.size
        if picture.format != "TIFF" and (read_orientation(picture) or 1) > 4:  # it lies on its side
            width, height = height, width
    return width, height, sha256
