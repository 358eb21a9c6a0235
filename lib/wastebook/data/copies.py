"""Photos on disk: what counts as one, finding copies already at hand, unpacking zips, filling the cache."""

import hashlib
import os
import shutil
import stat
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import pandas as pd
from filelock import FileLock
from tqdm import tqdm

from wastebook import paths
from wastebook.data.cards import Card, class_folders
from wastebook.errors import WastebookError
from wastebook.files import room_for, write_to_cache

PHOTO_SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".heic", ".heif", ".avif")
)
SEARCH_DEPTH = 6  # folders below one named in WASTEBOOK_DATA
MOST_BYTES = 4 * 1024**3  # a zip that unpacks to more than this is not one of ours


def is_photo(path: str) -> bool:
    """Whether a relative POSIX path names a picture: by its suffix, not hidden, not macOS's own."""
    parts = PurePosixPath(path).parts
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts)
    return PurePosixPath(path).suffix.lower() in PHOTO_SUFFIXES and not hidden


def list_files(folder: Path, depth: int | None = None) -> dict[str, os.stat_result]:
    """Every file below `folder` with its status, by POSIX path relative to it, sorted."""
    found = {}
    for place, folders, files in os.walk(folder, followlinks=True):
        relative = Path(place).relative_to(folder)
        if depth is not None and len(relative.parts) >= depth:
            folders.clear()
        for file in files:
            try:
                found[(relative / file).as_posix()] = Path(place, file).stat()
            except FileNotFoundError:  # a link to nowhere
                continue
    return dict(sorted(found.items()))


def fill_once(target: Path, fill: Callable[[Path], None]) -> Path:
    """The folder `target`, made by `fill(folder)` where it is not there yet.

    It is there whole or not at all, is made once among processes that ask at the same time, and its files
    are read-only. WastebookError where the disk is full.
    """
    if target.is_dir():
        return target
    partial = target.with_name(f"{target.name}.partial")
    with FileLock(target.with_name(f"{target.name}.lock")), room_for(target):
        if not target.is_dir():
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            try:
                fill(partial)
                make_read_only(partial)
                partial.rename(target)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    return target


def cached_table(folder: str, facts: object, make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
    """The table that depends on nothing but `facts`, kept as Parquet in a `folder` of the cache under a hash
    of their `repr`; made and kept first, whole or not at all, where it is not there.

    WastebookError where there is no room for it.
    """
    key = hashlib.sha256(repr(facts).encode()).hexdigest()[:32]
    file = paths.cache_folder(folder) / f"{key}.parquet"
    if file.exists():
        return pd.read_parquet(file)
    table = make()
    with write_to_cache(file) as partial:
        table.to_parquet(partial)
    return table


def make_read_only(folder: Path) -> None:
    """Take the right to write from every file below `folder`."""
    for file in folder.rglob("*"):
        if file.is_file():
            file.chmod(stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH)


class Copy(NamedTuple):
    """A copy of a data set: in the folder or zip `place`, below `root` there, `photos` of them."""

    place: Path
    root: str
    photos: int


def find_copy(card: Card, places: list[Path]) -> tuple[Copy | None, list[str]]:
    """A copy of the card's set in these folders and zips, or somewhere below them, or None; and a line on
    each thing seen that is not quite one."""
    doubts: list[str] = []
    for place in places:
        sizes = {path: status.st_size for path, status in list_files(place, SEARCH_DEPTH).items()}
        copy = _copy_among(sizes, card, place, doubts)
        zips = [place / path for path in sizes if path.lower().endswith(".zip")]
        for archive in zips if place.is_dir() else [place]:
            copy = copy or _copy_among(_zipped_sizes(archive, doubts), card, archive, doubts)
        if copy:
            return copy, doubts
    return None, doubts


def _zipped_sizes(archive: Path, doubts: list[str]) -> dict[str, int]:
    """The size of each photo in a zip by its name there, leaving out names that could lead elsewhere."""
    try:
        with zipfile.ZipFile(archive) as zipped:
            sizes = {entry.filename: entry.file_size for entry in zipped.infolist()}
    except (zipfile.BadZipFile, OSError) as error:
        doubts.append(f"{archive} is broken or half copied ({error})")
        return {}
    return {
        name: size
        for name, size in sizes.items()
        if is_photo(name) and not PurePosixPath(name).is_absolute() and not set(name) & {"\\", ":"}
    }


def unpacked(copy: Copy, card: Card) -> Path:
    """The folder of a copy's photos: its own, or where its zip is unpacked in the cache."""
    if copy.place.is_dir():
        return copy.place / copy.root
    status = copy.place.stat()
    key = f"{card['name']}-{status.st_size:x}-{status.st_mtime_ns:x}"
    return fill_once(paths.cache_folder("datasets") / key, lambda folder: _unpack(copy, folder))


def _copy_among(sizes: dict[str, int], card: Card, place: Path, doubts: list[str]) -> Copy | None:
    """The copy nearest to the top among files (of these sizes), laid out as the set's authors did."""
    classes = class_folders(card)
    splits = {name.casefold() for name in card.get("split_folders", {})}
    tail = 3 if splits else 2
    found: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for path, size in sizes.items():
        parts = PurePosixPath(path).parts
        folders = [part.casefold() for part in parts[-tail:-1]]
        if is_photo(path) and len(parts) >= tail and folders[-1] in classes and {*folders[:-1]} <= splits:
            found["/".join(parts[:-tail])].append((folders[-1], size))
    for root, photos in sorted(found.items(), key=lambda entry: (entry[0].count("/"), entry[0])):
        if {folder for folder, _ in photos} != set(classes):
            continue
        whole = len(photos) == card["photos"] and sum(size for _, size in photos) == card.get("bytes")
        if whole or (card.get("partial") and len(photos) <= card["photos"]):
            return Copy(place, root, len(photos))
        doubts.append(f"{place / root} has {len(photos):,} photos, not {card['title']}'s {card['photos']:,}")
    return None


def _unpack(copy: Copy, folder: Path) -> None:
    """Write the photos of a copy in a zip to `folder`; WastebookError where the zip is broken."""
    sizes = _zipped_sizes(copy.place, [])
    names = [name for name in sizes if PurePosixPath(name).is_relative_to(copy.root)]
    if sum(sizes[name] for name in names) > MOST_BYTES:
        raise WastebookError(f"{copy.place} unpacks to over {MOST_BYTES >> 30} GB: is it the right zip?")
    try:
        with zipfile.ZipFile(copy.place) as zipped:
            for name in tqdm(names, desc=f"Unpacking {copy.place.name}", disable=None):
                target = folder / PurePosixPath(name).relative_to(copy.root)
                target.parent.mkdir(parents=True, exist_ok=True)
                with zipped.open(name) as source, target.open("wb") as photo:
                    shutil.copyfileobj(source, photo)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise WastebookError(f"{copy.place} is broken or half copied ({error}): copy it again.") from error
