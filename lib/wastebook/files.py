"""Files written whole or not at all, whatever ends the program that writes them, and known by their hash."""

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from filelock import FileLock, Timeout

from wastebook.errors import WastebookError


@contextmanager
def atomic_write(file: Path) -> Iterator[Path]:
    """Gives a path to write to, whose content becomes `file` once the block ends without an error.

    The folder is made where it is not there.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{file.name}.{os.getpid()}.partial")
    try:
        yield partial
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def write_to_cache(file: Path) -> Iterator[Path]:
    """`atomic_write` for a file in the cache: WastebookError, with the way out, where the disk is full."""
    with room_for(file), atomic_write(file) as partial:
        yield partial


def write_text(file: Path, text: str) -> None:
    """Write `text` to `file` in UTF-8, whole or not at all."""
    with atomic_write(file) as partial:
        partial.write_text(text, encoding="utf-8")


def file_hash(file: Path) -> str:
    """SHA-256 of a file's content; of one that has not changed since, at once."""
    status = file.stat()
    return _hash_of(file, status.st_size, status.st_mtime_ns)


@cache
def _hash_of(file: Path, size: int, changed: int) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


@contextmanager
def room_for(place: Path) -> Iterator[None]:
    """Turns the error of a full disk (or quota) while `place` is written into one that says so."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, getattr(errno, "EDQUOT", None)):
            raise
        raise WastebookError(
            f"No space left for {place}: free some, or set WASTEBOOK_CACHE to a folder with more room."
        ) from error


@contextmanager
def exclusive_lock(lock: Path) -> Iterator[None]:
    """Hold a lock (freed however the process ends); WastebookError where another process has it."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(lock, timeout=0):
            yield
    except Timeout as error:
        raise WastebookError(f"Another process is at work on {lock.parent}: wait for it, or end it.") from error
