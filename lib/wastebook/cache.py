"""What is reckoned or fetched once and kept: folders and tables of the cache, safe among processes."""

import hashlib
import os
import shutil
import stat
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs
from filelock import FileLock

from wastebook.errors import WastebookError, did_you_mean
from wastebook.files import atomic_write, expand, explain_full_disk

if TYPE_CHECKING:
    import pandas as pd

# Folders of the cache; whatever else lies there is not ours.
KINDS = """catalogues checks datasets decoded downloads duplicates features finetuned thumbnails training
weights"""


def cache_folder(*parts: str) -> Path:
    """A folder under `WASTEBOOK_CACHE` (by default the user's cache), made if it is not there."""
    root = os.environ.get("WASTEBOOK_CACHE") or platformdirs.user_cache_dir("wastebook")
    folder = expand(root).joinpath(*parts)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def fill_once(target: Path, fill: Callable[[Path], None]) -> Path:
    """The folder `target`, made by `fill(folder)` where it is not there yet: whole or not at all, once among
    processes that ask at the same time, its files read-only. WastebookError where the disk is full."""
    if target.is_dir():
        return target
    partial = target.with_name(f"{target.name}.partial")
    with FileLock(target.with_name(f"{target.name}.lock")), explain_full_disk(target):
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


def cached_table(folder: str, facts: object, make: Callable[[], "pd.DataFrame"]) -> "pd.DataFrame":
    """The table that depends on nothing but `facts`, kept in a `folder` of the cache under a hash of their
    `repr`; made by `make()` where it is not there, or is damaged. WastebookError where no room is left."""
    import pandas as pd  # slow, and not wanted for one photo

    file = cache_folder(folder) / f"{hashlib.sha256(repr(facts).encode()).hexdigest()[:32]}.parquet"
    try:
        return pd.read_parquet(file)
    except (OSError, ValueError):  # not there, or what a broken disk or copy made of it
        table = make()
    with atomic_write(file) as partial:
        table.to_parquet(partial)
    return table


def list_cache() -> list[tuple[Path, int, float]]:
    """What is kept, the longest unused first: each file or folder in a folder of the cache, its bytes (of a
    file with several names once), and when it was last read or written, in seconds since the epoch."""
    kept, seen = [], set()
    for entry in (entry for kind in KINDS.split() for entry in cache_folder().joinpath(kind).glob("*")):
        if entry.suffix in (".lock", ".partial"):
            continue
        size, used = 0, 0.0
        for file in [entry, *entry.rglob("*")]:
            with suppress(FileNotFoundError):  # gone meanwhile
                status = file.lstat()
                if stat.S_ISREG(status.st_mode):  # to look into a folder is to use it
                    size += status.st_size * (status.st_ino not in seen)
                    used = max(used, status.st_atime, status.st_mtime)
                    seen.add(status.st_ino)
        kept.append((entry, size, used))
    return sorted(kept, key=lambda each: each[2])


def describe_cache() -> list[dict[str, Any]]:
    """How many `megabytes` are kept of each `kind`, a folder of the cache."""
    kept = [(entry.parent.name, size) for entry, size, _ in list_cache()]
    sizes = {kind: [size for place, size in kept if place == kind] for kind in KINDS.split()}
    return [{"kind": kind, "megabytes": sum(own) >> 20} for kind, own in sizes.items() if own]


def clear_cache(kinds: Sequence[str] = (), most: int = 0) -> int:
    """Take out what was longest unused, of some kinds (folders of the cache) or of all, until no more than
    `most` bytes of them are left; gives the bytes that went. WastebookError for a kind that there is not."""
    if unknown := [kind for kind in kinds if kind not in KINDS.split()]:
        raise WastebookError(f"Nothing is kept of {unknown[0]!r}. {did_you_mean(unknown[0], KINDS.split())}")
    kept = [each for each in list_cache() if not kinds or each[0].parent.name in kinds]
    left = whole = sum(size for _, size, _ in kept)
    for entry, size, _ in kept:
        if left <= most:
            break
        with FileLock(entry.with_name(f"{entry.name}.lock")):
            gone = entry.rename(entry.with_name(f"{entry.name}.{uuid.uuid4().hex}.partial"))
            shutil.rmtree(gone) if gone.is_dir() and not gone.is_symlink() else gone.unlink()
        left -= size
    return whole - left


def make_read_only(folder: Path) -> None:
    """Take the right to write from every file below `folder`."""
    for file in filter(Path.is_file, folder.rglob("*")):
        file.chmod(stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH)
