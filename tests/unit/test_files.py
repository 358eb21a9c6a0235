"""Files whole or not at all, whoever else writes them; locks; full disks told."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from wastebook.errors import WastebookError
from wastebook.files import atomic_write, exclusive_lock, expand, file_hash, write_text


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    file = tmp_path / "new" / "file.txt"
    write_text(file, "whole ñ")
    with pytest.raises(KeyboardInterrupt), atomic_write(file) as partial:
        partial.write_text("half")
        raise KeyboardInterrupt
    assert file.read_text(encoding="utf-8") == "whole ñ" and list(file.parent.iterdir()) == [file]


@pytest.mark.fault("disk and places", "a link, a pipe or a device to write to", "written through, and stays")
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such files")
def test_a_link_a_pipe_and_a_device_are_written_through(tmp_path):
    (tmp_path / "there").mkdir()
    (link := tmp_path / "link").symlink_to("there/file")  # not there yet
    for text in ("one", "two"):
        write_text(link, text)
        assert link.is_symlink() and (tmp_path / "there/file").read_text() == text
    os.mkfifo(pipe := tmp_path / "pipe")
    reader = subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE)
    write_text(pipe, "through")
    assert reader.communicate()[0] == b"through" and pipe.is_fifo()
    (null := tmp_path / "null").symlink_to("/dev/null")
    write_text(null, "gone")
    assert null.is_symlink() and Path("/dev/null").is_char_device()
    assert {one.name for one in tmp_path.iterdir()} == {"there", "link", "pipe", "null"}


@pytest.mark.fault("disk and places", "a home that is nobody's, as in ~nobody/photos", "a line names it")
@pytest.mark.parametrize("known", [True, False])
def test_a_home_that_is_nobodys_is_told(monkeypatch, known):
    monkeypatch.setattr(os.path, "expanduser", lambda path: path.replace("~", "/home/me") if known else path)
    if known:
        assert expand("~/photos") == Path("/home/me/photos")
    else:
        with pytest.raises(WastebookError, match=r"~nobody/photos: no home is known .* whole path"):
            expand("~nobody/photos")


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
