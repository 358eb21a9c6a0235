"""One process at a time at work on a run; what one that was killed left there is put right by the next.

Whoever works on a run holds its lock, which goes with the process. What it starts ends with it: a build holds
the other end of the stdin of all that it started, and ends them by closing it, or by dying.
"""

import os
import shutil
import signal
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import gettempdir, mkdtemp

import psutil

from wastebook.files import exclusive_lock, write_text

BUILD = ".build"  # in a run: what is under way; of a chapter its stages, `.yml` (state), `.done`
LOCK = f"{BUILD}/lock"  # of a run: whoever builds, executes or renders holds it
PARTS = ("results/{}", "results/{}.json", "models/{}", "chapters/{}.yml", "chapters/{}.ipynb")  # of a chapter
STAGE = ".stage-"  # in the folder of a chapter in `.build`, begins the name of one in which it is under way
IN_STAGE = "WASTEBOOK_STAGE"  # tells a kernel, and whatever that starts, its stage
BESIDE = (".{}-new", ".{}-old")  # where a site is made, and where the one goes that it replaces
NOT_MADE = ("failed", "skipped")  # states of a chapter that a build did not make as it was asked to
WHOLE = "whole"  # in a stage, once all of it is made: its parts
ORPHANS_END = 20.0  # seconds, at most, until nothing goes on of a build that was killed


@contextmanager
def at_work(run: Path) -> Iterator[None]:
    """Hold the lock of a run, put right before and after. WastebookError where another process has it."""
    with exclusive_lock(run / LOCK):
        put_right(run)
        try:
            yield
        finally:
            put_right(run)


def put_right(run: Path) -> None:
    """Carry out what was whole when its process was killed, and clear away what was not."""
    for stage in (run / BUILD).glob(f"**/{STAGE}*"):
        if (stage / WHOLE).exists():
            move_in(stage, run)
        clear_stage(stage)
    for site in (run / "site", run / "slides"):
        new, old = (site.with_name(name.format(site.name)) for name in BESIDE)
        if old.exists() and not site.exists():  # killed between the two moves of `replace_site`
            old.rename(site)
        for leftover in (new, old):
            shutil.rmtree(leftover, ignore_errors=True)
    for partial in run.rglob(".*.partial"):
        partial.unlink(missing_ok=True)


def open_stage(run: Path, chapter: str) -> Path:
    """A new folder in which a chapter is made, and one for its kernel."""
    (run / BUILD / chapter).mkdir(parents=True, exist_ok=True)
    stage = Path(mkdtemp(prefix=STAGE, dir=run / BUILD / chapter))
    kernels_folder(stage).mkdir(mode=0o700)
    (stage / "chapters" / chapter).parent.mkdir(parents=True)
    return stage


def kernels_folder(stage: Path) -> Path:
    """The folder of a stage's kernel: outside the run, where the names of its sockets may be too long."""
    return Path(gettempdir(), f"book{stage.name}")


def clear_stage(stage: Path) -> None:
    """Remove a stage and what belongs to it; where its chapter was killed, a kernel may be at work there."""
    for process in psutil.process_iter(["environ"]):
        if (process.info["environ"] or {}).get(IN_STAGE) == str(stage):
            with suppress(psutil.NoSuchProcess):
                process.kill()
    for folder in (kernels_folder(stage), stage):
        shutil.rmtree(folder, ignore_errors=True)


def move_in(stage: Path, run: Path) -> None:
    """Put what a chapter made in the place of what there was, in steps that begin again from anywhere."""
    chapter = stage.parent.relative_to(run / BUILD).as_posix()
    parts = [part.format(chapter) for part in PARTS]
    if not (stage / WHOLE).exists():
        write_text(stage / WHOLE, "\n".join(part for part in parts if (stage / part).exists()))
    made = (stage / WHOLE).read_text(encoding="utf-8").split("\n")
    (run / BUILD / f"{chapter}.done").unlink(missing_ok=True)
    for part in parts:
        if (stage / part).exists() or part not in made:
            remove(run / part)
        if (stage / part).exists():
            (run / part).parent.mkdir(parents=True, exist_ok=True)
            (stage / part).rename(run / part)


def remove_chapter(run: Path, chapter: str) -> None:
    """Take what a run has of a chapter out of it."""
    for part in (*PARTS, f"{BUILD}/{{}}.done", f"{BUILD}/{{}}.yml"):
        remove(run / part.format(chapter))


def remove(place: Path) -> None:
    """Remove a file or a folder, where it is there."""
    shutil.rmtree(place) if place.is_dir() else place.unlink(missing_ok=True)


def end_with_parent(seconds: float = 0) -> None:
    """End this process once nobody holds the other end of its stdin, where that is a pipe: on other machines
    it is none, and what started the process there ends it. It is asked to, and has `seconds` for that."""

    def wait() -> None:
        while os.read(0, 1):
            pass
        if seconds:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(seconds)
        os._exit(1)

    if stat.S_ISFIFO(os.fstat(0).st_mode):
        threading.Thread(target=wait, daemon=True).start()
