"""What is kept once made: whole or not at all, once among those who ask together, anew where damaged."""

import errno
import os
import re
import time
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import pytest

from wastebook import paths
from wastebook.cache import KINDS, cached_table, clear_cache, fill_once, list_cache
from wastebook.errors import WastebookError


def test_folder_is_filled_whole_or_not_at_all(tmp_path):
    def fails(folder):
        (folder / "half.jpg").write_bytes(b"x")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(WastebookError, match="No space left"):
        fill_once(tmp_path / "set", fails)
    assert not (tmp_path / "set").exists() and not (tmp_path / "set.partial").exists()
    (tmp_path / "set.partial").mkdir()  # as a killed process leaves it
    (tmp_path / "set.partial" / "half.jpg").write_bytes(b"x")
    folder = fill_once(tmp_path / "set", lambda folder: (folder / "whole.jpg").write_bytes(b"y"))
    assert [file.name for file in folder.iterdir()] == ["whole.jpg"]


def test_folder_is_filled_once_among_those_who_ask_together(tmp_path):
    filled = []

    def fill(folder):
        filled.append(folder)
        time.sleep(0.2)

    with ThreadPoolExecutor(4) as pool:
        folders = list(pool.map(lambda _: fill_once(tmp_path / "set", fill), range(4)))
    assert len(filled) == 1 and set(folders) == {tmp_path / "set"}


def test_a_table_is_made_once_and_anew_where_it_is_damaged(cache):
    made = []

    def make():
        made.append(1)
        return pd.DataFrame({"a": [1, 2]})

    first = cached_table("tables", ("facts", 1), make)
    assert cached_table("tables", ("facts", 1), make).equals(first) and len(made) == 1
    cached_table("tables", ("facts", 2), make)
    assert len(made) == 2
    for file in (cache / "tables").iterdir():
        file.write_bytes(file.read_bytes()[:100])
    assert cached_table("tables", ("facts", 1), make).equals(first) and len(made) == 3
    assert cached_table("tables", ("facts", 1), make).equals(first) and len(made) == 3


def keep(cache, used, megabytes):
    """Something kept, last used so many hours ago, of so many megabytes."""
    for name, hours in used.items():
        entry = cache / name
        fill_once(entry, lambda folder: (folder / "part").write_bytes(bytes(megabytes << 20)))
        for part in (entry / "part", entry):
            os.utime(part, (time.time() - 3600 * hours,) * 2)


def test_what_was_longest_unused_goes_first(tmp_path, monkeypatch):
    monkeypatch.setenv("WASTEBOOK_CACHE", str(cache := tmp_path))
    keep(cache, {"features/old": 9, "features/new": 1, "weights/older": 30}, 2)
    assert [entry.name for entry, *_ in list_cache()] == ["older", "old", "new"]
    assert {size >> 20 for _, size, _ in list_cache()} == {2}
    assert clear_cache(["features"], most=3 << 20) == clear_cache(most=2 << 20) == 2 << 20
    assert [entry.name for entry, *_ in list_cache()] == ["new"]
    assert clear_cache() == 2 << 20 and list_cache() == [] and clear_cache() == 0
    keep(cache, {"features/old": 0}, 1)  # and what went can be made again
    with pytest.raises(WastebookError, match=r"Nothing is kept of 'feature'\. Did you mean features"):
        clear_cache(["feature"])


@pytest.mark.fault(
    "weights and caches", "a folder of one's own files named as the cache", "what is not of the cache stays"
)
def test_what_is_not_of_the_cache_stays(tmp_path, monkeypatch):
    monkeypatch.setenv("WASTEBOOK_CACHE", str(tmp_path / "mine"))
    for name in ("thesis/final.tex", ".ssh/id", "features/old/part", "elsewhere/kept"):
        (tmp_path / "mine" / name).parent.mkdir(parents=True)
        (tmp_path / "mine" / name).write_text("mine")
    (tmp_path / "mine" / "features" / "linked").symlink_to(tmp_path / "mine" / "elsewhere")
    assert {entry.parent.name for entry, *_ in list_cache()} == {"features"}
    clear_cache()
    assert list_cache() == [] and not (tmp_path / "mine" / "features" / "linked").is_symlink()
    for name in ("thesis/final.tex", ".ssh/id", "elsewhere/kept"):
        assert (tmp_path / "mine" / name).read_text() == "mine"


def test_each_folder_of_the_cache_is_known():
    library = paths.PROJECT / "lib" / "wastebook"
    text = "".join(file.read_text(encoding="utf-8") for file in library.rglob("*.py"))
    used = re.findall(r"(?:cache_folder|cached_table)\(\s*\"(\w+)", text)
    assert {*used} == {*KINDS.split()} and len(used) >= len(KINDS.split())
