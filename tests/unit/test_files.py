"""Files whole or not at all, whoever else writes them; locks; full disks told."""

import errno
import subprocess
import sys

import pytest

from wastebook.errors import WastebookError
from wastebook.files import atomic_write, exclusive_lock, file_hash, write_text


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    file = tmp_path / "new" / "file.txt"
    write_text(file, "whole ñ")
    with pytest.raises(KeyboardInterrupt), atomic_write(file) as partial:
        partial.write_text("half")
        raise KeyboardInterrupt
    assert file.read_text(encoding="utf-8") == "whole ñ" and list(file.parent.iterdir()) == [file]


def test_two_who_write_at_once_do_not_meet(tmp_path):
    file = tmp_path / "file.txt"
    with atomic_write(file) as one, atomic_write(file) as two:
        one.write_text("one")
        two.write_text("two")
    assert file.read_text() == "one" and list(tmp_path.iterdir()) == [file]


def test_a_full_disk_is_told_with_the_way_out(tmp_path):
    with (
        pytest.raises(WastebookError, match=r"No space left for .*file.*WASTEBOOK_CACHE"),
        atomic_write(tmp_path / "file"),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(PermissionError), atomic_write(tmp_path / "file"):
        raise PermissionError


def test_hash_follows_the_content(tmp_path):
    write_text(tmp_path / "a", "one")
    before = file_hash(tmp_path / "a")
    write_text(tmp_path / "a", "another")
    assert before != file_hash(tmp_path / "a")


def test_a_lock_is_for_one_and_freed_however_its_process_ends(tmp_path):
    lock = tmp_path / "made" / "site.lock"
    code = f"""
import os, pathlib
from wastebook.files import exclusive_lock
with exclusive_lock(pathlib.Path({str(lock)!r})):
    print("held", flush=True)
    input()
    os._exit(1)
"""
    other = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert other.stdout.readline() == b"held\n"
    with pytest.raises(WastebookError, match=r"at work on .*site: wait"), exclusive_lock(lock):
        pass
    other.communicate(b"\n")
    with exclusive_lock(lock):
        pass
