"""What is reckoned or fetched once and kept: folders and tables of the cache, safe among processes."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs
from filelock import FileLock

from wastebook.files import atomic_write, explain_full_disk

if TYPE_CHECKING:
    import pandas as pd


def cache_folder(*parts: str) -> Path:
    """A folder under `WASTEBOOK_CACHE` (by default the user's cache), made if it is not there."""
    root = os.environ.get("WASTEBOOK_CACHE") or platformdirs.user_cache_dir("wastebook")
    folder = Path(root).expanduser().joinpath(*parts)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def fill_once(target: Path, fill: Callable[[Path], None]) -> Path:
    """The folder `target`, made by `fill(folder)` where it is not there yet.

    It is there whole or not at all, is made once among processes that ask at the same time, and its files
    are read-only. WastebookError where the disk is full.
    """
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


def cached_table(folder: str, facts: object, make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
    """The table that depends on nothing but `facts`, kept as Parquet in a `folder` of the cache under a hash
    of their `repr`; made by `make()` where it is not there, or is damaged.

    WastebookError where there is no room for it.
    """
    import pandas as pd  # slow, and not wanted for one photo

    key = hashlib.sha256(repr(facts).encode()).hexdigest()[:32]
    file = cache_folder(folder) / f"{key}.parquet"
    try:
        return pd.read_parquet(file)
    except (OSError, ValueError):  # not there, or what a broken disk or copy made of it
        table = make()
    with atomic_write(file) as partial:
        table.to_parquet(partial)
    return table


def make_read_only(folder: Path) -> None:
    """Take the right to write from every file below `folder`."""
    for file in folder.rglob("*"):
        if file.is_file():
            file.chmod(stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH)
