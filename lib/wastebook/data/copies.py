"""Photos on disk: what counts as one, finding copies already at hand (in folders and in zips), unpacking."""

import errno
import hashlib
import lzma
import os
import shutil
import stat
import zipfile
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import filterfalse
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import NamedTuple

from tqdm import tqdm

from wastebook.cache import cache_folder, fill_once
from wastebook.data.cards import CARD, Card, class_folders, plain_name
from wastebook.errors import WastebookError
from wastebook.files import explain_full_disk

PHOTO_SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".jpg_large", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp")
) | {".heic", ".heif", ".avif"}
HIDDEN, NO_PHOTO, PACKED = "hidden", "no photo by its suffix", "packed: unpack it"
ARCHIVES = {".zip", ".rar", ".7z", ".tar", ".gz", ".tgz"}
SYSTEMS = {"__MACOSX", "@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found"}
# What zipfile raises: among these RuntimeError for a password.
UNZIPPABLE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError, ValueError)
SEARCH_DEPTH = 6  # folders below one named in WASTEBOOK_DATA
MOST_BYTES = 4 * 1024**3  # a zip that unpacks to more than this is not unpacked

Row = tuple[str, str, str | None]  # of a photo: its path, its label, and its split if it has one


def why_no_photo(path: str) -> str:
    """Why a relative POSIX path names no photo; nothing where it does, by its suffix."""
    if any(part.startswith(".") or part in SYSTEMS for part in PurePosixPath(path).parts):
        return HIDDEN
    if any("\ud800" <= letter <= "\udfff" for letter in path):
        return "its name is not text (UTF-8): rename it"
    suffix = PurePosixPath(path).suffix.lower()
    return "" if suffix in PHOTO_SUFFIXES else PACKED if suffix in ARCHIVES else NO_PHOTO


@contextmanager
def open_zip(archive: Path) -> Iterator[zipfile.ZipFile]:
    """A zip to read from; WastebookError, with the way out, where it or something in it cannot be read."""
    try:
        with zipfile.ZipFile(archive) as zipped:
            yield zipped
    except UNZIPPABLE as error:
        told = f"{archive} is no zip, or broken or half copied ({error})"
        raise WastebookError(f"{told}: get it anew, or unpack it.") from error


def walk_files(folder: Path, depth: int | None = None) -> tuple[dict[str, os.stat_result], dict[str, str]]:
    """Every file below `folder` with its status, by POSIX path relative to it, sorted; and why other things
    there are none. No folder is entered twice, however many links lead to it, nor through a link if it has a
    name of its own; and none that lies around `folder`."""
    found: dict[str, os.stat_result] = {}
    left_out: dict[str, str] = {}
    seen = {(above.st_dev, above.st_ino) for above in map(Path.stat, folder.resolve().parents)}
    closed: list[OSError] = []
    waiting = [str(folder)]  # links last
    for top in waiting:
        for place, folders, files in os.walk(top, onerror=closed.append):
            here, status = _below(folder, place), Path(place).stat()
            if (key := (status.st_dev, status.st_ino)) in seen:
                left_out[f"{here}/"] = "a link to a folder that is here or around it already"
                folders.clear()
                continue
            seen.add(key)
            if not folders and not files:
                left_out[f"{here}/"] = "an empty folder"
            folders[:] = folders if depth is None or here.count("/") + (here != ".") < depth else []
            waiting += [str(path) for name in sorted(folders) if (path := Path(place, name)).is_symlink()]
            for name in files:
                below = _below(folder, Path(place, name))
                try:
                    status = Path(place, name).stat()
                    if not stat.S_ISREG(status.st_mode):
                        raise OSError(errno.EINVAL, "a pipe, a socket or a device")
                    found[below] = status
                except OSError as error:
                    left_out[below] = f"no ordinary file ({error.strerror})"
    left_out |= {f"{_below(folder, each.filename)}/": f"closed ({each.strerror})" for each in closed}
    return dict(sorted(found.items())), left_out


def _below(folder: Path, path: str | Path) -> str:
    return Path(path).relative_to(folder).as_posix()


class Copy(NamedTuple):
    """A copy of a data set: in the folder or zip `place`, below `root` there, `photos` of them."""

    place: Path
    root: str
    photos: int


def find_copy(card: Card, places: list[Path]) -> tuple[Copy | None, list[str]]:
    """A copy of the card's set in these folders and zips, or somewhere below them, or None; and a line on
    each thing seen that is not quite one."""
    doubts: list[str] = []
    for holder, sizes in (each for place in places for each in _holders(place, doubts)):
        found = photos_of_card(card, sizes)
        for root in sorted(found, key=lambda root: (root.count("/"), root)):  # nearest to the top first
            rows = found[root]
            if {label for _, label, _ in rows} != {entry["name"] for entry in card["classes"]}:
                continue
            whole = len(rows) == card["photos"] and sum(sizes[path] for path, *_ in rows) == card.get("bytes")
            if whole or (card.get("partial") and len(rows) <= card["photos"]):
                return Copy(holder, root, len(rows)), doubts
            wanted = f"{card['title']}'s {card['photos']:,}"
            doubts.append(f"{holder / root} has {len(rows):,} photos, not {wanted}")
    return None, doubts


def _holders(place: Path, doubts: list[str]) -> Iterator[tuple[Path, dict[str, int]]]:
    """What may hold a copy, a folder and the zips in it or a zip, with the size of each file there."""
    archives = [place]
    if place.is_dir():
        sizes = {path: status.st_size for path, status in walk_files(place, SEARCH_DEPTH)[0].items()}
        yield place, sizes
        archives = [place / path for path in sizes if path.lower().endswith(".zip")]
    for archive in archives:
        try:
            sizes = {path: entry.file_size for path, entry in _zipped(archive)[0].items()}
        except WastebookError as error:
            doubts.append(str(error).rpartition(":")[0])
            continue
        doubts += [f"{archive} holds {one}, to be unpacked" for one in sizes if one.lower().endswith(".zip")]
        yield archive, sizes


def _zipped(archive: Path) -> tuple[dict[str, zipfile.ZipInfo], dict[str, str]]:
    """The files in a zip by their path there, whichever way its slashes lean; and why others are left out.
    WastebookError where a photo is there twice."""
    with open_zip(archive) as zipped:
        every = [(_path_of(entry), entry) for entry in zipped.infolist()]
    entries = [(path, entry) for path, entry in every if entry.filename[-1:] not in "/\\"]
    times = Counter(path for path, _ in entries)
    if twice := next((path for path in times if times[path] > 1 and not why_no_photo(path)), ""):
        raise WastebookError(f"{archive} has two files called {twice}: unpack it, name the folder.")
    unsafe = {path for path in times if PureWindowsPath(path).anchor or ".." in PurePosixPath(path).parts}
    unsafe |= {path for path in times if ":" in path and os.name == "nt"}
    left_out = dict.fromkeys(unsafe, "its name in the zip leads elsewhere")
    filled = {str(folder) for path, _ in every for folder in PurePosixPath(path).parents}
    left_out |= {f"{path}/": "an empty folder" for path in dict(every).keys() - times.keys() - filled}
    return {path: entry for path, entry in entries if path not in unsafe}, left_out


def _path_of(entry: zipfile.ZipInfo) -> str:
    name = entry.filename.replace("\\", "/")
    with suppress(UnicodeError):  # macOS packs names in UTF-8, and does not say so
        name = name if entry.flag_bits & 0x800 else name.encode("cp437").decode()
    return str(PurePosixPath(name))


def photos_of_card(card: Card, files: Iterable[str]) -> dict[str, list[Row]]:
    """The photos among files (POSIX paths) that lie as the set's authors laid them, in class folders, or in
    class folders in split folders; by the folder around these, `""` if none is."""
    classes, found = class_folders(card), defaultdict[str, list[Row]](list)
    splits = {plain_name(name): split for name, split in card.get("split_folders", {}).items()}
    tail = 3 if splits else 2
    for path in filterfalse(why_no_photo, files):
        parts = PurePosixPath(path).parts
        folders = [*map(plain_name, parts[-tail:-1])]
        if len(parts) >= tail and folders[-1] in classes and {*folders[:-1]} <= splits.keys():
            row = (path, classes[folders[-1]], splits.get(folders[0]))
            found["/".join(parts[:-tail])].append(row)
    return found


def unpack_zip(archive: Path, root: str = "") -> tuple[Path, dict[str, str]]:
    """The folder in the cache of the photos below `root` in a zip, and of a card there; and why its other
    files are left out. WastebookError where it cannot be unpacked."""
    entries, left_out = _zipped(archive)
    wanted = {PurePosixPath(one): one for one in entries if Path(one).name in CARD or not why_no_photo(one)}
    wanted = {path.relative_to(root): name for path, name in wanted.items() if path.is_relative_to(root)}
    left_out |= {path: why_no_photo(path) for path in entries.keys() - wanted.values()}
    if sum(entries[path].file_size for path in wanted.values()) > MOST_BYTES:
        raise WastebookError(f"{archive} unpacks to over {MOST_BYTES >> 30} GB: unpack it, name the folder.")

    def fill(folder: Path) -> None:
        with open_zip(archive) as zipped, explain_full_disk(folder):
            for path, entry in tqdm(wanted.items(), desc=f"Unpacking {archive.name}", disable=None):
                target = folder / path
                target.parent.mkdir(parents=True, exist_ok=True)
                with zipped.open(entries[entry]) as source, target.open("wb") as photo:
                    shutil.copyfileobj(source, photo)

    status = archive.stat()
    facts = (str(archive.resolve()), status.st_size, status.st_mtime_ns, root)
    key = hashlib.sha256(repr(facts).encode()).hexdigest()[:32]
    return fill_once(cache_folder("datasets") / key, fill), left_out
