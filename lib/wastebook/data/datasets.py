"""The data sets: each opened by its name as a table of its photos."""

import hashlib
import io
import unicodedata
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import joblib
import numpy as np
import pandas as pd
from PIL import Image

from wastebook.cache import cached_table
from wastebook.data import download
from wastebook.data.cards import Card, class_folders, load_cards
from wastebook.data.copies import is_photo, list_files
from wastebook.errors import WastebookError, did_you_mean

SPLIT_FOLDERS = {"train": "train", "training": "train", "test": "test", "testing": "test"} | dict.fromkeys(
    ("validation", "valid", "val"), "validation"
)
SIDEWAYS = (5, 6, 7, 8)  # EXIF orientations that swap width and height


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
    """Open a data set by the name of its card, or a folder of one's own by its path: one folder per class, or
    TRAIN and TEST folders over them. Draws, downloads or unpacks it first where needed.

    WastebookError where the name is unknown, the set cannot be had, or the folder is not of that shape.
    """
    cards, name = load_cards(), str(name)
    if name in cards:
        card, root = cards[name], download.fetch(name)
        photos = _carded_photos(card, root)
    else:
        root = Path(name).expanduser().resolve()
        if not root.is_dir():
            near = did_you_mean(name, cards)
            raise WastebookError(
                f"No set or folder is called {name!r}. {near} Your own folder goes by its path."
            )
        photos = _own_photos(root)
        labels = sorted(photos["label"].unique())
        card = {"name": root.name, "title": root.name, "task": "Which class is it?", "photos": len(photos)}
        card |= {"classes": [{"name": label, "spanish": label} for label in labels], "source": str(root)}
        card |= dict.fromkeys(("homepage", "licence", "citation"), "")
    photos = photos.join(_file_facts(root, list(photos["path"])))
    if card.get("fingerprint", fingerprint(photos)) != fingerprint(photos):
        raise WastebookError(
            f"The photos in {root} are not {card['title']}'s own, though their number is.\n"
            f"Open them by their path instead, or get them anew from {card['homepage']}."
        )
    return Dataset(card["name"], root, [entry["name"] for entry in card["classes"]], card, photos)


def how_many(dataset: Dataset) -> str:
    """How many photos are at hand: `2,527 photos`, or `9,513 of 25,077 photos` of a partial copy."""
    whole, here = dataset.card["photos"], len(dataset.photos)
    return f"{here:,} photos" if here == whole else f"{here:,} of {whole:,} photos"


def describe_datasets() -> pd.DataFrame:
    """A row per card: `name`, `title`, `photos` (in all), `licence`, `at_hand` (how many of them are on this
    machine), `where` (the place, or how to get them). Nothing is downloaded, unpacked or drawn."""
    rows = []
    for name, card in load_cards().items():
        here, where = 0, f"wastebook data fetch {name}"
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


def _carded_photos(card: Card, root: Path) -> pd.DataFrame:
    """`path`, `label`, `split`, `group` of the photos of a set with a card."""
    folders = class_folders(card)
    split_folders = {name.casefold(): split for name, split in card.get("split_folders", {}).items()}
    listed = _listed_splits(card, root)
    rows = []
    for path in filter(is_photo, list_files(root)):
        parts = PurePosixPath(path).parts
        label = folders.get(parts[-2].casefold()) if len(parts) == (3 if split_folders else 2) else None
        split = split_folders.get(parts[0].casefold()) if split_folders else listed.get(parts[-1])
        if label and (split or not split_folders):
            rows.append((path, label, split))
    return _as_photos(rows)


def _listed_splits(card: Card, root: Path) -> dict[str, str]:
    """The official split of each file name, from the authors' lists (or the sample's own)."""
    if card.get("drawn"):
        return dict(pd.read_csv(root / "splits.csv").itertuples(index=False, name=None))
    return {
        line.split()[0]: split
        for split, file in download.split_lists(card).items()
        for line in file.read_text(encoding="utf-8").splitlines()
        if line.strip()
    }


def _own_photos(root: Path) -> pd.DataFrame:
    """`path`, `label`, `split`, `group` of a folder of one's own; WastebookError for what is amiss."""
    files = [PurePosixPath(path) for path in list_files(root) if is_photo(path)]
    for file in files:
        if any("\ud800" <= letter <= "\udfff" for letter in str(file)):
            raise WastebookError(f"The name of {str(root / file)!a} is not text (UTF-8): rename it.")
    tops = {file.parts[0] for file in files if len(file.parts) > 1}
    by_split = bool(tops) and all(top.casefold() in SPLIT_FOLDERS for top in tops)
    depth = 1 if by_split else 0
    inside = [file for file in files if len(file.parts) > depth + 1]
    labels = [unicodedata.normalize("NFC", file.parts[depth]) for file in inside]
    splits = [SPLIT_FOLDERS[file.parts[0].casefold()] if by_split else None for file in inside]
    photos = _as_photos(list(zip(map(str, inside), labels, splits, strict=True)))
    _check_classes(root, photos["label"].value_counts(), bool(files), tops)
    return photos


def _check_classes(root: Path, counts: pd.Series, photos: bool, tops: set[str]) -> None:
    """WastebookError where a folder has fewer than two classes, or a class fewer than two photos."""
    if len(counts) < 2:
        has = f"only one class folder, {counts.index[0]!r}" if len(counts) else "no class folders"
        if not tops:
            has = "only loose photos" if photos else "no photos"
        shape = "one folder of photos per class, or TRAIN and TEST folders over them"
        raise WastebookError(f"{root} has {has}: it should hold {shape}.")
    for label in counts.index[counts < 2]:
        raise WastebookError(f"Class {label!r} in {root} has a single photo: add some, or move it out.")
    for top in sorted(root.iterdir()):
        if top.is_dir() and top.name not in tops and is_photo(f"{top.name}/x.jpg"):
            raise WastebookError(f"{top} has no photos: add some, or move the folder out.")


def _as_photos(rows: list[tuple[str, str, str | None]]) -> pd.DataFrame:
    photos = pd.DataFrame(sorted(rows), columns=["path", "label", "split"], dtype="str")
    photos["group"] = pd.Series(pd.NA, index=photos.index, dtype="Int64")
    return photos


def _file_facts(root: Path, files: list[str]) -> pd.DataFrame:
    """`width`, `height`, `sha256` of each file below `root`, kept in the cache until a file changes."""
    stamps = [(file, (status := (root / file).stat()).st_size, status.st_mtime_ns) for file in files]

    def look() -> pd.DataFrame:
        with warnings.catch_warnings(), ThreadPoolExecutor(joblib.cpu_count()) as pool:
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            facts = pool.map(lambda file: _facts_of(root / file), files)
            return pd.DataFrame(facts, columns=["width", "height", "sha256"])

    return cached_table("catalogues", (str(root), stamps), look)


def _facts_of(file: Path) -> tuple[int, int, str]:
    try:
        content = file.read_bytes()
    except OSError:  # may not be read: as good as empty, which the check will say
        content = b""
    try:
        with Image.open(io.BytesIO(content)) as image:
            width, height = image.size
            if image.getexif().get(0x0112) in SIDEWAYS:
                width, height = height, width
    except Exception:  # Pillow raises many kinds for broken files; what is wrong is told by the check
        width = height = 0
    return width, height, hashlib.sha256(content).hexdigest()
