"""Photos on disk: what counts as one, finding copies already at hand (in folders and in zips), unpacking."""

import os
import shutil
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from tqdm import tqdm

from wastebook.cache import cache_folder, fill_once
from wastebook.data.cards import Card, class_folders
from wastebook.errors import WastebookError

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
    """Every file below `folder` with its status, by POSIX path relative to it, sorted. Links are followed,
    but not back up, nor to nowhere."""
    found = {}
    above = {str(folder): [folder.resolve()]}  # where each folder still to come lies, and those it lies in
    for place, folders, files in os.walk(folder, followlinks=True):
        relative, chain = Path(place).relative_to(folder), above.pop(place)
        inside = {name: Path(place, name).resolve() for name in folders}
        folders[:] = [name for name in folders if not any(of.is_relative_to(inside[name]) for of in chain)]
        if depth is not None and len(relative.parts) >= depth:
            folders.clear()
        above |= {str(Path(place, name)): [*chain, inside[name]] for name in folders}
        for file in files:
            try:
                found[(relative / file).as_posix()] = Path(place, file).stat()
            except OSError:  # a link to nowhere or to itself
                continue
    return dict(sorted(found.items()))


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
        for holder, sizes in _holders(place, doubts):
            if copy := _copy_among(sizes, card, holder, doubts):
                return copy, doubts
    return None, doubts


def unpacked(copy: Copy, card: Card) -> Path:
    """The folder of a copy's photos: its own, or where its zip is unpacked in the cache."""
    if copy.place.is_dir():
        return copy.place / copy.root
    status = copy.place.stat()
    key = f"{card['name']}-{status.st_size:x}-{status.st_mtime_ns:x}"
    return fill_once(cache_folder("datasets") / key, lambda folder: _unpack(copy, folder))


def _holders(place: Path, doubts: list[str]) -> Iterator[tuple[Path, dict[str, int]]]:
    """What may hold a copy, a folder and the zips in it or a zip, with the size of each file there."""
    archives = [place]
    if place.is_dir():
        sizes = {path: status.st_size for path, status in list_files(place, SEARCH_DEPTH).items()}
        yield place, sizes
        archives = [place / path for path in sizes if path.lower().endswith(".zip")]
    for archive in archives:
        yield archive, _zipped_sizes(archive, doubts)


def _zipped_sizes(archive: Path, doubts: list[str]) -> dict[str, int]:
    """The size of each file in a zip by its name there, leaving out names that could lead elsewhere."""
    try:
        with zipfile.ZipFile(archive) as zipped:
            sizes = {entry.filename: entry.file_size for entry in zipped.infolist()}
    except (zipfile.BadZipFile, OSError) as error:
        doubts.append(f"{archive} is broken or half copied ({error})")
        return {}
    return {name: size for name, size in sizes.items() if name[:1] != "/" and not set(name) & {"\\", ":"}}


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
    names = [name for name in sizes if is_photo(name) and PurePosixPath(name).is_relative_to(copy.root)]
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
