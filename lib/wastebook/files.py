"""Files written whole or not at all, locked and known by their hash, on a disk that others may share."""

import errno
import hashlib
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from filelock import FileLock, Timeout

from wastebook.errors import WastebookError


@contextmanager
def atomic_write(file: Path) -> Iterator[Path]:
    """Gives a path to write to, whose content becomes `file` once the block ends without an error.

    The folder is made where it is not there. WastebookError, with the way out, where the disk is full.
    """
    with explain_full_disk(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        # A process number is not unique among the machines (or containers) that share a disk.
        partial = file.with_name(f".{file.name}.{uuid.uuid4().hex}.partial")
        try:
            yield partial
            partial.replace(file)
        finally:
            partial.unlink(missing_ok=True)


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
def exclusive_lock(lock: Path) -> Iterator[None]:
    """Hold a lock (freed however the process ends); WastebookError where another process has it."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(lock, timeout=0):
            yield
    except Timeout as error:
        work = lock.with_suffix("")
        raise WastebookError(f"Another process is at work on {work}: wait for it, or end it.") from error


@contextmanager
def explain_full_disk(place: Path) -> Iterator[None]:
    """Turns the error of a full disk (or quota) while `place` is written into one that says so."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, getattr(errno, "EDQUOT", None)):
            raise
        way = "free some, or, for what is cached, set WASTEBOOK_CACHE to a folder with more room"
        raise WastebookError(f"No space left for {place}: {way}.") from error
