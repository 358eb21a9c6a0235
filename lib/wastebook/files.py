"""Files written whole or not at all, locked and known by their hash, on a disk that others may share; and
what is written made safe for pages and tables."""

import errno
import hashlib
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from ruamel.yaml import YAML

from wastebook.errors import WastebookError

# What HTML or Markdown (Pandoc's, with its typography, and GitHub's) reads as more than a letter.
SIGNS = re.compile(r"""[!"#$&'*:<=>@[\\\]^`{|}~]|(?<!\w)_|_(?!\w)|(?<=-)-|(?<=\.)\.|^[-+]""")
DATA = "mathjax_ignore"  # the class of such text: JupyterLab reads no formulas in it, the check no markup
JOINERS = "\u200c\u200d"  # shape letters of Persian and Hindi, and emoji
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # how a cell begins that a spreadsheet computes


@contextmanager
def atomic_write(file: Path) -> Iterator[Path]:
    """Gives a path to write to, whose content becomes `file` once the block ends without an error; its folder
    is made where it is not there. A link stays, and what it names is replaced; a device or a pipe is written
    to as it is. WastebookError, with the way out, where the disk is full."""
    with explain_full_disk(file):
        if file.exists() and not file.is_file():  # as /dev/stdout
            yield file
            return
        file.parent.mkdir(parents=True, exist_ok=True)
        # A process number is not unique among the machines (or containers) that share a disk.
        partial = (whole := file.resolve()).with_name(f".{file.name}.{uuid.uuid4().hex}.partial")
        try:
            yield partial
            partial.replace(whole)
        finally:
            partial.unlink(missing_ok=True)


def expand(place: Any) -> Path:
    """A place as it was typed, with the home for `~`; WastebookError where nobody is known whose it is."""
    try:
        return Path(place).expanduser()
    except RuntimeError as error:
        raise WastebookError(f"{place}: no home is known by that name. Write the whole path.") from error


def write_text(file: Path, text: str) -> None:
    """Write `text` to `file` in UTF-8, whole or not at all."""
    with atomic_write(file) as partial:
        partial.write_text(text, encoding="utf-8")


def parse_yaml(text: str) -> Any:
    """What a text in YAML 1.2 holds, as Quarto reads it: 010 is ten, `no` a word, and no key stands twice."""
    return YAML(typ="safe", pure=True).load(text)


def write_yaml(file: Path, content: Any) -> None:
    """Write plain values to `file` as YAML, in their order."""
    with atomic_write(file) as partial:
        YAML(pure=True).dump(content, partial)


def as_written(name: Any) -> str:
    """A text as it is written, for HTML and Markdown: the signs that they obey as character references."""
    return SIGNS.sub(lambda sign: f"&#{ord(sign[0])};", re.sub(r"[\t-\r]+", " ", str(name)))


def as_html(text: str) -> str:
    """Plain text as HTML, markup shown as it is written: a paragraph per line, lists of lines with `- `."""
    parts = []
    for listed, lines in groupby(filter(str.strip, text.split("\n")), lambda line: line.startswith("- ")):
        whole, between = ("<ul><li>{}</li></ul>", "</li><li>") if listed else ("<p>{}</p>", "</p><p>")
        parts.append(whole.format(between.join(as_written(line[2 * listed :]) for line in lines)))
    return f'<div class="{DATA}">{"".join(parts)}</div>'


def as_line(name: Any) -> str:
    """A text for a terminal, on one line: what that would obey, or read from right to left, as escapes."""
    return "".join(one if one.isprintable() or one in JOINERS else ascii(one)[1:-1] for one in str(name))


def as_cell(value: Any) -> Any:
    """A value for CSV: a text that a spreadsheet would compute is led by an apostrophe."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def file_hash(file: Path) -> str:
    """SHA-256 of a file's content; of one that has not changed since, at once."""
    status = file.stat()
    return _hash_of(file, status.st_size, status.st_mtime_ns)


@cache
def _hash_of(file: Path, size: int, changed: int) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


@contextmanager
def exclusive_lock(lock: Path, patience: float = 0) -> Iterator[None]:
    """Hold a lock, freed however the process ends; WastebookError after `patience` seconds of another's."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(lock, timeout=patience):
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
